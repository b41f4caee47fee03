"""The layers of others around the weights of a compiled layer.

A peer is called with hidden states [T, H] and returns [T, H]; `choose` returns the
experts [T, k] that it takes. All of them work in CUDA graphs.
"""
import importlib.util

import torch
import torch.nn.functional as F

from gpu_timing import Progress
from transformers_layer import TransformersLayer


class NotMeasured(Exception):
    """This peer has nothing for this layer and number of tokens."""


class TorchLayer:
    """The layer in PyTorch operators around torch._grouped_mm: softmax routing over all
    experts, SwiGLU."""
    package = "torch"

    def __init__(self, layer, weights):
        self.spec, self.weights = layer, weights

    @staticmethod
    def covers(spec):
        routing = spec["routing"]
        return (routing["source"] == "router" and routing["score"] == "softmax"
                and routing["weight"] == "score"
                and routing["n_group"] == 1 and not routing["has_correction_bias"]
                and not routing["has_router_bias"] and not spec["has_expert_bias"]
                and spec["activation"]["kind"] == "swiglu" and spec["latent_size"] == 0)

    def mlp(self, gate_up):
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up

    def route(self, x):
        logits = F.linear(x.float(), self.weights["router_weight"].float())
        scores, ids = logits.softmax(-1).topk(self.spec["top_k"], dim=-1)
        if self.spec["routing"]["renormalize"]:
            scores = scores / scores.sum(-1, keepdim=True)
        return scores * self.spec["routing"]["scale"], ids

    def choose(self, x):
        return self.route(x)[1]

    def shared(self, x):
        w = self.weights
        y = F.linear(self.mlp(F.linear(x, w["shared_w13"])), w["shared_w2"])
        if "shared_gate" in w:
            y = torch.sigmoid(F.linear(x, w["shared_gate"])) * y
        return y

    def __call__(self, x):
        w, k = self.weights, self.spec["top_k"]
        scores, ids = self.route(x)
        flat = ids.flatten()
        order = flat.argsort(stable=True)
        counts = torch.zeros(self.spec["num_experts"], dtype=torch.int32, device=x.device)
        counts.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))
        offsets = counts.cumsum(0).to(torch.int32)
        hidden = self.mlp(torch._grouped_mm(x[order // k], w["w13"].transpose(1, 2),
                                            offs=offsets))
        out = torch._grouped_mm(hidden, w["w2"].transpose(1, 2), offs=offsets)
        pairs = torch.empty_like(out)
        pairs[order] = out
        routed = (pairs.view(x.shape[0], k, -1).float() * scores[..., None]).sum(1).to(x.dtype)
        return routed + self.shared(x) if "shared_w13" in w else routed


class CompiledLayer(TorchLayer):
    """The same under torch.compile, for each number of tokens anew, while there is time."""
    seconds, mode = 120.0, "default"

    def __init__(self, layer, weights):
        super().__init__(layer, weights)
        self.left = self.seconds
        self.compiled = {}

    def __call__(self, x):
        tokens = x.shape[0]
        if tokens not in self.compiled:
            if self.left <= 0:
                raise NotMeasured(f"past {self.seconds:.0f} s of compiling (--compile-seconds)")
            torch._dynamo.reset()
            function = torch.compile(super().__call__, dynamic=False, mode=self.mode)
            with Progress(f"torch.compile for {tokens} tokens") as progress:
                function(x)
            self.left -= progress.seconds
            self.compiled[tokens] = function
        return self.compiled[tokens](x)


class TransformersPeer(TransformersLayer):
    """transformers' own module, with its experts around grouped GEMMs."""
    package = "transformers"
    config = None  # Of the model, as a dictionary.

    def __init__(self, layer, weights):
        super().__init__(self.config, weights, "grouped_mm")

    def choose(self, x):
        return self.route(x)[1]


class OwnKernels(TorchLayer):
    """Base of peers whose kernels do the routed path; the rest is PyTorch's."""

    def logits(self, x):
        return F.linear(x, self.weights["router_weight"])

    def __call__(self, x):
        routed = self.routed(x)
        if self.spec["routing"]["scale"] != 1:
            routed = routed * self.spec["routing"]["scale"]
        return routed + self.shared(x) if "shared_w13" in self.weights else routed


class VLLMLayer(OwnKernels):
    """vLLM's Triton kernels with its top-k and align."""
    package = "vllm"

    def top(self, x):
        from vllm.model_executor.layers.fused_moe import fused_topk

        return fused_topk(x, self.logits(x), self.spec["top_k"],
                          self.spec["routing"]["renormalize"])[:2]

    def choose(self, x):
        return self.top(x)[1]

    def routed(self, x):
        from vllm.model_executor.layers.fused_moe import fused_experts

        scores, ids = self.top(x)
        return fused_experts(x, self.weights["w13"], self.weights["w2"], scores, ids)


class TritonKernelsLayer(OwnKernels):
    """The kernels that come with Triton; the activation is PyTorch's."""
    package = "triton_kernels"

    def choose(self, x):
        return self.logits(x).topk(self.spec["top_k"], dim=-1).indices

    def routed(self, x):
        from triton_kernels.matmul_ogs import matmul_ogs
        from triton_kernels.routing import routing

        data, gather, scatter = routing(self.logits(x), self.spec["top_k"],
                                        sm_first=not self.spec["routing"]["renormalize"])
        hidden = matmul_ogs(x, self.weights["w13"].transpose(1, 2), None, data,
                            gather_indx=gather)
        out = matmul_ogs(self.mlp(hidden), self.weights["w2"].transpose(1, 2), None, data,
                         scatter_indx=scatter, gammas=data.gate_scal)
        return out.view(x.shape)


PEERS = {
    "torch": TorchLayer,
    "compile": CompiledLayer,
    "transformers": TransformersPeer,
    "vllm": VLLMLayer,
    "triton_kernels": TritonKernelsLayer,
}


def is_installed(name):
    return importlib.util.find_spec(PEERS[name].package) is not None
