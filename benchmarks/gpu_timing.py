"""CUDA graphs, replayed in turn in one process, with cold caches and fresh inputs."""
import dataclasses
import statistics
import sys
import time

import torch

DEVICE = "cuda"
# More than any L2 cache holds.
FLUSH_BYTES = 256 << 20
WARM_UP = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says on standard error what took more than two seconds."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.begin = time.time()
        return self

    def __exit__(self, *_):
        self.seconds = time.time() - self.begin
        if self.seconds > 2:
            say(f"... {self.what}: {self.seconds:.0f} s")


def capture(function):
    """A graph of one call of the function, after three plain ones."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph


def time_replay(graph):
    """Microseconds between two events around one replay."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    graph.replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e3


@dataclasses.dataclass
class Contender:
    """What is replayed: some calls, and the tensors they write, which are filled with NaNs
    before each replay. Times are those of one call."""
    graph: object
    outputs: list = dataclasses.field(default_factory=list)
    calls: int = 1
    times: list = dataclasses.field(default_factory=list)

    def median(self):
        return statistics.median(self.times)


def capture_calls(function, inputs):
    """A contender that calls a function, which returns its output, on each of the inputs."""
    outputs = []

    def call():
        outputs[:] = [function(x) for x in inputs]

    return Contender(capture(call), outputs, len(inputs))


class Timer:
    def __init__(self, pause=0.0):
        self.pause = pause
        self.flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=DEVICE)

    def time_in_turn(self, contenders, runs, refresh=lambda i: None, after=lambda i: None):
        """Fills `times` of all contenders. `refresh` puts the inputs of round i in place,
        and `after` looks at the outputs."""
        for i in range(runs + WARM_UP):
            refresh(i)
            for contender in contenders:
                for output in contender.outputs:
                    output.fill_(float("nan"))
                if self.pause:
                    torch.cuda.synchronize()
                    time.sleep(self.pause)
                self.flush.zero_()
                took = time_replay(contender.graph)
                if i >= WARM_UP:
                    contender.times.append(took / contender.calls)
            after(i)

    def time(self, function, runs=10):
        """Median microseconds of a function alone."""
        contender = Contender(capture(function))
        self.time_in_turn([contender], runs)
        return contender.median()
