"""Compares two outputs of moe-run, the second of which has loads of experts: outputs
are equal to the bit, and each rank's loads add up to its choices.

Usage: compare_recorded.py plain recorded choices-of-each-rank number-of-experts
"""

import json
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def main():
    plain, recorded = read(sys.argv[1]), read(sys.argv[2])
    if sorted(plain) != ["output"] or sorted(recorded) != ["expert_load", "output"]:
        sys.exit(f"expected the load in one file but got {sorted(plain)}, {sorted(recorded)}")
    if plain["output"] != recorded["output"]:
        sys.exit("expected bitwise equal outputs")
    dtype, shape, data = recorded["expert_load"]
    choices = [int(text) for text in sys.argv[3].split(",")]
    experts = int(sys.argv[4])
    expected = [len(choices), experts] if len(choices) > 1 else [experts]
    if dtype != "I32" or shape != expected:
        sys.exit(f"expected I32 loads of shape {expected} but got {dtype} of {shape}")
    loads = struct.unpack(f"<{len(data) // 4}i", data)
    sums = [sum(loads[i : i + experts]) for i in range(0, len(loads), experts)]
    if sums != choices or min(loads) < 0:
        sys.exit(f"expected loads that add up to {choices} but got {loads}")


if __name__ == "__main__":
    main()
