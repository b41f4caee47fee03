//===- MoEOps.td - The layer and its phases ----------------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOEOPS_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOEOPS_TD

include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe-mlir/Dialect/MoE/IR/MoEAttributes.td"
include "moe-mlir/Dialect/MoE/IR/MoEInterfaces.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleInterfaces.td"

defvar MoE_Float = AnyTypeOf<[F32, BF16, F16]>;
class MoE_ShapedOf<list<Type> elements, list<int> ranks>
    : AnyTypeOf<[TensorRankOf<elements, ranks>, MemRefRankOf<elements, ranks>]>;
// Hidden states, weights: the layer's dtype.
def MoE_Vector : MoE_ShapedOf<[F32, BF16, F16], [1]>;
def MoE_Matrix : MoE_ShapedOf<[F32, BF16, F16], [2]>;
def MoE_ExpertMatrices : MoE_ShapedOf<[F32, BF16, F16, F8E4M3FN, AnyI<8>], [3]>;
def MoE_F32Vector : MoE_ShapedOf<[F32], [1]>;
def MoE_F32Matrix : MoE_ShapedOf<[F32], [2]>;
def MoE_I32Vector : MoE_ShapedOf<[I32], [1]>;
def MoE_I32Matrix : MoE_ShapedOf<[I32], [2]>;
def MoE_AnyMatrix : MoE_ShapedOf<[F32, BF16, F16, I32], [2]>;
def MoE_Scales : AnyTypeOf<[AnyRankedTensor, AnyMemRef]>;
// The same on tensors only, for the layer.
class MoE_TensorOf<list<Type> elements, int rank> : TensorRankOf<elements, [rank]>;

class MoE_Op<string mnemonic, list<Trait> traits = []>
    : Op<MoE_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Level 1: the layer
//===----------------------------------------------------------------------===//

def MoE_LayerOp : MoE_Op<"layer", [Pure, AttrSizedOperandSegments]> {
  let summary = "a whole Mixture-of-Experts layer";
  let description = [{
    | operand | shape | dtype |
    |---|---|---|
    | hidden_states | [T, H] | layer |
    | router_weight | [E, H] | layer or f32 |
    | router_bias | [E] | f32, added to the logits |
    | correction_bias | [E] | f32, for the choice only |
    | topk_ids, topk_weights | [T, k] | i32, f32: a router of the embedder's |
    | w13 | [L, 2I, H], or [L, I, H] not gated | layer |
    | w2 | [L, H, I] | layer |
    | b13, b2 | [L, 2I] or [L, I], [L, H] | layer |
    | w13_scale, w2_scale | by `quant` | f32 |
    | shared_w13, shared_w2 | [2S, H] or [S, H], [H, S] | layer |
    | shared_gate | [1, H] | layer: output * sigmoid(x @ gate^T) |
    | latent_in, latent_out | [H', H], [H, H'] | layer; experts then see H' |
    | logical_to_physical, replica_count | [E, R+1], [E] | i32: EPLB |

    Result: routed output * scale + shared output, [T, H] in the layer's dtype.
    With a second one, `expert_load` [P] i32: how often each physical expert was
    chosen for the rows that this rank routed.

    ```mlir
    %y = moe.layer hidden(%x : tensor<?x64xf32>)
           router(%wg : tensor<8x64xf32>)
           experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
           shared(%s13, %s2 : tensor<64x64xf32>, tensor<64x32xf32>)
           routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: either `router_weight` or `topk_ids` and `topk_weights`; biases need
      the router. `num_experts` stands for what the router would say of E, and
      agrees with it where both are there.
    - C2: the router's weight is [E, H], its biases [E]; ids and weights [T, top_k].
    - C3: `n_group` divides E; the chosen groups hold at least `top_k` experts;
      `top_k` <= E.
    - C4: w13 is [L, 2I, H] (gated) or [L, I, H], w2 is [L, H, I], with the I
      that this rank holds (a share under tensor parallelism); biases match; L is
      a rank's share of the physical experts: E - `zero_experts` + redundant
      ones, or all of them without expert parallelism.
    - C5: shared weights come together and match H, with the S that this rank
      holds; `shared_gate` needs them.
    - C6: latent projections come together; experts then work on their width.
    - C7: dtypes of hidden states, weights and result are one, the router's
      (which may be f32) and quantized ones aside; `quant` and scales come
      together.
    - C8: EPLB's maps come together, with `parallel` that turns EPLB on, and
      without zero experts.
    - C9: `result` has the type of `hidden_states`.
    - C10: only T and L are dynamic.
    - C11: `expert_load` has an element for each physical expert and needs the
      router.
  }];
  let arguments = (ins
    MoE_TensorOf<[F32, BF16, F16], 2>:$hidden_states,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$router_weight,
    Optional<MoE_TensorOf<[F32], 1>>:$router_bias,
    Optional<MoE_TensorOf<[F32], 1>>:$correction_bias,
    Optional<MoE_TensorOf<[I32], 2>>:$topk_ids,
    Optional<MoE_TensorOf<[F32], 2>>:$topk_weights,
    MoE_TensorOf<[F32, BF16, F16, F8E4M3FN, AnyI<8>], 3>:$w13,
    MoE_TensorOf<[F32, BF16, F16, F8E4M3FN, AnyI<8>], 3>:$w2,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$b13,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$b2,
    Optional<AnyRankedTensor>:$w13_scale,
    Optional<AnyRankedTensor>:$w2_scale,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$shared_w13,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$shared_w2,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$shared_gate,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$latent_in,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$latent_out,
    Optional<MoE_TensorOf<[I32], 2>>:$logical_to_physical,
    Optional<MoE_TensorOf<[I32], 1>>:$replica_count,
    MoE_RoutingAttr:$routing,
    MoE_ActivationAttr:$activation,
    OptionalAttr<MoE_QuantAttr>:$quant,
    OptionalAttr<MoE_ParallelAttr>:$parallel,
    OptionalAttr<I64Attr>:$num_experts,
    OptionalAttr<StrAttr>:$layer_name
  );
  let results = (outs MoE_TensorOf<[F32, BF16, F16], 2>:$result,
                      Optional<MoE_TensorOf<[I32], 1>>:$expert_load);
  let assemblyFormat = [{
    `hidden` `(` $hidden_states `:` type($hidden_states) `)`
    (`router` `(` $router_weight^ `:` type($router_weight) `)`)?
    (`router_bias` `(` $router_bias^ `:` type($router_bias) `)`)?
    (`correction_bias` `(` $correction_bias^ `:` type($correction_bias) `)`)?
    (`given` `(` $topk_ids^ `,` $topk_weights `:` type($topk_ids) `,` type($topk_weights) `)`)?
    `experts` `(` $w13 `,` $w2 `:` type($w13) `,` type($w2) `)`
    (`expert_biases` `(` $b13^ `,` $b2 `:` type($b13) `,` type($b2) `)`)?
    (`expert_scales` `(` $w13_scale^ `,` $w2_scale `:` type($w13_scale) `,` type($w2_scale) `)`)?
    (`shared` `(` $shared_w13^ `,` $shared_w2 `:` type($shared_w13) `,` type($shared_w2) `)`)?
    (`shared_gate` `(` $shared_gate^ `:` type($shared_gate) `)`)?
    (`latent` `(` $latent_in^ `,` $latent_out `:` type($latent_in) `,` type($latent_out) `)`)?
    (`eplb` `(` $logical_to_physical^ `,` $replica_count `:` type($logical_to_physical) `,` type($replica_count) `)`)?
    `routing` `(` $routing `)` `activation` `(` $activation `)`
    (`num_experts` `(` $num_experts^ `)`)? (`quant` `(` $quant^ `)`)?
    (`parallel` `(` $parallel^ `)`)? (`name` `(` $layer_name^ `)`)?
    attr-dict `->` type($result) (`,` type($expert_load)^)?
  }];
  let extraClassDeclaration = [{
    /// The configuration on the op, or inherited from the function or module
    /// around it (attribute `moe.parallel`), or the default.
    ParallelAttr getEffectiveParallel();
    int64_t getHiddenSize();
    /// E, router outputs: the model's experts, zero experts included. Without a
    /// router, `num_experts` or EPLB's map says; without either, the experts are
    /// those of w13, which may be dynamic.
    int64_t getNumRouterOutputs();
    /// Experts that have weights somewhere: E - zero experts + redundant ones.
    int64_t getNumPhysicalExperts();
    /// Columns of the input of the routed experts: H, or the latent width.
    int64_t getExpertInputSize();
    int64_t getIntermediateSize();
    /// 0 without shared experts.
    int64_t getSharedIntermediateSize();
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Level 2: phases
//===----------------------------------------------------------------------===//

// A phase: results are tied to the inits, on buffers there are none.
// `resultNames` are the names that tensors print with.
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
      ], traits)> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
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
      for (auto [index, result] : ::llvm::enumerate(getResults()))
        setName(result, names[index]);
    }
  }];
  let hasVerifier = 1;
}

def MoE_GateOp : MoE_PhaseOp<"gate", "gate", ["logits"]> {
  let summary = "router logits";
  let description = [{
    logits[T, E] = x[T, H] @ w[E, H]^T (+ bias[E]), accumulated in float32.

    ```mlir
    %l = moe.gate ins(%x, %w : tensor<?x64xf32>, tensor<8x64xf32>)
                  outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
    ```

    Constraints:
    - C1: x is [T, H], w is [E, H], bias [E], logits [T, E].
    - C2: w has x's dtype or is f32.
  }];
  let arguments = (ins
    MoE_Matrix:$x, MoE_Matrix:$weight, Optional<MoE_F32Vector>:$bias,
    MoE_F32Matrix:$init
  );
  let assemblyFormat = [{
    `ins` `(` $x `,` $weight `:` type($x) `,` type($weight) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_RouteOp : MoE_PhaseOp<"route", "route", ["ids", "weights", "expert_load"], [AttrSizedOperandSegments]> {
  let summary = "chosen experts and their weights";
  let description = [{
    `#moe.routing` says how, but for its `scale`, which is the combine's (and
    for zero experts the merge's). Ids are logical expert ids, or with EPLB's
    maps physical ones: the replica of expert e for the token in row t is number
    ((t * 2654435769) mod 2^32) mod replica_count[e]. Where the rows are some of
    a rank's tokens, `first_row` is what t counts from, so that a token gets the
    same replica whatever rows it is routed with.

    With a place for the load [P], expert_load[p] is how often the result's ids
    name p.

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
    Optional<MoE_I32Vector>:$load_init,
    MoE_RoutingAttr:$routing
  );
  let inits = [{
    unsigned first = getIdsInitMutable().getOperandNumber();
    return ::mlir::MutableOperandRange(getOperation(), first,
        getOperation()->getNumOperands() - first);
  }];
  let assemblyFormat = [{
    `ins` `(` $logits `:` type($logits) `)`
    (`correction_bias` `(` $correction_bias^ `:` type($correction_bias) `)`)?
    (`eplb` `(` $logical_to_physical^ `,` $replica_count `:` type($logical_to_physical) `,` type($replica_count) `)`)?
    (`first_row` `(` $first_row^ `)`)?
    `outs` `(` $ids_init `,` $weights_init `:` type($ids_init) `,` type($weights_init) `)`
    (`load` `(` $load_init^ `:` type($load_init) `)`)?
    `routing` `(` $routing `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_DispatchOp : MoE_PhaseOp<"dispatch", "dispatch",
    ["offsets", "source_rows", "pair_rows", "rows", "row_weights"], [AttrSizedOperandSegments,
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

    Constraints:
    - C1: ids are [T, k]; the plan is expert_offsets [L+1], source_rows [P],
      pair_rows [R, k].
    - C2: x, weights, rows and row_weights are there exactly with an exchange.
    - C3: x is [T, H], weights [T, k], rows [R, H] of x's dtype, row_weights
      [R, k].
    - C4: L is a rank's share of the `num_experts` physical experts under
      `parallel`, or all of them without expert parallelism.
  }];
  let arguments = (ins
    MoE_I32Matrix:$ids,
    Optional<MoE_Matrix>:$x, Optional<MoE_F32Matrix>:$weights,
    MoE_I32Vector:$offsets_init, MoE_I32Vector:$source_rows_init,
    MoE_I32Matrix:$pair_rows_init,
    Optional<MoE_Matrix>:$rows_init, Optional<MoE_F32Matrix>:$row_weights_init,
    I64Attr:$num_experts,
    OptionalAttr<MoE_ExchangeAttr>:$exchange,
    OptionalAttr<MoE_ParallelAttr>:$parallel
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
    `num_experts` `(` $num_experts `)` (`exchange` `(` $exchange^ `)`)?
    (`parallel` `(` $parallel^ `)`)? attr-dict (`->` type($results)^)?
  }];
}

def MoE_ExpertsOp : MoE_PhaseOp<"experts", "experts", ["expert_out"], [AttrSizedOperandSegments]> {
  let summary = "the routed experts: grouped GEMM, activation, grouped GEMM";
  let description = [{
    For every position p of local expert e:
    out[p] = act(rows[source_rows[p]] @ w13[e]^T + b13[e]) @ w2[e]^T + b2[e].
    With input weights [R, 1], row r is first multiplied by its weight. Rows of
    the result past offsets[L] are not written.

    Constraints:
    - C1: rows are [R, H], the plan is expert_offsets [L+1] and source_rows [P].
    - C2: w13 is [L, 2I, H] (gated) or [L, I, H], w2 [L, H, I]; biases and input
      weights match.
    - C3: the result is [P, H] of the rows' dtype.
    - C4: `quant` and scales come together; without them weights have the rows'
      dtype.
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
    (`quant` `(` $quant^ `)`)? attr-dict (`->` type($results)^)?
  }];
}

def MoE_CombineOp : MoE_PhaseOp<"combine", "combine", ["routed"], [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the routed output of each token";
  let description = [{
    routed[t] = scale * sum over j of weights[t, j] * expert_out[pair_rows[t, j]],
    in the order of j; choices of position -1 contribute nothing. Without
    `weights` (they were multiplied into the experts' input) all weights are 1.
    With an exchange the sums go back to the ranks that own the tokens, in the
    dtype of the result.

    Constraints:
    - C1: expert_out is [P, H], pair_rows and weights [R, k], routed [T, H].
    - C2: on tensors, `pair_rows` is that result of a `moe.dispatch` whose
      exchange is this op's, and with an exchange `weights` are the
      `row_weights` of the same dispatch.
    - C3: on tensors, `expert_out` of a `moe.experts` was computed by the same
      dispatch's plan.
  }];
  let arguments = (ins
    MoE_Matrix:$expert_out, MoE_I32Matrix:$pair_rows,
    Optional<MoE_F32Matrix>:$weights, MoE_Matrix:$init,
    F64Attr:$scale,
    OptionalAttr<MoE_ExchangeAttr>:$exchange
  );
  let assemblyFormat = [{
    `ins` `(` $expert_out `,` $pair_rows `:` type($expert_out) `,` type($pair_rows) `)`
    (`weights` `(` $weights^ `:` type($weights) `)`)?
    `outs` `(` $init `:` type($init) `)` `scale` `(` $scale `)`
    (`exchange` `(` $exchange^ `)`)? attr-dict (`->` type($results)^)?
  }];
}

def MoE_SharedExpertsOp : MoE_PhaseOp<"shared_experts", "shared experts", ["shared"]> {
  let summary = "the MLP that every token passes through";
  let description = [{
    out = act(x @ w13^T) @ w2^T, times sigmoid(x @ gate^T) where there is a gate.

    Constraints:
    - C1: x is [T, H], w13 [2S, H] (gated) or [S, H], w2 [H, S], gate [1, H],
      out [T, H].
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
    attr-dict (`->` type($results)^)?
  }];
}

def MoE_ProjectOp : MoE_PhaseOp<"project", "project", ["projected"]> {
  let summary = "a linear projection, into or out of the latent space";
  let description = [{
    y[T, B] = x[T, A] @ w[B, A]^T.

    Constraints:
    - C1: x is [T, A], w [B, A], y [T, B].
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$weight, MoE_Matrix:$init);
  let assemblyFormat = [{
    `ins` `(` $x `,` $weight `:` type($x) `,` type($weight) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
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
    of weights[t, j]).

    Constraints:
    - C1: routed, shared, x and y are [T, H]; ids and weights [T, k].
    - C2: `zero`, `first_zero_expert` and `zero_scale` come together.
    - C3: `sum_over` names a communicator and its ranks, at least 1.
  }];
  let arguments = (ins
    MoE_Matrix:$routed, Optional<MoE_Matrix>:$shared,
    Optional<MoE_Matrix>:$x, Optional<MoE_I32Matrix>:$ids,
    Optional<MoE_F32Matrix>:$weights, MoE_Matrix:$init,
    OptionalAttr<I64Attr>:$first_zero_expert, OptionalAttr<F64Attr>:$zero_scale,
    OptionalAttr<StrAttr>:$communicator, OptionalAttr<I64Attr>:$ranks
  );
  let assemblyFormat = [{
    `ins` `(` $routed `:` type($routed) `)` (`shared` `(` $shared^ `:` type($shared) `)`)?
    (`zero` `(` $x^ `,` $ids `,` $weights `:` type($x) `,` type($ids) `,` type($weights) `)`
      `from` `(` $first_zero_expert `)` `scale` `(` $zero_scale `)`)?
    `outs` `(` $init `:` type($init) `)`
    (`sum_over` `(` $communicator^ `,` $ranks `)`)? attr-dict (`->` type($results)^)?
  }];
}

def MoE_AllReduceOp : MoE_PhaseOp<"all_reduce", "all-reduce", ["reduced"], [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the sum of a matrix over all ranks of a communicator";
  let description = [{
    Constraints:
    - C1: x and the result have one shape and dtype.
    - C2: the communicator has a name and at least 1 rank.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_AllGatherOp : MoE_PhaseOp<"all_gather", "all-gather", ["gathered"], [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the rows of all ranks of a communicator, in rank order";
  let description = [{
    Constraints:
    - C1: x is [T, A], the result [N, A] of the same dtype.
    - C2: the communicator has a name and at least 1 rank.
  }];
  let arguments = (ins MoE_AnyMatrix:$x, MoE_AnyMatrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_ReduceScatterOp : MoE_PhaseOp<"reduce_scatter", "reduce-scatter", ["scattered"], [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "this rank's rows of the sum over all ranks of a communicator";
  let description = [{
    Constraints:
    - C1: x is [N, A], the result [T, A] of the same dtype.
    - C2: the communicator has a name and at least 1 rank.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEOPS_TD
