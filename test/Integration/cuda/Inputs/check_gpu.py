"""Checks compiled layers on a GPU: a folder that utils/gpu-pack made.

Every artefact runs with random inputs for each number of tokens and is compared
with moe-run's float64 reference; the oracles are compared with the outputs of
transformers' modules, too. Artefacts whose routing is given run the corner cases of
routing_cases.py: all tokens to one expert, empty experts, slots without expert. Ends
with a line "N passed, N failed".

Usage: check_gpu.py PACK [--tokens T,T,...] [--only SUBSTRING] [--seconds S]
"""
import argparse
import array
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import routing_cases

TOKENS = [0, 1, 2, 5, 8, 16, 33, 64, 127, 128, 255, 256, 257, 1000, 4096]
# Rows that the reference, which is slow, evaluates of a long run.
CHECKED_ROWS = 16
ORACLE_TOLERANCE = 1e-5


def read_tensor(path, name):
    """A float32 tensor of a safetensors file, as a flat list."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    entry = json.loads(data[8 : 8 + length])[name]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    values = array.array("f")
    values.frombytes(data[begin:end])
    return values


class Checker:
    def __init__(self, pack, deadline):
        self.moe_run = str(pack / "bin" / "moe-run")
        self.deadline = deadline
        self.passed, self.failed, self.skipped = 0, 0, 0

    def run(self, title, arguments):
        """True if moe-run succeeded; None if there was no time left."""
        left = self.deadline - time.time()
        if left < 5:
            self.skipped += 1
            return None
        try:
            done = subprocess.run([self.moe_run] + arguments, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            self.skipped += 1
            print(f"TIME {title}", flush=True)
            return None
        if done.returncode == 0:
            return True
        lines = [line for line in done.stdout.splitlines() if line.startswith("moe-run:")]
        self.judge(title, False, "; ".join(lines) or done.stdout[-300:])
        return False

    def judge(self, title, good, what):
        self.passed += good
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {title}: {what}", flush=True)


def check_random(checker, artefact, tokens):
    good = []
    for T in tokens:
        title = f"{artefact.name[:-7]} T={T}"
        done = checker.run(title, [str(artefact), "--num-tokens", str(T), "--check",
                                   "--check-rows", str(CHECKED_ROWS), "--repeat", "3"])
        if done:
            checker.passed += 1
            good.append(str(T))
    print(f"ok   {artefact.name[:-7]}: T = {' '.join(good)}", flush=True)


def check_given(checker, artefact, layer):
    """layer: the text that the artefact was compiled from."""
    sizes = routing_cases.read_sizes(layer)
    good = []
    for case, tokens in routing_cases.CASES:
        name = f"{case.__name__}({tokens})"
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, "input.safetensors")
            routing_cases.write_case(path, sizes, case, tokens)
            if checker.run(f"{artefact.name[:-7]} {name}",
                           [str(artefact), "--input", path, "--convert-dtype", "--check",
                            "--check-rows", str(CHECKED_ROWS), "--repeat", "3"]):
                checker.passed += 1
                good.append(name)
    print(f"ok   {artefact.name[:-7]}: {' '.join(good)}", flush=True)


def check_oracle(checker, folder, artefact):
    title = f"oracle {folder.name}"
    with tempfile.TemporaryDirectory() as scratch:
        output = os.path.join(scratch, "output.safetensors")
        done = checker.run(title, [str(artefact), "--weights", str(folder / "model.safetensors"),
                                   "--input", str(folder / "input.safetensors"),
                                   "--output", output, "--check"])
        if not done:
            return
        expected = read_tensor(folder / "output.safetensors", "output")
        found = read_tensor(output, "output")
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected)))
    error = difference / math.sqrt(sum(b * b for b in expected))
    # Not `error > ORACLE_TOLERANCE`, which a NaN would pass.
    checker.judge(title, error < ORACLE_TOLERANCE, f"relative error {error:.2e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)))
    parser.add_argument("--only", default="", help="artefacts whose name contains this")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    arguments = parser.parse_args()
    checker = Checker(arguments.pack, time.time() + arguments.seconds)
    tokens = [int(T) for T in arguments.tokens.split(",")]
    # Whole layers last, as their many weights take the most time. check_transformers.py
    # runs what is only there for it.
    artefacts = sorted((arguments.pack / "artefacts").glob("*.moe.so"),
                       key=lambda path: (path.name.startswith("layer-"), path.name))
    for artefact in artefacts:
        if arguments.only not in artefact.name or artefact.name.startswith("transformers-"):
            continue
        if artefact.name.startswith("oracle-"):
            check_oracle(checker, arguments.pack / "oracles" / artefact.name[7:-7], artefact)
        elif artefact.name.startswith("given-"):
            layer = arguments.pack / "given" / f"{artefact.name[6:-7]}.mlir"
            check_given(checker, artefact, layer.read_text())
        else:
            check_random(checker, artefact, tokens)
    if checker.skipped:
        print(f"{checker.skipped} not run: no time left")
    print(f"{checker.passed} passed, {checker.failed} failed")
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
