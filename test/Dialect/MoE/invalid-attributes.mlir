// RUN: moe-opt %s --split-input-file --verify-diagnostics

// One case per constraint of each attribute.

// #moe.routing C1: at least one choice.
// expected-error @+1 {{expected top_k of at least 1 but got 0}}
module attributes {test.attribute = #moe.routing<top_k = 0>} {}

// -----

// #moe.routing C1: at least one group.
// expected-error @+1 {{expected n_group of at least 1 but got 0}}
module attributes {test.attribute = #moe.routing<top_k = 2, n_group = 0>} {}

// -----

// #moe.routing C1: no more groups chosen than there are.
// expected-error @+1 {{expected topk_group between 1 and n_group = 4 but got 5}}
module attributes {test.attribute = #moe.routing<top_k = 2, n_group = 4, topk_group = 5>} {}

// -----

// #moe.routing C2: the weight of one choice.
// expected-error @+1 {{expected top_k = 1 with weight_on_input but got 2}}
module attributes {test.attribute = #moe.routing<top_k = 2, weight_on_input = true>} {}

// -----

// #moe.routing C3: a sum that can vanish.
// expected-error @+1 {{expected renormalize_epsilon and renormalize_minimum that are not negative}}
module attributes {test.attribute = #moe.routing<top_k = 2, renormalize_epsilon = -1.0 : f64>} {}

// -----

// #moe.routing C3: fewer than no zero experts.
// expected-error @+1 {{expected zero_experts of at least 0 but got -1}}
module attributes {test.attribute = #moe.routing<top_k = 2, zero_experts = -1>} {}

// -----

// #moe.activation C1: clamping to nothing.
// expected-error @+1 {{expected a finite limit above 0 but got}}
module attributes {test.attribute = #moe.activation<swigluoai, limit = 0.0 : f64>} {}

// -----

// #moe.activation C1: alpha is a number.
// expected-error @+1 {{expected a finite alpha but got}}
module attributes {test.attribute = #moe.activation<swigluoai, alpha = 0x7FF0000000000000 : f64>} {}

// -----

// #moe.quant C1: an empty block.
// expected-error @+1 {{expected block_rows and block_columns of at least 1 but got 0 and 128}}
module attributes {test.attribute = #moe.quant<fp8_block, block_rows = 0>} {}

// -----

// #moe.parallel C1: at least one rank.
// expected-error @+1 {{expected tensor between 1 and 1048576 but got 0}}
module attributes {test.attribute = #moe.parallel<tensor = 0>} {}

// -----

// #moe.parallel C1: sizes whose product cannot overflow.
// expected-error @+1 {{expected data between 1 and 1048576 but got 1048577}}
module attributes {test.attribute = #moe.parallel<data = 1048577>} {}

// -----

// #moe.parallel C1: a rank of the configuration.
// expected-error @+1 {{expected a rank between 0 and 3 but got 4}}
module attributes {test.attribute = #moe.parallel<tensor = 2, data = 2, rank = 4>} {}

// -----

// #moe.parallel C2: fewer than no redundant experts.
// expected-error @+1 {{expected redundant_experts of at least 0 but got -1}}
module attributes {test.attribute = #moe.parallel<redundant_experts = -1>} {}

// -----

// A placement that the dialect knows.
// expected-error @+2 {{expected one of linear, round_robin but got 'random'}}
// expected-error @+1 {{failed to parse MoE_ParallelAttr parameter 'expert_placement' which is to be a `::moe::PlacementKind`}}
module attributes {test.attribute = #moe.parallel<expert_placement = random>} {}

// -----

// A mode that the dialect knows, and a backend.
// expected-error @+2 {{expected one of auto, on, off but got 'maybe'}}
// expected-error @+1 {{failed to parse MoE_ParallelAttr parameter 'sequence_parallel' which is to be a `::moe::SequenceParallel`}}
module attributes {test.attribute = #moe.parallel<sequence_parallel = maybe>} {}

// -----

// expected-error @+2 {{expected one of allgather_reducescatter, deepep_high_throughput, deepep_low_latency, mori, nixl_ep, flashinfer_nvlink_two_sided, flashinfer_nvlink_one_sided, deepep_v2 but got 'carrier_pigeon'}}
// expected-error @+1 {{failed to parse MoE_ParallelAttr parameter 'all2all_backend' which is to be a `::moe::All2AllBackend`}}
module attributes {test.attribute = #moe.parallel<all2all_backend = carrier_pigeon>} {}

// -----

// #moe.exchange C1: no exchange is no attribute.
// expected-error @+1 {{expected a transport but got none; an op without an exchange has no such attribute}}
module attributes {test.attribute = #moe.exchange<none, <dp = 2>[dp]>} {}

// -----

// #moe.exchange C2: a token has rows.
// expected-error @+1 {{expected at least 1 row per token but got 0}}
module attributes {test.attribute = #moe.exchange<all_gather, <dp = 2>[dp], rows_per_token = 0>} {}

// -----

// #moe.gemm_tile C1: enough of everything.
// expected-error @+1 {{expected stages of at least 2 but got 1}}
module attributes {test.attribute = #moe.gemm_tile<rows = 64, weights = 128, stages = 1, consumers = 1>} {}

// -----

// #moe.gemm_tile C2: steps make up the rows.
// expected-error @+1 {{expected row_step that divides rows = 64 but got 48}}
module attributes {test.attribute = #moe.gemm_tile<rows = 64, row_step = 48, weights = 128, stages = 4, consumers = 1>} {}

// -----

// #moe.gemm_tile C2: only swapped tiles have steps.
// expected-error @+1 {{expected row_step = rows = 64 of a tile that is not swapped but got 32}}
module attributes {test.attribute = #moe.gemm_tile<rows = 64, row_step = 32, weights = 128, stages = 4, consumers = 1, swapped = false>} {}

// -----

// expected-error @+1 {{expected 'moe.gemm_tiles' of experts.up, experts.down, shared.up or shared.down but got gate}}
module attributes {moe.gemm_tiles = {gate = #moe.gemm_tile<rows = 64, weights = 128, stages = 4, consumers = 1>}} {}

// -----

// expected-error @+1 {{expected 'moe.gemm_tiles' with a #moe.gemm_tile for experts.up but got 3 : i64}}
module attributes {moe.gemm_tiles = {experts.up = 3}} {}

// -----

// expected-error @+1 {{expected 'moe.gemm_tiles' as a dictionary but got 3 : i64}}
module attributes {moe.gemm_tiles = 3} {}

// -----

// #moe.parallel C3: thresholds are numbers of tokens.
// expected-error @+1 {{expected dbo_prefill_threshold of at least 0 but got -1}}
module attributes {test.attribute = #moe.parallel<dbo = true, dbo_prefill_threshold = -1>} {}

// -----

// expected-error @+1 {{expected 'moe.part' to be a '#schedule.part' on a phase but got #schedule.part<0 of 2>}}
module attributes {moe.part = #schedule.part<0 of 2>} {}

// -----

// #moe.placement C1
// expected-error @+1 {{expected at least 1 expert and 1 rank but got 8 and 0}}
func.func private @placement() attributes {a = #moe.placement<experts = 8, ranks = 0>}

// -----

// Attributes of other ops: what passes read is checked where it is written.
// expected-error @below {{expected 'moe.parallel' to be a #moe.parallel but got "dp"}}
func.func private @parallel() attributes {moe.parallel = "dp"}

// -----

// expected-error @below {{expected 'moe.layers' to be an array of #moe.layer_info but got ["layer"]}}
func.func private @layers() attributes {moe.layers = ["layer"]}

// -----

// expected-error @below {{expected 'moe.decisions' to be an array of #moe.decision but got "vllm"}}
func.func private @decisions() attributes {moe.decisions = "vllm"}

// -----

// expected-error @below {{expected 'moe.name' to be a string but got 1 : i64}}
func.func private @name(tensor<1xf32> {moe.name = 1 : i64})

// -----

// expected-error @below {{expected an attribute that the dialect has but got 'moe.paralel'}}
func.func private @misspelt() attributes {moe.paralel = #moe.parallel}

// -----

// #moe.parallel_plan C1
// expected-error @+1 {{expected a rank between 0 and 1 but got 2}}
module attributes {test.attribute = #moe.parallel_plan<tensor = 2, rank = 2>} {}

// -----

// #moe.parallel_plan C2
// expected-error @+1 {{expected more than 1 rank with expert_parallel}}
module attributes {test.attribute = #moe.parallel_plan<expert_parallel = true>} {}

// -----

// #moe.parallel_plan C3: nothing is exchanged on one rank of data.
// expected-error @+1 {{expected transport 'none' with data = 1 without expert_parallel but got 'batched'}}
module attributes {test.attribute = #moe.parallel_plan<transport = batched>} {}

// -----

// #moe.parallel_plan C3: shares of experts need all tokens.
// expected-error @+1 {{expected transport 'all_gather' with data = 2 without expert_parallel but got 'send_receive'}}
module attributes {test.attribute = #moe.parallel_plan<data = 2, transport = send_receive>} {}

// -----

// #moe.parallel_plan C4
// expected-error @+1 {{expected expert_parallel, tensor > 1 and data > 1 with sequence_parallel but got tensor = 2 and data = 1, and no expert_parallel}}
module attributes {test.attribute = #moe.parallel_plan<tensor = 2, sequence_parallel = true>} {}

// -----

// #moe.parallel_plan C4
// expected-error @+1 {{expected sequence_parallel and shared_experts with shared_experts_sharded}}
module attributes {test.attribute = #moe.parallel_plan<shared_experts = true, shared_experts_sharded = true>} {}

// -----

// #moe.parallel_plan C5
// expected-error @+1 {{expected redundant_experts of at least 0 but got -1}}
module attributes {test.attribute = #moe.parallel_plan<redundant_experts = -1>} {}

// -----

// #moe.layer_info C1
// expected-error @+1 {{expected top_k of at least 0 but got -1}}
module attributes {test.attribute = #moe.layer_info<top_k = -1>} {}

// -----

// #moe.layer_info C2
// expected-error @+1 {{expected warnings to be strings but got [1]}}
module attributes {test.attribute = #moe.layer_info<warnings = [1]>} {}

// -----

// #moe.batches C1
// expected-error @+1 {{expected prefill_threshold of at least 0 but got -2}}
module attributes {test.attribute = #moe.batches<two = true, prefill_threshold = -2>} {}

// -----

// #moe.decision C1: a threshold without what is done above it.
// expected-error @+1 {{expected 'above' exactly with a threshold of at least 0 but got 256 without it}}
module attributes {test.attribute = #moe.decision<threshold = 256, outcome = <order = NO_OVERLAP>>} {}
