// RUN: moe-opt %s --split-input-file --moe-lower-exchanges | FileCheck %s
// RUN: moe-opt %s --split-input-file --moe-lower-exchanges --moe-generate-kernels | FileCheck %s --check-prefix=KERNELS

// No phase is left that needs other ranks, and all steps have kernels.
// KERNELS-NOT: moe.
// KERNELS:     func.func

// Hidden states, weights and ids of all ranks come together; the plan then takes
// the experts of this rank, which is known only when the program runs.
// CHECK-LABEL: func.func @dispatch(
// CHECK-SAME:    %[[IDS:[a-z0-9]+]]: memref<?x2xi32>, %[[X:[a-z0-9]+]]: memref<?x64xf32>, %[[WEIGHTS:[a-z0-9]+]]: memref<?x2xf32>
// CHECK-DAG:     %[[RANK:.*]] = schedule.rank
// CHECK-DAG:     %[[MAP:.*]] = memref.alloc() {{.*}} : memref<8xi32>
// CHECK-DAG:     %[[ALL_IDS:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x2xi32>
// CHECK:         schedule.run on(comm #ranks{{[0-9]*}}[ep])
// CHECK:           schedule.collective all_gather over(#ranks{{[0-9]*}}[ep]) label("dispatch")
// CHECK-SAME:        sends(%[[X]], %[[WEIGHTS]], %[[IDS]] :
// CHECK-SAME:        receives(%{{[a-z0-9]+}}, %{{[a-z0-9]+}}, %[[ALL_IDS]] :
// CHECK-NEXT:      moe.expert_map of(%[[RANK]]) placement(<experts = 8, ranks = 2>) outs(%[[MAP]] : memref<8xi32>)
// CHECK-NEXT:      moe.dispatch_plan ins(%[[ALL_IDS]] : memref<?x2xi32>) map(%[[MAP]] : memref<8xi32>) outs(
// CHECK-NEXT:    }
func.func @dispatch(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<5xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>) {
  schedule.run on(comm <ep = 2>[ep]) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<all_gather, <ep = 2>[ep]>) placement(<experts = 8, ranks = 2>)
  }
  return
}

// -----

// Over dp, each rank has the tokens of its pcp ranks.
// CHECK-LABEL: func.func @dispatch_of_gathered(
// CHECK:         schedule.collective all_gather over(#ranks{{[0-9]*}}[dp]) {{.*}} {rows_per_token = 2 : i64}
// CHECK-NOT:     expert_map
// CHECK:         return
func.func @dispatch_of_gathered(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<9xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>) {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<all_gather, <dp = 2, pcp = 2>[dp], rows_per_token = 2>)
  }
  return
}

// -----

// Without an exchange the experts are still those of this rank.
// CHECK-LABEL: func.func @replicated(
// CHECK-NOT:     schedule.collective
// CHECK:         moe.expert_map of(%{{.*}}) placement(<experts = 8, ranks = 2, kind = round_robin>) outs(%[[MAP:.*]] :
// CHECK-NEXT:    moe.dispatch_plan ins(%{{.*}} : memref<?x2xi32>) map(%[[MAP]] : memref<8xi32>)
func.func @replicated(%ids: memref<?x2xi32>, %offsets: memref<5xi32>, %source: memref<?xi32>, %pairs: memref<?x2xi32>) {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      num_experts(8) placement(<experts = 8, ranks = 2, kind = round_robin>)
  }
  return
}

// -----

// Partial sums over all tokens, which a reduce-scatter adds up.
// CHECK-LABEL: func.func @combine(
// CHECK:         %[[PARTIAL:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x64xbf16>
// CHECK:         moe.combine ins({{.*}}) weights({{.*}}) outs(%[[PARTIAL]] : memref<?x64xbf16>) scale(2.500000e+00){{$}}
// CHECK-NEXT:    schedule.collective reduce_scatter over(#ranks{{[0-9]*}}[ep]) label("combine") sends(%[[PARTIAL]] :
func.func @combine(%out: memref<?x64xbf16>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %routed: memref<?x64xbf16>) {
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xbf16>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>)
      outs(%routed : memref<?x64xbf16>) scale(2.5) exchange(<all_gather, <ep = 2>[ep]>)
  }
  return
}

// -----

// The sum over the ranks is one of f32; it is rounded once, and zero experts come
// behind it.
// CHECK-LABEL: func.func @merge(
// CHECK:         moe.merge ins(%{{.*}}) shared({{.*}}) outs(%[[PARTIAL:[a-z0-9_]+]] : memref<?x64xf32>){{$}}
// CHECK:         schedule.collective all_reduce over(#ranks{{[0-9]*}}[tp]) label("merge") sends(%[[PARTIAL]] : memref<?x64xf32>) receives(%[[TOTAL:[a-z0-9_]+]] : memref<?x64xf32>)
// CHECK-NEXT:    moe.merge ins(%[[TOTAL]] : memref<?x64xf32>) zero({{.*}}) from(8) scale(1.000000e+00) outs(%{{.*}} : memref<?x64xbf16>){{$}}
func.func @merge(%routed: memref<?x64xf32>, %shared: memref<?x64xf32>, %x: memref<?x64xbf16>, %ids: memref<?x2xi32>,
                 %weights: memref<?x2xf32>, %y: memref<?x64xbf16>) {
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>)
      zero(%x, %ids, %weights : memref<?x64xbf16>, memref<?x2xi32>, memref<?x2xf32>) from(8) scale(1.0)
      outs(%y : memref<?x64xbf16>) sum_over(<tp = 2>[tp])
  }
  return
}

// -----

// A sum of float32 needs no rounding: the collective writes the result.
// CHECK-LABEL: func.func @merge_of_sums(
// CHECK-SAME:    %[[Y:[a-z0-9]+]]: memref<?x64xf32>)
// CHECK:         schedule.collective all_reduce {{.*}} receives(%[[Y]] : memref<?x64xf32>)
// CHECK-NEXT:    }
func.func @merge_of_sums(%routed: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over(<tp = 2>[tp])
  }
  return
}

// -----

// By counts: how many rows go where, then the rows, once for each rank. The way
// back has the same counts the other way round; a token adds up what came back.
// CHECK-LABEL: func.func @counted(
// CHECK-SAME:    %[[POSITIONS:[a-z0-9]+]]: memref<?x2xi32>, %[[SEND:[a-z0-9]+]]: memref<4xi32>, %[[RECEIVE:[a-z0-9]+]]: memref<4xi32>
// CHECK-DAG:     %[[ROOM:.*]] = arith.muli %{{.*}}, %{{.*}} : index
// CHECK:         schedule.run on(compute) label("dispatch")
// CHECK:           moe.send_plan ins(%{{.*}}) placement(<experts = 8, ranks = 4>) outs(%[[SEND]], %[[ORDER:[a-z0-9_]+]], %[[POSITIONS]] :
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("dispatch.counts") sends(%[[SEND]] : memref<4xi32>) receives(%[[RECEIVE]] : memref<4xi32>)
// CHECK-NEXT:      moe.gather_rows ins(%{{.*}}, %[[ORDER]] : memref<?x64xf32>, memref<?xi32>)
// CHECK-NEXT:      moe.gather_rows ins(%{{.*}}, %[[ORDER]] : memref<?x2xf32>, memref<?xi32>)
// CHECK-NEXT:      moe.gather_rows ins(%{{.*}}, %[[ORDER]] : memref<?x2xi32>, memref<?xi32>)
// CHECK-NEXT:      moe.clear_ids outs(%[[IDS:[a-z0-9_]+]] :
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("dispatch.rows") counts(%[[SEND]], %[[RECEIVE]] :
// CHECK-NEXT:      moe.expert_map
// CHECK-NEXT:      moe.dispatch_plan ins(%[[IDS]] :
// CHECK:         schedule.run on(compute) label("combine")
// CHECK:           moe.combine {{.*}} outs(%[[PARTIAL:[a-z0-9_]+]] :
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("combine.rows") counts(%[[RECEIVE]], %[[SEND]] : {{.*}}) sends(%[[PARTIAL]] : {{.*}}) receives(%[[BACK:[a-z0-9_]+]] :
// CHECK-NEXT:      moe.combine ins(%[[BACK]], %[[POSITIONS]] : {{.*}}) outs({{.*}}) scale(1.000000e+00){{$}}
func.func @counted(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<3xi32>,
                   %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>,
                   %positions: memref<?x2xi32>, %sent: memref<4xi32>, %got: memref<4xi32>,
                   %out: memref<?x64xf32>, %routed: memref<?x64xf32>) {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<3xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      way_back(%positions : memref<?x2xi32>) counts(%sent, %got : memref<4xi32>, memref<4xi32>)
      num_experts(8) exchange(<send_receive, <ep = 4>[ep]>) placement(<experts = 8, ranks = 4>)
  }
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%row_weights : memref<?x2xf32>)
      way_back(%positions : memref<?x2xi32>) counts(%sent, %got : memref<4xi32>, memref<4xi32>)
      outs(%routed : memref<?x64xf32>) scale(2.5) exchange(<send_receive, <ep = 4>[ep]>)
  }
  return
}

// -----

// With fixed capacity the host knows all counts: 3 ranks have 3, 3 and 2 experts
// with 16 rows from each rank.
// CHECK-LABEL: func.func @batched(
// CHECK:           moe.batched_send_plan ins({{.*}}) placement(<experts = 8, ranks = 3>) capacity(16)
// CHECK-NEXT:      moe.gather_rows
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("dispatch.counts") blocks [3, 3, 2] sends(%{{.*}} : memref<8xi32>)
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("dispatch.rows") blocks [48, 48, 32] sends(%{{.*}}, %{{.*}} : memref<128x64xf32>, memref<128x1xf32>)
// CHECK-NEXT:      moe.batched_plan ins(%{{.*}}) ranks(3) capacity(16)
// CHECK:           moe.combine
// CHECK-NEXT:      schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) label("combine.rows") blocks [48, 48, 32] {{.*}} {blocks_by_source}
// CHECK-NEXT:      moe.combine
func.func @batched(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<?xi32>,
                   %source: memref<?xi32>, %pairs: memref<?x1xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x1xf32>,
                   %positions: memref<?x2xi32>, %out: memref<?x64xf32>, %routed: memref<?x64xf32>)
    attributes {schedule.max_num_tokens = 16} {
  schedule.run on(compute) label("dispatch") {
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<?xi32>, memref<?xi32>, memref<?x1xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x1xf32>) way_back(%positions : memref<?x2xi32>)
      num_experts(8) exchange(<batched, <ep = 3>[ep]>) placement(<experts = 8, ranks = 3>)
  }
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x1xi32>) weights(%row_weights : memref<?x1xf32>)
      way_back(%positions : memref<?x2xi32>)
      outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<batched, <ep = 3>[ep]>) num_experts(8)
  }
  return
}

// -----

// A collective is what it is already.
// CHECK-LABEL: func.func @gather(
// CHECK:         schedule.collective all_gather over(#ranks{{[0-9]*}}[pcp]) part(<1 of 2>) sends(
func.func @gather(%x: memref<?x64xf32>, %all: memref<?x64xf32>) {
  schedule.run on(compute) {
    schedule.collective all_gather over(<pcp = 2>[pcp]) part(<1 of 2>) sends(%x : memref<?x64xf32>) receives(%all : memref<?x64xf32>)
  }
  return
}
