// RUN: moe-opt %s --moe-schedule-pipeline=max-num-tokens=128 | FileCheck %s
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=128 rule-set=serial" | FileCheck %s --check-prefix=SERIAL
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=128 disable-shared-experts-stream" | FileCheck %s --check-prefix=ALONE
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=128 static-num-tokens=4" | FileCheck %s --check-prefix=STATIC
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=128 token-threshold=9 monolithic-kernel" | FileCheck %s --check-prefix=MONOLITHIC
// RUN: not moe-opt %s --moe-schedule-pipeline 2>&1 | FileCheck %s --check-prefix=CAPACITY
// RUN: not moe-opt %s --moe-schedule-pipeline="rule-set=auto machine=%t.none max-num-tokens=128" 2>&1 | FileCheck %s --check-prefix=MACHINE

// From moe.layer to a schedule that is proven free of races, on one rank of
// several configurations. The last pass of the pipeline is the proof, so the
// orders below are accepted ones, collectives in both arms included.

// SERIAL-NOT:     {{scf.if|schedule.mark|on\(aux\)|on\(comm}}
// ALONE-NOT:      on(aux)
// STATIC-NOT:     scf.if
// STATIC:         on(aux)
// STATIC-NOT:     scf.if
// MONOLITHIC-NOT: on(comm
// MONOLITHIC:     threshold = 9,
// CAPACITY:       error: 'moe.layer' op expected the function's attribute 'schedule.max_num_tokens' or the option 'max-num-tokens': the exchange of 'deepep_low_latency' has a fixed capacity
// MACHINE:        error: cannot read machine file '{{.*}}.none'

// The exchange of all-gathers stays on the compute stream; the sum over tp is the
// merge's. Both arms exchange in one order.
// CHECK-LABEL: func @all_gather(
// CHECK:       scf.if
// CHECK-NEXT:  %[[FORK:.*]] = schedule.mark on(compute)
// CHECK:       %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts")
// CHECK:       run on(compute) label("gate")
// CHECK:       run on(compute) label("route")
// CHECK:       run on(compute) label("dispatch")
// CHECK-NEXT:  moe.dispatch {{.*}} exchange(<all_gather, #ranks{{[0-9]*}}[dp]>)
// CHECK:       run on(compute) label("experts")
// CHECK:       run on(compute) label("combine")
// CHECK:       run on(compute) after(%[[DONE]]) label("merge")
// CHECK-NEXT:  moe.merge {{.*}} sum_over(#ranks{{[0-9]*}}[tp])
// CHECK:       } else {
// CHECK-NOT:   {{schedule.mark|after\(}}
// CHECK:       run on(compute) label("gate")
// CHECK:       run on(compute) label("shared experts")
// CHECK:       run on(compute) label("route")
// CHECK:       run on(compute) label("dispatch")
// CHECK:       run on(compute) label("experts")
// CHECK:       run on(compute) label("combine")
// CHECK:       run on(compute) label("merge")
// CHECK-NOT:   label(
// CHECK:       return
func.func @all_gather(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// A backend that sums on the way back, not asynchronous: the shared output alone
// is summed over tp, on the compute stream, which joins for it.
// CHECK-LABEL: func @shared_sum(
// CHECK:       scf.if
// CHECK:       %[[DONE:.*]] = schedule.run on(aux) after(%{{.*}}) label("shared experts")
// CHECK:       run on(compute) label("combine")
// CHECK:       run on(compute) after(%[[DONE]]) label("all-reduce")
// CHECK:       run on(compute) label("merge")
// CHECK:       } else {
// CHECK:       run on(compute) label("gate")
// CHECK:       run on(compute) label("shared experts")
// CHECK:       run on(compute) label("combine")
// CHECK:       run on(compute) label("all-reduce")
// CHECK:       run on(compute) label("merge")
// CHECK-NOT:   label(
// CHECK:       return
func.func @shared_sum(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, all2all_backend = mori>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// A fixed capacity and an asynchronous backend: dispatch and combine on the stream
// of the communicator, shared experts and their sum while the combine is away. No
// stream of its own is needed, so taking the auxiliary one away changes nothing.
// CHECK-LABEL: func @batched(
// CHECK-NOT:   scf.if
// CHECK:       run on(compute) label("gate")
// CHECK:       %[[ROUTED:.*]] = schedule.run on(compute) label("route")
// CHECK:       %[[SENT:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp, tp]) after(%[[ROUTED]]) label("dispatch")
// CHECK:       %[[COMPUTED:.*]] = schedule.run on(compute) after(%[[SENT]]) label("experts")
// CHECK:       %[[COMBINED:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp, tp]) after(%[[COMPUTED]]) label("combine")
// CHECK:       run on(compute) label("shared experts")
// CHECK:       run on(compute) label("all-reduce")
// CHECK:       run on(compute) after(%[[COMBINED]]) label("merge")
// CHECK-NOT:   label(
// CHECK:       return
// ALONE:       run on(comm #ranks{{[0-9]*}}[dp, tp]) after(%{{.*}}) label("dispatch")
func.func @batched(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, all2all_backend = deepep_low_latency>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// pcp: the gathers of hidden states and logits lie between gate and shared experts,
// the reduce-scatter behind the combine, in both arms.
// CHECK-LABEL: func @pcp(
// CHECK:       scf.if
// CHECK:       %[[DONE:.*]] = schedule.run on(aux) after(%{{.*}}) label("shared experts")
// CHECK:       label("gate")
// CHECK:       label("all-gather")
// CHECK:       label("all-gather")
// CHECK:       label("route")
// CHECK:       label("combine")
// CHECK:       label("reduce-scatter")
// CHECK:       after(%[[DONE]]) label("merge")
// CHECK:       } else {
// CHECK:       label("gate")
// CHECK:       label("all-gather")
// CHECK:       label("all-gather")
// CHECK:       label("shared experts")
// CHECK:       label("route")
// CHECK:       label("combine")
// CHECK:       label("reduce-scatter")
// CHECK:       label("merge")
// CHECK-NOT:   label(
// CHECK:       return
func.func @pcp(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x64xbf16>,
    %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<prefill_context = 2>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Shared experts sharded over sequence parallelism: their gather comes with them
// and is the fork. T is this rank's slice.
// CHECK-LABEL: func @sharded(
// CHECK-SAME:  %[[X:[^:]*]]: memref<?x64xbf16>
// CHECK:       %[[T:.*]] = memref.dim %[[X]], %{{.*}} : memref<?x64xbf16>
// CHECK-NOT:   memref.dim
// CHECK:       %[[SLICE:.*]] = memref.dim %[[X]], %{{.*}} : memref<?x64xbf16>
// CHECK:       arith.cmpi ule, %[[SLICE]],
// CHECK-NEXT:  scf.if
// CHECK-NEXT:  %[[FORK:.*]] = schedule.run on(compute) label("all-gather")
// CHECK:       %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts")
// CHECK:       run on(compute) label("gate")
// CHECK:       run on(compute) label("combine")
// CHECK:       run on(compute) after(%[[DONE]]) label("reduce-scatter")
// CHECK:       run on(compute) label("merge")
// CHECK:       } else {
// CHECK:       label("gate")
// CHECK:       label("all-gather")
// CHECK:       label("shared experts")
// CHECK:       label("reduce-scatter")
// CHECK:       label("merge")
// CHECK-NOT:   label(
// CHECK:       return
func.func @sharded(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<2x64x64xbf16>,
    %w2: tensor<2x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<tensor = 2, data = 2, expert_parallel = true, sequence_parallel = on, shard_shared_experts = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<2x64x64xbf16>, tensor<2x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Latent projections: in before the dispatch, out behind the combine.
// CHECK-LABEL: func @latent(
// CHECK:       scf.if
// CHECK:       on(aux)
// CHECK:       label("gate")
// CHECK:       label("project")
// CHECK:       label("dispatch")
// CHECK:       label("combine")
// CHECK:       label("project")
// CHECK:       label("merge")
// CHECK:       } else {
// CHECK:       label("gate")
// CHECK:       label("project")
// CHECK:       label("shared experts")
// CHECK:       label("route")
// CHECK:       label("dispatch")
// CHECK:       label("combine")
// CHECK:       label("project")
// CHECK:       label("merge")
// CHECK-NOT:   label(
// CHECK:       return
func.func @latent(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x16xbf16>, %w2: tensor<8x16x32xbf16>,
    %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %in: tensor<16x64xbf16>, %out: tensor<64x16xbf16>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x16xbf16>, tensor<8x16x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    latent(%in, %out : tensor<16x64xbf16>, tensor<64x16xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// EPLB with the default backend may overlap; the maps are read by the route.
// CHECK-LABEL: func @eplb(
// CHECK-SAME:  %[[MAP:[^:]*]]: memref<8x3xi32>, %[[COUNT:[^:]*]]: memref<8xi32>
// CHECK:       scf.if
// CHECK:       on(aux)
// CHECK:       label("route")
// CHECK-NEXT:  moe.route {{.*}} eplb(%[[MAP]], %[[COUNT]] :
// CHECK:       } else {
func.func @eplb(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<5x64x64xbf16>, %w2: tensor<5x64x32xbf16>,
    %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %map: tensor<8x3xi32>, %count: tensor<8xi32>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<5x64x64xbf16>, tensor<5x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    eplb(%map, %count : tensor<8x3xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
