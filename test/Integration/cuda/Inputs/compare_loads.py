"""Compares the loads of experts in two outputs of moe-run.

Usage: compare_loads.py expected found
"""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "../../ranks/Inputs"))
from compare_recorded import read  # noqa: E402

loads = [read(path)["expert_load"][2] for path in sys.argv[1:3]]
expected, found = (struct.unpack(f"<{len(load) // 4}i", load) for load in loads)
if expected != found:
    sys.exit(f"expected {expected} but got {found}")
