"""Checks what ranks on GPUs do when one of them fails: a folder that utils/gpu-pack made.

Four processes run a layer again and again over NCCL. At a random time one of them is
killed, or stopped, or was never started, or was told another number of ranks. All others
have to end in time, with a message that names it; or, where they shrink, have to give the
right rows for the experts that are left. Ends with a line "N passed, N failed".

Usage: check_faults.py PACK [--artefact NAME] [--runs N] [--seed S] [--only KIND]
                       [--seconds S]
"""
import argparse
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

RANKS = 4
TIMEOUT = 6  # Seconds that ranks wait for each other.
START = 12  # Seconds in which ranks have started and run for a while.


def find_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Group:
    """The processes of one run; each writes to a file of its own."""

    def __init__(self, moe_run, artefact, scratch, ranks=range(RANKS), sizes=None,
                 flags=()):
        place = f"127.0.0.1:{find_port()}"
        self.processes, self.outputs = {}, {}
        for rank in ranks:
            self.outputs[rank] = os.path.join(scratch, f"rank{rank}")
            environment = dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank),
                               WORLD_SIZE=str((sizes or {}).get(rank, RANKS)),
                               LOCAL_WORLD_SIZE=str(RANKS), MOERT_RENDEZVOUS=place)
            with open(self.outputs[rank], "w") as output:
                self.processes[rank] = subprocess.Popen(
                    [moe_run, str(artefact), "--num-tokens", "16", "--repeat", "1000000000",
                     "--no-poison", "--timeout", str(TIMEOUT), *flags],
                    stdout=output, stderr=subprocess.STDOUT, env=environment)

    def signal(self, rank, number):
        self.processes[rank].send_signal(number)

    def wait(self, ranks, seconds, codes=(1, 2)):
        """"" if these ranks have ended so in time, or what is wrong."""
        deadline = time.time() + seconds
        for rank in ranks:
            try:
                code = self.processes[rank].wait(max(0.1, deadline - time.time()))
            except subprocess.TimeoutExpired:
                return f"rank {rank} still runs after {seconds} s"
            if code not in codes:
                return f"rank {rank} ended with {code}: {self.read(rank)[-300:]}"
        return ""

    def read(self, rank):
        return pathlib.Path(self.outputs[rank]).read_text()

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


def check_named(group, ranks, names):
    """"" if all messages have one of the names."""
    for rank in ranks:
        text = group.read(rank)
        if not any(name in text for name in names):
            return f"rank {rank} does not say any of {names}: {text[-300:]}"
    return ""


def lose(arguments, scratch, victim, number, after):
    group = Group(arguments.moe_run, arguments.artefact, scratch)
    try:
        time.sleep(after)
        group.signal(victim, number)
        others = [rank for rank in range(RANKS) if rank != victim]
        # Abort of what waits on the GPU takes a moment, too.
        fault = group.wait(others, 2 * TIMEOUT + 15)
        return fault or check_named(group, others, [f"rank {victim}"]), group.read(others[0])
    finally:
        group.end()


def shrink(arguments, scratch, victim, name, number):
    artefact = arguments.artefact.with_name(f"{name}.moe.so")
    group = Group(arguments.moe_run, artefact, scratch,
                  flags=["--on-lost-rank", "shrink", "--check"])
    try:
        time.sleep(START)
        group.signal(victim, number)
        others = [rank for rank in range(RANKS) if rank != victim]
        fault = group.wait(others, 3 * TIMEOUT + 30, codes=(0,))
        said = group.read(others[0])
        for expected in (f"{RANKS - 1} ranks, with", "check       passed"):
            if not fault and expected not in said:
                fault = f"expected '{expected}' in: {said[-500:]}"
        return fault, said
    finally:
        group.end()


def check_missing(arguments, scratch, victim):
    others = [rank for rank in range(RANKS) if rank != victim]
    group = Group(arguments.moe_run, arguments.artefact, scratch, ranks=others)
    try:
        fault = group.wait(others, START + 2 * TIMEOUT + 15)
        return fault or check_named(group, others, [f"rank {victim}"]), group.read(others[0])
    finally:
        group.end()


def check_size(arguments, scratch, victim):
    group = Group(arguments.moe_run, arguments.artefact, scratch, sizes={victim: RANKS + 1})
    try:
        fault = group.wait(range(RANKS), START + 2 * TIMEOUT + 15)
        if not fault:
            fault = check_named(group, [victim], [f"but {RANKS + 1} were started"])
        others = [rank for rank in range(RANKS) if rank != victim]
        return fault or check_named(group, others, [f"rank {victim}"]), group.read(others[0])
    finally:
        group.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--artefact", default="ranks-ht-dp4")
    parser.add_argument("--runs", type=int, default=50, help="runs in which a rank is killed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kill, stop, shrink, missing or size")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    arguments = parser.parse_args()
    arguments.moe_run = str(arguments.pack / "bin" / "moe-run")
    arguments.artefact = arguments.pack / "artefacts" / f"{arguments.artefact}.moe.so"
    deadline = time.time() + arguments.seconds
    chance = random.Random(arguments.seed)
    cases = [("missing", rank) for rank in (0, 2)] + [("size", rank) for rank in (0, 3)]
    cases += [("stop", rank) for rank in range(RANKS)]
    cases += [("shrink", (name, rank, number))
              for name, rank, number in (("ranks-ht-dp4", 1, signal.SIGKILL),
                                         ("ranks-ht-dp4", 0, signal.SIGKILL),
                                         ("ranks-ll-dp4", 3, signal.SIGKILL),
                                         ("ranks-agrs-dp4", 2, signal.SIGKILL),
                                         ("ranks-eplb-ht-dp4", 0, signal.SIGKILL),
                                         ("ranks-eplb-ll-dp4", 2, signal.SIGSTOP))]
    cases += [("kill", chance.randrange(RANKS)) for _ in range(arguments.runs)]
    passed = failed = skipped = 0
    for kind, victim in cases:
        if arguments.only not in kind:
            continue
        if time.time() + START + 3 * TIMEOUT > deadline:
            skipped += 1
            continue
        after = chance.uniform(0.2, START) if kind == "kill" else START
        begin = time.time()
        with tempfile.TemporaryDirectory() as scratch:
            if kind == "missing":
                fault, said = check_missing(arguments, scratch, victim)
            elif kind == "shrink":
                name, victim, number = victim
                fault, said = shrink(arguments, scratch, victim, name, number)
                victim = f"{victim} of {name}"
            elif kind == "size":
                fault, said = check_size(arguments, scratch, victim)
            else:
                number = signal.SIGKILL if kind == "kill" else signal.SIGSTOP
                fault, said = lose(arguments, scratch, victim, number, after)
        passed += not fault
        failed += bool(fault)
        title = f"{kind} rank {victim}" + (f" after {after:.1f} s" if kind in "kill stop" else "")
        said = [line for line in said.splitlines()
                if line.startswith(("moe-run:", "goes on", "  error"))]
        print(f"{'FAIL' if fault else 'ok  '} {title}, {time.time() - begin:.1f} s: "
              f"{fault or (said or ['says nothing'])[-1]}", flush=True)
    if skipped:
        print(f"{skipped} left by time")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
