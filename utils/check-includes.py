#!/usr/bin/env python3
"""Checks that includes go down the floors of the house only (docs/architecture.md).

Every folder stands on a floor; its files may include files of the folders that
its row names and of its own. The table is the design: a new arrow is a new
entry here, with a reason.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Folder -> folders whose headers it may include ("mlir": MLIR and LLVM).
ALLOWED = {
    "runtime": set(),
    "Policy": set(),
    # A layer in plain structs, so that checking a result needs no MLIR.
    "Reference": {"runtime"},
    # The families and their weights; ImportLayer.cpp writes moe.layer.
    "Import": {"runtime", "Reference", "Policy", "Dialect/MoE", "Dialect/Schedule",
               "Transforms", "mlir"},
    "Dialect/Schedule": {"mlir"},
    # Phases implement Schedule's interface of collectives.
    "Dialect/MoE": {"Dialect/Schedule", "mlir"},
    "Transforms": {"Dialect/MoE", "Dialect/Schedule", "Policy", "mlir"},
    # A schedule on paper: the phases, and what they cost.
    "Simulate": {"Dialect/MoE", "Dialect/Schedule", "Policy", "Transforms", "mlir"},
    "Codegen": {"Dialect/MoE", "Dialect/Schedule", "mlir"},
    "Conversion": {"Dialect/MoE", "Dialect/Schedule", "Codegen", "runtime", "mlir"},
    "Artefact": {"Dialect/MoE", "Dialect/Schedule", "Policy", "Reference", "Import",
                 "Transforms", "Codegen", "Conversion", "Pipelines", "runtime", "mlir"},
    "Pipelines": {"Dialect/MoE", "Dialect/Schedule", "Policy", "Import", "Transforms",
                  "Codegen", "Conversion", "mlir"},
}


def folder_of(path):
    """The floor that a file of lib/, include/moe-mlir/ or runtime/ stands on."""
    parts = path.parts
    if parts[0] == "runtime":
        return "runtime"
    rest = parts[1:] if parts[0] == "lib" else parts[2:]
    for name in sorted(ALLOWED, key=len, reverse=True):
        if "/".join(rest).startswith(name + "/"):
            return name
    return None


def target_of(include):
    if include.startswith("moe-mlir/"):
        rest = include[len("moe-mlir/"):]
        for name in sorted(ALLOWED, key=len, reverse=True):
            if rest.startswith(name + "/"):
                return name
        return f"unknown folder of {include}"
    if include.startswith(("moert/", "dlpack/")):
        return "runtime"
    if include.startswith(("mlir/", "llvm/", "mlir-c/")):
        return "mlir"
    return None


def main():
    wrong = []
    checked = 0
    for top in ("lib", "include/moe-mlir", "runtime"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cpp", ".td", ".def", ".c"):
                continue
            name = path.relative_to(ROOT)
            folder = folder_of(name)
            if folder is None:
                if name.parent.as_posix() != "lib":
                    wrong.append(f"{name}: stands on no floor of utils/check-includes.py")
                continue
            checked += 1
            text = path.read_text(encoding="utf-8")
            for include in re.findall(r'^\s*#?\s*include\s+[<"]([^">]+)[">]', text, re.M):
                target = target_of(include)
                if target is None or target == folder or target in ALLOWED[folder]:
                    continue
                wrong.append(f"{name}: includes {include}, but {folder} stands below {target}")
    for line in wrong:
        print(line)
    print(f"{checked} files, {len(wrong)} wrong includes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
