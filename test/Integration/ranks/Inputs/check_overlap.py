"""Checks which work of a schedule may overlap, and which may not.

Reads what `moe-translate --schedule-to-json` prints. A schedule says what runs
before what: program order on a stream, and events. What neither puts before the
other can run at once, whatever a machine makes of it.

    check_overlap.py ARM CLAIM ...

ARM is `then`, `else`, or `-` for a schedule without branches. A claim is `A~B`, A
and B may overlap, or `A<B`, A is complete before B starts. `experts.1` is the second
work with the label `experts`.
"""

import json
import sys


def main(arm, *claims):
    path = [] if arm == "-" else [arm]
    steps = [s for s in json.load(sys.stdin)["steps"] if s["path"] == path]
    before = {}
    for step in steps:  # In the order of issue, so what is before is known.
        earlier = step["follows"] + step["waits"]
        before[step["id"]] = set(earlier).union(*(before.get(e, ()) for e in earlier))

    def find(name):
        label, _, number = name.partition(".")
        return [s["id"] for s in steps if s["label"] == label][int(number or 0)]

    for claim in claims:
        sign = "~" if "~" in claim else "<"
        first, second = map(find, claim.split(sign))
        ordered = first in before[second]
        overlaps = not ordered and second not in before[first]
        if not (overlaps if sign == "~" else ordered):
            sys.exit(f"'{claim}' does not hold in {[(s['id'], s['label']) for s in steps]}")
    print("claims hold")


main(*sys.argv[1:])
