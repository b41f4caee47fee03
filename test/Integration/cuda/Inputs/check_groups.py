"""Checks that groups of ranks on GPUs come and go: a folder that utils/gpu-pack made.

Two processes, which may share a GPU, meet, move memory over NCCL and part, 200 times: the
device's free memory must not shrink. Then they do the same over a communicator of their
own. Plain Python on the C ABI. Ends with a line "N passed, N failed".

Usage: check_groups.py PACK [--cycles N]
"""
import argparse
import ctypes
import multiprocessing
import os
import pathlib
import queue
import socket
import time

# utils/gpu-pack takes it from the header.
ABI_VERSION = int((pathlib.Path(__file__).parent / "abi").read_text())
RANKS = 2
TO_DEVICE, TO_HOST = 0, 1
# What drivers and NCCL may keep for good after their first uses.
SLACK = 32 << 20


class ContextOptions(ctypes.Structure):
    _fields_ = [("abi", ctypes.c_uint32), ("num_threads", ctypes.c_int32),
                ("rank", ctypes.c_int32), ("num_ranks", ctypes.c_int32),
                ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32)]


class ProcessOptions(ctypes.Structure):
    _fields_ = [("abi", ctypes.c_uint32), ("rank", ctypes.c_int32),
                ("num_ranks", ctypes.c_int32), ("local_rank", ctypes.c_int32),
                ("timeout_ms", ctypes.c_int64), ("rendezvous", ctypes.c_char * 256)]


class Transfer(ctypes.Structure):
    _fields_ = [("from_rank", ctypes.c_int32), ("to_rank", ctypes.c_int32),
                ("send", ctypes.c_void_p), ("receive", ctypes.c_void_p),
                ("bytes", ctypes.c_size_t)]


class Rank:
    """One process' context, in a group or not yet."""

    def __init__(self, library, rank, device):
        self.library, self.rank = library, rank
        self.context = ctypes.c_void_p()
        options = ContextOptions(ABI_VERSION, 0, rank, RANKS, 2, device)
        self.check(library.moert_context_create(ctypes.byref(options),
                                                ctypes.byref(self.context)), None)

    def check(self, status, context):
        if status != 0:
            raise RuntimeError(self.library.moert_last_error(context).decode())

    def call(self, name, *arguments):
        self.check(getattr(self.library, name)(self.context, *arguments), self.context)

    def exchange(self):
        """Each rank gets the other's megabyte, which has the other's number in it."""
        size = 1 << 20
        mine, other = ctypes.c_void_p(), ctypes.c_void_p()
        stream = ctypes.c_void_p()
        self.call("moert_stream_create", ctypes.byref(stream))
        for memory in (mine, other):
            self.call("moert_memory_allocate", ctypes.c_size_t(size), ctypes.byref(memory))
        self.call("moert_memory_fill", stream, mine, ctypes.c_uint8(10 + self.rank),
                  ctypes.c_size_t(size))
        peer = 1 - self.rank
        transfers = (Transfer * 2)(
            *(Transfer(source, 1 - source, mine if source == self.rank else None,
                       other if source == peer else None, size) for source in (0, 1)))
        self.call("moert_transfer_enqueue", stream, transfers, ctypes.c_int64(2))
        host = ctypes.create_string_buffer(size)
        self.call("moert_memory_copy", stream, host, other, ctypes.c_size_t(size),
                  ctypes.c_int(TO_HOST))
        self.call("moert_context_synchronize")
        if host.raw != bytes([10 + peer]) * size:
            raise RuntimeError(f"rank {self.rank}: wrong bytes arrived")
        for memory in (mine, other):
            self.call("moert_memory_free", memory)
        self.call("moert_stream_destroy", stream)

    def destroy(self):
        self.library.moert_context_destroy(self.context)


def load(pack):
    library = ctypes.CDLL(str(pack / "lib" / "libmoert.so.0"))
    library.moert_last_error.restype = ctypes.c_char_p
    return library


def free_memory():
    driver = ctypes.CDLL("libcuda.so.1")
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    context, device = ctypes.c_void_p(), ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    driver.cuCtxPushCurrent_v2(context)
    driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value


def share_gpu(rank, devices):
    if devices < RANKS:
        os.environ["NCCL_HOSTID"] = f"rank-{rank}"
        os.environ["NCCL_SOCKET_IFNAME"] = "lo"


def run_cycles(pack, rank, devices, ports, cycles, answers):
    try:
        share_gpu(rank, devices)
        library = load(pack)
        seen = []
        for port in ports:
            options = ProcessOptions(ABI_VERSION, rank, RANKS, rank, 30000,
                                     f"127.0.0.1:{port}".encode())
            group = ctypes.c_void_p()
            if library.moert_group_create_processes(ctypes.byref(options),
                                                    ctypes.byref(group)) != 0:
                raise RuntimeError(library.moert_last_error(None).decode())
            context = Rank(library, rank, rank % devices)
            context.call("moert_context_join", group)
            context.exchange()
            context.destroy()
            library.moert_group_destroy(group)
            seen.append(free_memory())
        # The first cycles load what stays.
        lost = seen[min(10, cycles // 2)] - min(seen[-5:])
        answers.put((rank, "" if lost < SLACK else f"{lost >> 20} MiB are gone", lost))
    except Exception as error:  # The parent reports it.
        answers.put((rank, str(error), 0))


class UniqueId(ctypes.Structure):
    _fields_ = [("internal", ctypes.c_char * 128)]


def run_given(pack, rank, devices, id_queue, answers):
    try:
        share_gpu(rank, devices)
        library = load(pack)
        context = Rank(library, rank, rank % devices)
        nccl, runtime = ctypes.CDLL("libnccl.so.2"), ctypes.CDLL("libcudart.so.13")
        runtime.cudaSetDevice(rank % devices)
        id = UniqueId()
        if rank == 0:
            nccl.ncclGetUniqueId(ctypes.byref(id))
            id_queue.put(ctypes.string_at(ctypes.byref(id), 128))
        else:
            ctypes.memmove(ctypes.byref(id), id_queue.get(timeout=60), 128)
        nccl.ncclCommInitRank.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int,
                                          UniqueId, ctypes.c_int]
        comm = ctypes.c_void_p()
        if nccl.ncclCommInitRank(ctypes.byref(comm), RANKS, id, rank) != 0:
            raise RuntimeError("ncclCommInitRank failed")
        context.call("moert_context_join_nccl", comm, ctypes.c_int64(30000))
        context.exchange()
        context.destroy()
        # It is the caller's still.
        if nccl.ncclCommDestroy(comm) != 0:
            raise RuntimeError("ncclCommDestroy failed")
        answers.put((rank, "", 0))
    except Exception as error:
        answers.put((rank, str(error), 0))


def run_all(target, arguments, seconds):
    """The answers of both ranks, or what is wrong."""
    context = multiprocessing.get_context("spawn")
    answers, ids = context.Queue(), context.Queue()
    processes = [context.Process(target=target,
                                 args=(arguments[0], rank, *arguments[1:],
                                       *([ids] if target is run_given else []), answers))
                 for rank in range(RANKS)]
    for process in processes:
        process.start()
    found = []
    try:
        for _ in processes:
            found.append(answers.get(timeout=seconds))
    except queue.Empty:
        found.append((-1, f"no answer within {seconds} s", 0))
    for process in processes:
        process.join(5)
        process.kill()
    return found


def find_ports(count):
    """Free ones that systems give to nobody who asks for any."""
    ports = []
    for port in range(20000, 30000):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            break
    return ports


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--cycles", type=int, default=200)
    arguments = parser.parse_args()
    driver = ctypes.CDLL("libcuda.so.1")
    devices = ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGetCount(ctypes.byref(devices))
    passed = failed = 0
    cases = [(f"{arguments.cycles} groups", run_cycles,
              (arguments.pack, devices.value, find_ports(arguments.cycles), arguments.cycles)),
             ("a given communicator", run_given, (arguments.pack, devices.value))]
    for title, target, given in cases:
        begin = time.time()
        found = run_all(target, given, 60 + 3 * arguments.cycles)
        faults = [f"rank {rank}: {fault}" for rank, fault, _ in found if fault]
        passed += not faults
        failed += bool(faults)
        lost = max(lost for _, _, lost in found)
        print(f"{'FAIL' if faults else 'ok  '} {title}, {time.time() - begin:.1f} s, "
              f"{lost / 2**20:.1f} MiB less free memory: {'; '.join(faults) or 'right'}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
