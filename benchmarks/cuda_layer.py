"""Times whole layers, compiled for target cuda, against PyTorch's grouped GEMM.

For every artefact of a folder that utils/gpu-pack made and every number of
tokens: the compiled layer and the same layer in PyTorch operators around
torch._grouped_mm, each in a CUDA graph, replayed in turn in one process. Before
every replay new hidden states, and with them new routing, are put in place, and
the caches are flushed. Prints one table: medians in microseconds, the ratio to
PyTorch, and the ratio to the floor, which is the bytes of the weights that are hit
over the bandwidth that a copy in this process reached, or the useful FLOPs over
what a large matrix product reached, whichever is longer.

Usage: cuda_layer.py PACK [--only SUBSTRING] [--tokens T,T,...] [--runs N]
"""
import argparse
import pathlib
import statistics

import torch
import torch.nn.functional as F

import moert

FLUSH_BYTES = 256 << 20
HIDDEN_STATES = 8


class TorchLayer:
    """The layer in PyTorch: softmax routing over all experts, SwiGLU."""

    def __init__(self, layer, weights):
        self.spec, self.weights = layer, weights

    @staticmethod
    def covers(spec):
        routing = spec["routing"]
        return (routing["score"] == "softmax" and routing["weight"] == "score"
                and routing["n_group"] == 1 and not routing["has_correction_bias"]
                and not routing["has_router_bias"] and not spec["has_expert_bias"]
                and spec["activation"]["kind"] == "swiglu" and spec["latent_size"] == 0)

    def mlp(self, gate_up):
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up

    def __call__(self, x):
        w, k = self.weights, self.spec["top_k"]
        routing = self.spec["routing"]
        logits = F.linear(x.float(), w["router_weight"].float())
        scores, ids = logits.softmax(-1).topk(k, dim=-1)
        if routing["renormalize"]:
            scores = scores / scores.sum(-1, keepdim=True)
        scores = scores * routing["scale"]
        experts = self.spec["num_experts"]
        order = ids.flatten().argsort(stable=True)
        offsets = F.one_hot(ids.flatten(), experts).sum(0).cumsum(0).to(torch.int32)
        rows = x[order // k]
        hidden = self.mlp(torch._grouped_mm(rows, w["w13"].transpose(1, 2), offs=offsets))
        out = torch._grouped_mm(hidden, w["w2"].transpose(1, 2), offs=offsets)
        pairs = torch.empty_like(out)
        pairs[order] = out
        routed = (pairs.view(x.shape[0], k, -1).float() * scores[..., None]).sum(1).to(x.dtype)
        if "shared_w13" in w:
            shared = F.linear(self.mlp(F.linear(x, w["shared_w13"])), w["shared_w2"])
            if "shared_gate" in w:
                shared = torch.sigmoid(F.linear(x, w["shared_gate"])) * shared
            routed = routed + shared
        return routed


def capture(function):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph


def time_in_turn(graphs, refresh, runs):
    """Median microseconds of each graph."""
    times = [[] for _ in graphs]
    for i in range(runs + 3):
        refresh(i)
        for graph, found in zip(graphs, times):
            flush.zero_()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            if i >= 3:
                found.append(begin.elapsed_time(end) * 1e3)
    return [statistics.median(found) for found in times]


def measure_ceilings():
    """(bytes read per second, FLOPs per second) of this GPU."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    copy = capture(lambda: target.copy_(source))
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    product = capture(lambda: torch.mm(a, b))
    copy_us, product_us = time_in_turn([copy, product], lambda i: None, 10)
    return 2 * source.numel() / copy_us * 1e6, 2 * 8192**3 / product_us * 1e6


def floor_us(spec, tokens, ids, ceilings):
    bandwidth, flops = ceilings
    H, I, S = spec["hidden_size"], spec["intermediate_size"], spec["shared"]["intermediate_size"]
    hit = ids.unique().numel()
    bytes_read = 2 * (3 * H * I * hit + 3 * H * S)
    work = 6 * H * (tokens * spec["top_k"] * I + tokens * S)
    return max(bytes_read / bandwidth, work / flops) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--only", default="layer-")
    parser.add_argument("--tokens", default="1,8,32,128,512,2048,8192")
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    runtime = moert.Runtime(moert.find_runtime(arguments.pack))
    ceilings = measure_ceilings()
    print(f"{torch.cuda.get_device_name()}: copy {ceilings[0] / 1e12:.2f} TB/s, "
          f"bf16 product {ceilings[1] / 1e12:.0f} TFLOP/s")
    print(f"{'layer':28} {'T':>5} {'ours us':>9} {'torch us':>9} {'ours/torch':>10} "
          f"{'ours/floor':>10} {'difference':>10}")
    for path in sorted((arguments.pack / "artefacts").glob("*.moe.so")):
        if arguments.only not in path.name:
            continue
        layer = moert.Layer(runtime, path)
        spec = layer.descriptor["layer"]
        if not TorchLayer.covers(spec):
            continue
        weights = {name: (torch.randn(shape, device="cuda") * shape[-1] ** -0.5).to(dtype)
                   for name, (shape, dtype) in layer.input_shapes().items()}
        peer = TorchLayer(spec, weights)
        dtype = weights["w13"].dtype
        for tokens in map(int, arguments.tokens.split(",")):
            states = torch.randn(HIDDEN_STATES, tokens, spec["hidden_size"], device="cuda",
                                 dtype=dtype)
            x, y = states[0].clone(), torch.full_like(states[0], float("nan"))
            ours = capture(lambda: layer(x, weights, y))
            result = {}
            theirs = capture(lambda: result.update(y=peer(x)))
            ours_us, theirs_us = time_in_turn(
                [ours, theirs], lambda i: x.copy_(states[i % HIDDEN_STATES]), arguments.runs)
            difference = ((y.float() - result["y"].float()).norm() / result["y"].float().norm())
            ids = F.linear(x.float(), weights["router_weight"].float()).topk(spec["top_k"]).indices
            floor = floor_us(spec, tokens, ids, ceilings)
            print(f"{path.name[:-7]:28} {tokens:5} {ours_us:9.1f} {theirs_us:9.1f} "
                  f"{ours_us / theirs_us:10.2f} {ours_us / floor:10.2f} {difference:10.1e}",
                  flush=True)


if __name__ == "__main__":
    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    main()
