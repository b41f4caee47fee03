"""Compares what moe-run says ranks got from each other with the routing that was given.

Counts of rows first, then a row for each token and rank that owns one of its experts,
with its choices; a row of results comes back for each. Nothing else crosses ranks.

Usage: moe-run ... --traffic | check_traffic.py INPUT HIDDEN EXPERTS TOKENS,TOKENS,...
       (float32; experts in the order of ranks)
"""
import json
import pathlib
import re
import struct
import sys


def read_ids(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    entry = json.loads(data[8 : 8 + length])["topk_ids"]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    rows, top_k = entry["shape"]
    size = (end - begin) // (rows * top_k)
    flat = struct.unpack(f"<{rows * top_k}{'i' if size == 4 else 'q'}", data[begin:end])
    return [flat[row * top_k : (row + 1) * top_k] for row in range(rows)]


def main():
    path, hidden, experts, tokens = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
    tokens = [int(count) for count in tokens.split(",")]
    ranks = len(tokens)
    ids = read_ids(path)
    choice_bytes = 8 * len(ids[0])  # An id and a weight.
    row_bytes = 4 * hidden
    # sent[a][b]: tokens of a that b gets.
    sent = [[0] * ranks for _ in range(ranks)]
    row = 0
    for source, count in enumerate(tokens):
        for chosen in ids[row : row + count]:
            owners = {expert * ranks // experts for expert in chosen if 0 <= expert < experts}
            for owner in owners:
                sent[source][owner] += 1
        row += count
    text = sys.stdin.read()
    found = [[int(number) for number in line.split()[2:]]
             for line in re.findall(r"^  rank \d.*|^rank \d.*", text, re.M)]
    expected = [[0 if to == source else
                 4 + sent[source][to] * (row_bytes + choice_bytes)
                 + sent[to][source] * row_bytes
                 for source in range(ranks)] for to in range(ranks)]
    assert found == expected, f"expected {expected}, found {found} in:\n{text}"
    assert any(map(any, sent)), "no row crosses ranks"
    print(f"traffic as the routing says: {expected}")


main()
