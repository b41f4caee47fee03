"""Runs every oracle of a folder through moe-run and compares the outputs.

Usage: oracles.py MOE_RUN ORACLES SCRATCH
"""
import array
import json
import math
import os
import pathlib
import struct
import subprocess
import sys

# Families that the CPU target executes; their absence is an error.
FAMILIES = ["deepseek_v2", "deepseek_v3", "qwen2_moe", "qwen3_next", "mixtral"]
TOLERANCE = 1e-5


def read_tensor(path, name):
    """A float32 tensor of a safetensors file, as a flat list."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    entry = json.loads(data[8 : 8 + length])[name]
    assert entry["dtype"] == "F32", entry
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    values = array.array("f")
    values.frombytes(data[begin:end])
    return entry["shape"], values


def main():
    moe_run, oracles, scratch = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    os.makedirs(scratch, exist_ok=True)
    failures = 0
    for family in FAMILIES:
        folder = oracles / family
        output = os.path.join(scratch, family + ".safetensors")
        command = [
            moe_run, str(folder / "config.json"), "--target", "cpu",
            "--dtype", "float32", "--weights", str(folder / "model.safetensors"),
            "--input", str(folder / "input.safetensors"), "--output", output, "--check",
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(f"{family}: exit {done.returncode}\n{done.stdout}")
            failures += 1
            continue
        shape, expected = read_tensor(folder / "output.safetensors", "output")
        found_shape, found = read_tensor(output, "output")
        assert shape == found_shape, (shape, found_shape)
        difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected)))
        error = difference / math.sqrt(sum(b * b for b in expected))
        # Not `error > TOLERANCE`, which a NaN would pass.
        good = error < TOLERANCE
        print(f"{family}: relative error {error:.2e}, {'ok' if good else 'too large'}")
        failures += not good
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
