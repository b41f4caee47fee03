// RUN: moe-opt %s --moe-expand-layer=max-num-tokens=128 | FileCheck %s

// What moves between ranks and who sums what, row by row of the documentation's
// table of reductions. N is the tokens of all ranks; a payload has the layer's
// dtype.

// tp: every rank has all tokens and a share of every expert. One all-reduce of the sum;
// the description has the widths before sharding.
// CHECK-LABEL: func @tp(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: intermediate = 64,
// CHECK-SAME: shared_intermediate = 96,
// CHECK:      moe.dispatch ins({{[^)]*}}) outs({{[^)]*}}) num_experts(8) ->
// CHECK-NOT:  schedule.collective all_reduce
// CHECK:      moe.combine {{.*}} -> tensor<?x64xf32>
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{.*}}) sum_over(#ranks{{[0-9]*}}[tp])
func.func @tp(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x64xbf16>,
    %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// tp with expert parallelism: a share of the experts on all tokens. The dispatch
// knows whose experts these are.
// CHECK-LABEL: func @tp_ep(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: intermediate = 32,
// CHECK-SAME: shared_intermediate = 96,
// CHECK:      moe.dispatch ins({{[^)]*}}) outs({{[^)]*}}) num_experts(8) placement(<experts = 8, ranks = 2>) ->
// CHECK-NOT:  schedule.collective all_reduce
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{.*}}) sum_over(#ranks{{[0-9]*}}[tp])
func.func @tp_ep(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<4x64x64xbf16>,
    %w2: tensor<4x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<4x64x64xbf16>, tensor<4x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// dp without expert parallelism: all-gather and reduce-scatter over dp. The shared
// experts stay on this rank's tokens; nothing is left to sum.
// CHECK-LABEL: func @dp(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK:      %[[N:.*]] = schedule.total_tokens
// CHECK:      %[[ROWS0:.*]] = bufferization.alloc_tensor(%[[N]]) : tensor<?x64xbf16>
// CHECK:      %[[OFFSETS:.*]], %[[SOURCE:.*]], %[[PAIRS:.*]], %[[ROWS:.*]], %[[WEIGHTS:.*]] = moe.dispatch
// CHECK-SAME: rows(%[[X]], {{.*}}) outs({{.*}}) received(%[[ROWS0]], {{.*}}) num_experts(8) exchange(<all_gather, #ranks{{[0-9]*}}[dp]>) ->
// CHECK:      moe.experts ins(%[[ROWS]], %[[OFFSETS]], %[[SOURCE]],
// CHECK:      moe.combine ins({{.*}}, %[[PAIRS]] : {{.*}}) weights(%[[WEIGHTS]] : {{.*}}) outs({{.*}}) scale({{.*}}) exchange(<all_gather, #ranks{{[0-9]*}}[dp]>) -> tensor<?x64xbf16>
// CHECK:      moe.shared_experts ins(%[[X]],
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{[^)]*}}) ->
func.func @dp(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x64xbf16>,
    %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<data = 2>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// dp with expert parallelism, one rank of tp: the same over the ep ranks, and local
// experts of a number that the artefact's rank decides.
// CHECK-LABEL: func @dp_ep(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: tensor<?x64x64xbf16> {schedule.axes = ["L", "", ""]}
// CHECK-SAME: tensor<?x64x32xbf16> {schedule.axes = ["L", "", ""]}
// CHECK:      %[[L:.*]] = tensor.dim %{{.*}}, %{{.*}} : tensor<?x64x64xbf16>
// CHECK:      %[[L1:.*]] = arith.addi %[[L]], %{{.*}}
// CHECK:      bufferization.alloc_tensor(%[[L1]]) : tensor<?xi32>
// CHECK:      moe.dispatch {{.*}} exchange(<all_gather, #ranks{{[0-9]*}}[dp]>) placement(<experts = 8, ranks = 2>)
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{[^)]*}}) ->
func.func @dp_ep(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<?x64x64xbf16>,
    %w2: tensor<?x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<?x64x64xbf16>, tensor<?x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// dp and tp with expert parallelism: tp ranks hold equal tokens, so only dp gathers,
// and N is counted once per tp rank. The sum is partial over tp.
// CHECK-LABEL: func @dp_tp_ep(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK:      %[[N:.*]] = schedule.total_tokens
// CHECK:      %[[ROWS:.*]] = arith.divui %[[N]], %c2
// CHECK:      %[[ROWS0:.*]] = bufferization.alloc_tensor(%[[ROWS]]) : tensor<?x64xbf16>
// CHECK:      moe.dispatch {{.*}} exchange(<all_gather, #ranks{{[0-9]*}}[dp]>)
// CHECK-NOT:  schedule.collective all_reduce
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{.*}}) sum_over(#ranks{{[0-9]*}}[tp])
func.func @dp_tp_ep(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// An all-to-all sums, so the shared output alone is partial over tp.
// CHECK-LABEL: func @send_receive(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK:      %[[N:.*]] = schedule.total_tokens
// CHECK:      %[[P:.*]] = arith.muli %[[N]], %c2
// CHECK:      bufferization.alloc_tensor(%[[P]]) : tensor<?xi32>
// CHECK:      moe.dispatch {{.*}} exchange(<send_receive, #ranks{{[0-9]*}}[dp, tp]>)
// CHECK:      moe.combine {{.*}} exchange(<send_receive, #ranks{{[0-9]*}}[dp, tp]>) -> tensor<?x64xbf16>
// CHECK:      %[[SHARED:.*]] = moe.shared_experts {{.*}} -> tensor<?x64xbf16>
// CHECK:      %[[SUM:.*]] = schedule.collective all_reduce over(#ranks{{[0-9]*}}[tp]) label("all-reduce") sends(%[[SHARED]] : {{.*}}) receives({{.*}})
// CHECK:      moe.merge ins({{.*}}) shared(%[[SUM]] : {{.*}}) outs({{[^)]*}}) ->
func.func @send_receive(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, all2all_backend = deepep_high_throughput>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Fixed capacity: 2 ranks x 128 tokens for each of the 4 local experts, and a row per
// choice. N is not asked for.
// CHECK-LABEL: func @batched(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: schedule.max_num_tokens = 128 : i64
// CHECK-NOT:  schedule.total_tokens
// CHECK:      bufferization.alloc_tensor() : tensor<1024xi32>
// CHECK:      bufferization.alloc_tensor() : tensor<1024x1xi32>
// CHECK:      bufferization.alloc_tensor() : tensor<1024x64xbf16>
// CHECK:      bufferization.alloc_tensor() : tensor<1024x1xf32>
// CHECK:      moe.dispatch {{.*}} exchange(<batched, #ranks{{[0-9]*}}[dp]>)
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{[^)]*}}) ->
func.func @batched(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<4x64x64xbf16>,
    %w2: tensor<4x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_low_latency>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<4x64x64xbf16>, tensor<4x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Sequence parallelism: every rank has its slice, all ranks exchange, the shared
// weights are replicated, and nothing is left to sum.
// CHECK-LABEL: func @sequence_parallel(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: shared_intermediate = 48,
// CHECK:      %[[N:.*]] = schedule.total_tokens
// CHECK-NOT:  arith.divui
// CHECK:      moe.dispatch {{.*}} exchange(<all_gather, #ranks{{[0-9]*}}[dp, tp]>)
// CHECK-NOT:  schedule.collective all_reduce
// CHECK:      moe.merge ins({{.*}}) shared({{.*}}) outs({{[^)]*}}) ->
func.func @sequence_parallel(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, sequence_parallel = on>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Shared experts sharded over the slices: each rank computes its share of all slices.
// CHECK-LABEL: func @sharded_shared(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: shared_intermediate = 96,
// CHECK:      %[[ROWS:.*]] = schedule.collective all_gather over(#ranks{{[0-9]*}}[tp]) label("all-gather") sends(%[[X]] : {{.*}}) receives({{.*}})
// CHECK:      %[[PART:.*]] = moe.shared_experts ins(%[[ROWS]],
// CHECK:      %[[SHARED:.*]] = schedule.collective reduce_scatter over(#ranks{{[0-9]*}}[tp]) label("reduce-scatter") sends(%[[PART]] : {{.*}}) receives({{.*}})
// CHECK:      moe.merge ins({{.*}}) shared(%[[SHARED]] : {{.*}}) outs({{[^)]*}}) ->
func.func @sharded_shared(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, sequence_parallel = on, shard_shared_experts = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// pcp: hidden states and logits are gathered before routing, results reduce-scattered
// after the combine; the shared experts stay on this rank's tokens.
// CHECK-LABEL: func @pcp(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK:      %[[LOCAL:.*]] = moe.gate ins(%[[X]],
// CHECK:      %[[ROWS:.*]] = schedule.collective all_gather over(#ranks{{[0-9]*}}[pcp]) label("all-gather") sends(%[[X]] : {{.*}}) receives({{.*}})
// CHECK:      %[[LOGITS:.*]] = schedule.collective all_gather over(#ranks{{[0-9]*}}[pcp]) label("all-gather") sends(%[[LOCAL]] : {{.*}}) receives({{.*}})
// CHECK:      moe.route ins(%[[LOGITS]] :
// CHECK:      moe.dispatch ins({{[^)]*}}) outs({{[^)]*}}) num_experts(8) ->
// CHECK:      moe.experts ins(%[[ROWS]],
// CHECK:      %[[ALL:.*]] = moe.combine {{.*}} -> tensor<?x64xbf16>
// CHECK:      %[[ROUTED:.*]] = schedule.collective reduce_scatter over(#ranks{{[0-9]*}}[pcp]) label("reduce-scatter") sends(%[[ALL]] : {{.*}}) receives({{.*}})
// CHECK:      moe.shared_experts ins(%[[X]],
// CHECK:      moe.merge ins(%[[ROUTED]] :
func.func @pcp(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x64xbf16>,
    %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<prefill_context = 2>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// An all-to-all over all ranks reaches the pcp ranks by itself.
// CHECK-LABEL: func @pcp_all_to_all(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-NOT:  schedule.collective all_gather
// CHECK:      moe.dispatch {{.*}} exchange(<send_receive, #ranks{{[0-9]*}}[dp, pcp]>)
// CHECK-NOT:  schedule.collective reduce_scatter
// CHECK:      return
func.func @pcp_all_to_all(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<prefill_context = 2, data = 2, expert_parallel = true, all2all_backend = mori>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// A round-robin placement that is not possible becomes linear where experts are told
// apart; what the user asked for stays, and the plan says what is done, and why.
// CHECK-LABEL: func @placement(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: plan = <data = 2, expert_parallel = true, transport = all_gather, shared_experts = true, experts = 8>
// CHECK-SAME: warnings = ["round_robin expert placement is not possible, using linear: the router has no expert groups"]
// CHECK-SAME: moe.parallel = #moe.parallel<data = 2, expert_parallel = true, expert_placement = round_robin>
// CHECK:      moe.dispatch {{.*}} placement(<experts = 8, ranks = 2>)
func.func @placement(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<4x64x64xbf16>,
    %w2: tensor<4x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, expert_placement = round_robin>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<4x64x64xbf16>, tensor<4x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// One that is possible stays.
// CHECK-LABEL: func @round_robin(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK:      moe.dispatch {{.*}} placement(<experts = 8, ranks = 2, kind = round_robin>)
func.func @round_robin(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<4x64x64xbf16>,
    %w2: tensor<4x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, expert_parallel = true, expert_placement = round_robin>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<4x64x64xbf16>, tensor<4x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2, n_group = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// EPLB: the router maps to physical experts, of which there are 10.
// CHECK-LABEL: func @eplb(
// CHECK-SAME: %[[MAP:[^:]*]]: tensor<8x3xi32>, %[[COUNT:[^:]*]]: tensor<8xi32>
// CHECK-SAME: experts = 8, redundant_experts = 2
// CHECK:      moe.route {{.*}} eplb(%[[MAP]], %[[COUNT]] :
// CHECK-NOT:  moe.expert_load
// CHECK:      moe.dispatch {{.*}} num_experts(10)
func.func @eplb(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<5x64x64xbf16>,
    %w2: tensor<5x64x32xbf16>, %map: tensor<8x3xi32>, %count: tensor<8xi32>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<5x64x64xbf16>, tensor<5x64x32xbf16>)
    eplb(%map, %count : tensor<8x3xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// The load is a second result, counted right behind the router.
// CHECK-LABEL: func @expert_load(
// CHECK:      %[[IDS:.*]], %{{.*}} = moe.route
// CHECK:      %[[PLACE:.*]] = bufferization.alloc_tensor() : tensor<10xi32>
// CHECK:      %[[LOAD:.*]] = moe.expert_load ins(%[[IDS]] : tensor<?x2xi32>) outs(%[[PLACE]] : tensor<10xi32>)
// CHECK:      return %{{.*}}, %[[LOAD]] : tensor<?x64xbf16>, tensor<10xi32>
func.func @expert_load(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<5x64x64xbf16>,
    %w2: tensor<5x64x32xbf16>, %map: tensor<8x3xi32>, %count: tensor<8xi32>) -> (tensor<?x64xbf16>, tensor<10xi32>) {
  %y, %load = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<5x64x64xbf16>, tensor<5x64x32xbf16>)
    eplb(%map, %count : tensor<8x3xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2>) -> tensor<?x64xbf16>, tensor<10xi32>
  return %y, %load : tensor<?x64xbf16>, tensor<10xi32>
}
