"""Given routing that a router seldom or never gives, as files for moe-run --input.

A case is [T][k] of expert ids; -1 marks a slot without expert. Plain Python, as the
machine with the GPU may have nothing else.
"""
import array
import json
import random
import re
import struct

POOL = 1 << 16


def one_expert(tokens, experts, top_k):
    """All tokens go to the last expert and to no other."""
    return [[experts - 1] + [-1] * (top_k - 1) for _ in range(tokens)]


def same_experts(tokens, experts, top_k):
    """All tokens go to the same experts, the first and the last among them, in turning order."""
    chosen = [*range(top_k - 1), experts - 1]
    turns = [row % top_k for row in range(tokens)]
    return [chosen[turn:] + chosen[:turn] for turn in turns]


def holes(tokens, experts, top_k):
    """Slots without expert anywhere, rows without any, and the odd experts hit only."""
    rng = random.Random(tokens)
    odd = list(range(1, experts, 2))
    rows = []
    for _ in range(tokens):
        row = rng.sample(odd, min(top_k, len(odd)))
        row += [-1] * (top_k - len(row))
        kind = rng.random()
        rows.append([-1 if kind < 0.2 or rng.random() < 0.3 else id for id in row])
    return rows


def padded(tokens, experts, top_k):
    """The last two thirds of the rows, as a padded batch has them, choose nothing."""
    rng = random.Random(tokens)
    filled = (tokens + 2) // 3
    return ([rng.sample(range(experts), top_k) for _ in range(filled)]
            + [[-1] * top_k for _ in range(tokens - filled)])


def nothing(tokens, experts, top_k):
    """No token chooses any expert."""
    return [[-1] * top_k for _ in range(tokens)]


def repeated(tokens, experts, top_k):
    """A token chooses one expert in all its slots, each time with another weight."""
    return [[(7 * row) % experts] * top_k for row in range(tokens)]


def spread(tokens, experts, top_k):
    """Choices all over the experts, some of them the same."""
    return [[(7 * row * row + 3 * slot * row + slot) % experts for slot in range(top_k)]
            for row in range(tokens)]


# (case, number of tokens): around the bounds between kernels for few and for many rows.
CASES = [(one_expert, 1), (one_expert, 300), (same_experts, 40), (same_experts, 300),
         (holes, 5), (holes, 200), (padded, 130), (nothing, 33), (repeated, 70)]


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, array)."""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        size = len(data) * data.itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data.tobytes())


def read_sizes(layer):
    """(H, E, k) of the text that give_routing.py wrote."""
    return tuple(int(re.search(pattern, layer).group(1)) for pattern in (
        r"%hidden_states: tensor<\?x(\d+)x", r"num_experts\((\d+)\)", r"top_k = (\d+)"))


def write_case(path, sizes, case, tokens):
    """Writes what --input reads. Hidden states are near the normal distribution."""
    hidden, experts, top_k = sizes
    rng = random.Random(1)
    pool = array.array("f", (rng.gauss(0, 1) for _ in range(POOL)))
    states = array.array("f")
    for _ in range(tokens):
        begin = rng.randrange(POOL - hidden)
        states += pool[begin:begin + hidden]
    ids = array.array("i", (id for row in case(tokens, experts, top_k) for id in row))
    weights = array.array("f", ((0.5 + rng.random()) / top_k for _ in ids))
    write_safetensors(path, {"hidden_states": ("F32", [tokens, hidden], states),
                             "topk_ids": ("I32", [tokens, top_k], ids),
                             "topk_weights": ("F32", [tokens, top_k], weights)})
