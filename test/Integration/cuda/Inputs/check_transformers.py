"""Checks compiled layers on a GPU against transformers' modules on the same GPU, with the
same weights: a folder that utils/gpu-pack made.

In float32 both choose the experts themselves. In bfloat16 the module hands its choice and
its weights to the compiled layer, as another rounding of scores chooses other experts.
Ends with a line "N passed, N failed".

Usage: check_transformers.py PACK [--only SUBSTRING] [--tokens T,T,...]
"""
import argparse
import json
import pathlib
import sys
import traceback

import torch

import moert
from gpu_timing import DEVICE
from transformers_layer import TransformersLayer

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
ROUTER = ("router_weight", "router_bias", "correction_bias")


def make_weights(shapes):
    """Random weights of the layer: of unit rows, and small biases."""
    return {name: (torch.randn(shape, device=DEVICE)
                   * (0.1 if name in ("router_bias", "correction_bias", "b13", "b2")
                      else shape[-1] ** -0.5)).to(dtype)
            for name, (shape, dtype) in shapes.items() if -1 not in shape}


def compare(found, expected, tolerance):
    """(whether near enough, how near)."""
    found, expected = found.double(), expected.double()
    error = ((found - expected).norm() / expected.norm()).item()
    rows = (found - expected).norm(dim=1) / expected.norm(dim=1)
    far = int((~(rows < 10 * tolerance)).sum())
    # Not `error >= tolerance`, which a NaN would pass.
    return (error < tolerance and not far,
            f"relative error {error:.2e}, largest of a row {rows.max().item():.2e}"
            + (f", {far} of {len(rows)} rows are past ten times {tolerance:g}" if far else ""))


def check_routed(layer, config, tokens):
    weights = make_weights(layer.input_shapes())
    module = TransformersLayer(config, weights, "eager")
    for T in tokens:
        x = torch.randn(T, layer.descriptor["layer"]["hidden_size"], device=DEVICE)
        y = layer(x, weights, torch.full_like(x, float("nan")))
        yield f"float32 T={T}", *compare(y, module(x), TOLERANCE[torch.float32])


def check_given(layer, router_shapes, config, tokens):
    dtype = torch.bfloat16
    weights = make_weights(layer.input_shapes())
    router = make_weights(router_shapes)
    router["router_weight"] = router["router_weight"].to(dtype)
    module = TransformersLayer(config, {**router, **weights}, "eager")
    spec = layer.descriptor["layer"]
    for T in tokens:
        x = torch.randn(T, spec["hidden_size"], device=DEVICE).to(dtype)
        scores, ids = module.route(x)
        # The layer scales the routed output; the module has scaled its weights.
        weights["topk_weights"] = (scores / spec["routing"]["scale"]).contiguous()
        weights["topk_ids"] = ids.to(torch.int32).contiguous()
        y = layer(x, weights, torch.full_like(x, float("nan")))
        yield f"bfloat16 T={T}", *compare(y, module(x), TOLERANCE[dtype])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--tokens", default="1,13,128")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    runtime = moert.Runtime(moert.find_runtime(arguments.pack))
    folder = arguments.pack / "artefacts"
    tokens = [int(T) for T in arguments.tokens.split(",")]
    passed = failed = 0

    def judge_all(name, results):
        nonlocal passed, failed
        try:
            for title, good, what in results:
                passed, failed = passed + good, failed + (not good)
                print(f"{'ok  ' if good else 'FAIL'} {name} {title}: {what}", flush=True)
        except Exception as error:  # The other families are checked all the same.
            failed += 1
            traceback.print_exception(error, file=sys.stderr)
            reason = (str(error).strip().splitlines() or [""])[0]
            print(f"FAIL {name}: {type(error).__name__}: {reason}", flush=True)
        torch.cuda.empty_cache()

    for path in sorted(folder.glob("transformers-*-f32.moe.so")):
        name = path.name.removeprefix("transformers-").removesuffix("-f32.moe.so")
        if arguments.only not in name:
            continue
        config = json.loads((arguments.pack / "configs" / name / "config.json").read_text())
        routed = moert.Layer(runtime, path)
        given = moert.Layer(runtime, folder / f"given-{name}-bf16.moe.so")
        shapes = {key: value for key, value in routed.input_shapes().items() if key in ROUTER}
        judge_all(name, check_routed(routed, config, tokens))
        judge_all(name, check_given(given, shapes, config, tokens))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
