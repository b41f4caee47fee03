"""Turns a layer with a router into one whose routing is given.

Reads what `moe-compile --emit=layer` prints and writes the same layer with
inputs `topk_ids` and `topk_weights` in place of the router's tensors.

Usage: moe-compile CONFIG --emit=layer | give_routing.py > LAYER.mlir
"""
import re
import sys

ROUTER = ("router_weight", "router_bias", "correction_bias")
# What of the routing remains where somebody else makes scores and weights of them.
KEPT = ("top_k", "scale", "weight_on_input")


def give_routing(text):
    experts = re.search(r"%router_weight: tensor<(\d+)x", text).group(1)
    top_k = re.search(r"top_k = (\d+)", text).group(1)
    ids, weights = f"tensor<?x{top_k}xi32>", f"tensor<?x{top_k}xf32>"
    for name in ROUTER:
        # The argument of the function, and the operand of the layer.
        text = re.sub(rf", %{name}: tensor<[^>]*> {{[^}}]*}}", "", text)
        text = re.sub(rf" {name.removesuffix('_weight')}\(%{name} : [^)]*\)", "", text)
    text = text.replace(
        ") -> (", f', %topk_ids: {ids} {{moe.name = "topk_ids"}}, '
        f'%topk_weights: {weights} {{moe.name = "topk_weights"}}) -> (', 1)
    text = text.replace(" experts(", f" given(%topk_ids, %topk_weights : {ids}, {weights})"
                        " experts(", 1)
    fields = re.search(r"routing\(<([^>]*)>\)", text).group(1).split(", ")
    kept = ", ".join(field for field in fields if field.split(" = ")[0] in KEPT)
    text = re.sub(r"routing\(<[^>]*>\)", f"routing(<{kept}>)", text, count=1)
    return re.sub(r"( activation\(<[^)]*>\))", rf"\1 num_experts({experts})", text, count=1)


if __name__ == "__main__":
    sys.stdout.write(give_routing(sys.stdin.read()))
