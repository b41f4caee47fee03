// RUN: moe-opt %s --split-input-file --moe-lower-to-kernels | FileCheck %s

// Hidden states, weights and ids of all ranks come together; the plan then takes
// the experts of this rank, which is known only when the program runs.
// CHECK-LABEL: func.func @dispatch(
// CHECK-SAME:    %[[IDS:[a-z0-9]+]]: memref<?x2xi32>, %[[X:[a-z0-9]+]]: memref<?x64xf32>, %[[WEIGHTS:[a-z0-9]+]]: memref<?x2xf32>
// CHECK-DAG:     %[[RANK:.*]] = schedule.rank
// CHECK-DAG:     %[[MAP:.*]] = memref.alloc() {{.*}} : memref<8xi32>
// CHECK-DAG:     %[[ALL_IDS:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x2xi32>
// CHECK:         schedule.run on(comm "ep")
// CHECK:           schedule.collective all_gather over("ep", 2) label("dispatch")
// CHECK-SAME:        sends(%[[X]], %[[WEIGHTS]], %[[IDS]] :
// CHECK-SAME:        receives(%{{[a-z0-9]+}}, %{{[a-z0-9]+}}, %[[ALL_IDS]] :
// CHECK:           schedule.launch @moe_expert_map_{{.*}} writes(%[[MAP]] : memref<8xi32>) scalars(%[[RANK]] : index)
// CHECK:           schedule.launch @moe_dispatch_plan_{{.*}} reads(%[[ALL_IDS]], %[[MAP]] :
func.func @dispatch(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<5xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>) {
  schedule.run on(comm "ep") label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<all_gather, "ep", 2>) parallel(<data = 2, expert_parallel = true>)
  }
  return
}

// -----

// Over dp, each rank has the tokens of its pcp ranks.
// CHECK-LABEL: func.func @dispatch_of_gathered(
// CHECK:         schedule.collective all_gather over("dp", 2) {{.*}} {rows_per_token = 2 : i64}
// CHECK-NOT:     expert_map
// CHECK:         return
func.func @dispatch_of_gathered(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<9xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, prefill_context = 2>} {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<all_gather, "dp", 2>)
  }
  return
}

// -----

// Without an exchange the experts are still those of this rank.
// CHECK-LABEL: func.func @replicated(
// CHECK:         schedule.launch @moe_expert_map
// CHECK:         schedule.launch @moe_dispatch_plan_{{.*}} reads(%{{.*}}, %{{.*}} : memref<?x2xi32>, memref<8xi32>)
func.func @replicated(%ids: memref<?x2xi32>, %offsets: memref<5xi32>, %source: memref<?xi32>, %pairs: memref<?x2xi32>) {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      num_experts(8) parallel(<tensor = 2, expert_parallel = true>)
  }
  return
}

// -----

// Partial sums over all tokens, which a reduce-scatter adds up.
// CHECK-LABEL: func.func @combine(
// CHECK:         %[[PARTIAL:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x64xbf16>
// CHECK:         schedule.launch @moe_combine_{{.*}} writes(%[[PARTIAL]] : memref<?x64xbf16>)
// CHECK:         schedule.collective reduce_scatter over("ep", 2) label("combine") sends(%[[PARTIAL]] :
func.func @combine(%out: memref<?x64xbf16>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %routed: memref<?x64xbf16>) {
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xbf16>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>)
      outs(%routed : memref<?x64xbf16>) scale(1.0) exchange(<all_gather, "ep", 2>)
  }
  return
}

// -----

// The sum over the ranks is one of f32; it is rounded once, and zero experts come
// behind it.
// CHECK-LABEL: func.func @merge(
// CHECK:         schedule.launch @[[SUM:moe_merge_.*]] grid{{.*}} writes(%[[PARTIAL:[a-z0-9_]+]] : memref<?x64xf32>)
// CHECK:         schedule.collective all_reduce over("tp", 2) label("merge") sends(%[[PARTIAL]] : memref<?x64xf32>) receives(%[[TOTAL:[a-z0-9_]+]] : memref<?x64xf32>)
// CHECK:         schedule.launch @[[ROUND:moe_merge_.*]] grid{{.*}} reads(%[[TOTAL]], %{{.*}}, %{{.*}}, %{{.*}} :
func.func @merge(%routed: memref<?x64xf32>, %shared: memref<?x64xf32>, %x: memref<?x64xbf16>, %ids: memref<?x2xi32>,
                 %weights: memref<?x2xf32>, %y: memref<?x64xbf16>) {
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>)
      zero(%x, %ids, %weights : memref<?x64xbf16>, memref<?x2xi32>, memref<?x2xf32>) from(8) scale(1.0)
      outs(%y : memref<?x64xbf16>) sum_over("tp", 2)
  }
  return
}

// -----

// By counts: how many rows go where, then the rows, once for each rank. The way
// back has the same counts the other way round; a token adds up what came back.
// CHECK-LABEL: func.func @counted(
// CHECK-DAG:     %[[ROOM:.*]] = arith.muli %{{.*}}, %{{.*}} : index
// CHECK:         schedule.run on(compute) label("dispatch")
// CHECK:           schedule.launch @moe_send_plan_{{.*}} writes(%[[SEND:[a-z0-9_]+]], %[[ORDER:[a-z0-9_]+]], %[[POSITIONS:[a-z0-9_]+]] :
// CHECK:           schedule.collective all_to_all over("ep", 4) label("dispatch.counts") sends(%[[SEND]] : memref<4xi32>) receives(%[[RECEIVE:[a-z0-9_]+]] : memref<4xi32>)
// CHECK-COUNT-3:   schedule.launch @moe_gather_rows
// CHECK:           schedule.launch @moe_clear_ids_{{.*}} writes(%[[IDS:[a-z0-9_]+]] :
// CHECK:           schedule.collective all_to_all over("ep", 4) label("dispatch.rows") counts(%[[SEND]], %[[RECEIVE]] :
// CHECK:           schedule.launch @moe_expert_map
// CHECK:           schedule.launch @moe_dispatch_plan_{{.*}} reads(%[[IDS]],
// CHECK:         schedule.run on(compute) label("combine")
// CHECK:           schedule.launch @moe_combine_{{.*}} writes(%[[PARTIAL:[a-z0-9_]+]] :
// CHECK:           schedule.collective all_to_all over("ep", 4) label("combine.rows") counts(%[[RECEIVE]], %[[SEND]] : {{.*}}) sends(%[[PARTIAL]] : {{.*}}) receives(%[[BACK:[a-z0-9_]+]] :
// CHECK:           schedule.launch @moe_combine_{{.*}} reads(%[[BACK]], %[[POSITIONS]] :
func.func @counted(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<3xi32>,
                   %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>,
                   %out: memref<?x64xf32>, %routed: memref<?x64xf32>) {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<3xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<send_receive, "ep", 4>) parallel(<data = 4, expert_parallel = true>)
  }
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%row_weights : memref<?x2xf32>)
      outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<send_receive, "ep", 4>)
  }
  return
}

// -----

// With fixed capacity the host knows all counts: 3 ranks have 3, 3 and 2 experts
// with 16 rows from each rank.
// CHECK-LABEL: func.func @batched(
// CHECK:           schedule.launch @moe_batched_send_plan
// CHECK:           schedule.collective all_to_all over("ep", 3) label("dispatch.counts") blocks [3, 3, 2] sends(%{{.*}} : memref<8xi32>)
// CHECK:           schedule.collective all_to_all over("ep", 3) label("dispatch.rows") blocks [48, 48, 32] sends(%{{.*}}, %{{.*}} : memref<128x64xf32>, memref<128x1xf32>)
// CHECK:           schedule.launch @moe_batched_plan
// CHECK:           schedule.launch @moe_combine
// CHECK:           schedule.collective all_to_all over("ep", 3) label("combine.rows") blocks [48, 48, 32] {{.*}} {blocks_by_source}
// CHECK:           schedule.launch @moe_combine
func.func @batched(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<?xi32>,
                   %source: memref<?xi32>, %pairs: memref<?x1xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x1xf32>,
                   %out: memref<?x64xf32>, %routed: memref<?x64xf32>) attributes {moe.max_num_tokens = 16} {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<?xi32>, memref<?xi32>, memref<?x1xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x1xf32>)
      num_experts(8) exchange(<batched, "ep", 3>) parallel(<data = 3, expert_parallel = true>)
  }
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x1xi32>) weights(%row_weights : memref<?x1xf32>)
      outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<batched, "ep", 3>)
  }
  return
}
