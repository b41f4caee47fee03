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
def MoE_ExpertMatrices : MoE_ShapedOf<[F32, BF16, F16, AnyI<8>], [3]>;
def MoE_F32Vector : MoE_ShapedOf<[F32], [1]>;
def MoE_F32Matrix : MoE_ShapedOf<[F32], [2]>;
def MoE_I32Vector : MoE_ShapedOf<[I32], [1]>;
def MoE_I32Matrix : MoE_ShapedOf<[I32], [2]>;
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

    ```mlir
    %y = moe.layer hidden(%x : tensor<?x64xf32>)
           router(%wg : tensor<8x64xf32>)
           experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
           shared(%s13, %s2 : tensor<64x64xf32>, tensor<64x32xf32>)
           routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: either `router_weight` or `topk_ids` and `topk_weights`.
    - C2: the router's weight is [E, H], its biases [E]; ids and weights [T, top_k].
    - C3: `n_group` divides E; the chosen groups hold at least `top_k` experts;
      `top_k` <= E.
    - C4: w13 is [L, 2I, H] (gated) or [L, I, H], w2 is [L, H, I]; L <= physical
      experts; biases match.
    - C5: shared weights come together and match H; `shared_gate` needs them.
    - C6: latent projections come together; experts then work on their width.
    - C7: dtypes of hidden states, weights and result are one, quantized weights
      aside; `quant` and scales come together.
    - C8: EPLB's maps come together, with `parallel` that turns EPLB on.
    - C9: `result` has the type of `hidden_states`.
  }];
  let arguments = (ins
    MoE_TensorOf<[F32, BF16, F16], 2>:$hidden_states,
    Optional<MoE_TensorOf<[F32, BF16, F16], 2>>:$router_weight,
    Optional<MoE_TensorOf<[F32], 1>>:$router_bias,
    Optional<MoE_TensorOf<[F32], 1>>:$correction_bias,
    Optional<MoE_TensorOf<[I32], 2>>:$topk_ids,
    Optional<MoE_TensorOf<[F32], 2>>:$topk_weights,
    MoE_TensorOf<[F32, BF16, F16, AnyI<8>], 3>:$w13,
    MoE_TensorOf<[F32, BF16, F16, AnyI<8>], 3>:$w2,
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
    OptionalAttr<StrAttr>:$layer_name
  );
  let results = (outs MoE_TensorOf<[F32, BF16, F16], 2>:$result);
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
    (`quant` `(` $quant^ `)`)? (`parallel` `(` $parallel^ `)`)? (`name` `(` $layer_name^ `)`)?
    attr-dict `->` type($result)
  }];
  let extraClassDeclaration = [{
    /// The configuration on the op, or inherited from the function or module
    /// around it (attribute `moe.parallel`), or the default.
    ParallelAttr getEffectiveParallel();
    int64_t getHiddenSize();
    /// Router outputs: the model's experts, zero experts included.
    int64_t getNumExperts();
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
class MoE_PhaseOp<string mnemonic, string phaseName, list<Trait> traits = []>
    : MoE_Op<mnemonic, !listconcat([
        DestinationStyleOpInterface,
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
  string phase = phaseName;
  let extraClassDefinition = [{
    ::llvm::StringRef $cppClass::getPhaseName() { return "}] # phaseName # [{"; }
  }];
  let hasVerifier = 1;
}

def MoE_GateOp : MoE_PhaseOp<"gate", "gate"> {
  let summary = "router logits";
  let description = [{
    logits[T, E] = x[T, H] @ w[E, H]^T (+ bias[E]), accumulated in float32.

    ```mlir
    %l = moe.gate ins(%x, %w : tensor<?x64xf32>, tensor<8x64xf32>)
                  outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
    ```

    Constraints:
    - C1: x is [T, H], w is [E, H], bias [E], logits [T, E].
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

def MoE_RouteOp : MoE_PhaseOp<"route", "route", [AttrSizedOperandSegments]> {
  let summary = "chosen experts and their weights";
  let description = [{
    `#moe.routing` says how. Ids are logical expert ids, or with EPLB's maps
    physical ones: the replica of expert e for the token in row t is number
    ((t * 2654435769) mod 2^32) mod replica_count[e].

    Constraints:
    - C1: logits are [T, E], ids and weights [T, top_k], correction bias [E].
    - C2: `n_group` divides E; the chosen groups hold at least `top_k` experts.
    - C3: EPLB's maps come together: [E, R+1] and [E].
  }];
  let arguments = (ins
    MoE_F32Matrix:$logits, Optional<MoE_F32Vector>:$correction_bias,
    Optional<MoE_I32Matrix>:$logical_to_physical,
    Optional<MoE_I32Vector>:$replica_count,
    MoE_I32Matrix:$ids_init, MoE_F32Matrix:$weights_init,
    MoE_RoutingAttr:$routing
  );
  let inits = [{
    return ::mlir::MutableOperandRange(getOperation(),
        getIdsInitMutable().getOperandNumber(), 2);
  }];
  let assemblyFormat = [{
    `ins` `(` $logits `:` type($logits) `)`
    (`correction_bias` `(` $correction_bias^ `:` type($correction_bias) `)`)?
    (`eplb` `(` $logical_to_physical^ `,` $replica_count `:` type($logical_to_physical) `,` type($replica_count) `)`)?
    `outs` `(` $ids_init `,` $weights_init `:` type($ids_init) `,` type($weights_init) `)`
    `routing` `(` $routing `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_DispatchOp : MoE_PhaseOp<"dispatch", "dispatch", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the routing plan, and with an exchange the rows of this rank's experts";
  let description = [{
    Without an exchange the experts read this rank's own rows, and the op only
    makes the plan. With one, rows move to the ranks that own their experts,
    and `rows` and `row_weights` are what this rank received.

    Constraints:
    - C1: ids are [T, k]; the plan is expert_offsets [L+1], source_rows [P],
      pair_rows [R, k].
    - C2: x, weights, rows and row_weights are there exactly with an exchange.
    - C3: rows are [R, H] of x's dtype, row_weights [R, k].
    - C4: experts are a rank's: `num_experts` physical experts over the ranks.
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

def MoE_ExpertsOp : MoE_PhaseOp<"experts", "experts", [AttrSizedOperandSegments]> {
  let summary = "the routed experts: grouped GEMM, activation, grouped GEMM";
  let description = [{
    For every position p of local expert e:
    out[p] = act(rows[source_rows[p]] @ w13[e]^T + b13[e]) @ w2[e]^T + b2[e].
    With input weights, row r is first multiplied by its weight.

    Constraints:
    - C1: rows are [R, H], the plan is expert_offsets [L+1] and source_rows [P].
    - C2: w13 is [L, 2I, H] (gated) or [L, I, H], w2 [L, H, I]; biases match.
    - C3: the result is [P, H].
  }];
  let arguments = (ins
    MoE_Matrix:$rows, MoE_I32Vector:$offsets, MoE_I32Vector:$source_rows,
    MoE_ExpertMatrices:$w13, MoE_ExpertMatrices:$w2,
    Optional<MoE_Matrix>:$b13, Optional<MoE_Matrix>:$b2,
    Optional<MoE_F32Matrix>:$input_weights,
    MoE_Matrix:$init,
    MoE_ActivationAttr:$activation
  );
  let assemblyFormat = [{
    `ins` `(` $rows `,` $offsets `,` $source_rows `,` $w13 `,` $w2 `:`
      type($rows) `,` type($offsets) `,` type($source_rows) `,` type($w13) `,` type($w2) `)`
    (`biases` `(` $b13^ `,` $b2 `:` type($b13) `,` type($b2) `)`)?
    (`input_weights` `(` $input_weights^ `:` type($input_weights) `)`)?
    `outs` `(` $init `:` type($init) `)` `activation` `(` $activation `)`
    attr-dict (`->` type($results)^)?
  }];
}

def MoE_CombineOp : MoE_PhaseOp<"combine", "combine", [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the routed output of each token";
  let description = [{
    routed[t] = scale * sum over j of weights[t, j] * expert_out[pair_rows[t, j]],
    in the order of j; choices of position -1 contribute nothing. With an
    exchange the sums go back to the ranks that own the tokens.

    Constraints:
    - C1: expert_out is [P, H], pair_rows and weights [R, k], routed [T, H].
    - C2: on tensors, `pair_rows` is the plan of one `moe.dispatch` whose
      exchange is this op's.
  }];
  let arguments = (ins
    MoE_Matrix:$expert_out, MoE_I32Matrix:$pair_rows, MoE_F32Matrix:$weights,
    MoE_Matrix:$init,
    F64Attr:$scale,
    OptionalAttr<MoE_ExchangeAttr>:$exchange
  );
  let assemblyFormat = [{
    `ins` `(` $expert_out `,` $pair_rows `,` $weights `:`
      type($expert_out) `,` type($pair_rows) `,` type($weights) `)`
    `outs` `(` $init `:` type($init) `)` `scale` `(` $scale `)`
    (`exchange` `(` $exchange^ `)`)? attr-dict (`->` type($results)^)?
  }];
}

def MoE_SharedExpertsOp : MoE_PhaseOp<"shared_experts", "shared experts"> {
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

def MoE_ProjectOp : MoE_PhaseOp<"project", "project"> {
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

def MoE_MergeOp : MoE_PhaseOp<"merge", "merge"> {
  let summary = "the layer's output: routed plus shared";
  let description = [{
    y = routed (+ shared), rounded once to y's dtype.

    Constraints:
    - C1: all are [T, H].
  }];
  let arguments = (ins MoE_Matrix:$routed, Optional<MoE_Matrix>:$shared, MoE_Matrix:$init);
  let assemblyFormat = [{
    `ins` `(` $routed `:` type($routed) `)` (`shared` `(` $shared^ `:` type($shared) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_AllReduceOp : MoE_PhaseOp<"all_reduce", "all-reduce", [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the sum of a matrix over all ranks of a communicator";
  let description = [{
    Constraints:
    - C1: x and the result have one shape and dtype.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_AllGatherOp : MoE_PhaseOp<"all_gather", "all-gather", [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "the rows of all ranks of a communicator, in rank order";
  let description = [{
    Constraints:
    - C1: x is [T, A], the result [N, A] of the same dtype.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

def MoE_ReduceScatterOp : MoE_PhaseOp<"reduce_scatter", "reduce-scatter", [
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "this rank's rows of the sum over all ranks of a communicator";
  let description = [{
    Constraints:
    - C1: x is [N, A], the result [T, A] of the same dtype.
  }];
  let arguments = (ins MoE_Matrix:$x, MoE_Matrix:$init, StrAttr:$communicator, I64Attr:$ranks);
  let assemblyFormat = [{
    `ins` `(` $x `:` type($x) `)` `outs` `(` $init `:` type($init) `)`
    `over` `(` $communicator `,` $ranks `)` attr-dict (`->` type($results)^)?
  }];
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEOPS_TD
