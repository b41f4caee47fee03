"""Compiled layers on torch tensors, through the runtime's C ABI (moert.h).

No copy, no synchronization: a call is enqueued on torch's current stream, also
while that stream is captured into a CUDA graph.
"""
import ctypes
import json
import pathlib
import re

import torch


def read_abi_version():
    """Of the runtime that this file was packed with, or that it lies beside."""
    here = pathlib.Path(__file__).resolve().parent
    packed = here / "abi"
    if packed.exists():
        return int(packed.read_text())
    header = here.parent / "runtime" / "include" / "moert" / "moert.h"
    return int(re.search(r"MOERT_ABI_VERSION (\d+)u", header.read_text()).group(1))


ABI_VERSION = read_abi_version()
DL_CUDA = 2
# DLPack's (code, bits) of a dtype.
DTYPES = {
    "bfloat16": (torch.bfloat16, 4, 16),
    "float16": (torch.float16, 2, 16),
    "float32": (torch.float32, 2, 32),
    "int32": (torch.int32, 0, 32),
}


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class ContextOptions(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32 if name == "abi" else ctypes.c_int32) for name in
                ("abi", "num_threads", "rank", "num_ranks", "device_type", "device_id")]


class Call(ctypes.Structure):
    _fields_ = [
        ("abi", ctypes.c_uint32),
        ("num_values", ctypes.c_int32),
        ("context", ctypes.c_void_p),
        ("stream", ctypes.c_void_p),
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("num_inputs", ctypes.c_int64),
        ("num_outputs", ctypes.c_int64),
        ("tokens_per_rank", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_size_t),
        ("values", ctypes.c_void_p),
    ]


class Runtime:
    """A context of one GPU."""

    def __init__(self, library, device=0):
        self.lib = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self.lib.moert_last_error.restype = ctypes.c_char_p
        self.lib.moert_last_error.argtypes = [ctypes.c_void_p]
        self.lib.moert_program_descriptor.restype = ctypes.c_char_p
        self.lib.moert_program_descriptor.argtypes = [ctypes.c_void_p]
        self.lib.moert_program_workspace_size.restype = ctypes.c_size_t
        self.lib.moert_program_workspace_size.argtypes = [ctypes.c_void_p] + [ctypes.c_int64] * 2
        self.context = ctypes.c_void_p()
        options = ContextOptions(ABI_VERSION, 0, 0, 1, DL_CUDA, device)
        self.check(self.lib.moert_context_create(ctypes.byref(options),
                                                 ctypes.byref(self.context)), None)

    def check(self, status, context):
        if status != 0:
            raise RuntimeError(self.lib.moert_last_error(context).decode())


class Layer:
    """A compiled layer. Calling it takes and returns torch tensors."""

    def __init__(self, runtime, path):
        self.runtime = runtime
        self.program = ctypes.c_void_p()
        runtime.check(runtime.lib.moert_program_load(str(path).encode(),
                                                     ctypes.byref(self.program)), None)
        text = runtime.lib.moert_program_descriptor(self.program)
        self.descriptor = json.loads(text)
        self.workspace = {}

    def input_shapes(self):
        """Of all inputs but the hidden states: name -> (shape, dtype)."""
        return {entry["name"]: (entry["shape"], DTYPES[entry["dtype"]][0])
                for entry in self.descriptor["inputs"][1:]}

    def __call__(self, hidden_states, weights, output):
        """weights: name -> tensor. Enqueues; the tensors must live on."""
        tokens = hidden_states.shape[0]
        if tokens not in self.workspace:
            size = self.runtime.lib.moert_program_workspace_size(self.program, tokens, tokens)
            self.workspace[tokens] = torch.empty(size, dtype=torch.uint8,
                                                 device=hidden_states.device)
        workspace = self.workspace[tokens]
        inputs = [hidden_states] + [weights[entry["name"]]
                                    for entry in self.descriptor["inputs"][1:]]
        inputs = [as_dlpack(tensor) for tensor in inputs]
        outputs = [as_dlpack(output)]
        call = Call(ABI_VERSION, 0, self.runtime.context, torch.cuda.current_stream().cuda_stream,
                    pointers(inputs), pointers(outputs), len(inputs), 1, None,
                    workspace.data_ptr(), workspace.numel())
        self.runtime.check(self.runtime.lib.moert_program_run(self.program, ctypes.byref(call)),
                           self.runtime.context)
        return output


def as_dlpack(tensor):
    assert tensor.is_contiguous() and tensor.is_cuda
    code, bits = next(entry[1:] for entry in DTYPES.values() if entry[0] == tensor.dtype)
    shape = (ctypes.c_int64 * tensor.ndim)(*tensor.shape)
    return DLTensor(tensor.data_ptr(), DL_CUDA, tensor.device.index or 0, tensor.ndim, code, bits,
                    1, shape, None, 0)


def pointers(tensors):
    array = (ctypes.POINTER(DLTensor) * len(tensors))(*map(ctypes.pointer, tensors))
    return ctypes.cast(array, ctypes.c_void_p)


def find_runtime(folder):
    """libmoert of a build folder or of a folder that utils/gpu-pack made."""
    return pathlib.Path(folder) / "lib" / "libmoert.so.0"
