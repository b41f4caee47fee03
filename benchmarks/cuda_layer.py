"""Times whole layers, compiled for target cuda, against the layers of others.

For every whole layer of a folder that utils/gpu-pack made and every number of tokens:
the compiled layer, from router to merged output, and its peers around the same weights,
each in a CUDA graph, replayed in turn in one process. A graph holds several calls, as a
model has several layers, each on hidden states, and with them routing, of its own.
Before every replay they change places, outputs are filled with NaNs and the caches are
flushed. Afterwards outputs are compared.

Peers: PyTorch's operators around torch._grouped_mm (torch), the same under
torch.compile (compile), the model's module in transformers with grouped_mm experts
(transformers), and, where installed, vLLM's (vllm) and Triton's (triton_kernels).

Prints one line for each, medians in microseconds: the ratios to the fastest peer and
to the floor, which is the weights that are hit, read at the bandwidth that this process
reached, or the useful FLOPs at the rate of its large matrix product; what the layer's
products take as dense ones in cuBLAS (gemm); bytes of hit weights and useful FLOPs per
second; the largest relative difference to a peer, over rows for which both chose the
same experts; and what the best peer was measured to take on another GPU (published).
"""
import argparse
import json
import math
import pathlib
import sys
import traceback

import torch

import layer_ceilings
import moert
from gpu_timing import DEVICE, Progress, Timer, capture_calls
from layer_ceilings import Work
from layer_peers import (PEERS, CompiledLayer, NotMeasured, TorchLayer, TransformersPeer,
                         is_installed)

SCHEDULES = ("overlap", "serial")
# Both sides round to bfloat16 between the products, at other places.
TOLERANCE = 2e-2


class Notes:
    """What went wrong or is not there, printed once at the end."""

    def __init__(self):
        self.lines = []

    def add(self, text):
        if text not in self.lines:
            self.lines.append(text)
            print(f"note: {text}", file=sys.stderr, flush=True)

    def add_error(self, what, error):
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        self.add(f"{what}: {type(error).__name__}: {reason}")
        if not isinstance(error, NotMeasured):
            traceback.print_exception(error, limit=-3, file=sys.stderr)


def make_weights(layer):
    return {name: (torch.randn(shape, device=DEVICE) * shape[-1] ** -0.5).to(dtype)
            for name, (shape, dtype) in layer.input_shapes().items()}


def make_states(spec, calls, tokens, dtype):
    return torch.randn(calls, tokens, spec["hidden_size"], device=DEVICE).to(dtype)


def capture_ours(layer, states, weights):
    return capture_calls(lambda x: layer(x, weights, torch.empty_like(x)), states)


def rotate(states):
    states.copy_(states.roll(1, 0))


def relative_difference(found, expected):
    found, expected = found.float(), expected.float()
    return ((found - expected).norm() / expected.norm()).item()


def worst(*differences):
    """The largest; a NaN is larger than any number."""
    known = [d for d in differences if d is not None]
    return max(known, key=lambda d: math.inf if math.isnan(d) else d, default=None)


class Row:
    """The contenders of one layer for one number of tokens."""

    def __init__(self, label, layer, weights, reference, peers, calls, tokens, timer, notes):
        self.label, self.spec, self.reference, self.peers = label, reference.spec, reference, peers
        self.tokens, self.timer, self.notes = tokens, timer, notes
        self.weights = weights
        self.states = make_states(self.spec, calls, tokens, weights["w13"].dtype)
        self.contenders = {"ours": capture_ours(layer, self.states, weights)}
        self.difference = None

    def title(self, name):
        return f"{name}, {self.label}, T={self.tokens}"

    def add(self, name, make):
        try:
            self.contenders[name] = make()
        except Exception as error:  # Whatever happens in others' code, the rest goes on.
            self.notes.add_error(self.title(name), error)

    def compare(self, i):
        """Outputs of one call with ours, after round i."""
        if i not in (0, 1, 2, self.last):
            return
        call = i % len(self.states)
        x = self.states[call]
        ids = self.reference.choose(x).sort(1).values
        for name, peer in self.peers.items():
            if name not in self.contenders:
                continue
            theirs = peer.choose(x).to(ids.dtype).sort(1).values
            same = (theirs == ids).all(1)
            if not same.any():
                continue
            difference = relative_difference(self.contenders["ours"].outputs[call][same],
                                             self.contenders[name].outputs[call][same])
            if not difference < TOLERANCE:
                self.notes.add(f"{self.title(name)}: relative difference {difference:.1e} in "
                               f"{int(same.sum())} rows")
            self.difference = worst(self.difference, difference)

    def measure(self, runs):
        for name, peer in self.peers.items():
            with Progress(f"capturing {self.title(name)}"):
                self.add(name, lambda: capture_calls(peer, self.states))
        self.add("gemm", lambda: layer_ceilings.capture_dense(self.spec, self.weights,
                                                              self.tokens))
        self.last = runs + 2
        self.timer.time_in_turn(list(self.contenders.values()), runs,
                                lambda i: rotate(self.states), self.compare)

    def mean_hit(self):
        """Experts that a batch hits."""
        counts = [self.reference.choose(x).unique().numel() for x in self.states]
        return sum(counts) / len(counts)

    def fields(self, peer_names, ceilings):
        us = {name: contender.median() for name, contender in self.contenders.items()}
        ours, measured = us["ours"], [us[name] for name in peer_names if name in us]
        work = Work.of(self.spec, self.tokens, self.mean_hit())
        published = layer_ceilings.PUBLISHED_US.get(self.label, {}).get(self.tokens)
        number = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"
        return [self.label, str(self.tokens), number(ours, 1),
                *(number(us.get(name), 1) for name in peer_names),
                number(ours / min(measured) if measured else None, 2),
                number(ours / work.floor_us(ceilings), 2), number(us.get("gemm"), 1),
                number(work.weight_bytes / ours / 1e6, 2), number(work.flops / ours / 1e6, 0),
                "-" if self.difference is None else f"{self.difference:.0e}",
                number(published, 1 if published and published < 100 else 0)]


class Table:
    """Lines as they come, and at the end the same for the documentation."""

    def __init__(self, columns):
        self.columns, self.rows = columns, []
        self.widths = [24, 5] + [max(8, len(column)) for column in columns[2:]]
        self.show(columns)

    def show(self, fields):
        print(" ".join(field.ljust(width) if i == 0 else field.rjust(width) for i, (field, width)
                       in enumerate(zip(fields, self.widths))), flush=True)

    def add(self, fields):
        self.rows.append(fields)
        self.show(fields)

    def print_markdown(self):
        def line(cells):
            print("| " + " | ".join(cells) + " |")

        print()
        line(self.columns)
        line(["---"] + ["--:"] * (len(self.columns) - 1))
        previous = None
        for label, *rest in self.rows:
            line(["" if label == previous else label, *rest])
            previous = label


def make_peers(names, path, arguments, spec, weights, notes):
    config = arguments.pack / "configs" / label_of(path) / "config.json"
    if config.exists():
        TransformersPeer.config = json.loads(config.read_text())
    peers = {}
    for name in names:
        try:
            peers[name] = PEERS[name](spec, weights)
        except Exception as error:
            notes.add_error(f"{name}, {label_of(path)}", error)
    return peers


def label_of(path):
    return path.name.removesuffix(".moe.so").removeprefix("layer-")


def find_layers(arguments):
    """Those with published times first, in their order."""
    order = {label: i for i, label in enumerate(layer_ceilings.PUBLISHED_US)}
    paths = [path for path in sorted((arguments.pack / "artefacts").glob("layer-*.moe.so"))
             if arguments.only in path.name and not label_of(path).endswith(SCHEDULES)]
    return sorted(paths, key=lambda path: order.get(label_of(path), len(order)))


def time_layers(runtime, paths, arguments, timer, ceilings, notes):
    names = []
    for name in filter(None, arguments.peers.split(",")):
        if is_installed(name):
            names.append(name)
        else:
            notes.add(f"{name}: not installed")
    table = Table(["layer", "T", "ours us", *(f"{name} us" for name in names), "ours/best",
                   "ours/floor", "gemm us", "TB/s", "TFLOP/s", "differs",
                   f"published {layer_ceilings.PUBLISHED_GPU} us"])
    for path in paths:
        layer = moert.Layer(runtime, path)
        spec = layer.descriptor["layer"]
        if not TorchLayer.covers(spec):
            notes.add(f"{label_of(path)}: has routing or an activation that no peer covers")
            continue
        with Progress(f"weights of {label_of(path)}"):
            weights = make_weights(layer)
            peers = make_peers(names, path, arguments, spec, weights, notes)
        reference = TorchLayer(spec, weights)
        for tokens in arguments.tokens:
            try:
                with Progress(f"{label_of(path)}, T={tokens}"):
                    row = Row(label_of(path), layer, weights, reference, peers,
                              arguments.calls, tokens, timer, notes)
                    row.measure(arguments.runs)
                table.add(row.fields(names, ceilings))
            except Exception as error:
                notes.add_error(f"{label_of(path)}, T={tokens}", error)
            row = None
            torch.cuda.empty_cache()
    return table


def time_schedules(runtime, paths, arguments, timer, notes):
    """The shared experts on a stream of their own, against one stream."""
    table = Table(["layer", "T", "overlap us", "serial us", "overlap/serial", "same bits"])
    for path in paths:
        if not moert.Layer(runtime, path).descriptor["layer"]["shared"]["intermediate_size"]:
            notes.add(f"{label_of(path)}: no shared experts, so there is one schedule only")
            continue
        layers = []
        for schedule in SCHEDULES:
            other = path.with_name(path.name.replace(".moe.so", f"-{schedule}.moe.so"))
            layers.append(moert.Layer(runtime, other))
        weights = make_weights(layers[0])
        for tokens in arguments.tokens:
            try:
                states = make_states(layers[0].descriptor["layer"], arguments.calls, tokens,
                                     weights["w13"].dtype)
                both = [capture_ours(layer, states, weights) for layer in layers]
                timer.time_in_turn(both, arguments.runs, lambda i: rotate(states))
                overlap, serial = (contender.median() for contender in both)
                same = all(torch.equal(a.view(torch.int16), b.view(torch.int16))
                           for a, b in zip(both[0].outputs, both[1].outputs))
                table.add([label_of(path), str(tokens), f"{overlap:.1f}", f"{serial:.1f}",
                           f"{overlap / serial:.2f}", "yes" if same else "NO"])
            except Exception as error:
                notes.add_error(f"schedules of {label_of(path)}, T={tokens}", error)
            torch.cuda.empty_cache()
    return table


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=pathlib.Path, help="folder that utils/gpu-pack made")
    parser.add_argument("--only", default="layer-", help="artefacts whose name contains this")
    parser.add_argument("--tokens", default="1,8,32,128,512,2048,8192",
                        type=lambda text: [int(tokens) for tokens in text.split(",")])
    parser.add_argument("--runs", type=int, default=30, help="measured replays of each")
    parser.add_argument("--calls", type=int, default=8, help="of a layer in a graph")
    parser.add_argument("--pause", type=float, default=0, metavar="SECONDS",
                        help="before each replay, so that the GPU stays cool")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--compile-mode", default="default",
                        help="of torch.compile, such as max-autotune-no-cudagraphs")
    parser.add_argument("--compile-seconds", type=float, default=120,
                        help="of a layer that torch.compile may take (default: %(default)s)")
    parser.add_argument("--schedules", action="store_true",
                        help="compare the schedules of shared experts instead")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, too")
    arguments = parser.parse_args()
    unknown = set(filter(None, arguments.peers.split(","))) - set(PEERS)
    if unknown:
        parser.error(f"unknown peers {', '.join(sorted(unknown))}, expected some of "
                     f"{', '.join(PEERS)}")
    CompiledLayer.mode, CompiledLayer.seconds = arguments.compile_mode, arguments.compile_seconds
    return arguments


def main():
    arguments = parse_arguments()
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    timer, notes = Timer(arguments.pause), Notes()
    runtime = moert.Runtime(moert.find_runtime(arguments.pack))
    paths = find_layers(arguments)
    if arguments.schedules:
        print(torch.cuda.get_device_name())
        table = time_schedules(runtime, paths, arguments, timer, notes)
    else:
        processors = torch.cuda.get_device_properties(0).multi_processor_count
        ceilings = layer_ceilings.measure_ceilings(timer, processors)
        torch.cuda.empty_cache()
        print(f"{torch.cuda.get_device_name()}: {ceilings}; torch {torch.__version__}, compile "
              f"mode {arguments.compile_mode}, {arguments.runs} runs of "
              f"{arguments.calls} calls, pause {arguments.pause:g} s")
        table = time_layers(runtime, paths, arguments, timer, ceilings, notes)
    if arguments.markdown:
        table.print_markdown()
    if notes.lines:
        print("\nNotes:\n" + "\n".join(f"- {line}" for line in notes.lines))


if __name__ == "__main__":
    main()
