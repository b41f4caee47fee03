"""Compares what moe-compile --explain=json decides with tables of a test.

Usage: check_decisions.py MOE_COMPILE CONFIG TEST

TEST has a line "rule set NAME" above each table. A row holds for every
combination of its cells; every backend of a table needs a row for each of the
four combinations of EPLB and all-to-all kernels in use.
"""
import concurrent.futures
import itertools
import json
import os
import subprocess
import sys

ORDERS = {
    "NO": "NO_OVERLAP",
    "MK": "MK_INTERNAL_OVERLAPPED",
    "MULTI": "MULTI_STREAM_OVERLAPPED",
}
THRESHOLD = 256
# Accepted under a name that stands for another backend, with a warning.
RETIRED = {"naive", "pplx"}
# Their exchanges have a fixed capacity.
BATCHED = {"deepep_low_latency", "nixl_ep"}

# Ways to have all-to-all kernels in use, and not: dp > 1 and expert parallelism.
CONFIGURATIONS = {
    ("off", "no"): [
        "",
        "--data-parallel-size 2",
        "--tensor-parallel-size 2 --enable-expert-parallel",
    ],
    ("off", "yes"): [
        "--data-parallel-size 2 --enable-expert-parallel",
        "--data-parallel-size 2 --tensor-parallel-size 2 --enable-expert-parallel",
    ],
    ("on", "no"): ["--tensor-parallel-size 2 --enable-expert-parallel --enable-eplb"],
    ("on", "yes"): ["--data-parallel-size 2 --enable-expert-parallel --enable-eplb"],
}


def read_tables(path):
    """{rule set: {(backend, EPLB, in use): (few, many, no stream)}}"""
    tables = {}
    for line in open(path):
        if line.startswith("rule set "):
            table = tables[line.split()[2]] = {}
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or cells[0] == "backends":
            continue
        lists = [cell.split(", ") for cell in cells[:3]]
        for key in itertools.product(*lists):
            assert key[1:] in CONFIGURATIONS, line
            assert key not in table, f"two rows say {key}"
            table[key] = tuple(ORDERS[cell] for cell in cells[3:])
    for name, table in tables.items():
        for backend in {key[0] for key in table}:
            for rest in CONFIGURATIONS:
                assert (backend, *rest) in table, f"{name} lacks {backend}, {rest}"
    return tables


class Case:
    """A command line and what it has to say."""

    def __init__(self, flags, few, many=None, tokens=None, warnings=0):
        self.flags, self.few, self.many = flags.split(), few, few if many is None else many
        self.tokens, self.warnings = tokens, warnings

    def expected(self):
        decided = {}
        if self.few != self.many:
            decided = {
                "order_at_or_below_threshold": self.few,
                "order_above_threshold": self.many,
                "threshold": THRESHOLD,
            }
        if self.tokens is not None:
            decided["order"] = self.few if self.tokens <= THRESHOLD else self.many
        elif self.few == self.many:
            decided["order"] = self.few
        return decided

    def streams(self):
        """The streams that the explained schedules use."""
        orders = [self.expected().get("order")] if self.tokens is not None else [self.few, self.many]
        streams = ["compute"]
        if ORDERS["MULTI"] in orders:
            streams.append("aux")
        if ORDERS["MK"] in orders:
            # Over all axes that have more than one rank.
            axes = (
                ("dp", "--data-parallel-size"),
                ("pcp", "--prefill-context-parallel-size"),
                ("tp", "--tensor-parallel-size"),
            )
            several = [
                axis
                for axis, flag in axes
                if flag in self.flags and self.flags[self.flags.index(flag) + 1] != "1"
            ]
            streams.append("comm " + " x ".join(several))
        return streams

    def check(self, compiler, config):
        """What is wrong, or None."""
        flags = list(self.flags)
        if BATCHED & set(flags):
            flags += ["--max-num-tokens", "512"]
        if self.tokens is not None:
            flags += ["--num-tokens", str(self.tokens)]
        command = [compiler, config, "--target", "cpu", "--explain=json", *flags]
        run = subprocess.run(command, capture_output=True, text=True)
        where = " ".join(flags) + ": "
        if run.returncode != 0:
            return where + f"exit {run.returncode}\n{run.stderr}"
        if run.stdout.count("\n") != 1:
            return where + f"expected one line but got\n{run.stdout}"
        said = json.loads(run.stdout)
        names = ("order", "order_at_or_below_threshold", "order_above_threshold", "threshold")
        found = {name: said[name] for name in names if name in said}
        if found != self.expected():
            return where + f"expected {self.expected()} but got {found}"
        rules = flags[flags.index("--schedule") + 1]
        if not said["rule"].startswith(rules + " rule ") or not said["reason"]:
            return where + f"expected a rule of '{rules}' and its reason but got {said}"
        if sorted(said["streams"]) != sorted(self.streams()):
            return where + f"expected streams {self.streams()} but got {said['streams']}"
        if run.stderr.count("\n") != self.warnings or run.stderr.count("warning: ") != self.warnings:
            return where + f"expected {self.warnings} warnings but got\n{run.stderr}"
        return None


def list_cases(tables):
    for rules, table in tables.items():
        for (backend, *rest), (few, many, no_stream) in table.items():
            warnings = int(backend in RETIRED)
            base = f"--schedule {rules} --all2all-backend {backend} "
            # All ways to configure it count for the default rules.
            ways = CONFIGURATIONS[tuple(rest)]
            for way in ways if rules == "vllm" else ways[:1]:
                yield Case(base + way, few, many, warnings=warnings)
            if rules.startswith("vllm-"):
                continue
            flags = base + ways[0]
            yield Case(flags + " --disable-shared-experts-stream", no_stream, warnings=warnings)
            if rules != "vllm":
                continue
            # A monolithic kernel owns no shared experts.
            orders = (few, many) if few != ORDERS["MK"] else (ORDERS["MULTI"], ORDERS["NO"])
            yield Case(flags + " --monolithic-kernel", *orders, warnings=warnings)
        # One T at a time, where it decides and where it does not.
        for backend in ("allgather_reducescatter", "deepep_high_throughput"):
            few, many, _ = table[backend, "off", "yes"]
            flags = f"--schedule {rules} --all2all-backend {backend} "
            flags += CONFIGURATIONS["off", "yes"][0]
            for tokens in (0, THRESHOLD, THRESHOLD + 1):
                yield Case(flags, few, many, tokens)
    # Shared experts that are sharded over sequence parallelism.
    for rules, few in (("vllm", "MULTI"), ("vllm-2026-08", "NO"), ("vllm-2026-09", "NO")):
        yield Case(
            f"--schedule {rules} --tensor-parallel-size 2 --data-parallel-size 2 "
            "--enable-expert-parallel --sequence-parallel on --shard-shared-experts",
            ORDERS[few],
            ORDERS["NO"],
        )


def main():
    compiler, config, test = sys.argv[1:]
    cases = list(list_cases(read_tables(test)))
    # Nothing that was measured on this machine may decide.
    os.environ["MOE_CACHE_DIR"] = os.devnull
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(filter(None, pool.map(lambda case: case.check(compiler, config), cases)))
    print(f"{len(cases)} decisions, {len(problems)} wrong")
    for problem in problems[:20]:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
