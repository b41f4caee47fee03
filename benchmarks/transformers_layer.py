"""The MoE modules of transformers around the weights of a compiled layer.

Weights have the names and layouts of the layer's inputs (w13: rows of the gate, then
rows of up). Where the module keeps them in the same layout, it gets the same tensors.
"""
import dataclasses
import importlib

import torch


@dataclasses.dataclass
class Family:
    """Where a family's module keeps its tensors."""
    package: str
    module: str
    router: str = "gate"
    shared: str = "shared_experts"
    transposed: bool = False  # experts as [E, H, 2I] and [E, I, H]
    interleaved: bool = False  # rows of gate and up take turns


FAMILIES = {
    "deepseek_v2": Family("deepseek_v2", "DeepseekV2Moe"),
    "deepseek_v3": Family("deepseek_v3", "DeepseekV3MoE"),
    "glm4_moe": Family("glm4_moe", "Glm4MoeMoE"),
    "gpt_oss": Family("gpt_oss", "GptOssMLP", router="router", transposed=True, interleaved=True),
    "llama4_text": Family("llama4", "Llama4TextMoe", router="router", shared="shared_expert",
                          transposed=True),
    "mixtral": Family("mixtral", "MixtralSparseMoeBlock"),
    "qwen2_moe": Family("qwen2_moe", "Qwen2MoeSparseMoeBlock", shared="shared_expert"),
    "qwen3_moe": Family("qwen3_moe", "Qwen3MoeSparseMoeBlock"),
    "qwen3_next": Family("qwen3_next", "Qwen3NextSparseMoeBlock", shared="shared_expert"),
}
EXPERT_COUNTS = ("num_experts", "n_routed_experts", "num_local_experts")
# Of the config, and of no interest to a module without attention.
NOT_FOR_MODULES = ("architectures", "quantization_config", "torch_dtype", "model_type")


def convert_gate_up(family, tensor):
    """[E, 2I, ...] as the family keeps it."""
    if family.interleaved:
        tensor = tensor.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    if family.transposed and tensor.ndim == 3:
        tensor = tensor.transpose(1, 2)
    return tensor.contiguous()


def name_tensors(family, weights):
    """name in the module -> tensor."""
    named = {f"{family.router}.weight": weights["router_weight"],
             "experts.gate_up_proj": convert_gate_up(family, weights["w13"]),
             "experts.down_proj":
                 weights["w2"].transpose(1, 2).contiguous() if family.transposed
                 else weights["w2"]}
    if "router_bias" in weights:
        named[f"{family.router}.bias"] = weights["router_bias"].to(weights["w13"].dtype)
    if "correction_bias" in weights:
        named[f"{family.router}.e_score_correction_bias"] = weights["correction_bias"]
    if "b13" in weights:
        named["experts.gate_up_proj_bias"] = convert_gate_up(family, weights["b13"])
        named["experts.down_proj_bias"] = weights["b2"]
    if "shared_w13" in weights:
        gate, up = weights["shared_w13"].chunk(2)
        named[f"{family.shared}.gate_proj.weight"] = gate
        named[f"{family.shared}.up_proj.weight"] = up
        named[f"{family.shared}.down_proj.weight"] = weights["shared_w2"]
    if "shared_gate" in weights:
        named[f"{family.shared}_gate.weight"] = weights["shared_gate"]
    return named


def put_tensor(module, name, tensor):
    *path, last = name.split(".")
    for part in path:
        module = getattr(module, part)
    for tensors in (module._parameters, module._buffers):
        if tensors.get(last) is not None:
            if tensors[last].shape != tensor.shape:
                raise ValueError(f"expected '{name}' of shape {list(tensors[last].shape)} "
                                 f"but got {list(tensor.shape)}")
            tensors[last] = (tensor if tensors is module._buffers
                             else torch.nn.Parameter(tensor, requires_grad=False))
            return
    raise ValueError(f"transformers' module has no tensor '{name}'")


class TransformersLayer:
    """config: of the model, as a dictionary. `implementation` of the experts is "eager",
    "grouped_mm", ..."""

    def __init__(self, config, weights, implementation):
        from transformers import AutoConfig

        config = config.get("text_config", config)
        family = FAMILIES[config["model_type"]]
        values = {key: value for key, value in config.items() if key not in NOT_FOR_MODULES}
        values.update((key, weights["w13"].shape[0]) for key in EXPERT_COUNTS if key in values)
        values = AutoConfig.for_model(config["model_type"], **values)
        values._experts_implementation = implementation
        package = importlib.import_module(
            f"transformers.models.{family.package}.modeling_{family.package}")
        with torch.device("meta"):
            self.module = getattr(package, family.module)(values).eval()
        for name, tensor in name_tensors(family, weights).items():
            put_tensor(self.module, name, tensor)
        for name, tensor in (*self.module.named_parameters(), *self.module.named_buffers()):
            if tensor.is_meta:
                raise ValueError(f"nothing was given for '{name}' of transformers' module")
        self.router = getattr(self.module, family.router)
        self.picks_one = family.package == "llama4"

    @torch.no_grad()
    def __call__(self, x):
        y = self.module(x[None])
        return (y[0] if isinstance(y, tuple) else y).view(x.shape)

    @torch.no_grad()
    def route(self, x):
        """(weights [T, k], ids [T, k]) as the module has them, scaled."""
        if self.picks_one:
            # Of all experts; those that were not chosen have 0.
            scores, ids = self.router(x)[0].max(1, keepdim=True)
            return scores.float(), ids
        _, scores, ids = self.router(x)
        return scores.float(), ids
