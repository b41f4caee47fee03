#!/usr/bin/env python3
"""Checks that code decides nothing by a tensor's name.

include/moe-mlir/Layer/Tensors.def describes every tensor of a layer; code that
treats tensors differently asks their rows there. So the names stand as string
literals in no other file of lib/, include/, tools/ and runtime/, except where a
name is text; those places are listed here, with the reason.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = "include/moe-mlir/Layer/Tensors.def"

# Where a name is text: path (a folder ends with "/") -> names, reason.
TEXT = {
    "lib/Dialect/MoE/IR/": ("*", "operands in messages of verifiers"),
    "lib/Codegen/": ({"expert_load"}, "names of kernels"),
    "lib/Transforms/LayerExpansion.cpp": (
        {"output", "expert_load"}, "names of buffers in schedules"),
    "lib/Dialect/Schedule/Analysis/Print.cpp": (
        {"output"}, "a role of buffers in pictures"),
    "include/moe-mlir/Dialect/MoE/IR/MoEPhaseOps.td": (
        {"output", "expert_load"}, "names of results in TableGen"),
    "runtime/lib/CallCheck.cpp": ({"output"}, "a role of tensors in messages"),
    "lib/Import/ModelFamilies.cpp": (
        {"w1", "w2", "router_bias"}, "projections of checkpoints, a key of a config"),
    "tools/moe-run/Session.cpp": ({"output"}, "the head of a column"),
}


def read_names():
    """The names in the second column of the table's rows."""
    text = (ROOT / TABLE).read_text(encoding="utf-8")
    rows = re.findall(r"^MOE_TENSOR\(\w+,\s*\(([^)]*)\)", text, re.M)
    return {name for row in rows for name in re.findall(r'"([^"]+)"', row)}


def find_place(path, name):
    """The place of the list that has the name as text, or None."""
    for place, (names, _) in TEXT.items():
        if ((path == place or (place.endswith("/") and path.startswith(place)))
                and (names == "*" or name in names)):
            return place
    return None


def strip_comments(text):
    """The text without comments; literals and lines stay where they are."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'
    keep = lambda match: (match[0] if match[0].startswith('"')
                          else re.sub(r"[^\n]", " ", match[0]))
    return re.sub(pattern, keep, text, flags=re.S)


def find_names(names):
    """(path, line, name) of every name that stands in code."""
    for top in ("lib", "include/moe-mlir", "tools", "runtime"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cpp", ".td", ".def", ".c"):
                continue
            relative = path.relative_to(ROOT).as_posix()
            if relative == TABLE:
                continue
            code = strip_comments(path.read_text(encoding="utf-8"))
            for number, line in enumerate(code.splitlines(), 1):
                for name in re.findall(r'"([^"\\]*)"', line):
                    if name in names:
                        yield relative, number, name


def main():
    names = read_names()
    if not names:
        print(f"{TABLE}: found no row of a tensor")
        return 1
    wrong = as_text = 0
    idle = set(TEXT)
    for path, line, name in find_names(names):
        place = find_place(path, name)
        if place:
            idle.discard(place)
            as_text += 1
            continue
        print(f"{path}:{line}: spells '{name}', which {TABLE} describes")
        wrong += 1
    for place in sorted(idle):
        print(f"utils/check-tensor-names.py: lists {place}, which spells no name")
    print(f"{len(names)} names, {wrong} spelled in code, {as_text} in text")
    return 1 if wrong or idle else 0


if __name__ == "__main__":
    sys.exit(main())
