// RUN: moe-opt %s --split-input-file | FileCheck %s
// RUN: moe-opt %s --split-input-file --mlir-print-op-generic | moe-opt --split-input-file | FileCheck %s

// Every op prints as it parses, and through the generic form.

// The smallest layer: a router and experts.
// CHECK-LABEL: func @smallest_layer(
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[ROUTER:.*]]: tensor<8x64xf32>, %[[W13:.*]]: tensor<8x64x64xf32>, %[[W2:.*]]: tensor<8x64x32xf32>
// CHECK: moe.layer hidden(%[[X]] : tensor<?x64xf32>) router(%[[ROUTER]] : tensor<8x64xf32>)
// CHECK-SAME: experts(%[[W13]], %[[W2]] : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
// CHECK-SAME: routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
func.func @smallest_layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>,
                          %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Everything that a router's layer can have at once, on a rank that holds a
// share of the experts.
// CHECK-LABEL: func @full_layer(
// CHECK: moe.layer hidden(
// CHECK-SAME: router_bias({{[^:]*}} : tensor<8xf32>) correction_bias({{[^:]*}} : tensor<8xf32>)
// CHECK-SAME: expert_biases({{[^:]*}} : tensor<?x64xbf16>, tensor<?x16xbf16>)
// CHECK-SAME: shared({{[^:]*}} : tensor<96x64xbf16>, tensor<64x48xbf16>) shared_gate({{[^:]*}} : tensor<1x64xbf16>)
// CHECK-SAME: latent({{[^:]*}} : tensor<16x64xbf16>, tensor<64x16xbf16>)
// CHECK-SAME: eplb({{[^:]*}} : tensor<8x5xi32>, tensor<8xi32>)
// CHECK-SAME: routing(<top_k = 2, score = sigmoid, n_group = 4, topk_group = 2, group_score = top2_sum, renormalize = true, renormalize_epsilon = 9.9{{.*}}E-21 : f64, scale = 2.500000e+00 : f64>)
// CHECK-SAME: activation(<swigluoai, limit = 6.000000e+00 : f64, alpha = 1.500000e+00 : f64>)
// CHECK-SAME: num_experts(8)
// CHECK-SAME: parallel(<tensor = 2, data = 2, expert_parallel = true, eplb = true, redundant_experts = 4>) name("model.layers.3")
// CHECK-SAME: -> tensor<?x64xbf16>, tensor<12xi32>
func.func @full_layer(%x: tensor<?x64xbf16>, %router: tensor<8x64xf32>, %rb: tensor<8xf32>, %cb: tensor<8xf32>,
                      %w13: tensor<?x64x16xbf16>, %w2: tensor<?x16x32xbf16>, %b13: tensor<?x64xbf16>, %b2: tensor<?x16xbf16>,
                      %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %gate: tensor<1x64xbf16>,
                      %in: tensor<16x64xbf16>, %out: tensor<64x16xbf16>,
                      %map: tensor<8x5xi32>, %count: tensor<8xi32>) -> (tensor<?x64xbf16>, tensor<12xi32>) {
  %y, %load = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xf32>)
    router_bias(%rb : tensor<8xf32>) correction_bias(%cb : tensor<8xf32>)
    experts(%w13, %w2 : tensor<?x64x16xbf16>, tensor<?x16x32xbf16>)
    expert_biases(%b13, %b2 : tensor<?x64xbf16>, tensor<?x16xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>) shared_gate(%gate : tensor<1x64xbf16>)
    latent(%in, %out : tensor<16x64xbf16>, tensor<64x16xbf16>)
    eplb(%map, %count : tensor<8x5xi32>, tensor<8xi32>)
    routing(<top_k = 2, score = sigmoid, n_group = 4, topk_group = 2, group_score = top2_sum, renormalize = true, renormalize_epsilon = 1.0e-20 : f64, scale = 2.5 : f64>)
    activation(<swigluoai, limit = 6.0, alpha = 1.5>) num_experts(8)
    parallel(<tensor = 2, data = 2, expert_parallel = true, eplb = true, redundant_experts = 4>)
    name("model.layers.3") -> tensor<?x64xbf16>, tensor<12xi32>
  return %y, %load : tensor<?x64xbf16>, tensor<12xi32>
}

// -----

// A router of the embedder's, on a rank that holds 2 of 8 experts; the
// configuration comes from the function.
// CHECK-LABEL: func @given_choice(
// CHECK: moe.layer hidden({{.*}}) given({{[^:]*}} : tensor<?x2xi32>, tensor<?x2xf32>) experts(
// CHECK-SAME: num_experts(8) -> tensor<?x64xf32>
func.func @given_choice(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>,
                        %w13: tensor<2x32x64xf32>, %w2: tensor<2x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 4, rank = 1, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<2x32x64xf32>, tensor<2x64x32xf32>)
    routing(<top_k = 2>) activation(<relu2>) num_experts(8) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Packed weights have half as many columns as elements.
// CHECK-LABEL: func @quantized_layer(
// CHECK: expert_scales({{[^:]*}} : tensor<8x64x2xi8>, tensor<8x64x1xi8>)
// CHECK-SAME: quant(<mxfp4, block_rows = 1, block_columns = 32>)
func.func @quantized_layer(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>,
                           %w13: tensor<8x64x32xi8>, %w2: tensor<8x64x16xi8>,
                           %s13: tensor<8x64x2xi8>, %s2: tensor<8x64x1xi8>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x32xi8>, tensor<8x64x16xi8>)
    expert_scales(%s13, %s2 : tensor<8x64x2xi8>, tensor<8x64x1xi8>)
    routing(<top_k = 2>) activation(<swiglu>)
    quant(<mxfp4, block_rows = 1, block_columns = 32>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Phases on tensors. Their results print under the names of the field.
// CHECK-LABEL: func @phases_on_tensors(
func.func @phases_on_tensors(
    %x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %bias: tensor<8xf32>, %logits0: tensor<?x8xf32>,
    %ids0: tensor<?x2xi32>, %weights0: tensor<?x2xf32>, %offsets0: tensor<9xi32>, %source0: tensor<?xi32>,
    %pair0: tensor<?x2xi32>, %w13: tensor<8x64x64xbf16>, %w2: tensor<8x64x32xbf16>, %b13: tensor<8x64xbf16>,
    %b2: tensor<8x64xbf16>, %out0: tensor<?x64xbf16>, %routed0: tensor<?x64xf32>, %s13: tensor<64x64xbf16>,
    %s2: tensor<64x32xbf16>, %gate: tensor<1x64xbf16>, %shared0: tensor<?x64xf32>, %y0: tensor<?x64xbf16>)
    -> tensor<?x64xbf16> {
  // CHECK: %[[LOGITS:logits]] = moe.gate ins({{[^:]*}} : tensor<?x64xbf16>, tensor<8x64xbf16>) bias({{[^:]*}} : tensor<8xf32>) outs({{[^:]*}} : tensor<?x8xf32>) -> tensor<?x8xf32>
  %logits = moe.gate ins(%x, %router : tensor<?x64xbf16>, tensor<8x64xbf16>) bias(%bias : tensor<8xf32>)
    outs(%logits0 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK: %[[IDS:ids]], %[[WEIGHTS:weights]] = moe.route ins(%[[LOGITS]] : tensor<?x8xf32>) correction_bias(
  // CHECK-SAME: outs({{.*}}) routing(<top_k = 2, score = sigmoid>) -> tensor<?x2xi32>, tensor<?x2xf32>
  %ids, %weights = moe.route ins(%logits : tensor<?x8xf32>) correction_bias(%bias : tensor<8xf32>)
    outs(%ids0, %weights0 : tensor<?x2xi32>, tensor<?x2xf32>) routing(<top_k = 2, score = sigmoid>)
    -> tensor<?x2xi32>, tensor<?x2xf32>
  // CHECK: %[[OFFSETS:offsets]], %[[SOURCE:source_rows]], %[[PAIRS:pair_rows]] = moe.dispatch ins(%[[IDS]] : tensor<?x2xi32>)
  // CHECK-SAME: num_experts(8) -> tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>
  %offsets, %source, %pair = moe.dispatch ins(%ids : tensor<?x2xi32>)
    outs(%offsets0, %source0, %pair0 : tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>) num_experts(8)
    -> tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>
  // CHECK: %[[OUT:expert_out]] = moe.experts ins({{.*}}, %[[OFFSETS]], %[[SOURCE]], {{.*}}) biases({{.*}}) outs({{.*}}) activation(<swiglu>) -> tensor<?x64xbf16>
  %out = moe.experts ins(%x, %offsets, %source, %w13, %w2 : tensor<?x64xbf16>, tensor<9xi32>, tensor<?xi32>, tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    biases(%b13, %b2 : tensor<8x64xbf16>, tensor<8x64xbf16>)
    outs(%out0 : tensor<?x64xbf16>) activation(<swiglu>) -> tensor<?x64xbf16>
  // CHECK: %[[ROUTED:routed]] = moe.combine ins(%[[OUT]], %[[PAIRS]] : {{.*}}) weights(%[[WEIGHTS]] : tensor<?x2xf32>) outs({{.*}}) scale(2.500000e+00) -> tensor<?x64xf32>
  %routed = moe.combine ins(%out, %pair : tensor<?x64xbf16>, tensor<?x2xi32>) weights(%weights : tensor<?x2xf32>)
    outs(%routed0 : tensor<?x64xf32>) scale(2.5) -> tensor<?x64xf32>
  // CHECK: %[[SHARED:shared]] = moe.shared_experts ins({{.*}}) gate({{[^:]*}} : tensor<1x64xbf16>) outs({{.*}}) activation(<swiglu>) -> tensor<?x64xf32>
  %shared = moe.shared_experts ins(%x, %s13, %s2 : tensor<?x64xbf16>, tensor<64x64xbf16>, tensor<64x32xbf16>)
    gate(%gate : tensor<1x64xbf16>) outs(%shared0 : tensor<?x64xf32>) activation(<swiglu>) -> tensor<?x64xf32>
  // CHECK: %[[Y:output]] = moe.merge ins(%[[ROUTED]] : tensor<?x64xf32>) shared(%[[SHARED]] : tensor<?x64xf32>)
  // CHECK-SAME: zero({{.*}}, %[[IDS]], %[[WEIGHTS]] : tensor<?x64xbf16>, tensor<?x2xi32>, tensor<?x2xf32>) from(6) scale(2.500000e+00)
  // CHECK-SAME: outs({{[^:]*}} : tensor<?x64xbf16>) sum_over(#ranks[tp]) -> tensor<?x64xbf16>
  %y = moe.merge ins(%routed : tensor<?x64xf32>) shared(%shared : tensor<?x64xf32>)
    zero(%x, %ids, %weights : tensor<?x64xbf16>, tensor<?x2xi32>, tensor<?x2xf32>) from(6) scale(2.5)
    outs(%y0 : tensor<?x64xbf16>) sum_over(<tp = 2>[tp]) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// An exchange adds rows and weights to dispatch, and the way back to combine.
// CHECK-LABEL: func @exchange(
func.func @exchange(%ids: tensor<?x2xi32>, %x: tensor<?x64xbf16>, %weights: tensor<?x2xf32>,
                    %offsets0: tensor<3xi32>, %source0: tensor<?xi32>, %pair0: tensor<?x2xi32>,
                    %rows0: tensor<?x64xbf16>, %row_weights0: tensor<?x2xf32>,
                    %positions0: tensor<?x2xi32>, %sent0: tensor<4xi32>, %got0: tensor<4xi32>,
                    %out: tensor<?x64xbf16>, %routed0: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  // CHECK: %offsets, %source_rows, %pair_rows, %rows, %row_weights, %positions, %send_counts, %receive_counts = moe.dispatch ins({{[^:]*}} : tensor<?x2xi32>) rows({{[^:]*}} : tensor<?x64xbf16>, tensor<?x2xf32>)
  // CHECK-SAME: received({{[^:]*}} : tensor<?x64xbf16>, tensor<?x2xf32>) way_back({{[^:]*}} : tensor<?x2xi32>) counts({{[^:]*}} : tensor<4xi32>, tensor<4xi32>) num_experts(8) exchange(<send_receive, #ranks{{[0-9]*}}[ep]>)
  // CHECK-SAME: placement(<experts = 8, ranks = 4>)
  %offsets, %source, %pair, %rows, %row_weights, %positions, %sent, %got = moe.dispatch ins(%ids : tensor<?x2xi32>)
    rows(%x, %weights : tensor<?x64xbf16>, tensor<?x2xf32>)
    outs(%offsets0, %source0, %pair0 : tensor<3xi32>, tensor<?xi32>, tensor<?x2xi32>)
    received(%rows0, %row_weights0 : tensor<?x64xbf16>, tensor<?x2xf32>)
    way_back(%positions0 : tensor<?x2xi32>) counts(%sent0, %got0 : tensor<4xi32>, tensor<4xi32>)
    num_experts(8) exchange(<send_receive, <ep = 4>[ep]>) placement(<experts = 8, ranks = 4>)
    -> tensor<3xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x64xbf16>, tensor<?x2xf32>, tensor<?x2xi32>, tensor<4xi32>, tensor<4xi32>
  // CHECK: moe.combine ins({{.*}}, %pair_rows : {{.*}}) weights(%row_weights : tensor<?x2xf32>) way_back(%positions : tensor<?x2xi32>) counts(%send_counts, %receive_counts : tensor<4xi32>, tensor<4xi32>) outs({{.*}}) scale(1.000000e+00) exchange(<send_receive, #ranks{{[0-9]*}}[ep]>)
  %routed = moe.combine ins(%out, %pair : tensor<?x64xbf16>, tensor<?x2xi32>) weights(%row_weights : tensor<?x2xf32>)
    way_back(%positions : tensor<?x2xi32>) counts(%sent, %got : tensor<4xi32>, tensor<4xi32>)
    outs(%routed0 : tensor<?x64xbf16>) scale(1.0) exchange(<send_receive, <ep = 4>[ep]>) -> tensor<?x64xbf16>
  return %routed : tensor<?x64xbf16>
}

// -----

// On buffers phases have no results, and a combine no plan to look up.
// CHECK-LABEL: func @phases_on_buffers(
func.func @phases_on_buffers(%x: memref<?x64xbf16>, %latent_in: memref<16x64xbf16>, %z: memref<?x16xbf16>,
                             %gathered: memref<?x16xbf16>, %sum: memref<?x64xbf16>, %out: memref<?x64xbf16>,
                             %pair: memref<?x1xi32>, %routed: memref<?x64xf32>, %offsets: memref<9xi32>,
                             %source: memref<?xi32>, %w13: memref<8x64x64xi8>, %w2: memref<8x64x32xi8>,
                             %s13: memref<8xf32>, %s2: memref<8xf32>, %weights: memref<?x1xf32>) {
  // CHECK: moe.project ins({{[^:]*}} : memref<?x64xbf16>, memref<16x64xbf16>) outs({{[^:]*}} : memref<?x16xbf16>)
  moe.project ins(%x, %latent_in : memref<?x64xbf16>, memref<16x64xbf16>) outs(%z : memref<?x16xbf16>)
  // CHECK: schedule.collective all_gather over(#ranks[pcp]) sends({{[^:]*}} : memref<?x16xbf16>) receives({{[^:]*}} : memref<?x16xbf16>)
  schedule.collective all_gather over(<pcp = 2, tp = 4>[pcp]) sends(%z : memref<?x16xbf16>) receives(%gathered : memref<?x16xbf16>)
  // CHECK: schedule.collective reduce_scatter over(#ranks[pcp]) sends({{[^:]*}} : memref<?x16xbf16>) receives({{[^:]*}} : memref<?x16xbf16>)
  schedule.collective reduce_scatter over(<pcp = 2, tp = 4>[pcp]) sends(%gathered : memref<?x16xbf16>) receives(%z : memref<?x16xbf16>)
  // CHECK: schedule.collective all_reduce over(#ranks[tp]) sends({{[^:]*}} : memref<?x64xbf16>) receives({{[^:]*}} : memref<?x64xbf16>)
  schedule.collective all_reduce over(<pcp = 2, tp = 4>[tp]) sends(%x : memref<?x64xbf16>) receives(%sum : memref<?x64xbf16>)
  // CHECK: moe.experts ins({{.*}}) scales({{[^:]*}} : memref<8xf32>, memref<8xf32>) input_weights({{[^:]*}} : memref<?x1xf32>) outs({{.*}}) activation(<swiglu>) quant(<fp8_tensor>)
  moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xbf16>, memref<9xi32>, memref<?xi32>, memref<8x64x64xi8>, memref<8x64x32xi8>)
    scales(%s13, %s2 : memref<8xf32>, memref<8xf32>) input_weights(%weights : memref<?x1xf32>)
    outs(%out : memref<?x64xbf16>) activation(<swiglu>) quant(<fp8_tensor>)
  // CHECK: moe.combine ins({{[^:]*}} : memref<?x64xbf16>, memref<?x1xi32>) outs({{[^:]*}} : memref<?x64xf32>) scale(1.000000e+00)
  moe.combine ins(%out, %pair : memref<?x64xbf16>, memref<?x1xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  return
}

// -----

// The load of the experts, on tensors and on buffers.
// CHECK-LABEL: func @expert_load(
func.func @expert_load(%ids: tensor<?x2xi32>, %load0: tensor<8xi32>, %given: memref<?x2xi32>, %counted: memref<8xi32>) -> tensor<8xi32> {
  // CHECK: %load = moe.expert_load ins({{[^:]*}} : tensor<?x2xi32>) outs({{[^:]*}} : tensor<8xi32>) -> tensor<8xi32>
  %load = moe.expert_load ins(%ids : tensor<?x2xi32>) outs(%load0 : tensor<8xi32>) -> tensor<8xi32>
  // CHECK: moe.expert_load ins({{[^:]*}} : memref<?x2xi32>) outs({{[^:]*}} : memref<8xi32>){{$}}
  moe.expert_load ins(%given : memref<?x2xi32>) outs(%counted : memref<8xi32>)
  return %load : tensor<8xi32>
}

// -----

// The steps of phases, and fused phases.
// CHECK-LABEL: func @steps(
func.func @steps(%rank: index, %ids: memref<?x2xi32>, %weights: memref<?x2xf32>, %map: memref<8xi32>, %offsets: memref<3xi32>,
                 %source: memref<?xi32>, %pairs: memref<?x2xi32>, %counts: memref<4xi32>, %rows: memref<?xi32>, %positions: memref<?x2xi32>,
                 %used: memref<8xi32>, %slots: memref<128xi32>, %slot_weights: memref<128x1xf32>, %got: memref<8xi32>,
                 %x: memref<?x64xbf16>, %packed: memref<?x64xbf16>, %single: memref<128x1xi32>, %y: memref<?x64xbf16>) {
  // CHECK: moe.expert_map of(%{{.*}}) placement(<experts = 8, ranks = 4, kind = round_robin>) outs({{[^:]*}} : memref<8xi32>)
  moe.expert_map of(%rank) placement(<experts = 8, ranks = 4, kind = round_robin>) outs(%map : memref<8xi32>)
  // CHECK: moe.dispatch_plan ins({{[^:]*}} : memref<?x2xi32>) map({{[^:]*}} : memref<8xi32>) outs({{[^:]*}} : memref<3xi32>, memref<?xi32>, memref<?x2xi32>)
  moe.dispatch_plan ins(%ids : memref<?x2xi32>) map(%map : memref<8xi32>) outs(%offsets, %source, %pairs : memref<3xi32>, memref<?xi32>, memref<?x2xi32>)
  // CHECK: moe.send_plan ins({{[^:]*}} : memref<?x2xi32>) placement(<experts = 8, ranks = 4>) outs({{[^:]*}} : memref<4xi32>, memref<?xi32>, memref<?x2xi32>)
  moe.send_plan ins(%ids : memref<?x2xi32>) placement(<experts = 8, ranks = 4>) outs(%counts, %rows, %positions : memref<4xi32>, memref<?xi32>, memref<?x2xi32>)
  // CHECK: moe.batched_send_plan ins({{[^:]*}} : memref<?x2xi32>, memref<?x2xf32>) placement(<experts = 8, ranks = 4>) capacity(16) outs({{[^:]*}} : memref<8xi32>, memref<128xi32>, memref<128x1xf32>, memref<?x2xi32>)
  moe.batched_send_plan ins(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) placement(<experts = 8, ranks = 4>) capacity(16)
    outs(%used, %slots, %slot_weights, %positions : memref<8xi32>, memref<128xi32>, memref<128x1xf32>, memref<?x2xi32>)
  // CHECK: moe.batched_plan ins({{[^:]*}} : memref<8xi32>) ranks(4) capacity(16) outs({{[^:]*}} : memref<3xi32>, memref<128xi32>, memref<128x1xi32>)
  moe.batched_plan ins(%got : memref<8xi32>) ranks(4) capacity(16) outs(%offsets, %slots, %single : memref<3xi32>, memref<128xi32>, memref<128x1xi32>)
  // CHECK: moe.gather_rows ins({{[^:]*}} : memref<?x64xbf16>, memref<?xi32>) outs({{[^:]*}} : memref<?x64xbf16>)
  moe.gather_rows ins(%x, %rows : memref<?x64xbf16>, memref<?xi32>) outs(%packed : memref<?x64xbf16>)
  // CHECK: moe.clear_ids outs({{[^:]*}} : memref<?x2xi32>)
  moe.clear_ids outs(%ids : memref<?x2xi32>)
  // CHECK:      moe.fused {
  // CHECK-NEXT: ^bb0(%[[SUMS:.*]]: memref<?x64xf32>):
  // CHECK-NEXT:   moe.combine {{.*}} outs(%[[SUMS]] : memref<?x64xf32>)
  // CHECK-NEXT:   moe.merge ins(%[[SUMS]] : memref<?x64xf32>)
  // CHECK-NEXT: }
  moe.fused {
  ^bb0(%sums: memref<?x64xf32>):
    moe.combine ins(%packed, %pairs : memref<?x64xbf16>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
    moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xbf16>)
  }
  return
}

// What functions say of their layers.
// CHECK-LABEL: func private @described()
// CHECK-SAME: moe.decisions = [#moe.decision<layer = "a \22b\22", rule_set = "vllm", threshold = 256, outcome = <order = MULTI_STREAM_OVERLAPPED, rule = "vllm rule 3">, above = <order = NO_OVERLAP, reason = "many", suggestion = "raise it">, batches = <two = true, decode_threshold = 32, prefill_threshold = 512, rule = "vllm batch rule 4">>, #moe.decision<rule_set = "serial", outcome = <order = NONE>>]
// CHECK-SAME: moe.layers = [#moe.layer_info<name = "a \22b\22", hidden = 64, top_k = 2, gated = true, plan = <tensor = 2, data = 2, rank = 3, expert_parallel = true, all2all_backend = mori, transport = send_receive, sequence_parallel = true, shared_experts = true, shared_experts_sharded = true, experts = 8, redundant_experts = 2, placement = round_robin, eplb = true, dbo = true, dbo_decode_threshold = 1, dbo_prefill_threshold = 2>, warnings = ["one"]>, #moe.layer_info<name = "plain">]
// CHECK-SAME: moe.parallel = #moe.parallel<all2all_backend = deepep_v2, expert_placement = round_robin, sequence_parallel = on>
func.func private @described() attributes {
  moe.decisions = [
    #moe.decision<layer = "a \22b\22", rule_set = "vllm", threshold = 256,
      outcome = <order = MULTI_STREAM_OVERLAPPED, rule = "vllm rule 3">,
      above = <order = NO_OVERLAP, reason = "many", suggestion = "raise it">,
      batches = <two = true, decode_threshold = 32, prefill_threshold = 512, rule = "vllm batch rule 4">>,
    #moe.decision<rule_set = "serial", outcome = <order = NONE>>],
  moe.layers = [
    #moe.layer_info<name = "a \22b\22", hidden = 64, top_k = 2, gated = true,
      plan = <tensor = 2, data = 2, rank = 3, expert_parallel = true, all2all_backend = mori,
              transport = send_receive, sequence_parallel = true, shared_experts = true,
              shared_experts_sharded = true, experts = 8, redundant_experts = 2,
              placement = round_robin, eplb = true, dbo = true, dbo_decode_threshold = 1,
              dbo_prefill_threshold = 2>, warnings = ["one"]>,
    #moe.layer_info<name = "plain">],
  moe.parallel = #moe.parallel<all2all_backend = "deepep_v2", expert_placement = "round_robin", sequence_parallel = "on">}
