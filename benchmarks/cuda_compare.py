"""Times the layers of two builds against each other, in turn on one GPU.

Both folders were made by `utils/gpu-pack FOLDER layers`, of two versions of the
compiler. Each has a process of its own, since two versions of the runtime do not fit
in one. For every layer that both have and every number of tokens the processes replay
their CUDA graphs one after the other, in rotating order; a graph holds several calls,
each with weights and hidden states of its own. Before a replay the outputs are filled
with NaNs and the caches are flushed.

Prints one line for each, medians in microseconds, their ratio, and whether the outputs
are the same bits. At the end the median and the extremes of the ratios.
"""
import argparse
import contextlib
import hashlib
import json
import pathlib
import statistics
import subprocess
import sys


class Worker:
    """The process of one folder. Answers are JSON lines."""

    def __init__(self, pack, calls):
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(pack), "--serve", "--calls", str(calls)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, request, *arguments):
        self.process.stdin.write(json.dumps([request, *arguments]) + "\n")
        self.process.stdin.flush()

    def finish(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"cuda_compare: a worker ended with code {self.process.wait()}")
        return json.loads(line)

    def ask(self, request, *arguments):
        self.start(request, *arguments)
        return self.finish()


class Server:
    def __init__(self, pack, calls):
        import torch

        # Each runtime is called by the module that was packed with it.
        sys.path.insert(0, str(pack))
        import gpu_timing
        import moert
        self.torch, self.gpu_timing, self.moert = torch, gpu_timing, moert
        torch.set_grad_enabled(False)
        self.pack, self.calls = pack, calls
        self.timer = gpu_timing.Timer()
        self.runtime = moert.Runtime(moert.find_runtime(pack))

    def random(self, shape, dtype):
        return (self.torch.randn(shape, device="cuda") * shape[-1] ** -0.5).to(dtype)

    def load(self, name):
        """A layer, and weights for each call, which are the same in every process."""
        self.contender = self.weights = None
        self.torch.cuda.empty_cache()
        self.torch.manual_seed(0)
        self.layer = self.moert.Layer(self.runtime, self.pack / "artefacts" / name)
        self.weights = [{weight: self.random(shape, dtype) for weight, (shape, dtype)
                         in self.layer.input_shapes().items()} for _ in range(self.calls)]

    def capture(self, tokens):
        self.contender = None
        self.torch.cuda.empty_cache()
        self.torch.manual_seed(tokens)
        hidden = self.layer.descriptor["layer"]["hidden_size"]
        dtype = self.weights[0]["w13"].dtype
        states = [self.torch.randn(tokens, hidden, device="cuda").to(dtype)
                  for _ in range(self.calls)]
        inputs = list(zip(states, self.weights))
        self.contender = self.gpu_timing.capture_calls(
            lambda x: self.layer(x[0], x[1], self.torch.empty_like(x[0])), inputs)

    def replay(self):
        before = len(self.contender.times)
        self.timer.time_in_turn([self.contender], 1)
        return self.contender.times[before]

    def digest(self):
        """Of the bits of all outputs."""
        total = hashlib.sha256()
        for output in self.contender.outputs:
            total.update(output.view(self.torch.uint8).cpu().numpy().tobytes())
        return total.hexdigest()

    def serve(self):
        answers = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            for line in sys.stdin:
                request, *arguments = json.loads(line)
                print(json.dumps(getattr(self, request)(*arguments)), file=answers, flush=True)


def compare(workers, tokens, runs):
    for worker in workers:
        worker.ask("capture", tokens)
    times = [[] for _ in workers]
    for i in range(runs):
        order = [(i + j) % len(workers) for j in range(len(workers))]
        for j in order:
            times[j].append(workers[j].ask("replay"))
    same = len({worker.ask("digest") for worker in workers}) == 1
    return [statistics.median(t) for t in times], same


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="+", type=pathlib.Path, metavar="PACK",
                        help="two folders that utils/gpu-pack made: before, after")
    parser.add_argument("--only", default="layer-", help="artefacts whose name contains this")
    parser.add_argument("--tokens", default="1,8,32,128,512,2048,8192",
                        type=lambda text: [int(tokens) for tokens in text.split(",")])
    parser.add_argument("--runs", type=int, default=21, help="measured replays of each")
    parser.add_argument("--calls", type=int, default=4, help="of a layer in a graph")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        Server(arguments.packs[0], arguments.calls).serve()
        return 0
    if len(arguments.packs) != 2:
        parser.error(f"expected 2 folders but got {len(arguments.packs)}")
    names = [{path.name for path in (pack / "artefacts").glob("*.moe.so")}
             for pack in arguments.packs]
    common = sorted(name for name in names[0] & names[1] if arguments.only in name)
    if not common:
        parser.error(f"no artefact with '{arguments.only}' in its name is in both folders")
    workers = [Worker(pack, arguments.calls) for pack in arguments.packs]
    ratios, differing = [], []
    print(f"{'layer':32} {'T':>5} {'before us':>10} {'after us':>10} {'ratio':>6}  same bits")
    for name in common:
        for worker in workers:
            worker.start("load", name)
        for worker in workers:
            worker.finish()
        label = name.removesuffix(".moe.so").removeprefix("layer-")
        for tokens in arguments.tokens:
            (before, after), same = compare(workers, tokens, arguments.runs)
            ratios.append(after / before)
            if not same:
                differing.append(f"{label}, T={tokens}")
            print(f"{label:32} {tokens:>5} {before:>10.1f} {after:>10.1f} "
                  f"{after / before:>6.3f}  {'yes' if same else 'NO'}", flush=True)
    print(f"\n{len(ratios)} points: after / before has the median "
          f"{statistics.median(ratios):.3f}, least {min(ratios):.3f}, most {max(ratios):.3f}; "
          f"other bits: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
