"""Runs command lines that must fail and compares all that they say.

Usage: check_errors.py PROGRAM CONFIG TEST SCRATCH

In TEST, "file NAME" starts a file of the scratch folder, whose lines follow
after "| ". "$ ARGUMENTS" starts a case: its exit code and then the lines of
standard error follow, where "..." stands for any text. "config.json" is CONFIG.
Standard output has to stay empty, and the folder as it was.
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys


def read_cases(test, scratch):
    """Writes the files and returns a list of (arguments, exit code, lines)."""
    cases, target = [], None
    for line in pathlib.Path(test).read_text().splitlines():
        if line.startswith("file "):
            target = scratch / line.split()[1]
            target.write_text("")
        elif line.startswith("| "):
            with target.open("a") as file:
                file.write(line[2:] + "\n")
        elif line.startswith("$"):
            cases.append((shlex.split(line[1:]), []))
        elif cases and line and not line.startswith("#"):
            cases[-1][1].append(line)
    return [(arguments, int(lines[0]), lines[1:]) for arguments, lines in cases]


def matches(expected, found):
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, found) is not None


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check(program, scratch, arguments, code, lines):
    """What is wrong, or None."""
    before = listing(scratch)
    run = subprocess.run([program, *arguments], cwd=scratch, capture_output=True, text=True)
    found = run.stderr.splitlines()
    if run.returncode != code:
        return f"expected exit {code} but got {run.returncode}\n{run.stderr}"
    if run.stdout:
        return f"expected no output but got\n{run.stdout}"
    if len(found) != len(lines) or not all(map(matches, lines, found)):
        return "expected\n" + "\n".join(lines) + "\nbut got\n" + run.stderr
    if listing(scratch) != before:
        return f"left {sorted(listing(scratch))}"
    return None


def main():
    program, config, test, scratch = sys.argv[1:]
    scratch = pathlib.Path(scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copy(config, scratch / "config.json")
    os.environ["MOE_CACHE_DIR"] = str(scratch) + ".cache"
    cases, failures = read_cases(test, scratch), 0
    for arguments, code, lines in cases:
        problem = check(program, scratch, arguments, code, lines)
        if problem:
            failures += 1
            print("$ " + shlex.join(arguments) + "\n" + problem)
    print(f"{len(cases)} command lines, {failures} wrong")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
