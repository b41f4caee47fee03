#!/usr/bin/env python3
"""Runs the GEMMs that cuda_gemm compiled, checks them and times them beside cuBLAS.

  cuda_gemm.py FOLDER [--check] [--seconds S]

Needs PyTorch and a GPU of the architecture, no LLVM. Operands are random. A
case is timed in a CUDA graph of launches that take turns on copies of the
weights of more bytes than the L2 cache holds; others run interleaved with it in
the same process: cuBLAS (torch.matmul) on one dense product of the same rows, N
and K, and beside grouped products torch._grouped_mm on rows that are gathered
before; both without the activation. A ratio below 1 is faster than the other.
"""
import argparse
import json
import math
import pathlib

import torch

from cuda_kernels import DTYPES, Kernels, Launch, capture, time_graphs

L2_BYTES = 64 << 20


# --------------------------------------------------------------------------
# Cases
# --------------------------------------------------------------------------

def activate(kind, gate, up):
    if kind == "swigluoai":
        gate, up = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
        return (up + 1) * gate * torch.sigmoid(1.702 * gate)
    value = {"swiglu": torch.nn.functional.silu, "geglu": torch.nn.functional.gelu,
             "geglu_tanh": lambda v: torch.nn.functional.gelu(v, approximate="tanh")}[kind]
    return value(gate) * up


class Case:
    def __init__(self, kernels, description):
        self.settings = s = description["settings"]
        self.op = s["op"]
        self.tokens, self.experts, self.top = int(s["T"]), int(s.get("E", 0)), int(s.get("top", 1))
        self.kernels, self.launches = kernels, description["launches"]
        generator = torch.Generator("cuda").manual_seed(1)
        self.tensors = {}
        for name, buffer in description["buffers"].items():
            shape, dtype = buffer["shape"], DTYPES[buffer["dtype"]]
            if dtype == torch.int32:
                continue
            if name == "y":
                tensor = torch.full(shape, float("nan"), dtype=dtype, device="cuda")
            else:
                scale = shape[-1] ** -0.5 if name == "w" else 1.0
                tensor = torch.empty(shape, dtype=dtype, device="cuda")
                tensor.normal_(0, scale, generator=generator)
            self.tensors[name] = tensor
        if self.experts:
            self.route(generator)

    def route(self, generator):
        scores = torch.rand(self.tokens, self.experts, device="cuda", generator=generator)
        ids = scores.topk(self.top, dim=1).indices
        # Experts from `hit` on get no rows, and pairs of `drop` of the tokens are elsewhere.
        ids = ids % int(self.settings.get("hit", self.experts))
        ids[: int(float(self.settings.get("drop", 0)) * self.tokens)] = self.experts
        flat = ids.flatten()
        order = torch.sort(flat, stable=True).indices
        counts = torch.bincount(flat, minlength=self.experts + 1)[: self.experts]
        self.counts = counts.tolist()
        self.rows = sum(self.counts)
        offsets = torch.zeros(self.experts + 1, dtype=torch.int32, device="cuda")
        offsets[1:] = counts.cumsum(0)
        source = (order // self.top).int()
        source[self.rows:] = -1
        self.tensors["offsets"] = offsets
        self.source = source
        if self.op == "up":
            self.tensors["source"] = source

    def hit(self):
        return sum(count > 0 for count in self.counts) if self.experts else 1

    def weight_bytes(self):
        w = self.tensors["w"]
        return w.nbytes // (self.experts or 1) * self.hit()

    def flops(self):
        rows = self.rows if self.experts else self.tokens
        return 2 * rows * self.tensors["w"].shape[-2] * self.tensors["w"].shape[-1]

    def launch(self, tensors):
        steps = [Launch(self.kernels, launch, tensors) for launch in self.launches]
        return lambda: [step() for step in steps]

    # -- Check

    def finish(self, x, w, bias, rows):
        sums = x.float() @ w.float().T
        if "scale" in self.tensors:
            sums = sums * self.tensors["scale"][rows]
        if bias is not None:
            sums = sums + bias.float()
        if self.op != "up" and "act" not in self.settings:
            return sums
        kind = self.settings.get("act", "swiglu")
        if kind == "relu2":
            return torch.relu(sums) ** 2
        gate, up = sums.chunk(2, dim=1)
        return activate(kind, gate, up)

    def error(self):
        """Relative Frobenius error of y, and what was written that should not be."""
        t = self.tensors
        t["y"].fill_(float("nan"))
        self.launch(t)()
        torch.cuda.synchronize()
        bias = t.get("bias")
        if not self.experts:
            parts = [(slice(0, self.tokens), self.finish(t["x"], t["w"], bias,
                                                         slice(0, self.tokens)))]
        else:
            parts, begin = [], 0
            for expert, count in enumerate(self.counts):
                if count == 0:
                    continue
                here = slice(begin, begin + count)
                rows = self.source[here].long() if self.op == "up" else here
                parts.append((here, self.finish(t["x"][rows], t["w"][expert],
                                                None if bias is None else bias[expert], rows)))
                begin += count
            beyond = t["y"][begin:]
            assert torch.isnan(beyond).all(), "rows after the last were written"
        difference = total = 0.0
        for here, expected in parts:
            difference += (t["y"][here].float() - expected).double().square().sum().item()
            total += expected.double().square().sum().item()
        first = t["y"].clone()
        self.launch(t)()
        assert torch.equal(first.view(torch.int8), t["y"].view(torch.int8)), "two runs differ"
        return math.sqrt(difference / total) if total else 0.0

    # -- Speed

    def contenders(self):
        """name -> calls that take turns."""
        w = self.tensors["w"]
        copies = max(1, min(16, math.ceil(3 * L2_BYTES / self.weight_bytes())))
        sets = [self.tensors] + [dict(self.tensors, w=w.clone()) for _ in range(copies - 1)]
        calls = {"ours": [self.launch(tensors) for tensors in sets]}
        x = self.tensors["x"]
        if not self.experts:
            calls["cuBLAS"] = [lambda t=t: torch.matmul(x, t["w"].T) for t in sets]
            return calls
        if self.op == "up":
            x = x[self.source[: self.rows].long()]
        x = x[: self.rows].contiguous()
        ends = self.tensors["offsets"][1:].contiguous()
        calls["grouped_mm"] = [
            lambda t=t: torch._grouped_mm(x, t["w"].transpose(1, 2), offs=ends) for t in sets]
        calls["cuBLAS"] = [lambda w=w: torch.matmul(x, w.T) for w in self.tensors["w"][:16]]
        return calls


def measure(case, seconds):
    calls = case.contenders()
    repeats = max(len(calls["ours"]), 16)
    graphs, faults = {}, ""
    for name, turns in calls.items():
        try:
            graphs[name] = capture(turns, repeats)
        except Exception as error:  # Of a peer, beside which the case is still timed.
            if name == "ours":
                raise
            faults += f" | {name}: {type(error).__name__}: {str(error)[:100]!r}"
    times = dict(zip(graphs, time_graphs(list(graphs.values()), repeats, seconds)))
    ours = times.pop("ours")
    line = (f" | {ours:8.2f} us {case.flops() / ours / 1e6:6.1f} TFLOP/s "
            f"{case.weight_bytes() / ours / 1e6:5.2f} TB/s")
    for name, us in times.items():
        line += f" | {name} {us:8.2f} us, ours/{name} {ours / us:5.3f}"
    return line + faults


TOLERANCE = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-5}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="check only")
    parser.add_argument("--seconds", type=float, default=0.3, help="of timing per case")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    print(torch.cuda.get_device_name(), flush=True)
    kernels = Kernels(options.folder / "kernels.cubin")
    failures = 0
    for description in json.loads((options.folder / "launches.json").read_text()):
        case = Case(kernels, description)
        text = " ".join(f"{k}={v}" for k, v in sorted(case.settings.items()))
        error = case.error()
        # Sums in another order differ in the last bits of f32.
        bad = not error <= TOLERANCE[case.tensors["y"].dtype]
        failures += bad
        line = f"{'FAIL' if bad else 'ok'} error {error:.1e}"
        if not options.check and not bad:
            line += measure(case, options.seconds)
        print(f"{line} | {text}", flush=True)
        del case
        torch.cuda.empty_cache()
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
