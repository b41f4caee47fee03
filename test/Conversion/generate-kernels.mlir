// RUN: moe-opt %s --moe-generate-kernels | FileCheck %s
// RUN: moe-opt %s --moe-generate-kernels=cpu=host --schedule-verify | FileCheck %s

// Each phase becomes launches of generated kernels in its run, on its stream and
// after its events. Equal phases share a kernel. Every launch declares what it
// reads and writes.
// CHECK-LABEL: func.func @streams(
// CHECK-SAME:    %[[X:[^:]*]]: memref<?x64xf32>, %[[ROUTER:[^:]*]]: memref<8x64xf32>, %[[A:[^:]*]]: memref<?x8xf32> {{[^,]*}}, %[[B:[^:]*]]: memref<?x8xf32>
// CHECK-NEXT:    %[[FORK:.*]] = schedule.mark on(compute)
// CHECK-NEXT:    %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("first") {
// CHECK-NOT:       moe.
// CHECK:           schedule.launch @[[$GATE:[^ ]*]] grid(%{{.*}}) label("gate") reads(%[[X]], %[[ROUTER]] : memref<?x64xf32>, memref<8x64xf32>) writes(%[[A]] : memref<?x8xf32>)
// CHECK-NEXT:    } -> !schedule.event
// CHECK-NEXT:    schedule.run on(compute) label("second") {
// CHECK:           schedule.launch @[[$GATE]] grid(%{{.*}}) label("gate") reads(%[[X]], %[[ROUTER]] : memref<?x64xf32>, memref<8x64xf32>) writes(%[[B]] : memref<?x8xf32>)
// CHECK-NEXT:    }
// CHECK-NEXT:    schedule.run on(compute) after(%[[DONE]]) label("join") {
// CHECK-NEXT:    }
// CHECK-NEXT:    return
func.func @streams(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %a: memref<?x8xf32> {bufferize.result},
                   %b: memref<?x8xf32> {bufferize.result}) {
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("first") {
    moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%a : memref<?x8xf32>)
  } -> !schedule.event
  schedule.run on(compute) label("second") {
    moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%b : memref<?x8xf32>)
  }
  schedule.run on(compute) after(%done) label("join") {}
  return
}

// Experts and shared experts are two GEMMs each, with the activation in the first;
// what lies between them is scratch. Scratch is set up at the entry, behind the
// sizes that it needs and before all work, and is none of the run's business.
// CHECK-LABEL: func.func @experts(
// CHECK-SAME:    %[[X:[^:]*]]: memref<?x64xbf16>
// CHECK:         %[[T:.*]] = memref.dim %[[X]], %{{.*}} : memref<?x64xbf16>
// CHECK:         %[[OUT:.*]] = memref.alloc(%{{.*}}) : memref<?x64xbf16>
// CHECK:         %[[HIDDEN:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x32xbf16>
// CHECK:         %[[SHARED_HIDDEN:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x48xbf16>
// CHECK-NOT:     memref.alloc
// CHECK:         schedule.run on(compute) label("experts") {
// CHECK:           schedule.launch @{{.*}} label("experts.up") reads(%[[X]], {{.*}}) writes(%[[HIDDEN]] : memref<?x32xbf16>)
// CHECK-NEXT:      schedule.launch @{{.*}} label("experts.down") reads(%[[HIDDEN]], {{.*}}) writes(%[[OUT]] : memref<?x64xbf16>)
// CHECK-NEXT:    }
// CHECK-NEXT:    schedule.run on(compute) label("shared experts") {
// CHECK:           schedule.launch @{{.*}} label("shared.up") reads(%[[X]], {{.*}}) writes(%[[SHARED_HIDDEN]] : memref<?x48xbf16>)
// CHECK-NEXT:      schedule.launch @{{.*}} label("shared.down") reads(%[[SHARED_HIDDEN]], {{.*}}) writes(%{{.*}} : memref<?x64xf32>)
// CHECK-NEXT:    }
// CHECK-NEXT:    schedule.run on(compute) label("combine") {
// CHECK:           schedule.launch @{{.*}} label("combine") reads(%[[OUT]], {{.*}})
// CHECK-NEXT:    }
func.func @experts(%x: memref<?x64xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %pairs: memref<?x2xi32>,
                   %weights: memref<?x2xf32>, %w13: memref<8x64x64xbf16>, %w2: memref<8x64x32xbf16>, %s13: memref<96x64xbf16>,
                   %s2: memref<64x48xbf16>, %routed: memref<?x64xf32> {bufferize.result}, %shared: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
  %p = arith.muli %t, %c2 : index
  %out = memref.alloc(%p) : memref<?x64xbf16>
  schedule.run on(compute) label("experts") {
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xbf16>, memref<9xi32>, memref<?xi32>, memref<8x64x64xbf16>, memref<8x64x32xbf16>)
      outs(%out : memref<?x64xbf16>) activation(<swiglu>)
  }
  schedule.run on(compute) label("shared experts") {
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xbf16>, memref<96x64xbf16>, memref<64x48xbf16>)
      outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  }
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xbf16>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  return
}

// A gate of the shared experts is one more kernel, which reads the layer's input.
// CHECK-LABEL: func.func @shared_gate(
// CHECK-SAME:    %[[X:[^:]*]]: memref<?x64xf32>, %{{[^:]*}}: memref<96x64xf32>, %{{[^:]*}}: memref<64x48xf32>, %[[GATE:[^:]*]]: memref<1x64xf32>
// CHECK:         %[[VALUE:.*]] = memref.alloc(%{{.*}}) {{.*}} : memref<?x1xf32>
// CHECK:         schedule.launch @{{.*}} reads(%[[X]], %[[GATE]] : memref<?x64xf32>, memref<1x64xf32>) writes(%[[VALUE]] : memref<?x1xf32>)
// CHECK-NOT:     schedule.run
// CHECK:         schedule.launch @{{.*}} label("shared.down") reads({{.*}}%[[VALUE]]{{.*}})
func.func @shared_gate(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %gate: memref<1x64xf32>,
                       %shared: memref<?x64xf32> {bufferize.result}) {
  schedule.run on(compute) {
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
      gate(%gate : memref<1x64xf32>) outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  }
  return
}

// The router: EPLB's maps are read where ids become physical ones. The plan is one
// block of work, whatever T is.
// CHECK-LABEL: func.func @router(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: memref<?x8xf32>, %[[BIAS:[^:]*]]: memref<8xf32>, %[[MAP:[^:]*]]: memref<8x3xi32>, %[[COUNT:[^:]*]]: memref<8xi32>
// CHECK:         schedule.launch @{{.*}} label("route") reads(%[[LOGITS]], %[[BIAS]], %[[MAP]], %[[COUNT]] : {{.*}}) writes(%[[IDS:.*]], %[[WEIGHTS:.*]] : memref<?x2xi32>, memref<?x2xf32>)
// CHECK:         %[[ONE:.*]] = arith.constant 1 : index
// CHECK:         schedule.launch @{{.*}} grid(%[[ONE]]) label("dispatch") reads(%[[IDS]] : memref<?x2xi32>) writes(%{{.*}}, %{{.*}}, %{{.*}} : memref<11xi32>, memref<?xi32>, memref<?x2xi32>)
func.func @router(%logits: memref<?x8xf32>, %bias: memref<8xf32>, %map: memref<8x3xi32>, %count: memref<8xi32>,
                  %ids: memref<?x2xi32> {bufferize.result}, %weights: memref<?x2xf32> {bufferize.result},
                  %offsets: memref<11xi32> {bufferize.result}, %source: memref<?xi32> {bufferize.result},
                  %pairs: memref<?x2xi32> {bufferize.result}) {
  schedule.run on(compute) label("route") {
    moe.route ins(%logits : memref<?x8xf32>) correction_bias(%bias : memref<8xf32>) eplb(%map, %count : memref<8x3xi32>, memref<8xi32>)
      outs(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2, score = sigmoid>)
  }
  schedule.run on(compute) label("dispatch") {
    moe.dispatch_plan ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<11xi32>, memref<?xi32>, memref<?x2xi32>)
  }
  return
}

// One block counts the ids that the router chose.
// CHECK-LABEL: func.func @expert_load(
// CHECK:         %[[ONE:.*]] = arith.constant 1 : index
// CHECK:         schedule.launch @{{.*}} grid(%[[ONE]]) label("expert load") reads(%{{.*}} : memref<?x2xi32>) writes(%{{.*}} : memref<8xi32>)
func.func @expert_load(%ids: memref<?x2xi32>, %load: memref<8xi32> {bufferize.result}) {
  schedule.run on(compute) label("expert load") {
    moe.expert_load ins(%ids : memref<?x2xi32>) outs(%load : memref<8xi32>)
  }
  return
}

// What may stand in a run beside phases stays: sizes and views.
// CHECK-LABEL: func.func @views(
// CHECK:         schedule.run on(compute) {
// CHECK-NEXT:      %[[ROWS:.*]] = memref.subview
// CHECK:           schedule.launch @{{.*}} label("project") reads(%{{.*}}, %{{.*}} : {{.*}}) writes(%[[ROWS]] : memref<4x16xf32>)
func.func @views(%x: memref<4x64xf32>, %w: memref<16x64xf32>, %y: memref<8x16xf32> {schedule.inout}) {
  schedule.run on(compute) {
    %rows = memref.subview %y[0, 0] [4, 16] [1, 1] : memref<8x16xf32> to memref<4x16xf32>
    moe.project ins(%x, %w : memref<4x64xf32>, memref<16x64xf32>) outs(%rows : memref<4x16xf32>)
  }
  return
}

// The kernels: a block's number, then the buffers.
// CHECK:       func.func @[[$GATE]](%{{.*}}: index, %{{.*}}: memref<?x64xf32>, %{{.*}}: memref<8x64xf32>, %{{.*}}: memref<?x8xf32>) attributes {schedule.kernel}
// CHECK-NOT:   func.func @[[$GATE]](
