"""Checks which work the traces of all ranks show, on which stream, in which order.

Streams are worked off in order, so the order of the spans of one stream is that
of the schedule, however long anything took.

    check_trace.py TRACE.json RANKS STREAM=LABEL,LABEL,... ...

A label matches the spans whose names start with it; spans that no label of a
stream matches are left out.
"""

import json
import sys


def spans_of(path):
    with open(path) as file:
        events = json.load(file)["traceEvents"]
    streams = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spans = [e for e in events if e["ph"] == "X"]
    return [
        (streams[e["tid"]], e["name"], e["ts"], e["ts"] + e["dur"])
        for e in sorted(spans, key=lambda e: e["ts"])
    ]


def main(path, ranks, *expectations):
    for rank in range(int(ranks)):
        spans = spans_of(path.replace(".json", f".rank{rank}.json"))
        for expectation in expectations:
            stream, labels = expectation.split("=")
            expected = labels.split(",")
            found = [
                label
                for where, name, _, _ in spans
                for label in dict.fromkeys(expected)
                if where == stream and name.startswith(label)
            ]
            if found != expected:
                sys.exit(
                    f"rank {rank}: expected on stream '{stream}' {expected} but got "
                    f"{found} of {[(s, n) for s, n, _, _ in spans]}"
                )
    print("traces agree")


main(*sys.argv[1:])
