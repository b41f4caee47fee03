"""Checks on a GPU what one run cannot show: a folder that utils/gpu-pack made.

Every whole layer of the folder runs with balanced routing and with routing that
sends all tokens to the same experts and none to the others. Each output must be
near that of the same layer in PyTorch operators, 100 further runs must give the
same bits, and so must 1,000 replays of a CUDA graph, the output filled with NaNs
before each. The artefacts with fixed schedules must agree bit by bit with each
other. Ends with a line "N passed, N failed".

Usage: check_stress.py PACK [--only SUBSTRING] [--tokens T,T,...]
"""
import argparse
import pathlib
import sys

import torch

import moert
from gpu_timing import capture
from layer_peers import TorchLayer

RUNS, REPLAYS = 100, 1000
# Both sides round to bfloat16 between the products, at other places.
TOLERANCE = 2e-2


def same_bits(a, b):
    return torch.equal(a.view(torch.int16), b.view(torch.int16))


def make_weights(layer, routing):
    """Random weights; `skewed`: the first top_k experts win for every token."""
    weights = {name: (torch.randn(shape, device="cuda") * shape[-1] ** -0.5).to(dtype)
               for name, (shape, dtype) in layer.input_shapes().items()}
    if routing == "skewed":
        router = weights["router_weight"]
        router[:, 0] = -8
        # Apart from each other, so that rounding swaps none.
        top_k = layer.descriptor["layer"]["top_k"]
        router[:top_k, 0] = 8 + torch.arange(top_k, device="cuda").to(router.dtype)
        router[:, 1:] *= 0.01
    return weights


def make_states(layer, tokens, routing):
    spec = layer.descriptor["layer"]
    states = torch.randn(tokens, spec["hidden_size"], device="cuda").to(torch.bfloat16)
    if routing == "skewed":
        states[:, 0] = 1
    return states


def check(layer, weights, x):
    """What is wrong, or an empty text."""
    y = torch.full_like(x, float("nan"))
    layer(x, weights, y)
    first = y.clone()
    expected = TorchLayer(layer.descriptor["layer"], weights)(x)
    error = ((first.float() - expected.float()).norm() / expected.float().norm()).item()
    # Not `error > TOLERANCE`, which a NaN would pass.
    if not error < TOLERANCE:
        return f"relative error {error:.1e}, expected less than {TOLERANCE:.0e}"
    for i in range(RUNS):
        y.fill_(float("nan"))
        layer(x, weights, y)
        if not same_bits(y, first):
            return f"run {i + 1} has other bits"
    graph = capture(lambda: layer(x, weights, y))
    for i in range(REPLAYS):
        y.fill_(float("nan"))
        graph.replay()
        if not same_bits(y, first):
            return f"replay {i + 1} has other bits"
    return ""


def check_schedules(runtime, overlap, tokens):
    """What differs between the artefacts with fixed schedules."""
    serial = overlap.with_name(overlap.name.replace("-overlap.", "-serial."))
    layers = [moert.Layer(runtime, path) for path in (overlap, serial)]
    weights = make_weights(layers[0], "balanced")
    x = make_states(layers[0], tokens, "balanced")
    first, second = (layer(x, weights, torch.full_like(x, float("nan"))) for layer in layers)
    return "" if same_bits(first, second) else "serial and overlapped outputs differ"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--only", default="layer-")
    parser.add_argument("--tokens", default="1,3,16,64,300,1024")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    runtime = moert.Runtime(moert.find_runtime(arguments.pack))
    folder = arguments.pack / "artefacts"
    tokens = [int(T) for T in arguments.tokens.split(",")]
    passed = failed = 0

    def judge(title, fault):
        nonlocal passed, failed
        passed, failed = passed + (not fault), failed + bool(fault)
        print(f"FAIL {title}: {fault}" if fault else f"ok   {title}", flush=True)

    for path in sorted(folder.glob("*.moe.so")):
        if arguments.only not in path.name:
            continue
        layer = moert.Layer(runtime, path)
        if not TorchLayer.covers(layer.descriptor["layer"]):
            continue
        for routing in ("balanced", "skewed"):
            weights = make_weights(layer, routing)
            for T in tokens:
                judge(f"{path.name[:-7]} {routing} T={T}",
                      check(layer, weights, make_states(layer, T, routing)))
    for path in sorted(folder.glob("layer-*-overlap.moe.so")):
        if arguments.only not in path.name:
            continue
        for T in tokens:
            judge(f"schedules of {path.name[:-15]} T={T}", check_schedules(runtime, path, T))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
