"""Reads what moe-run prints of rebalancing and checks it: the first placement is
improved, as was expected of the new one to within what tokens differ, and every
step was right.

Usage: moe-run ... | check_balance.py number-of-rebalances
"""

import re
import sys

text = sys.stdin.read()
print(text)
lines = re.findall(
    r"step (\d+): ([\d.]+), measured over (\d+) steps?"
    r"(?:; ([\d.]+) expected after (\d+) slots changed)?",
    text,
)
rebalances = [line for line in lines if line[3]]
wanted = int(sys.argv[1])
if len(rebalances) != wanted or len(lines) != wanted + 1:
    sys.exit(f"expected {wanted} rebalances and a last line, got {lines}")
before, expected = float(lines[0][1]), float(lines[0][3])
after = float(lines[1][1])
print(f"balance {before} before, {expected} expected, {after} after")
if not expected > before:
    sys.exit(f"expected a better placement than {before} but got {expected}")
if not after > before:
    sys.exit(f"expected a better balance than {before} but got {after}")
if int(lines[0][4]) == 0:
    sys.exit("expected slots to change")
if not re.search(r"check +passed in \d+ steps", text):
    sys.exit("expected all steps to be checked")
