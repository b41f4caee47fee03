"""Runs a program on local ranks, whatever it computes, and prints its outputs.

The ranks are contexts of this process on the CPU, in a group of their own. Each passes
one input of float32 with four columns, where row k of all ranks' rows is k, k + 1, k + 2,
k + 3, and takes one output.

Usage: run_program.py LIBMOERT ARTEFACT TOKENS,TOKENS,... [--rows N] [NAME=VALUE ...]
       (--rows: the rows of the output, where these are not the rank's tokens)
"""

import argparse
import ctypes
import threading
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_void_p

CPU, FLOAT, COLUMNS = 1, 2, 4


class Options(ctypes.Structure):
    _fields_ = [("abi", c_uint32)] + [
        (name, c_int32)
        for name in ("num_threads", "rank", "num_ranks", "device_type", "device_id")
    ]


class Tensor(ctypes.Structure):  # A DLTensor.
    _fields_ = [
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Value(ctypes.Structure):  # A moert_call_value.
    _fields_ = [("name", c_char_p), ("value", c_int64)]


class Call(ctypes.Structure):  # A moert_call.
    _fields_ = [
        ("abi", c_uint32),
        ("num_values", c_int32),
        ("context", c_void_p),
        ("stream", c_void_p),
        ("inputs", POINTER(POINTER(Tensor))),
        ("outputs", POINTER(POINTER(Tensor))),
        ("num_inputs", c_int64),
        ("num_outputs", c_int64),
        ("tokens_per_rank", POINTER(c_int64)),
        ("workspace", c_void_p),
        ("workspace_bytes", c_size_t),
        ("values", POINTER(Value)),
    ]


class Matrix:
    """Rows of COLUMNS floats, and the tensor that describes them."""

    def __init__(self, rows):
        self.rows = rows
        self.data = (ctypes.c_float * max(1, rows * COLUMNS))()
        self.shape = (c_int64 * 2)(rows, COLUMNS)
        self.tensor = Tensor(
            ctypes.addressof(self.data), CPU, 0, 2, FLOAT, 32, 1, self.shape
        )
        self.pointers = (POINTER(Tensor) * 1)(ctypes.pointer(self.tensor))

    def text(self):
        flat = [format(value, "g") for value in self.data[: self.rows * COLUMNS]]
        rows = [flat[i : i + COLUMNS] for i in range(0, len(flat), COLUMNS)]
        return " ".join("[" + ", ".join(row) + "]" for row in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("artefact")
    parser.add_argument("tokens")
    parser.add_argument("--rows", type=int)
    parser.add_argument("values", nargs="*")
    flags = parser.parse_args()
    tokens = [int(count) for count in flags.tokens.split(",")]
    pairs = [pair.split("=") for pair in flags.values]
    values = (Value * len(pairs))(*[(name.encode(), int(value)) for name, value in pairs])
    # The artefact's calls of the runtime are this library's.
    moert = ctypes.CDLL(flags.library, mode=ctypes.RTLD_GLOBAL)
    moert.moert_last_error.restype = c_char_p
    moert.moert_program_workspace_size.restype = c_size_t

    def check(status, context=None):
        if status:
            raise RuntimeError(moert.moert_last_error(context).decode())

    group, program = c_void_p(), c_void_p()
    check(moert.moert_group_create_local(len(tokens), c_int64(10000), byref(group)))
    check(moert.moert_program_load(flags.artefact.encode(), byref(program)))
    results, errors = {}, []

    def run(rank):
        options = Options()
        moert.moert_context_options_init(byref(options))
        options.num_threads, options.rank, options.num_ranks = 1, rank, len(tokens)
        context = c_void_p()
        check(moert.moert_context_create(byref(options), byref(context)))
        check(moert.moert_context_join(context, group), context)
        own = tokens[rank]
        given = Matrix(own)
        taken = Matrix(own if flags.rows is None else flags.rows)
        for i in range(own * COLUMNS):
            given.data[i] = sum(tokens[:rank]) + i // COLUMNS + i % COLUMNS
        size = moert.moert_program_workspace_size(
            program, c_int64(own), c_int64(sum(tokens))
        )
        workspace = c_void_p()
        check(moert.moert_memory_allocate(context, c_size_t(size), byref(workspace)), context)
        call = Call(
            options.abi, len(values), context, None, given.pointers, taken.pointers, 1, 1,
            (c_int64 * len(tokens))(*tokens), workspace, size, values,
        )  # fmt: skip
        check(moert.moert_program_run(program, byref(call)), context)
        check(moert.moert_context_synchronize(context), context)
        results[rank] = taken.text()
        check(moert.moert_memory_free(context, workspace), context)
        moert.moert_context_destroy(context)

    def guarded(rank):
        try:
            run(rank)
        except RuntimeError as error:
            errors.append(f"rank {rank}: {error}")

    threads = [threading.Thread(target=guarded, args=(rank,)) for rank in range(len(tokens))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit("\n".join(errors))
    for rank in range(len(tokens)):
        print(f"rank {rank}: {results[rank]}")


main()
