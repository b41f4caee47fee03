#!/usr/bin/env python3
"""Checks that includes go down the floors of the house only (docs/architecture.md).

A room is a folder; lib/X and include/moe-mlir/X are one room, X. Its files may
include files of the rooms that its row names, and of its own. The table is the
design: a new arrow is a new word here, with a reason where it surprises. A new
room is a new row; a room inside of a room (Codegen/CPU in Codegen) has a row of
its own and may be included only where that is named.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Room -> rooms that it may include ("mlir": MLIR and LLVM), lowest rooms first.
ROOMS = {
    # The runtime: plain C++ and its C ABI (include). Libraries of devices (cuda)
    # share `common` with libmoert (lib), and not the rest of it.
    "runtime/include": "",
    "runtime/common": "runtime/include",
    "runtime/processes": "runtime/include runtime/common",
    "runtime/io": "runtime/include runtime/common",
    "runtime/lib": "runtime/include runtime/common runtime/processes",
    "runtime/cuda": "runtime/include runtime/common runtime/processes",

    # Plain C++: a layer and its tensors in plain structs, so that running and
    # checking an artefact needs no MLIR.
    "Support": "",
    "Layer": "Support",
    "Policy": "Layer",
    "Reference": "Support Layer",

    # The compiler. Phases implement Schedule's interface of collectives.
    "Dialect/Schedule": "mlir",
    "Dialect/MoE": "Layer Dialect/Schedule mlir",
    "Transforms": "Support Policy Dialect/Schedule Dialect/MoE mlir",
    # The families and their weights; ImportLayer.cpp alone knows MLIR.
    "Import": "Support Layer Policy Reference Dialect/MoE Transforms mlir",
    # A schedule on paper: the phases, and what they cost.
    "Simulate": "Policy Dialect/Schedule Dialect/MoE Transforms mlir",
    # What targets share, and the targets, which do not know each other.
    "Codegen": "Dialect/Schedule Dialect/MoE mlir",
    "Codegen/CPU": "runtime/include Codegen Dialect/Schedule Dialect/MoE mlir",
    "Codegen/CUDA": "Codegen Dialect/Schedule Dialect/MoE mlir",
    "Conversion": "Support runtime/include Dialect/Schedule Dialect/MoE "
                  "Codegen Codegen/CPU Codegen/CUDA mlir",
    "Pipelines": "Support Dialect/Schedule Dialect/MoE Transforms Codegen/CPU Codegen/CUDA "
                 "Conversion mlir",
    "Artefact": "Support runtime/include Policy Dialect/Schedule Dialect/MoE Import Transforms "
                "Codegen/CPU Codegen/CUDA Conversion Pipelines mlir",

    # Runs artefacts where there is no MLIR.
    "Run": "runtime/include Support Layer Policy Reference Import",

    # The tools. moe-run needs no MLIR either.
    "tools/Support": "runtime/include Support Policy Import Codegen/CUDA Pipelines mlir",
    "tools/moe-opt": "tools/Support Pipelines mlir",
    "tools/moe-lsp-server": "tools/Support Pipelines mlir",
    "tools/moe-reduce": "tools/Support Pipelines mlir",
    "tools/moe-translate": "tools/Support Dialect/Schedule Artefact mlir",
    "tools/moe-compile": "tools/Support Support Transforms Simulate Codegen/CPU Artefact mlir",
    "tools/moe-run": "tools/Support runtime/include Support Policy Run",

    # What tests and benchmarks share.
    "Testing": "Codegen Codegen/CPU mlir",
    "Testing/CUDA": "Dialect/Schedule mlir",
    "benchmarks": "Testing Dialect/Schedule Codegen/CUDA mlir",

    # Tests: what they test, and what makes its input.
    "unittests/Runtime": "runtime/include runtime/processes runtime/lib runtime/cuda",
    "unittests/Policy": "Policy",
    "unittests/Layer": "Layer Import",
    "unittests/Reference": "Reference Import",
    "unittests/Import": "Import Reference",
    "unittests/Dialect": "Dialect/Schedule Transforms mlir",
    "unittests/Transforms": "Dialect/Schedule Transforms Pipelines mlir",
    "unittests/Simulate": "Dialect/MoE Transforms Simulate Pipelines mlir",
    "unittests/Codegen/CPU": "Testing mlir",
    "unittests/Codegen/CUDA": "Testing Testing/CUDA Dialect/Schedule Dialect/MoE "
                              "Codegen/CUDA Transforms Conversion mlir",
    "unittests/Artefact": "Support Import Pipelines Artefact mlir",
    "unittests/Tools": "tools/Support Run tools/moe-run runtime/include Policy Reference Import",
}

# Where the compilers look for headers, besides the file's own folder.
SEARCHED = ("include", "runtime/include", "lib", "tools", "runtime")


def room_of(path):
    """The room of a path in the tree, or None."""
    name = re.sub(r"^(lib|include/moe-mlir)/(?=.*/)", "", path)
    fits = [room for room in ROOMS if name.startswith(room + "/")]
    return max(fits, key=len, default=None)


def target_of(include, path):
    """The room of what a file includes; None for what is not ours."""
    if include.startswith(("mlir/", "llvm/", "mlir-c/")):
        return "mlir"
    # TableGen's files are in no folder of sources.
    if include.startswith("moe-mlir/"):
        return room_of("include/" + include) or f"no room of {include}"
    for folder in (path.parent, *(ROOT / name for name in SEARCHED)):
        if (folder / include).is_file():
            found = (folder / include).resolve().relative_to(ROOT).as_posix()
            return room_of(found) or f"no room of {include}"
    return None


def check_table(rows):
    """Rows may name rooms that stand above them only: so there is no cycle."""
    above = {"mlir"}
    for room, row in rows.items():
        for name in sorted(row - above):
            yield f"the row of {room} names {name}, whose row is not above it"
        above.add(room)
        if not any((ROOT / top / room).is_dir() for top in ("", "lib", "include/moe-mlir")):
            yield f"the row of {room} is of no folder"


def main():
    rows = {room: set(row.split()) for room, row in ROOMS.items()}
    wrong = list(check_table(rows))
    checked = 0
    for top in ("runtime", "include/moe-mlir", "lib", "tools", "benchmarks", "unittests"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cpp", ".td", ".def", ".c"):
                continue
            name = path.relative_to(ROOT).as_posix()
            room = room_of(name)
            if room is None:
                # A list of MLIR's headers, for the compiler.
                if name != "lib/PCH.cpp":
                    wrong.append(f"{name}: is in no room of utils/check-includes.py")
                continue
            checked += 1
            text = path.read_text(encoding="utf-8")
            for include in re.findall(r'^\s*#?\s*include\s+[<"]([^">]+)[">]', text, re.M):
                target = target_of(include, path)
                if target is None or target == room or target in rows[room]:
                    continue
                wrong.append(f"{name}: includes {include}, but {room} may not include {target}")
    for line in wrong:
        print(line)
    print(f"{checked} files, {len(wrong)} wrong includes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
