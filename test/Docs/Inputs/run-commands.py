"""Runs the commands of a document and compares their output with what it shows.

In blocks of language `console`, a line that starts with `$ ` is a command (one
that ends in a backslash goes on in the next line). It must end with exit code 0.
The lines after it must stand in its output, in this order; a line `...` stands
for lines that are left out, and `...` at a line's end for the rest of it. Times
and other measured numbers (those with a point) may differ, and so may what is
drawn between two bars.

Usage: run-commands.py document folder     (commands run in the folder)
"""

import pathlib
import re
import subprocess
import sys


def read_commands(text):
    """(number of the line, command, shown lines) for each command."""
    commands = []
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.M | re.S):
        number = text[: block.start(1)].count("\n")
        lines = iter(block.group(1).splitlines())
        for line in lines:
            number += 1
            if not line.startswith("$ "):
                commands[-1][2].append(line)
                continue
            first = number
            command = line[2:]
            while command.endswith("\\"):
                number += 1
                command = command[:-1] + next(lines).strip()
            commands.append((first, command, []))
    return commands


def mask(line):
    line = re.sub(r"\d+\.\d+(e[-+]?\d+)?", "#", line)
    line = re.sub(r"\|.*\|", "|...|", line)
    return " ".join(line.split())


def find_missing(shown, output):
    """The first shown line that the output lacks behind those before it."""
    left = iter([mask(line) for line in output.splitlines()])
    for line in shown:
        wanted = mask(line)
        if wanted in ("", "..."):
            continue
        if wanted.endswith("..."):
            start = wanted[:-3].rstrip()
            found = any(candidate.startswith(start) for candidate in left)
        else:
            found = wanted in left
        if not found:
            return line
    return None


def main():
    document = pathlib.Path(sys.argv[1])
    commands = read_commands(document.read_text(encoding="utf-8"))
    if not commands:
        sys.exit(f"{document.name}: expected commands but found none")
    failed = 0
    for number, command, shown in commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=sys.argv[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        missing = find_missing(shown, done.stdout)
        if done.returncode == 0 and missing is None:
            continue
        failed += 1
        print(f"{document.name}:{number}: $ {command}")
        print(f"exit code {done.returncode}, output:\n{done.stdout}")
        if missing is not None:
            print(f"expected behind the lines shown before it:\n{missing}\n")
    print(f"{len(commands)} commands, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
