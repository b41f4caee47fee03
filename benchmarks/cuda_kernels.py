"""Launches of compiled kernels (CUDACases.h) through the driver, on tensors of PyTorch."""
import ctypes
import math

import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i32": torch.int32}


cuda = ctypes.CDLL("libcuda.so.1")


def check(status):
    if status != 0:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(status, ctypes.byref(name))
        raise RuntimeError(f"driver: {name.value}")


class LaunchAttribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_uint * 16)]


class LaunchConfig(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint),
                ("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(LaunchAttribute)),
                ("count", ctypes.c_uint)]


CLUSTER_DIMENSION, PROGRAMMATIC_STREAM_SERIALIZATION = 4, 6
MAX_DYNAMIC_SHARED_SIZE = 8


def aligned(size, alignment):
    memory = (ctypes.c_ubyte * (size + alignment))()
    address = (ctypes.addressof(memory) + alignment - 1) // alignment * alignment
    result = (ctypes.c_ubyte * size).from_address(address)
    result.owner = memory
    return result


def encode_map(tensor, shape, box, swizzle):
    """The tensor map of a row-major tensor."""
    kind = {torch.float32: 7, torch.float16: 6, torch.bfloat16: 9}[tensor.dtype]
    size, rank = tensor.element_size(), len(shape)
    strides = [size * math.prod(shape[i + 1:]) for i in range(rank)]
    descriptor = aligned(128, 64)
    check(cuda.cuTensorMapEncodeTiled(
        descriptor, kind, rank, ctypes.c_void_p(tensor.data_ptr()),
        (ctypes.c_uint64 * rank)(*reversed(shape)),
        (ctypes.c_uint64 * (rank - 1))(*reversed(strides[:-1])),
        (ctypes.c_uint32 * rank)(*reversed(box)), (ctypes.c_uint32 * rank)(*[1] * rank),
        0, {0: 0, 32: 1, 64: 2, 128: 3}[swizzle],
        2,  # Lines of L2 are filled 128 bytes at a time.
        0))
    return descriptor


class Kernels:
    def __init__(self, path):
        torch.cuda.init()
        torch.zeros(1, device="cuda")
        self.module = ctypes.c_void_p()
        check(cuda.cuModuleLoadData(ctypes.byref(self.module), path.read_bytes()))
        self.functions = {}

    def function(self, name, shared):
        if name not in self.functions:
            function = ctypes.c_void_p()
            check(cuda.cuModuleGetFunction(ctypes.byref(function), self.module, name.encode()))
            check(cuda.cuFuncSetAttribute(function, MAX_DYNAMIC_SHARED_SIZE, shared))
            self.functions[name] = function
        return self.functions[name]


class Launch:
    """One launch on given tensors; calling it launches on the current stream."""

    def __init__(self, kernels, launch, tensors):
        self.function = kernels.function(launch["kernel"], launch["shared_bytes"])
        self.arguments = []
        for parameter in launch["parameters"]:
            if "number" in parameter:
                self.arguments.append(ctypes.c_int64(parameter["number"]))
            elif "box" in parameter:
                self.arguments.append(encode_map(tensors[parameter["buffer"]], parameter["shape"],
                                                 parameter["box"], parameter["swizzle"]))
            else:
                self.arguments.append(ctypes.c_void_p(tensors[parameter["buffer"]].data_ptr()))
        self.pointers = (ctypes.c_void_p * len(self.arguments))(
            *[ctypes.addressof(a) for a in self.arguments])
        self.attributes = (LaunchAttribute * 2)()
        self.attributes[0].id = PROGRAMMATIC_STREAM_SERIALIZATION
        self.attributes[0].value[0] = 1
        self.attributes[1].id = CLUSTER_DIMENSION
        for i, size in enumerate((launch["cluster"], 1, 1)):
            self.attributes[1].value[i] = size
        self.config = LaunchConfig((launch["grid"], 1, 1), (launch["threads"], 1, 1),
                                   launch["shared_bytes"], None, self.attributes, 2)
        self.empty = launch["grid"] == 0

    def __call__(self):
        if self.empty:
            return
        self.config.stream = torch.cuda.current_stream().cuda_stream
        check(cuda.cuLaunchKernelEx(ctypes.byref(self.config), self.function, self.pointers, None))


# --------------------------------------------------------------------------
# Timing
# --------------------------------------------------------------------------

def capture(calls, repeats):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(repeats):
            calls[i % len(calls)]()
    return graph


def time_graphs(graphs, repeats, seconds):
    """Median microseconds of one launch, for each graph."""
    samples = [[] for _ in graphs]
    spent = 0.0
    while spent < seconds * 1e3 or len(samples[0]) < 5:
        for graph, sample in zip(graphs, samples):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            sample.append(begin.elapsed_time(end))
            spent += sample[-1]
    return [sorted(sample)[len(sample) // 2] * 1e3 / repeats for sample in samples]
