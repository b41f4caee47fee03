"""Checks layers of several ranks on GPUs, over NCCL: a folder that utils/gpu-pack made.

Every artefact `ranks-*` runs with one process per rank and different numbers of tokens
on them, zeros among them; its rows are compared with moe-run's float64 reference of the
whole layer, and repeated for the same bits. What can be captured repeats from a CUDA
graph, too. With fewer GPUs than ranks these share one, where NCCL works by sockets.
Ends with a line "N passed, N failed".

Usage: check_ranks.py PACK [--only SUBSTRING] [--launcher moe-run|mpirun|torchrun]
                      [--tokens-per-rank T,T,...;...] [--seconds S]
"""
import argparse
import json
import os
import pathlib
import subprocess
import time

# Cycled over the ranks, or over groups of ranks that have to be equal.
TOKENS = [[16], [5, 0, 17, 3], [1, 0], [0, 64, 31, 2, 7, 0, 1, 40]]


def read_descriptor(artefact):
    """The descriptor lies in the file as JSON behind a zero."""
    data = artefact.read_bytes()
    begin = data.index(b'{"abi"')
    return json.loads(data[begin : data.index(b"\0", begin)])


def spread_tokens(pattern, decision):
    """Ranks that share tokens, and slices of one prompt, have equally many."""
    parallel = decision["parallel"]
    tp, pcp = parallel["tensor_parallel_size"], parallel["pcp_size"]
    ranks = tp * pcp * parallel["dp_size"]
    equal = (1 if parallel["is_sequence_parallel"] else tp) * pcp
    if parallel["is_sequence_parallel"] and pcp > 1:
        equal = tp * pcp
    return [pattern[rank // equal % len(pattern)] for rank in range(ranks)]


def launch(launcher, moe_run, ranks, arguments):
    command = [moe_run] + arguments
    if launcher == "mpirun":
        return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] + command
    if launcher == "torchrun":
        return ["torchrun", f"--nproc-per-node={ranks}", "--no-python"] + command
    return command


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=pathlib.Path)
    parser.add_argument("--only", default="", help="artefacts whose name contains this")
    parser.add_argument("--launcher", default="moe-run",
                        choices=["moe-run", "mpirun", "torchrun"])
    parser.add_argument("--tokens-per-rank", help="such as 1,0;5,7")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    arguments = parser.parse_args()
    patterns = TOKENS
    if arguments.tokens_per_rank:
        patterns = [[int(T) for T in part.split(",")]
                    for part in arguments.tokens_per_rank.split(";")]
    deadline = time.time() + arguments.seconds
    passed = failed = skipped = 0
    for artefact in sorted((arguments.pack / "artefacts").glob("ranks-*.moe.so")):
        name = artefact.name[6:-7]
        if arguments.only not in name:
            continue
        descriptor = read_descriptor(artefact)
        decision = descriptor["decision"]
        ranks = descriptor["num_ranks"]
        seen = set()
        for pattern in patterns:
            tokens = ",".join(map(str, spread_tokens(pattern, decision)))
            left = deadline - time.time()
            if tokens in seen or left < 5:
                skipped += left < 5
                continue
            seen.add(tokens)
            flags = [str(artefact), "--tokens-per-rank", tokens, "--check", "--repeat", "3",
                     "--timeout", "60"]
            if decision["capturable"]:
                flags.append("--graph")
            begin = time.time()
            try:
                done = subprocess.run(
                    launch(arguments.launcher, str(arguments.pack / "bin" / "moe-run"), ranks,
                           flags),
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    timeout=min(left, 150), env=dict(os.environ))
                good, output = done.returncode == 0 and "check" in done.stdout, done.stdout
            except subprocess.TimeoutExpired as error:
                good, output = False, "hangs: " + str(error.stdout)[-600:]
            passed += good
            failed += not good
            what = " graph" if decision["capturable"] else ""
            print(f"{'ok  ' if good else 'FAIL'} {name} [{tokens}]{what} "
                  f"{time.time() - begin:.1f} s", flush=True)
            if not good:
                print(output[-1500:], flush=True)
    if skipped:
        print(f"{skipped} left by time")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
