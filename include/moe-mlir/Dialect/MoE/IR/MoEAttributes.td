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

// Enumerations of include/moe-mlir/Layer/Enums.def.
class MoE_LayerEnumParameter<string enum, string default>
    : DefaultValuedParameter<"::moe::" # enum, "::moe::" # enum # "::" # default>;

// A parameter that states a member of a struct, which has the default.
class MoE_MemberParameter<string type, string struct, string member>
    : DefaultValuedParameter<type, "::moe::" # struct # "()." # member>;
class MoE_ConfigParameter<string type, string member>
    : MoE_MemberParameter<type, "ParallelConfig", member>;
class MoE_PlanParameter<string type, string member>
    : MoE_MemberParameter<type, "ParallelPlan", member>;

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
    What the user's flags say, by their names: a `::moe::ParallelConfig`, and
    whether the model's family opts into sequence parallelism. What is made of it
    for a layer is its `#moe.parallel_plan`; the policy (`ParallelConfig.h`), which makes
    it, also checks what spans several parameters.

    ```mlir
    #moe.parallel<tensor = 2, data = 2, expert_parallel = true, all2all_backend = mori>
    ```

    Constraints:
    - C1: `tensor`, `data` and `prefill_context` are between 1 and 2^20;
      `rank` is one of theirs.
    - C2: `redundant_experts` >= 0.
    - C3: `dbo_decode_threshold` and `dbo_prefill_threshold` are at least 0.
  }];
  let parameters = (ins
    MoE_ConfigParameter<"int64_t", "tensorParallelSize">:$tensor,
    MoE_ConfigParameter<"int64_t", "dataParallelSize">:$data,
    MoE_ConfigParameter<"int64_t", "prefillContextParallelSize">:$prefill_context,
    MoE_ConfigParameter<"int64_t", "rank">:$rank,
    MoE_ConfigParameter<"bool", "enableExpertParallel">:$expert_parallel,
    MoE_ConfigParameter<"::moe::All2AllBackend", "all2allBackend">:$all2all_backend,
    MoE_ConfigParameter<"bool", "enableEplb">:$eplb,
    MoE_ConfigParameter<"int64_t", "numRedundantExperts">:$redundant_experts,
    MoE_ConfigParameter<"::moe::PlacementKind", "expertPlacementStrategy">:$expert_placement,
    MoE_ConfigParameter<"::moe::SequenceParallel", "sequenceParallel">:$sequence_parallel,
    DefaultValuedParameter<"bool", "false">:$sequence_parallel_family,
    MoE_ConfigParameter<"bool", "shardSharedExperts">:$shard_shared_experts,
    MoE_ConfigParameter<"bool", "enableDbo">:$dbo,
    MoE_ConfigParameter<"int64_t", "dboDecodeTokenThreshold">:$dbo_decode_threshold,
    MoE_ConfigParameter<"int64_t", "dboPrefillTokenThreshold">:$dbo_prefill_threshold
  );
  let builders = [AttrBuilder<(ins "const ::moe::ParallelConfig &":$config,
                                   CArg<"bool", "false">:$sequence_parallel_family)>];
  let extraClassDeclaration = [{
    ::moe::ParallelConfig getConfig() const;
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

def MoE_ParallelPlanAttr : MoE_Attr<"ParallelPlan", "parallel_plan"> {
  let summary = "what is done with a layer under its parallel configuration";
  let description = [{
    A `::moe::ParallelPlan`: the configuration with every choice made, and without
    what a layer cannot have. `--moe-expand-layer` makes it once; schedule,
    explanation, descriptor and simulation read it.

    ```mlir
    #moe.parallel_plan<tensor = 2, data = 2, expert_parallel = true, transport = all_gather,
              shared_experts = true, experts = 64>
    ```

    Constraints:
    - C1: `tensor`, `data` and `prefill_context` are between 1 and 2^20;
      `rank` is one of theirs.
    - C2: `expert_parallel` needs more than one rank.
    - C3: `transport` is `none` exactly for `data` = 1, and `all_gather` for more
      without `expert_parallel`.
    - C4: `sequence_parallel` needs `expert_parallel`, `tensor` > 1 and `data` > 1;
      `shared_experts_sharded` needs it, and `shared_experts`.
    - C5: `experts`, `redundant_experts` and thresholds are at least 0.
  }];
  let parameters = (ins
    MoE_PlanParameter<"int64_t", "tensor">:$tensor,
    MoE_PlanParameter<"int64_t", "data">:$data,
    MoE_PlanParameter<"int64_t", "prefillContext">:$prefill_context,
    MoE_PlanParameter<"int64_t", "rank">:$rank,
    MoE_PlanParameter<"bool", "useEp">:$expert_parallel,
    MoE_PlanParameter<"::moe::All2AllBackend", "backend">:$all2all_backend,
    MoE_PlanParameter<"::moe::Transport", "transport">:$transport,
    MoE_PlanParameter<"bool", "isSequenceParallel">:$sequence_parallel,
    MoE_PlanParameter<"bool", "hasSharedExperts">:$shared_experts,
    MoE_PlanParameter<"bool", "sharedExpertsSharded">:$shared_experts_sharded,
    MoE_PlanParameter<"int64_t", "numExperts">:$experts,
    MoE_PlanParameter<"int64_t", "numRedundantExperts">:$redundant_experts,
    MoE_PlanParameter<"::moe::PlacementKind", "expertPlacement">:$placement,
    MoE_PlanParameter<"bool", "enableEplb">:$eplb,
    MoE_PlanParameter<"bool", "enableDbo">:$dbo,
    MoE_PlanParameter<"int64_t", "dboDecodeTokenThreshold">:$dbo_decode_threshold,
    MoE_PlanParameter<"int64_t", "dboPrefillTokenThreshold">:$dbo_prefill_threshold
  );
  let builders = [AttrBuilder<(ins "const ::moe::ParallelPlan &":$plan)>];
  let extraClassDeclaration = [{
    ::moe::ParallelPlan getPlan() const;
  }];
  let assemblyFormat = "(`<` struct(params)^ `>`)?";
  let genVerifyDecl = 1;
}

def MoE_LayerInfoAttr : MoE_Attr<"LayerInfo", "layer_info"> {
  let summary = "what is asked about a layer that is no longer one op";
  let description = [{
    Sizes are the model's, before any sharding, and 0 where they are not known.
    `warnings` says what of the configuration has no effect on the layer.

    ```mlir
    #moe.layer_info<name = "model.layers.3.mlp", hidden = 2048, top_k = 6,
                    intermediate = 1408, shared_intermediate = 2816, gated = true,
                    plan = <shared_experts = true, experts = 64>>
    ```

    Constraints:
    - C1: sizes are at least 0.
    - C2: `warnings` are strings.
  }];
  let parameters = (ins
    StringRefParameter<"", "\"\"">:$name,
    DefaultValuedParameter<"int64_t", "0">:$hidden,
    DefaultValuedParameter<"int64_t", "0">:$top_k,
    DefaultValuedParameter<"int64_t", "0">:$intermediate,
    DefaultValuedParameter<"int64_t", "0">:$shared_intermediate,
    DefaultValuedParameter<"bool", "false">:$gated,
    DefaultValuedParameter<"::moe::ParallelPlanAttr",
      "::moe::ParallelPlanAttr::get($_ctxt, ::moe::ParallelPlan())">:$plan,
    OptionalParameter<"::mlir::ArrayAttr">:$warnings
  );
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

def MoE_OutcomeAttr : MoE_Attr<"Outcome", "outcome"> {
  let summary = "an order of work, and why";
  let description = [{
    ```mlir
    #moe.outcome<order = NO_OVERLAP, rule = "vllm rule 4",
                 reason = "T is above the threshold of 256">
    ```

    `suggestion` says what the user can change to have the shared experts
    overlapped.
  }];
  let parameters = (ins
    "::moe::Order":$order,
    StringRefParameter<"", "\"\"">:$rule,
    StringRefParameter<"", "\"\"">:$reason,
    StringRefParameter<"", "\"\"">:$suggestion
  );
  let assemblyFormat = "`<` struct(params) `>`";
}

def MoE_BatchesAttr : MoE_Attr<"Batches", "batches"> {
  let summary = "whether the tokens of a call are split into two batches, and why";
  let description = [{
    Calls are split in which the rank with most tokens has at least
    `decode_threshold` of them, if all are decodes, or else `prefill_threshold`;
    without `two`, none.

    Constraints:
    - C1: thresholds are at least 0.
  }];
  let parameters = (ins
    DefaultValuedParameter<"bool", "false">:$two,
    DefaultValuedParameter<"int64_t", "0">:$decode_threshold,
    DefaultValuedParameter<"int64_t", "0">:$prefill_threshold,
    StringRefParameter<"", "\"\"">:$rule,
    StringRefParameter<"", "\"\"">:$reason,
    StringRefParameter<"", "\"\"">:$suggestion
  );
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def MoE_DecisionAttr : MoE_Attr<"Decision", "decision"> {
  let summary = "the order of a layer's work, for every number of tokens";
  let description = [{
    `outcome` where a rank has at most `threshold` tokens, `above` where it has
    more; without a threshold, `outcome` always. `batches` is there where the user
    asks for two-batch overlap.

    ```mlir
    #moe.decision<layer = "model.layers.3.mlp", rule_set = "vllm", threshold = 256,
      outcome = <order = MULTI_STREAM_OVERLAPPED, rule = "vllm rule 3", reason = "...">,
      above = <order = NO_OVERLAP, rule = "vllm rule 4", reason = "...">>
    ```

    Constraints:
    - C1: `above` and a `threshold` of at least 0 come together; -1 is none.
  }];
  let parameters = (ins
    StringRefParameter<"", "\"\"">:$layer,
    StringRefParameter<"", "\"\"">:$rule_set,
    DefaultValuedParameter<"int64_t", "-1">:$threshold,
    "::moe::OutcomeAttr":$outcome,
    OptionalParameter<"::moe::OutcomeAttr">:$above,
    OptionalParameter<"::moe::BatchesAttr">:$batches
  );
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Exchange between ranks
//===----------------------------------------------------------------------===//

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
    "::moe::Transport":$transport,
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
    MoE_LayerEnumParameter<"PlacementKind", "linear">:$kind
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
