"""A kernel that only reads. Apart, because Triton need not be there."""
import triton
import triton.language as tl


@triton.jit
def read_kernel(source, target, count, BLOCK: tl.constexpr, STAGES: tl.constexpr):
    sums = tl.zeros([BLOCK], tl.int32)
    step = tl.num_programs(0) * BLOCK
    for begin in tl.range(tl.program_id(0) * BLOCK, count, step, num_stages=STAGES):
        sums += tl.load(source + begin + tl.arange(0, BLOCK))
    tl.store(target + tl.program_id(0), tl.sum(sums))


def read(source, sums, block, warps, stages):
    """Sums of int32, one for each of the programs, which take turns on blocks. The size
    of the source is a multiple of the block."""
    read_kernel[(len(sums),)](source, sums, source.numel(), BLOCK=block, STAGES=stages,
                              num_warps=warps)
