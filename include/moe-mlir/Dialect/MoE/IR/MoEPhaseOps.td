//===- MoEPhaseOps.td - The phases of a layer --------------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Level 2: what a layer is made of. A part of MoEOps.td, which holds the types.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOEPHASEOPS_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOEPHASEOPS_TD

// A phase has a result for each init that is a tensor, and none on buffers.
// `resultNames` are the results' names, in the order of the inits.
class MoE_PhaseOp<string mnemonic, string phaseName, list<string> resultNames,
                  list<Trait> traits = []>
    : MoE_Op<mnemonic, !listconcat([
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
        DeclareOpInterfaceMethods<BufferizableOpInterface, [
          "bufferizesToMemoryRead", "bufferizesToMemoryWrite",
          "getAliasingValues", "bufferize"]>,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<MoE_PhaseOpInterface>
      ], !if(!gt(!size(resultNames), 1), [AttrSizedResultSegments], []<Trait>),
      traits)> {
  let results = !dag(outs,
    !foreach(name, resultNames, Optional<AnyRankedTensor>), resultNames);
  // Ops with one init name it `init`, ops with several redefine this.
  code inits = [{ return getInitMutable(); }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
  }] # inits # [{
    }
  }];
  let extraClassDefinition = [{
    ::llvm::StringRef $cppClass::getPhaseName() { return "}] # phaseName # [{"; }
    void $cppClass::getAsmResultNames(::mlir::OpAsmSetValueNameFn setName) {
      const char *names[] = {"}] # !interleave(resultNames, "\", \"") # [{"};
      for (auto [index, result] : ::llvm::enumerate(getOperation()->getResults()))
        setName(result, names[index]);
    }
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

def MoE_GateOp : MoE_PhaseOp<"gate", "gate", ["logits"]> {
  let summary = "router logits";
  let description = [{
    logits[T, E] = x[T, H] @ weight[E, H]^T (+ bias[E]), accumulated in float32.

    | operand | shape | dtype |
    |---|---|---|
    | x | [T, H] | layer |
    | weight | [E, H] | layer or f32 |
    | bias | [E], optional | f32 |
    | logits | [T, E] | f32 |

    ```mlir
    %l = moe.gate ins(%x, %w : tensor<?x64xf32>, tensor<8x64xf32>)
                  outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
    ```

    Constraints:
    - C1: x is [T, H], weight [E, H], bias [E], logits [T, E].
    - C2: weight has x's dtype or is f32.
    - C3: on buffers, T and E alone are dynamic.
  }];
  let arguments = (ins
    MoE_Matrix:$x, MoE_Matrix:$weight, Optional<MoE_F32Vector>:$bias,
    MoE_F32Matrix:$init
  );
  let assemblyFormat = [{
    `ins` `(` $x `,` $weight `:` type($x) `,` type($weight) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($logits)^)?
  }];
}

def MoE_RouteOp : MoE_PhaseOp<"route", "route", ["ids", "weights"], [AttrSizedOperandSegments]> {
  let summary = "chosen experts and their weights";
  let description = [{
    `#moe.routing` says how, but for its `scale`, which is the combine's (and
    for zero experts the merge's). The k experts of a token are in falling order
    of their choice scores; ties go to the smaller id, and NaN compares as
    -infinity. Experts outside the chosen groups are not chosen; where fewer than
    k are left, the remaining slots get id -1 and weight 0.

    Ids are logical expert ids, or with EPLB's maps physical ones: the replica of
    expert e for the token in row t is number
    ((t * 2654435769) mod 2^32) mod replica_count[e]. Where the rows are some of
    a rank's tokens, `first_row` is what t counts from, so that a token gets the
    same replica whatever rows it is routed with.

    | operand | shape | dtype |
    |---|---|---|
    | logits | [T, E] | f32 |
    | correction_bias | [E], optional: added to the scores that choose | f32 |
    | logical_to_physical, replica_count | [E, R+1], [E], optional | i32 |
    | ids, weights | [T, k] | i32, f32 |

    ```mlir
    %ids, %weights = moe.route ins(%logits : tensor<?x8xf32>)
      outs(%ids0, %weights0 : tensor<?x2xi32>, tensor<?x2xf32>)
      routing(<top_k = 2>) -> tensor<?x2xi32>, tensor<?x2xf32>
    ```

    Constraints:
    - C1: logits are [T, E], ids and weights [T, top_k], correction bias [E].
    - C2: `n_group` divides E; the chosen groups hold at least `top_k` experts;
      `top_k` <= E.
    - C3: EPLB's maps come together: [E, R+1] and [E]; `first_row` is only with
      them.
  }];
  let arguments = (ins
    MoE_F32Matrix:$logits, Optional<MoE_F32Vector>:$correction_bias,
    Optional<MoE_I32Matrix>:$logical_to_physical,
    Optional<MoE_I32Vector>:$replica_count,
    Optional<Index>:$first_row,
    MoE_I32Matrix:$ids_init, MoE_F32Matrix:$weights_init,
    MoE_RoutingAttr:$routing
  );
  let inits = [{
    unsigned first = getIdsInitMutable().getOperandNumber();
    return ::mlir::MutableOperandRange(getOperation(), first, 2);
  }];
  let assemblyFormat = [{
    `ins` `(` $logits `:` type($logits) `)`
    (`correction_bias` `(` $correction_bias^ `:` type($correction_bias) `)`)?
    (`eplb` `(` $logical_to_physical^ `,` $replica_count `:` type($logical_to_physical) `,` type($replica_count) `)`)?
    (`first_row` `(` $first_row^ `)`)?
    `outs` `(` $ids_init `,` $weights_init `:` type($ids_init) `,` type($weights_init) `)`
    `routing` `(` $routing `)` attr-dict (`->` type($ids)^ `,` type($weights))?
  }];
}

def MoE_ExpertLoadOp : MoE_PhaseOp<"expert_load", "expert load", ["load"]> {
  let summary = "how often each expert was chosen";
  let description = [{
    load[p] is how many of the ids are p. Ids that are negative or not below P
    are not counted.

    | operand | shape | dtype |
    |---|---|---|
    | ids | [T, k] | i32 |
    | load | [P], a number for each physical expert | i32 |

    ```mlir
    %load = moe.expert_load ins(%ids : tensor<?x2xi32>)
                            outs(%init : tensor<8xi32>) -> tensor<8xi32>
    ```

    Constraints:
    - C1: ids are [T, k], load is [P].
    - C2: on buffers, T alone is dynamic.
  }];
  let arguments = (ins MoE_I32Matrix:$ids, MoE_I32Vector:$init);
  let assemblyFormat = [{
    `ins` `(` $ids `:` type($ids) `)` `outs` `(` $init `:` type($init) `)`
    attr-dict (`->` type($load)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Routed experts
//===----------------------------------------------------------------------===//

def MoE_DispatchOp : MoE_PhaseOp<"dispatch", "dispatch",
    ["offsets", "source_rows", "pair_rows", "rows", "row_weights", "positions",
     "send_counts", "receive_counts"], [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the routing plan, and with an exchange the rows of this rank's experts";
  let description = [{
    Without an exchange the experts read this rank's own rows, and the op only
    makes the plan. With one, rows move to the ranks that own their experts,
    and `rows` and `row_weights` are what this rank received. Ids that are
    negative or from `num_experts` on have no expert anywhere.

    R is the number of rows that the buffers hold: T without an exchange; the
    tokens of all ranks with `all_gather`; an upper bound of the rows received
    with the others. A row that arrives by `batched` is one choice, so that k is
    then 1 for what is received.

    Where rows are sent one by one, the combine must know where they went: the
    way back. Of the n ranks of the exchange,

    | operand | shape | dtype | with |
    |---|---|---|---|
    | ids | [T, k] | i32 | |
    | x, weights | [T, H], [T, k] | layer, f32 | an exchange |
    | offsets, source_rows, pair_rows | [L+1], [P], [R, k] | i32 | |
    | rows, row_weights | [R, H], [R, k] | layer, f32 | an exchange |
    | positions: where a choice is among the rows that come back, or -1 | [T, k] | i32 | `send_receive`, `batched` |
    | send_counts, receive_counts: rows to and from each rank | [n] | i32 | `send_receive` |

    ```mlir
    %offsets, %source, %pairs = moe.dispatch ins(%ids : tensor<?x2xi32>)
      outs(%o, %s, %p : tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>)
      num_experts(8) -> tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>
    ```

    Constraints:
    - C1: ids are [T, k]; the plan is expert_offsets [L+1], source_rows [P],
      pair_rows [R, k].
    - C2: x, weights, rows and row_weights are there exactly with an exchange.
    - C3: x is [T, H], weights [T, k], rows [R, H] of x's dtype, row_weights
      [R, k].
    - C4: L is a rank's share of the `num_experts` physical experts, which
      `placement` shares out, or all of them without one.
    - C5: positions [T, k] are there exactly with `send_receive` and `batched`,
      counts [n] exactly with `send_receive`.
    - C6: on buffers, H, k and n are static.
  }];
  let arguments = (ins
    MoE_I32Matrix:$ids,
    Optional<MoE_Matrix>:$x, Optional<MoE_F32Matrix>:$weights,
    MoE_I32Vector:$offsets_init, MoE_I32Vector:$source_rows_init,
    MoE_I32Matrix:$pair_rows_init,
    Optional<MoE_Matrix>:$rows_init, Optional<MoE_F32Matrix>:$row_weights_init,
    Optional<MoE_I32Matrix>:$positions_init,
    Optional<MoE_I32Vector>:$send_counts_init,
    Optional<MoE_I32Vector>:$receive_counts_init,
    I64Attr:$num_experts,
    OptionalAttr<MoE_ExchangeAttr>:$exchange,
    OptionalAttr<MoE_PlacementAttr>:$placement
  );
  let inits = [{
    unsigned first = getOffsetsInitMutable().getOperandNumber();
    return ::mlir::MutableOperandRange(getOperation(), first,
        getOperation()->getNumOperands() - first);
  }];
  let assemblyFormat = [{
    `ins` `(` $ids `:` type($ids) `)`
    (`rows` `(` $x^ `,` $weights `:` type($x) `,` type($weights) `)`)?
    `outs` `(` $offsets_init `,` $source_rows_init `,` $pair_rows_init `:`
      type($offsets_init) `,` type($source_rows_init) `,` type($pair_rows_init) `)`
    (`received` `(` $rows_init^ `,` $row_weights_init `:` type($rows_init) `,` type($row_weights_init) `)`)?
    (`way_back` `(` $positions_init^ `:` type($positions_init) `)`)?
    (`counts` `(` $send_counts_init^ `,` $receive_counts_init `:` type($send_counts_init) `,` type($receive_counts_init) `)`)?
    `num_experts` `(` $num_experts `)` (`exchange` `(` $exchange^ `)`)?
    (`placement` `(` $placement^ `)`)? attr-dict
    (`->` type($offsets)^ `,` type($source_rows) `,` type($pair_rows))?
    (`,` type($rows)^ `,` type($row_weights))? (`,` type($positions)^)?
    (`,` type($send_counts)^ `,` type($receive_counts))?
  }];
}

def MoE_ExpertsOp : MoE_PhaseOp<"experts", "experts", ["expert_out"], [AttrSizedOperandSegments]> {
  let summary = "the routed experts: grouped GEMM, activation, grouped GEMM";
  let description = [{
    For every position p of local expert e:
    out[p] = act(rows[source_rows[p]] @ w13[e]^T + b13[e]) @ w2[e]^T + b2[e].
    With input weights [R, 1], row r is first multiplied by its weight. Rows of
    the result past offsets[L] are not written. Only experts that are hit are
    read.

    | operand | shape | dtype |
    |---|---|---|
    | rows | [R, H] | layer |
    | offsets, source_rows | [L+1], [P] | i32 |
    | w13, w2 | [L, 2I, H] or [L, I, H] not gated, [L, H, I] | layer, or by `quant` |
    | b13, b2 | [L, 2I] or [L, I], [L, H], optional | layer |
    | w13_scale, w2_scale | by `quant` | by `quant` |
    | input_weights | [R, 1], optional | f32 |
    | out | [P, H] | layer |

    ```mlir
    %out = moe.experts ins(%x, %offsets, %source, %w13, %w2 : tensor<?x64xf32>,
        tensor<9xi32>, tensor<?xi32>, tensor<8x64x64xf32>, tensor<8x64x32xf32>)
      outs(%init : tensor<?x64xf32>) activation(<swiglu>) -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: rows are [R, H], the plan is expert_offsets [L+1] and source_rows [P].
    - C2: w13 is [L, 2I, H] (gated) or [L, I, H], w2 [L, H, I]; biases and input
      weights match.
    - C3: the result is [P, H] of the rows' dtype.
    - C4: `quant` and scales come together; without them weights have the rows'
      dtype.
    - C5: on buffers, H and I are static.
  }];
  let arguments = (ins
    MoE_Matrix:$rows, MoE_I32Vector:$offsets, MoE_I32Vector:$source_rows,
    MoE_ExpertMatrices:$w13, MoE_ExpertMatrices:$w2,
    Optional<MoE_Matrix>:$b13, Optional<MoE_Matrix>:$b2,
    Optional<MoE_Scales>:$w13_scale, Optional<MoE_Scales>:$w2_scale,
    Optional<MoE_F32Matrix>:$input_weights,
    MoE_Matrix:$init,
    MoE_ActivationAttr:$activation, OptionalAttr<MoE_QuantAttr>:$quant
  );
  let assemblyFormat = [{
    `ins` `(` $rows `,` $offsets `,` $source_rows `,` $w13 `,` $w2 `:`
      type($rows) `,` type($offsets) `,` type($source_rows) `,` type($w13) `,` type($w2) `)`
    (`biases` `(` $b13^ `,` $b2 `:` type($b13) `,` type($b2) `)`)?
    (`scales` `(` $w13_scale^ `,` $w2_scale `:` type($w13_scale) `,` type($w2_scale) `)`)?
    (`input_weights` `(` $input_weights^ `:` type($input_weights) `)`)?
    `outs` `(` $init `:` type($init) `)` `activation` `(` $activation `)`
    (`quant` `(` $quant^ `)`)? attr-dict (`->` type($expert_out)^)?
  }];
}

def MoE_CombineOp : MoE_PhaseOp<"combine", "combine", ["routed"], [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the routed output of each token";
  let description = [{
    routed[t] = scale * sum over j of weights[t, j] * expert_out[pair_rows[t, j]],
    in the order of j; choices of position -1 contribute nothing. Without
    `weights` (they were multiplied into the experts' input) all weights are 1.
    With an exchange the sums go back to the ranks that own the tokens, in the
    dtype of the result, by the way back that the dispatch tells.

    | operand | shape | dtype |
    |---|---|---|
    | expert_out | [P, H] | layer |
    | pair_rows, weights | [R, k], weights optional | i32, f32 |
    | positions | [T, k], as of the dispatch | i32 |
    | send_counts, receive_counts | [n], as of the dispatch | i32 |
    | routed | [T, H] | layer or f32 |

    ```mlir
    %routed = moe.combine ins(%out, %pairs : tensor<?x64xf32>, tensor<?x2xi32>)
      weights(%weights : tensor<?x2xf32>) outs(%init : tensor<?x64xf32>)
      scale(2.5) -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: expert_out is [P, H], pair_rows and weights [R, k], routed [T, H]; on
      tensors, P is R * k.
    - C2: on tensors, `pair_rows` is that result of a `moe.dispatch` whose
      exchange is this op's, and with an exchange `weights` are the
      `row_weights` of the same dispatch, and the way back is the one it tells.
    - C3: on tensors, `expert_out` of a `moe.experts` was computed by the same
      dispatch's plan.
    - C4: positions are there exactly with `send_receive` and `batched`, counts
      [n] exactly with `send_receive`, and `num_experts`, the physical experts
      of all ranks, exactly with `batched`.
    - C5: on buffers, H and k are static.
  }];
  let arguments = (ins
    MoE_Matrix:$expert_out, MoE_I32Matrix:$pair_rows,
    Optional<MoE_F32Matrix>:$weights,
    Optional<MoE_I32Matrix>:$positions, Optional<MoE_I32Vector>:$send_counts,
    Optional<MoE_I32Vector>:$receive_counts,
    MoE_Matrix:$init,
    F64Attr:$scale,
    OptionalAttr<MoE_ExchangeAttr>:$exchange,
    OptionalAttr<I64Attr>:$num_experts
  );
  let assemblyFormat = [{
    `ins` `(` $expert_out `,` $pair_rows `:` type($expert_out) `,` type($pair_rows) `)`
    (`weights` `(` $weights^ `:` type($weights) `)`)?
    (`way_back` `(` $positions^ `:` type($positions) `)`)?
    (`counts` `(` $send_counts^ `,` $receive_counts `:` type($send_counts) `,` type($receive_counts) `)`)?
    `outs` `(` $init `:` type($init) `)` `scale` `(` $scale `)`
    (`exchange` `(` $exchange^ `)`)? (`num_experts` `(` $num_experts^ `)`)?
    attr-dict (`->` type($routed)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Dense phases
//===----------------------------------------------------------------------===//

def MoE_SharedExpertsOp : MoE_PhaseOp<"shared_experts", "shared experts", ["shared"]> {
  let summary = "the MLP that every token passes through";
  let description = [{
    out = act(x @ w13^T) @ w2^T, times sigmoid(x @ gate^T) where there is a gate.

    | operand | shape | dtype |
    |---|---|---|
    | x | [T, H] | layer |
    | w13, w2 | [2S, H] or [S, H] not gated, [H, S] | layer |
    | gate | [1, H], optional | layer |
    | out | [T, H] | layer or f32 |

    ```mlir
    %shared = moe.shared_experts
      ins(%x, %w13, %w2 : tensor<?x64xf32>, tensor<64x64xf32>, tensor<64x32xf32>)
      outs(%init : tensor<?x64xf32>) activation(<swiglu>) -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: x is [T, H], w13 [2S, H] (gated) or [S, H], w2 [H, S], gate [1, H],
      out [T, H].
    - C2: on buffers, T alone is dynamic.
  }];
  let arguments = (ins
    MoE_Matrix:$x, MoE_Matrix:$w13, MoE_Matrix:$w2, Optional<MoE_Matrix>:$gate,
    MoE_Matrix:$init,
    MoE_ActivationAttr:$activation
  );
  let assemblyFormat = [{
    `ins` `(` $x `,` $w13 `,` $w2 `:` type($x) `,` type($w13) `,` type($w2) `)`
    (`gate` `(` $gate^ `:` type($gate) `)`)?
    `outs` `(` $init `:` type($init) `)` `activation` `(` $activation `)`
    attr-dict (`->` type($shared)^)?
  }];
}

def MoE_ProjectOp : MoE_PhaseOp<"project", "project", ["projected"]> {
  let summary = "a linear projection, into or out of the latent space";
  let description = [{
    y[T, B] = x[T, A] @ weight[B, A]^T, with y in the layer's dtype or f32.

    ```mlir
    %y = moe.project ins(%x, %w : tensor<?x64xf32>, tensor<16x64xf32>)
                     outs(%init : tensor<?x16xf32>) -> tensor<?x16xf32>
    ```

    Constraints:
    - C1: x is [T, A], weight [B, A], y [T, B].
    - C2: on buffers, T alone is dynamic.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$weight, MoE_Matrix:$init);
  let assemblyFormat = [{
    `ins` `(` $x `,` $weight `:` type($x) `,` type($weight) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($projected)^)?
  }];
}

def MoE_MergeOp : MoE_PhaseOp<"merge", "merge", ["output"], [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the layer's output: routed plus shared";
  let description = [{
    y = routed (+ shared), in float32, with `sum_over` summed over the ranks of a
    communicator, and rounded to y's dtype. Zero experts contribute the token
    itself, before the rounding:
    y[t] += zero_scale * x[t] * (sum over j with ids[t, j] >= first_zero_expert
    of weights[t, j]), added in the order of j.

    | operand | shape | dtype |
    |---|---|---|
    | routed, shared | [T, H], shared optional | layer or f32 |
    | x, ids, weights | [T, H], [T, k], [T, k], optional | layer, i32, f32 |
    | y | [T, H] | layer |

    ```mlir
    %y = moe.merge ins(%routed : tensor<?x64xf32>)
                   shared(%shared : tensor<?x64xf32>)
                   outs(%init : tensor<?x64xbf16>) -> tensor<?x64xbf16>
    ```

    Constraints:
    - C1: routed, shared, x and y are [T, H]; ids and weights [T, k].
    - C2: `zero`, `first_zero_expert` and `zero_scale` come together.
    - C4: on buffers, T alone is dynamic.
  }];
  let arguments = (ins
    MoE_Matrix:$routed, Optional<MoE_Matrix>:$shared,
    Optional<MoE_Matrix>:$x, Optional<MoE_I32Matrix>:$ids,
    Optional<MoE_F32Matrix>:$weights, MoE_Matrix:$init,
    OptionalAttr<I64Attr>:$first_zero_expert, OptionalAttr<F64Attr>:$zero_scale,
    OptionalAttr<Schedule_CommunicatorAttr>:$communicator
  );
  let assemblyFormat = [{
    `ins` `(` $routed `:` type($routed) `)` (`shared` `(` $shared^ `:` type($shared) `)`)?
    (`zero` `(` $x^ `,` $ids `,` $weights `:` type($x) `,` type($ids) `,` type($weights) `)`
      `from` `(` $first_zero_expert `)` `scale` `(` $zero_scale `)`)?
    `outs` `(` $init `:` type($init) `)`
    (`sum_over` `(` custom<Communicator>($communicator)^ `)`)? attr-dict (`->` type($output)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEPHASEOPS_TD
