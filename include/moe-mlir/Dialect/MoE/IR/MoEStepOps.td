//===- MoEStepOps.td - What phases are made of -------------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Level 5b: the steps that a dispatch is made of, and several phases that are
// one. A part of MoEOps.td, which holds the types.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOESTEPOPS_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOESTEPOPS_TD

def MoE_MatrixBuffer : MemRefRankOf<[F32, BF16, F16, I32], [2]>;
def MoE_F32MatrixBuffer : MemRefRankOf<[F32], [2]>;
def MoE_I32MatrixBuffer : MemRefRankOf<[I32], [2]>;
def MoE_I32VectorBuffer : MemRefRankOf<[I32], [1]>;

// A step works on buffers: it reads its inputs and writes its inits, of which
// `firstInit` is the first and `numInits` the number.
class MoE_StepOp<string mnemonic, string firstInit, int numInits>
    : MoE_Op<mnemonic, [
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return ::mlir::MutableOperandRange(getOperation(),
          get}] # firstInit # [{Mutable().getOperandNumber(), }] # numInits # [{);
    }
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

def MoE_DispatchPlanOp : MoE_StepOp<"dispatch_plan", "Offsets", 3> {
  let summary = "pairs of token and expert, sorted by expert";
  let description = [{
    The plan that sorts the pairs by expert, stable in (row, slot) order. A pair
    whose id is negative or not below L is left out. With a map, ids are those
    of N experts of which L are here: expert i is number map[i] here, or nowhere
    if that is negative.

    | operand | shape | dtype |
    |---|---|---|
    | ids | [R, k] | i32 |
    | map | [N], optional | i32 |
    | offsets: rows of expert e are offsets[e] to offsets[e+1] | [L+1] | i32 |
    | source_rows: the row of each sorted pair; -1 after the last | [P] | i32 |
    | pair_rows: where each pair was sorted to; -1 if left out | [R, k] | i32 |

    P is below 2^31.

    ```mlir
    moe.dispatch_plan ins(%ids : memref<?x2xi32>) map(%map : memref<8xi32>)
      outs(%offsets, %source, %pairs : memref<3xi32>, memref<?xi32>, memref<?x2xi32>)
    ```

    Constraints:
    - C1: ids and pair_rows are [R, k], offsets [L+1], source_rows [P] with
      P = R * k, map [N].
    - C2: k is static.
  }];
  let arguments = (ins
    MoE_I32MatrixBuffer:$ids, Optional<MoE_I32VectorBuffer>:$map,
    MoE_I32VectorBuffer:$offsets, MoE_I32VectorBuffer:$source_rows,
    MoE_I32MatrixBuffer:$pair_rows
  );
  let assemblyFormat = [{
    `ins` `(` $ids `:` type($ids) `)` (`map` `(` $map^ `:` type($map) `)`)?
    `outs` `(` $offsets `,` $source_rows `,` $pair_rows `:`
      type($offsets) `,` type($source_rows) `,` type($pair_rows) `)` attr-dict
  }];
}

def MoE_ExpertMapOp : MoE_StepOp<"expert_map", "Map", 1> {
  let summary = "which experts a rank owns, and their numbers there";
  let description = [{
    map [N] i32: the number that expert i has on rank `rank`, or -1 where another
    rank owns it. One program serves all ranks, so the rank is a value.

    ```mlir
    moe.expert_map of(%rank) placement(<experts = 8, ranks = 4>) outs(%map : memref<8xi32>)
    ```

    Constraints:
    - C1: the map is [N], with the N of the placement.
  }];
  let arguments = (ins Index:$rank, MoE_I32VectorBuffer:$map,
                       MoE_PlacementAttr:$placement);
  let assemblyFormat = [{
    `of` `(` $rank `)` `placement` `(` $placement `)`
    `outs` `(` $map `:` type($map) `)` attr-dict
  }];
}

def MoE_SendPlanOp : MoE_StepOp<"send_plan", "Counts", 3> {
  let summary = "what a rank sends by counts";
  let description = [{
    Each token goes once to every one of n ranks that has one of its experts.

    | operand | shape | dtype |
    |---|---|---|
    | ids | [T, k] | i32 |
    | counts: tokens for each rank | [n] | i32 |
    | rows: the tokens in the order of ranks, then tokens; -1 behind | [S] | i32 |
    | positions: where in `rows` the token goes to a choice's rank; -1 where that has no rank or is the rank of an earlier choice | [T, k] | i32 |

    S is at least T * min(k, n).

    ```mlir
    moe.send_plan ins(%ids : memref<?x2xi32>) placement(<experts = 8, ranks = 4>)
      outs(%counts, %rows, %positions : memref<4xi32>, memref<?xi32>, memref<?x2xi32>)
    ```

    Constraints:
    - C1: ids and positions are [T, k], rows [S]; counts are [n], with the n of
      the placement.
    - C2: where T and S are static, S is at least T * min(k, n).
    - C3: k and n are static.
  }];
  let arguments = (ins
    MoE_I32MatrixBuffer:$ids, MoE_I32VectorBuffer:$counts,
    MoE_I32VectorBuffer:$rows, MoE_I32MatrixBuffer:$positions,
    MoE_PlacementAttr:$placement
  );
  let assemblyFormat = [{
    `ins` `(` $ids `:` type($ids) `)` `placement` `(` $placement `)`
    `outs` `(` $counts `,` $rows `,` $positions `:`
      type($counts) `,` type($rows) `,` type($positions) `)` attr-dict
  }];
}

def MoE_BatchedSendPlanOp : MoE_StepOp<"batched_send_plan", "Counts", 4> {
  let summary = "what a rank sends with fixed capacity";
  let description = [{
    For each of N experts, in the order of ranks, `capacity` rows, of which some
    are in use.

    | operand | shape | dtype |
    |---|---|---|
    | ids, weights | [T, k] | i32, f32 |
    | counts: rows in use of each expert | [N] | i32 |
    | rows: the token of each row; -1 where it is not in use | [N * capacity] | i32 |
    | row_weights: the row's weight, or the sum of its weights if its token chooses the expert several times | [N * capacity, 1] | f32 |
    | positions: the row of each choice, or -1; of an expert chosen several times, of the first | [T, k] | i32 |

    T is at most `capacity`, so that nothing is left out.

    ```mlir
    moe.batched_send_plan ins(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>)
      placement(<experts = 8, ranks = 4>) capacity(16)
      outs(%counts, %rows, %row_weights, %positions :
           memref<8xi32>, memref<128xi32>, memref<128x1xf32>, memref<?x2xi32>)
    ```

    Constraints:
    - C1: `capacity` is at least 1.
    - C2: ids, weights and positions are [T, k], counts [N], rows [N * capacity]
      and row_weights [N * capacity, 1], with the N of the placement.
    - C3: T alone is dynamic.
  }];
  let arguments = (ins
    MoE_I32MatrixBuffer:$ids, MoE_F32MatrixBuffer:$weights,
    MoE_I32VectorBuffer:$counts, MoE_I32VectorBuffer:$rows,
    MoE_F32MatrixBuffer:$row_weights, MoE_I32MatrixBuffer:$positions,
    MoE_PlacementAttr:$placement, I64Attr:$capacity
  );
  let assemblyFormat = [{
    `ins` `(` $ids `,` $weights `:` type($ids) `,` type($weights) `)`
    `placement` `(` $placement `)` `capacity` `(` $capacity `)`
    `outs` `(` $counts `,` $rows `,` $row_weights `,` $positions `:`
      type($counts) `,` type($rows) `,` type($row_weights) `,` type($positions) `)`
    attr-dict
  }];
}

def MoE_BatchedPlanOp : MoE_StepOp<"batched_plan", "Offsets", 3> {
  let summary = "the plan for rows that came with fixed capacity";
  let description = [{
    From each of n ranks came `capacity` rows for each of L experts here, of
    which counts[r * L + e] are in use. The plan is that of `moe.dispatch_plan`,
    with one choice for each row.

    | operand | shape | dtype |
    |---|---|---|
    | counts | [n * L] | i32 |
    | offsets, source_rows, pair_rows | [L+1], [R], [R, 1] | i32 |

    ```mlir
    moe.batched_plan ins(%counts : memref<8xi32>) ranks(4) capacity(16)
      outs(%offsets, %source, %pairs : memref<3xi32>, memref<128xi32>, memref<128x1xi32>)
    ```

    Constraints:
    - C1: `ranks` and `capacity` are at least 1.
    - C2: counts are [n * L], offsets [L+1], source_rows [R] and pair_rows [R, 1],
      with R = n * L * `capacity`.
  }];
  let arguments = (ins
    MoE_I32VectorBuffer:$counts, MoE_I32VectorBuffer:$offsets,
    MoE_I32VectorBuffer:$source_rows, MoE_I32MatrixBuffer:$pair_rows,
    I64Attr:$ranks, I64Attr:$capacity
  );
  let assemblyFormat = [{
    `ins` `(` $counts `:` type($counts) `)` `ranks` `(` $ranks `)` `capacity` `(` $capacity `)`
    `outs` `(` $offsets `,` $source_rows `,` $pair_rows `:`
      type($offsets) `,` type($source_rows) `,` type($pair_rows) `)` attr-dict
  }];
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

def MoE_GatherRowsOp : MoE_StepOp<"gather_rows", "To", 1> {
  let summary = "rows of a matrix in another order";
  let description = [{
    Row s of `to` [S, A] is row rows[s] of `from` [T, A]; rows whose number is
    negative are not written, and nobody reads them.

    ```mlir
    moe.gather_rows ins(%x, %rows : memref<?x64xbf16>, memref<?xi32>)
                    outs(%packed : memref<?x64xbf16>)
    ```

    Constraints:
    - C1: from is [T, A], rows [S], to [S, A].
    - C2: from and to have one dtype.
    - C3: A is static.
  }];
  let arguments = (ins MoE_MatrixBuffer:$from, MoE_I32VectorBuffer:$rows,
                       MoE_MatrixBuffer:$to);
  let assemblyFormat = [{
    `ins` `(` $from `,` $rows `:` type($from) `,` type($rows) `)`
    `outs` `(` $to `:` type($to) `)` attr-dict
  }];
}

def MoE_ClearIdsOp : MoE_StepOp<"clear_ids", "Ids", 1> {
  let summary = "ids that are of no expert";
  let description = [{
    Fills ids [R, k] i32 with -1, for where fewer rows may come than there is
    room for.

    ```mlir
    moe.clear_ids outs(%ids : memref<?x2xi32>)
    ```

    Constraints:
    - C1: k is static.
  }];
  let arguments = (ins MoE_I32MatrixBuffer:$ids);
  let assemblyFormat = "`outs` `(` $ids `:` type($ids) `)` attr-dict";
}

//===----------------------------------------------------------------------===//
// Fusion
//===----------------------------------------------------------------------===//

def MoE_FusedOp : MoE_Op<"fused", [
    SingleBlock, NoTerminator,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<MoE_PhaseOpInterface>]> {
  let summary = "several phases that one kernel computes";
  let description = [{
    The phases of the body, in their order, as one unit: one piece of work to a
    schedule and its proof, and one row of a target's table of kernels. The
    arguments of the body are what a phase hands to a later one of the body:
    they have the type of a buffer and no memory. The op touches what its phases
    touch beside these.

    Only targets whose table has a kernel for the body's phases can run it;
    `--moe-fuse-phases` makes no others. Results are those of the phases one by
    one, to the bit.

    ```mlir
    moe.fused {
    ^bb0(%sums: memref<?x64xf32>):
      moe.combine ins(%rows, %pairs : memref<?x64xbf16>, memref<?x2xi32>)
                  outs(%sums : memref<?x64xf32>) scale(2.5)
      moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xbf16>)
    }
    ```

    Constraints:
    - C1: the body holds at least two ops, all of them phases on buffers that
      need no other rank.
    - C2: every argument of the body is written by one phase before others read
      it.
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$body attr-dict";
  let extraClassDeclaration = [{
    /// Names of the body's ops, joined by "+": "moe.combine+moe.merge".
    std::string getOpNames();
  }];
  let hasVerifier = 1;
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOESTEPOPS_TD
