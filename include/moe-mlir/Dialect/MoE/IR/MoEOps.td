//===- MoEOps.td - The layer -------------------------------*- tablegen -*-===//
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
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe-mlir/Dialect/MoE/IR/MoEAttributes.td"
include "moe-mlir/Dialect/MoE/IR/MoEInterfaces.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleAttributes.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleInterfaces.td"

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

// What a layer is made of, and what its phases are made of on several ranks.
include "moe-mlir/Dialect/MoE/IR/MoEPhaseOps.td"
include "moe-mlir/Dialect/MoE/IR/MoEStepOps.td"

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEOPS_TD
