#!/usr/bin/env python3
"""Runs the kernels that cuda_exchange compiled, checks them bit for bit and times them.

  cuda_exchange.py FOLDER [--check] [--seconds S]

Needs PyTorch and a GPU of the architecture, no LLVM. Inputs are random, with ids of no
expert and experts that a token names again. What the kernels are to compute is written
here a second time, in plain loops. Two runs must agree in every bit.
"""
import argparse
import json
import pathlib

import numpy
import torch

from cuda_kernels import DTYPES, Kernels, Launch, capture, time_graphs

POISON = 0x55  # In every byte of what a kernel is to write.


# --------------------------------------------------------------------------
# What is right
# --------------------------------------------------------------------------

def owners(experts, ranks, round_robin):
    """The rank of each expert, and its number there."""
    if round_robin:
        return [(e % ranks, e // ranks) for e in range(experts)]
    sizes = [experts // ranks + (rank < experts % ranks) for rank in range(ranks)]
    return [(rank, number) for rank, size in enumerate(sizes) for number in range(size)]


def sort_pairs(ids, keys):
    """{key: [(token, slot)]} of the pairs whose id has a key, in their order."""
    sorted_pairs = {}
    for token, row in enumerate(ids):
        for slot, expert in enumerate(row):
            if 0 <= expert < len(keys) and keys[expert] >= 0:
                sorted_pairs.setdefault(keys[expert], []).append((token, slot))
    return sorted_pairs


def first_pairs(pairs):
    """The first pair of each token, of pairs in order."""
    return [pair for i, pair in enumerate(pairs) if i == 0 or pairs[i - 1][0] != pair[0]]


class Reference:
    """What the launches of a case leave in its buffers. Inputs are numpy arrays."""

    def __init__(self, case):
        self.case = case
        self.owners = owners(case.experts, case.ranks, case.round_robin)

    def expert_map(self, t):
        rank = self.case.number("rank")
        return {"map": [number if owner == rank else -1 for owner, number in self.owners]}

    def dispatch(self, t):
        pairs = sort_pairs(t["ids"], list(t["map"]))
        offsets, source = [0], numpy.full(t["source"].shape, -1)
        rows = numpy.full(t["pair_rows"].shape, -1)
        row = 0
        for key in range(len(t["offsets"]) - 1):
            for token, slot in pairs.get(key, []):
                source[row] = token
                rows[token, slot] = row
                row += 1
            offsets.append(row)
        return {"offsets": offsets, "source": source, "pair_rows": rows}

    def send_plan(self, t):
        pairs = sort_pairs(t["ids"], [owner for owner, _ in self.owners])
        counts, source = [], numpy.full(t["source"].shape, -1)
        rows = numpy.full(t["pair_rows"].shape, -1)
        row = 0
        for rank in range(self.case.ranks):
            first = first_pairs(pairs.get(rank, []))
            counts.append(len(first))
            for token, slot in first:
                source[row] = token
                rows[token, slot] = row
                row += 1
        return {"counts": counts, "source": source, "pair_rows": rows}

    def batched_send_plan(self, t):
        capacity = self.case.capacity
        order = sorted(range(self.case.experts), key=lambda e: self.owners[e])
        places = numpy.argsort(order)
        pairs = sort_pairs(t["ids"], list(places))
        counts, source = [], numpy.full(t["source"].shape, -1)
        rows = numpy.full(t["pair_rows"].shape, -1)
        weights = t["row_weights"].copy()
        for place in range(self.case.experts):
            row, last = place * capacity - 1, -1
            for token, slot in pairs.get(place, []):
                if token == last:
                    weights[row, 0] += t["weights"][token, slot]
                    continue
                row, last = row + 1, token
                source[row] = token
                rows[token, slot] = row
                weights[row, 0] = t["weights"][token, slot]
            counts.append(row + 1 - place * capacity)
        return {"counts": counts, "source": source, "pair_rows": rows, "row_weights": weights}

    def batched_plan(self, t):
        experts, capacity = self.case.experts, self.case.capacity
        offsets, source = [0], []
        rows = numpy.full(t["pair_rows"].shape, -1)
        for expert in range(experts):
            for rank in range(self.case.ranks):
                batch = rank * experts + expert
                for row in range(batch * capacity, batch * capacity + t["counts"][batch]):
                    rows[row] = len(source)
                    source.append(row)
            offsets.append(len(source))
        source += [-1] * (len(t["source"]) - len(source))
        return {"offsets": offsets, "source": source, "pair_rows": rows}

    def gather_rows(self, t):
        y, used = t["y"].copy(), t["source"] >= 0
        y[used] = t["x"][t["source"][used]]
        return {"y": y}

    def clear_ids(self, t):
        return {"ids": numpy.full(t["ids"].shape, -1)}


# --------------------------------------------------------------------------
# Cases
# --------------------------------------------------------------------------

class Case:
    def __init__(self, kernels, description):
        self.settings = description["settings"]
        self.op, self.tokens = self.settings["op"], self.number("T")
        self.experts, self.ranks = self.number("E"), self.number("ranks", 1)
        self.capacity, self.round_robin = self.number("capacity", 1), self.number("round_robin")
        self.random = numpy.random.default_rng(len(description["launches"]) + self.tokens)
        self.tensors = {name: self.make(buffer) for name, buffer in description["buffers"].items()}
        self.fill()
        self.inputs = {name: tensor.clone() for name, tensor in self.tensors.items()}
        self.steps = [Launch(kernels, launch, self.tensors) for launch in description["launches"]]

    def number(self, key, otherwise=0):
        return int(self.settings.get(key, otherwise))

    def make(self, buffer):
        tensor = torch.empty(buffer["shape"], dtype=DTYPES[buffer["dtype"]], device="cuda")
        tensor.view(torch.uint8).fill_(POISON)
        return tensor

    def put(self, name, values):
        tensor = self.tensors[name]
        tensor.copy_(torch.as_tensor(numpy.asarray(values)).to(tensor.dtype).reshape(tensor.shape))

    def fill(self):
        """Random inputs: every tenth id is of no expert, and few experts are named often."""
        t, random = self.tensors, self.random
        if "ids" in t and self.op != "clear_ids":
            ids = random.integers(0, self.experts, t["ids"].shape)
            few = random.integers(0, max(self.experts // 4, 1), t["ids"].shape)
            ids = numpy.where(random.random(t["ids"].shape) < 0.3, few, ids)
            none = random.choice([-1, -7, self.experts, 2**31 - 1], t["ids"].shape)
            self.put("ids", numpy.where(random.random(t["ids"].shape) < 0.1, none, ids))
        if "weights" in t:
            self.put("weights", random.random(t["weights"].shape, dtype=numpy.float32))
        if self.op == "dispatch":
            rank = self.number("rank")
            self.put("map", [number if owner == rank else -1
                             for owner, number in owners(self.experts, self.ranks,
                                                         self.round_robin)])
        if self.op == "batched_plan":
            counts = random.integers(0, self.capacity + 1, t["counts"].shape)
            self.put("counts", numpy.where(random.random(t["counts"].shape) < 0.3, 0, counts))
        if self.op == "gather_rows":
            self.put("x", random.integers(-100, 100, t["x"].shape))
            rows = random.integers(0, max(self.tokens, 1), t["source"].shape)
            used = random.random(t["source"].shape) < float(self.settings.get("used", 0.7))
            self.put("source", numpy.where(used & (self.tokens > 0), rows, -1))

    def launch(self):
        for step in self.steps:
            step()

    def reset(self):
        for name, tensor in self.inputs.items():
            self.tensors[name].copy_(tensor)

    def bits(self):
        return {name: tensor.clone().view(torch.uint8) for name, tensor in self.tensors.items()
                if not name.startswith("scratch")}

    def run(self):
        self.reset()
        self.launch()
        torch.cuda.synchronize()
        return self.bits()

    def fault(self):
        """What is wrong, or nothing."""
        def host(tensors):
            # numpy has no bfloat16; the values fit.
            return {name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
                    .cpu().numpy() for name, tensor in tensors.items()}

        first, second = self.run(), self.run()
        got = host(self.tensors)
        expected = getattr(Reference(self), self.op)(host(self.inputs))
        for name, bits in first.items():
            if not torch.equal(bits, second[name]):
                return f"two runs differ in '{name}'"
            values = numpy.asarray(expected.get(name, host(self.inputs)[name]))
            values = values.astype(got[name].dtype).reshape(got[name].shape)
            # Of floats, too, to the last bit: what was not written is still there.
            wrong = numpy.argwhere(values.view(numpy.uint8) != got[name].view(numpy.uint8))
            if values.size and wrong.size:
                at = tuple(wrong[0])
                place = at[:-1] + (at[-1] // values.itemsize,)
                return (f"'{name}'{list(map(int, place))}: expected {values[place]} "
                        f"but got {got[name][place]}")
        return ""

    def time(self, seconds):
        repeats = 16
        graph = capture([self.launch], repeats)
        return time_graphs([graph], repeats, seconds)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="check only")
    parser.add_argument("--seconds", type=float, default=0.05, help="of timing per case")
    options = parser.parse_args()
    print(torch.cuda.get_device_name(), flush=True)
    kernels = Kernels(options.folder / "kernels.cubin")
    failures = 0
    descriptions = json.loads((options.folder / "launches.json").read_text())
    for description in descriptions:
        case = Case(kernels, description)
        text = " ".join(f"{k}={v}" for k, v in sorted(case.settings.items()))
        fault = case.fault()
        failures += bool(fault)
        line = f"FAIL {fault}" if fault else "ok"
        if not options.check and not fault and any(not step.empty for step in case.steps):
            line += f" | {case.time(options.seconds):7.2f} us"
        print(f"{line} | {text}", flush=True)
    print(f"{len(descriptions) - failures} passed, {failures} failed")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
