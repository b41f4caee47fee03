"""Checks that generated references hold every op, attribute, type and pass.

The sources say what there is; mlir-tblgen says what is described.

Usage: check-reference.py include-folder docs-folder
"""

import pathlib
import re
import sys

# What a definition in a .td file starts with, and how its reference calls it.
KINDS = [
    (r'^def \w+\s*:\s*MoE_(?:Op|PhaseOp|StepOp)<"(\w+)"', "### `moe.{}`"),
    (r'^def \w+\s*:\s*Schedule_Op<"(\w+)"', "### `schedule.{}`"),
    (r'^def \w+\s*:\s*(?:MoE|Schedule)_(?:Attr|Type)<"(\w+)"', "### {}"),
    (r'^def \w+\s*:\s*Pass<"([\w-]+)"', "### `-{}`"),
    (r'^def \w+\s*:\s*OpInterface<"(\w+)"', "## {}"),
]


def main():
    docs = "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted(pathlib.Path(sys.argv[2]).glob("*.md"))
    )
    missing = []
    counts = [0] * len(KINDS)
    for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.td")):
        # A definition may break before its parents.
        text = re.sub(r"\n\s+: ", " : ", path.read_text(encoding="utf-8"))
        for index, (pattern, heading) in enumerate(KINDS):
            for name in re.findall(pattern, text, re.M):
                counts[index] += 1
                if heading.format(name) not in docs:
                    missing.append(f"{path.name}: '{name}' has no reference")
    print("\n".join(missing))
    print("definitions:", *counts)
    # A pattern that matches nothing would prove nothing.
    sys.exit(1 if missing or 0 in counts else 0)


if __name__ == "__main__":
    main()
