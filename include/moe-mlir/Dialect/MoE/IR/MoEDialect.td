//===- MoEDialect.td - What a layer computes ---------------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOEDIALECT_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOEDIALECT_TD

include "mlir/IR/OpBase.td"

def MoE_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::moe";
  let summary = "what a Mixture-of-Experts layer computes";
  let description = [{
    ```
      moe.layer on tensors            one op, what importers write     <- here
    ------------------------------------------------------------------
      moe.gate / route / ... /merge   phases, destination style        <- and here
    ------------------------------------------------------------------
      schedule.run on buffers         when and where each phase runs
      moe.send_plan / ... / fused     the steps of a phase in its run  <- and here
    ```

    `moe.layer` is a whole layer: router, routed experts, shared experts. The
    *phases* are what it is made of; `--moe-expand-layer` turns the one into the
    others. A phase is in destination style: `ins` are read, `outs` are written
    and never read, so that a phase works on tensors and, after bufferization,
    on buffers that a schedule can reason about.

    **Shapes.** T: tokens (rows) of this rank. N: tokens of all ranks of the
    exchange. H: hidden size. I: width of a routed expert. S: total width of the
    shared experts. E: routed experts of the model (router outputs, with zero
    experts where the model has them). L: experts that this rank owns. k: experts
    per token. R: rows that the experts see (T without an exchange). P = R * k:
    (row, choice) pairs.

    **Kernels.** On buffers, T, N, R, P, L and E may be dynamic, all other sizes
    are static, and layouts are row-major. Float elements are f32, bf16 or f16,
    for each operand its own: sums are taken in f32 and rounded once, where they
    are stored. The value of an output element depends on its operands' values
    alone, never on which rows were computed together or in which order, so that
    equal rows give bitwise equal results in every schedule.

    **The routing plan** of one `moe.dispatch` is three ordinary tensors:
    `expert_offsets` [L+1] (pairs of local expert e are the positions
    offsets[e] to offsets[e+1]), `source_rows` [P] (the row that the pair at a
    position reads) and `pair_rows` [R, k] (the position of a row's choice; -1
    for a choice that is padding or another rank's).

    **Attributes** that other ops carry, all verified:

    | attribute | on | value | written by |
    |---|---|---|---|
    | `moe.name` | an argument of a function | string: which tensor of the layer it is | importers, `moe-compile` |
    | `moe.parallel` | a function | `#moe.parallel`: the configuration of its layers | importers, `--moe-expand-layer` |
    | `moe.layers` | a function | array of a `#moe.layer_info` for each layer | `--moe-expand-layer` |
    | `moe.decisions` | a function | array of a `#moe.decision` for each layer | `--moe-schedule` |
    | `moe.part` | a phase | `#schedule.part`: which of the tokens, see below | `--moe-expand-layer` |
    | `moe.gemm_tiles` | a phase or a function | dictionary of tiles, see below | `moe-compile` |

    **Tiles.** `moe.gemm_tiles` on a phase, or on the function for all of its
    phases, says how matrix products are cut into tiles, instead of what the
    target would choose: a dictionary of `#moe.gemm_tile` by product,
    `experts.up`, `experts.down`, `shared.up` and `shared.down`.

    **Parts.** Phases that overlap in two batches carry `moe.part`, a
    `#schedule.part`: they work on that part of every rank's tokens. A rank with
    fewer tokens than parts has empty ones, and takes part in all exchanges.

    **Ranks.** The ranks of a layer are a `#schedule.grid` with the axes `dp`,
    `pcp` and `tp`, in this order. What is summed, gathered or reduce-scattered
    over ranks beside the exchanges is a `schedule.collective`.
  }];
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect",
    "::mlir::tensor::TensorDialect", "::moe::schedule::ScheduleDialect"
  ];
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEDIALECT_TD
