//===- MoEAttributes.td - Routing, activation, parallelism -*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOEATTRIBUTES_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOEATTRIBUTES_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "moe-mlir/Dialect/MoE/IR/MoEDialect.td"

class MoE_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<MoE_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

class MoE_I32Enum<string name, string summary, list<I32EnumCase> cases>
    : I32Enum<name, summary, cases> {
  let cppNamespace = "::moe";
}

// An enumeration of include/moe-mlir/Layer/Enums.def.
class MoE_LayerEnumParameter<string enum, string default>
    : DefaultValuedParameter<"::moe::" # enum, "::moe::" # enum # "::" # default>;

class MoE_F64Parameter<string default>
    : DefaultValuedParameter<"::mlir::FloatAttr",
        "::mlir::FloatAttr::get(::mlir::Float64Type::get($_ctxt), " # default # ")">;

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

def MoE_RoutingAttr : MoE_Attr<"Routing", "routing"> {
  let summary = "how tokens choose their experts and what each choice weighs";
  let description = [{
    In order:

    1. `score` turns float32 logits into scores: `softmax`, `sigmoid`,
       `sqrt_softplus`, or `logits` as they are.
    2. Experts are *chosen* by score plus correction bias, if there is one: with
       `n_group` > 1 first the best `topk_group` groups (by `group_score`, `max`
       or `top2_sum`), then the best `top_k` experts in them. Ties go to the smaller id; a NaN score
       compares as -infinity.
    3. The *weight* of a choice is its `score` without bias (or, by `weight`,
       `softmax_of_chosen` logits, or `sigmoid_of_chosen`).
    4. With `renormalize` weights are divided by max(sum + `renormalize_epsilon`,
       `renormalize_minimum`).
    5. `scale` multiplies the routed output.

    `weight_on_input` multiplies the expert's input instead of its output.
    Ids from E - `zero_experts` on are identities: they contribute the token
    itself times the weight.

    Constraints:
    - C1: `top_k` >= 1; `n_group` >= 1; 1 <= `topk_group` <= `n_group`.
    - C2: `weight_on_input` needs `top_k` = 1.
    - C3: `renormalize_epsilon`, `renormalize_minimum` >= 0 and `zero_experts` >= 0.
  }];
  let parameters = (ins
    "int64_t":$top_k,
    MoE_LayerEnumParameter<"ScoreFunction", "softmax">:$score,
    MoE_LayerEnumParameter<"WeightFunction", "score">:$weight,
    DefaultValuedParameter<"int64_t", "1">:$n_group,
    DefaultValuedParameter<"int64_t", "1">:$topk_group,
    MoE_LayerEnumParameter<"GroupScore", "max">:$group_score,
    DefaultValuedParameter<"bool", "false">:$renormalize,
    MoE_F64Parameter<"0.0">:$renormalize_epsilon,
    MoE_F64Parameter<"0.0">:$renormalize_minimum,
    MoE_F64Parameter<"1.0">:$scale,
    DefaultValuedParameter<"bool", "false">:$weight_on_input,
    DefaultValuedParameter<"int64_t", "0">:$zero_experts
  );
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

def MoE_ActivationAttr : MoE_Attr<"Activation", "activation"> {
  let summary = "an expert's activation function";
  let description = [{
    With g and u the gate and up halves of the first GEMM's result:

    | kind | value | first weight |
    |---|---|---|
    | `swiglu` | silu(g) * u | [2I, H]: gate rows, then up rows |
    | `geglu`, `geglu_tanh` | gelu(g) * u, exact or by tanh | [2I, H] |
    | `swigluoai` | (min(max(u, -limit), limit) + 1) * g' * sigmoid(alpha * g'), g' = min(g, limit) | [2I, H] |
    | `relu2` | relu(x)^2 | [I, H] |

    Constraints:
    - C1: `limit` > 0; `limit` and `alpha` are finite.
  }];
  let parameters = (ins
    "::moe::ActivationKind":$kind,
    MoE_F64Parameter<"7.0">:$limit,
    MoE_F64Parameter<"1.702">:$alpha
  );
  let builders = [AttrBuilder<(ins "::moe::ActivationKind":$kind), [{
    auto f64 = ::mlir::Float64Type::get($_ctxt);
    return $_get($_ctxt, kind, ::mlir::FloatAttr::get(f64, 7.0),
                 ::mlir::FloatAttr::get(f64, 1.702));
  }]>];
  let extraClassDeclaration = [{
    /// True if the first weight holds gate and up rows.
    bool isGated() const { return getKind() != ActivationKind::relu2; }
  }];
  let assemblyFormat = "`<` $kind (`,` struct($limit, $alpha)^)? `>`";
  let genVerifyDecl = 1;
}

def MoE_QuantScheme : MoE_I32Enum<"QuantScheme", "how weights are quantized", [
  I32EnumCase<"fp8_block", 0>, I32EnumCase<"fp8_tensor", 1>,
  I32EnumCase<"fp8_channel", 2>, I32EnumCase<"mxfp4", 3>, I32EnumCase<"int4_group", 4>
]>;

def MoE_QuantAttr : MoE_Attr<"Quant", "quant"> {
  let summary = "the quantization of expert weights";
  let description = [{
    The scheme and the block that shares one scale: rows x columns. Scales are
    operands of the layer. The 4-bit schemes are packed: a byte holds two
    consecutive columns, so that weights have half as many columns as elements.

    Constraints:
    - C1: `block_rows` and `block_columns` >= 1.
  }];
  let parameters = (ins
    EnumParameter<MoE_QuantScheme>:$scheme,
    DefaultValuedParameter<"int64_t", "128">:$block_rows,
    DefaultValuedParameter<"int64_t", "128">:$block_columns
  );
  let extraClassDeclaration = [{
    /// True if one byte holds two elements.
    bool isPacked() const {
      return getScheme() == QuantScheme::mxfp4 ||
             getScheme() == QuantScheme::int4_group;
    }
  }];
  let assemblyFormat = "`<` $scheme (`,` struct($block_rows, $block_columns)^)? `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Parallelism
//===----------------------------------------------------------------------===//

def MoE_ParallelAttr : MoE_Attr<"Parallel", "parallel"> {
  let summary = "the parallel configuration a layer is compiled for";
  let description = [{
    What the user's flags say, by their names; all that follows from it is
    derived by the policy library (`ParallelConfig.h`), which also checks what
    spans several of them.

    Constraints:
    - C1: `tensor`, `data` and `prefill_context` are between 1 and 2^20;
      `rank` is one of theirs.
    - C2: `redundant_experts` >= 0.
    - C3: `expert_placement` is "linear" or "round_robin"; `sequence_parallel`
      is "auto", "on" or "off".
    - C4: `dbo_decode_threshold` and `dbo_prefill_threshold` are at least 0.
  }];
  let parameters = (ins
    DefaultValuedParameter<"int64_t", "1">:$tensor,
    DefaultValuedParameter<"int64_t", "1">:$data,
    DefaultValuedParameter<"int64_t", "1">:$prefill_context,
    DefaultValuedParameter<"int64_t", "0">:$rank,
    DefaultValuedParameter<"bool", "false">:$expert_parallel,
    DefaultValuedParameter<"::mlir::StringAttr",
      "::mlir::StringAttr::get($_ctxt, \"allgather_reducescatter\")">:$all2all_backend,
    DefaultValuedParameter<"bool", "false">:$eplb,
    DefaultValuedParameter<"int64_t", "0">:$redundant_experts,
    DefaultValuedParameter<"::mlir::StringAttr",
      "::mlir::StringAttr::get($_ctxt, \"linear\")">:$expert_placement,
    DefaultValuedParameter<"::mlir::StringAttr",
      "::mlir::StringAttr::get($_ctxt, \"auto\")">:$sequence_parallel,
    DefaultValuedParameter<"bool", "false">:$sequence_parallel_family,
    DefaultValuedParameter<"bool", "false">:$shard_shared_experts,
    DefaultValuedParameter<"bool", "false">:$dbo,
    DefaultValuedParameter<"int64_t", "32">:$dbo_decode_threshold,
    DefaultValuedParameter<"int64_t", "512">:$dbo_prefill_threshold
  );
  // One rank that does everything.
  let builders = [AttrBuilder<(ins), [{
    auto string = [&](::llvm::StringRef text) {
      return ::mlir::StringAttr::get($_ctxt, text);
    };
    return $_get($_ctxt, 1, 1, 1, 0, false, string("allgather_reducescatter"),
                 false, 0, string("linear"), string("auto"), false, false,
                 false, 32, 512);
  }]>];
  let extraClassDeclaration = [{
    int64_t getNumRanks() const {
      return getTensor() * getData() * getPrefillContext();
    }
    /// Ranks that share out whole experts: all of them, or one.
    int64_t getNumExpertRanks() const {
      return getExpertParallel() ? getNumRanks() : 1;
    }
  }];
  let assemblyFormat = "(`<` struct(params)^ `>`)?";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Exchange between ranks
//===----------------------------------------------------------------------===//

def MoE_Transport : MoE_I32Enum<"Transport",
    "how rows reach the ranks that own their experts", [
  I32EnumCase<"none", 0>, I32EnumCase<"all_gather", 1>,
  I32EnumCase<"send_receive", 2>, I32EnumCase<"batched", 3>
]>;

def MoE_ExchangeAttr : MoE_Attr<"Exchange", "exchange"> {
  let summary = "an exchange of rows over a communicator";
  let description = [{
    | transport | what moves |
    |---|---|
    | `all_gather` | every rank gets all tokens; results are reduce-scattered |
    | `send_receive` | counts, then each token once to each rank that needs it |
    | `batched` | fixed capacity per (source rank, local expert) |

    With `all_gather`, a rank brings `rows_per_token` rows for each of its
    tokens: those of other ranks, too, where it has gathered them before.

    ```mlir
    #moe.exchange<all_gather, #ranks[dp], rows_per_token = 2>
    ```

    Constraints:
    - C1: the transport is not `none` (no exchange is no attribute).
    - C2: `rows_per_token` is at least 1.
  }];
  let parameters = (ins
    EnumParameter<MoE_Transport>:$transport,
    "::moe::schedule::CommunicatorAttr":$communicator,
    DefaultValuedParameter<"int64_t", "1">:$rows_per_token
  );
  let assemblyFormat = [{
    `<` $transport `,` custom<Communicator>($communicator)
        (`,` `rows_per_token` `=` $rows_per_token^)? `>`
  }];
  let extraClassDeclaration = [{
    /// The ranks that exchange rows with each other.
    int64_t getNumRanks() const { return getCommunicator().getNumRanks(); }
  }];
  let genVerifyDecl = 1;
}

def MoE_PlacementKind : MoE_I32Enum<"PlacementKind",
    "which experts a rank owns", [
  I32EnumCase<"linear", 0>, I32EnumCase<"round_robin", 1>
]>;

def MoE_PlacementAttr : MoE_Attr<"Placement", "placement"> {
  let summary = "which of some ranks owns which of the experts";
  let description = [{
    `linear`: ranks own consecutive experts, those below the remainder of
    `experts` by `ranks` one more than the others. `round_robin`: expert e
    belongs to rank e mod `ranks`.

    ```mlir
    #moe.placement<experts = 64, ranks = 4, kind = round_robin>
    ```

    Constraints:
    - C1: `experts` and `ranks` are at least 1.
  }];
  let parameters = (ins
    "int64_t":$experts,
    "int64_t":$ranks,
    DefaultValuedParameter<"::moe::PlacementKind",
                           "::moe::PlacementKind::linear">:$kind
  );
  let extraClassDeclaration = [{
    bool isRoundRobin() const { return getKind() == PlacementKind::round_robin; }
    /// How many experts a rank owns.
    int64_t getNumExpertsOf(int64_t rank) const {
      return getExperts() / getRanks() + (rank < getExperts() % getRanks());
    }
  }];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

def MoE_GemmTileAttr : MoE_Attr<"GemmTile", "gemm_tile"> {
  let summary = "how a block computes its part of a matrix product on tensor cores";
  let description = [{
    One warpgroup of a block loads stages of x [rows, 64] and w [weights, 64],
    `consumers` others multiply. `swapped` puts the weights on the side of the
    instruction that has 64 rows, and the rows of x on the one that may have
    few; such a tile is as high as its rows need: `rows`, or one or two
    `row_step` less (0: always `rows`). Of a multiprocessor, `resident_blocks`
    run at once.
    The blocks of a `cluster` share the weights that each of them loads.

    ```mlir
    #moe.gemm_tile<rows = 64, row_step = 32, weights = 256, stages = 4, consumers = 2>
    ```

    What a target can do with a tile it checks itself.

    Constraints:
    - C1: `rows`, `weights`, `consumers`, `resident_blocks` and `cluster` are at
      least 1, and `stages` at least 2.
    - C2: `row_step` is 0 or divides `rows`; without `swapped` it is 0 or `rows`.
  }];
  let parameters = (ins
    "int64_t":$rows,
    DefaultValuedParameter<"int64_t", "0">:$row_step,
    "int64_t":$weights,
    "int64_t":$stages,
    "int64_t":$consumers,
    DefaultValuedParameter<"bool", "true">:$swapped,
    DefaultValuedParameter<"int64_t", "1">:$resident_blocks,
    DefaultValuedParameter<"int64_t", "1">:$cluster
  );
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEATTRIBUTES_TD
