"""How fast a layer could be: what this GPU reached in this process, and the floor."""
import dataclasses
import itertools

import torch

from gpu_timing import DEVICE, Contender, Progress, capture, say

READ_BYTES = 2 << 30
PRODUCT_SIZE = 8192
# A cold read takes so long before the first byte is there.
COLD_READ_US = 2.5

# Microseconds of the best of vLLM's Triton kernels, DeepGEMM and triton_kernels on an
# H200 (4.6 TB/s, 780 TFLOP/s): routed path with top-k and align, without the router's
# product and without shared experts.
PUBLISHED_GPU = "H200"
PUBLISHED_US = {
    "deepseek-v3-ep8-slice":
        {1: 37.2, 8: 169, 32: 433, 128: 647, 512: 704, 2048: 798, 8192: 1557},
    "qwen3-30b-a3b": {1: 35.8, 8: 138, 32: 266, 128: 308, 512: 337, 2048: 497, 8192: 1282},
    "qwen3-next-80b-a3b": {1: 35.4, 8: 136, 32: 368, 128: 697, 512: 789, 2048: 877, 8192: 1698},
    "deepseek-v2-lite": {1: 41.5, 8: 168, 32: 274, 128: 300, 512: 314, 2048: 541, 8192: 1588},
    "mixtral-8x7b-tp2": {1: 102, 8: 313, 32: 346, 128: 364, 512: 548, 2048: 1349, 8192: 4557},
}


@dataclasses.dataclass
class Ceilings:
    """Per second."""
    read: float
    read_how: str
    copy: float
    product: float

    def __str__(self):
        return (f"reads {self.read / 1e12:.2f} TB/s ({self.read_how}), "
                f"copies {self.copy / 1e12:.2f} TB/s, "
                f"bf16 product of {PRODUCT_SIZE}^3 {self.product / 1e12:.0f} TFLOP/s")


def measure_triton_reads(timer, source, processors):
    """(microseconds, how) of the fastest kernel in Triton."""
    from triton_read import read

    expected = source.sum(dtype=torch.int64).item()
    best = (float("inf"), "")
    for per_sm, block, warps, stages in itertools.product((2, 4, 8), (4096, 8192), (4, 8), (1, 3)):
        if per_sm * warps not in (16, 32):
            continue
        sums = torch.zeros(processors * per_sm, dtype=torch.int32, device=source.device)
        took = timer.time(lambda: read(source, sums, block, warps, stages), 5)
        if (sums.sum(dtype=torch.int64).item() - expected) % 2**32:
            raise RuntimeError("the Triton kernel did not read everything")
        best = min(best, (took, f"Triton, {per_sm} x {warps} warps, blocks of {block}, "
                                f"{stages} stages"))
    return best


def measure_ceilings(timer, processors, read_bytes=READ_BYTES, size=PRODUCT_SIZE):
    source = torch.randint(-2**31, 2**31 - 1, (read_bytes // 4,), dtype=torch.int32,
                           device=DEVICE)
    # Of bits that are no NaN, which some reductions treat apart.
    floats = source.bitwise_and(0x3FFFFFFF).view(torch.float32)
    ways = [(timer.time(lambda: floats.sum()), "torch.sum"),
            (timer.time(lambda: floats.amax()), "torch.amax")]
    with Progress("the fastest reading kernel"):
        try:
            ways.append(measure_triton_reads(timer, source, processors))
        except Exception as error:
            say(f"no reading with Triton: {type(error).__name__}: {error}")
    read_us, how = min(ways)
    target = torch.empty_like(floats)
    copy_us = timer.time(lambda: target.copy_(floats))
    a, b = (torch.randn(size, size, device=DEVICE).to(torch.bfloat16) for _ in range(2))
    product_us = timer.time(lambda: torch.mm(a, b.T))
    return Ceilings(read_bytes / read_us * 1e6, how, 2 * read_bytes / copy_us * 1e6,
                    2 * size**3 / product_us * 1e6)


@dataclasses.dataclass
class Work:
    """What a layer has to do for T tokens that hit so many experts (on average)."""
    weight_bytes: float
    activation_bytes: float
    flops: float

    @staticmethod
    def of(spec, tokens, hit, element_bytes=2):
        H, I = spec["hidden_size"], spec["intermediate_size"]
        S = spec["shared"]["intermediate_size"]
        return Work(weight_bytes=element_bytes * 3 * H * (I * hit + S),
                    activation_bytes=element_bytes * 2 * H * tokens,
                    flops=6 * H * (tokens * spec["top_k"] * I + tokens * S))

    def floor_us(self, ceilings):
        read = COLD_READ_US + (self.weight_bytes + self.activation_bytes) / ceilings.read * 1e6
        return max(read, self.flops / ceilings.product * 1e6)


def capture_dense(spec, weights, tokens):
    """The layer's products as one dense product each, of the same rows, N and K."""
    steps = []
    for rows, first, second in ((tokens * spec["top_k"], weights["w13"][0], weights["w2"][0]),
                                (tokens, weights.get("shared_w13"), weights.get("shared_w2"))):
        if first is None:
            continue
        for weight in (first, second):
            x = torch.randn(rows, weight.shape[1], device=DEVICE).to(weight.dtype)
            steps.append((x, weight, x.new_empty(rows, weight.shape[0])))

    def run():
        for x, weight, y in steps:
            torch.mm(x, weight.T, out=y)

    contender = Contender(capture(run))
    contender.steps = steps  # The graph uses them.
    return contender
