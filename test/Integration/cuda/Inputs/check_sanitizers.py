"""Runs compiled layers on a GPU under compute-sanitizer: a folder that utils/gpu-pack made.

Every tool (memcheck, racecheck, synccheck, initcheck) looks at every model in bfloat16, with
sizes that take each kind of kernel: few rows, tensor cores with low and high tiles. Ends
with a line "N passed, N failed".

Usage: check_sanitizers.py PACK [--tokens T,T,...] [--tools A,B,...] [--only SUBSTRING]
                           [--jobs N] [--seconds S]
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

# A tool's options, and what it says if it found nothing.
TOOLS = {
    "memcheck": ([], "ERROR SUMMARY: 0 errors"),
    "racecheck": (["--racecheck-report", "all"], "RACECHECK SUMMARY: 0 hazards"),
    "synccheck": ([], "ERROR SUMMARY: 0 errors"),
    "initcheck": ([], "ERROR SUMMARY: 0 errors"),
}


def run(pack, tool, artefact, tokens, deadline):
    """(status, what was found): status is "ok", "FAIL", or "TIME" if there was none left."""
    options, nothing = TOOLS[tool]
    left = deadline - time.time()
    if left < 5:
        return "TIME", ""
    command = ["compute-sanitizer", "--tool", tool, *options, "--error-exitcode", "9",
               str(pack / "bin" / "moe-run"), str(artefact), "--num-tokens", str(tokens)]
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{pack / 'lib'}:"
                       + os.environ.get("LD_LIBRARY_PATH", ""))
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=left, env=environment)
    except subprocess.TimeoutExpired:
        return "TIME", ""
    if done.returncode == 0 and nothing in done.stdout:
        return "ok", nothing
    found = [line for line in done.stdout.splitlines() if re.match(r"=+ +\S|moe-run:", line)]
    return "FAIL", f"status {done.returncode}\n  " + "\n  ".join(found[:12])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--tokens", default="5,40,200,900")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--only", default="-bf16", help="artefacts whose name contains this")
    parser.add_argument("--jobs", type=int, default=6, help="at a time")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    arguments = parser.parse_args()
    deadline = time.time() + arguments.seconds
    pack = arguments.pack.resolve()
    artefacts = [path for path in sorted((pack / "artefacts").glob("*.moe.so"))
                 if arguments.only in path.name and not path.name.startswith("given-")]
    cases = [(tool, artefact, int(tokens)) for tokens in arguments.tokens.split(",")
             for tool in arguments.tools.split(",") for artefact in artefacts]
    counts = dict.fromkeys(("ok", "FAIL", "TIME"), 0)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = pool.map(lambda case: run(pack, *case, deadline), cases)
        for (tool, artefact, tokens), (status, what) in zip(cases, results):
            counts[status] += 1
            print(f"{status:4} {tool} {artefact.name[:-7]} T={tokens}: {what}", flush=True)
    if counts["TIME"]:
        print(f"{counts['TIME']} not run: no time left")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
