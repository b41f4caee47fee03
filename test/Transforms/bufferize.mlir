// RUN: moe-opt %s --moe-expand-layer --moe-bufferize --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-expand-layer --moe-bufferize --split-input-file --mlir-use-nameloc-as-prefix \
// RUN:   | FileCheck %s --check-prefix=NAMES

// One buffer per tensor, all at the entry; nothing is copied or freed; inputs
// are only read; the merge writes into the out parameter. Arguments keep their
// attributes, and the out parameter has its name.
// CHECK-LABEL: func @layer(
// CHECK-SAME: %[[X:[^:]*]]: memref<?x64xbf16> {moe.name = "hidden_states", schedule.tokens}, %[[ROUTER:[^:]*]]: memref<8x64xbf16> {moe.name = "router_weight"}, %[[W13:[^:]*]]: memref<8x64x64xbf16> {moe.name = "w13"}, %[[W2:[^:]*]]: memref<8x64x32xbf16> {moe.name = "w2"}, %[[S13:[^:]*]]: memref<96x64xbf16> {moe.name = "shared_w13"}, %[[S2:[^:]*]]: memref<64x48xbf16> {moe.name = "shared_w2"}
// CHECK-SAME: %[[Y:[^:]*]]: memref<?x64xbf16> {bufferize.result, moe.name = "output"})
// CHECK-SAME: moe.parallel = #moe.parallel
// CHECK-NOT:  memref.copy
// CHECK-NOT:  memref.dealloc
// CHECK:      %[[T:.*]] = memref.dim %[[X]], %c0
// CHECK-NEXT: %[[LOGITS:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x8xf32>
// CHECK-NEXT: %[[IDS:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x2xi32>
// CHECK-NEXT: %[[WEIGHTS:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x2xf32>
// CHECK-NEXT: %[[P:.*]] = arith.muli %[[T]], %c2
// CHECK-NEXT: %[[OFFSETS:.*]] = memref.alloc() {{.*}} : memref<9xi32>
// CHECK-NEXT: %[[SOURCE:.*]] = memref.alloc(%[[P]]) {{.*}} : memref<?xi32>
// CHECK-NEXT: %[[PAIRS:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x2xi32>
// CHECK-NEXT: %[[OUT:.*]] = memref.alloc(%[[P]]) {{.*}} : memref<?x64xbf16>
// CHECK-NEXT: %[[ROUTED:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x64xf32>
// CHECK-NEXT: %[[SHARED:.*]] = memref.alloc(%[[T]]) {{.*}} : memref<?x64xf32>
// CHECK-NEXT: moe.gate ins(%[[X]], %[[ROUTER]] : {{.*}}) outs(%[[LOGITS]] : memref<?x8xf32>)
// CHECK-NEXT: moe.route ins(%[[LOGITS]] : {{.*}}) outs(%[[IDS]], %[[WEIGHTS]] : memref<?x2xi32>, memref<?x2xf32>)
// CHECK-NEXT: moe.dispatch ins(%[[IDS]] : {{.*}}) outs(%[[OFFSETS]], %[[SOURCE]], %[[PAIRS]] : {{.*}}) num_experts(8)
// CHECK-NEXT: moe.experts ins(%[[X]], %[[OFFSETS]], %[[SOURCE]], %[[W13]], %[[W2]] : {{.*}}) outs(%[[OUT]] : memref<?x64xbf16>)
// CHECK-NEXT: moe.combine ins(%[[OUT]], %[[PAIRS]] : {{.*}}) weights(%[[WEIGHTS]] : {{.*}}) outs(%[[ROUTED]] : memref<?x64xf32>)
// CHECK-NEXT: moe.shared_experts ins(%[[X]], %[[S13]], %[[S2]] : {{.*}}) outs(%[[SHARED]] : memref<?x64xf32>)
// CHECK-NEXT: moe.merge ins(%[[ROUTED]] : {{.*}}) shared(%[[SHARED]] : {{.*}}) outs(%[[Y]] : memref<?x64xbf16>)
// CHECK-NEXT: return{{$}}

// Buffers and arguments have the names that a reader looks for.
// NAMES-LABEL: func @layer(
// NAMES-SAME: %hidden_states: memref<?x64xbf16>
// NAMES-SAME: %output: memref<?x64xbf16>
// NAMES:      %num_tokens = memref.dim %hidden_states
// NAMES:      %logits = memref.alloc(%num_tokens)
// NAMES:      %expert_offsets = memref.alloc()
// NAMES:      %shared = memref.alloc(%num_tokens)
func.func @layer(%x: tensor<?x64xbf16> {moe.name = "hidden_states", schedule.tokens},
                 %router: tensor<8x64xbf16> {moe.name = "router_weight"},
                 %w13: tensor<8x64x64xbf16> {moe.name = "w13"}, %w2: tensor<8x64x32xbf16> {moe.name = "w2"},
                 %s13: tensor<96x64xbf16> {moe.name = "shared_w13"}, %s2: tensor<64x48xbf16> {moe.name = "shared_w2"})
    -> (tensor<?x64xbf16> {moe.name = "output"}) {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Two equal layers share no temporaries: 9 buffers each, and the first output.
// CHECK-LABEL: func @two_layers(
// CHECK-COUNT-19: memref.alloc
// CHECK-NOT:  memref.alloc
// CHECK-NOT:  memref.copy
// CHECK:      moe.merge {{.*}} outs(%[[FIRST:.*]] : memref<?x64xf32>)
// CHECK:      moe.gate ins(%[[FIRST]],
// CHECK:      return{{$}}
func.func @two_layers(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                      %w2: tensor<8x64x32xf32>, %s13: tensor<96x64xf32>, %s2: tensor<64x48xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  %z = moe.layer hidden(%y : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// -----

// Static sizes, and both branches of equal type: still a buffer each.
// CHECK-LABEL: func @static_tokens(
// CHECK-SAME: %[[Y:[^:]*]]: memref<4x64xf32> {bufferize.result})
// CHECK:      %[[A:.*]] = memref.alloc() {{.*}} : memref<4x64xf32>
// CHECK:      %[[B:.*]] = memref.alloc() {{.*}} : memref<4x64xf32>
// CHECK:      moe.combine {{.*}} outs(%[[A]] : memref<4x64xf32>)
// CHECK:      moe.shared_experts {{.*}} outs(%[[B]] : memref<4x64xf32>)
// CHECK:      moe.merge ins(%[[A]] : {{.*}}) shared(%[[B]] : {{.*}}) outs(%[[Y]] :
func.func @static_tokens(%x: tensor<4x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                         %w2: tensor<8x64x32xf32>, %s13: tensor<96x64xf32>, %s2: tensor<64x48xf32>) -> tensor<4x64xf32> {
  %y = moe.layer hidden(%x : tensor<4x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// Exchanges and sums bufferize like all phases: the tokens of all ranks size
// what is received.
// CHECK-LABEL: func @exchange(
// CHECK:      %[[N:.*]] = schedule.total_tokens
// CHECK-NOT:  moe.gate
// CHECK:      memref.alloc(%[[N]]) {{.*}} : memref<?x64xf32>
// CHECK:      moe.gate
// CHECK-NOT:  memref.alloc
// CHECK-NOT:  memref.copy
// CHECK:      moe.dispatch {{.*}} exchange(<all_gather, #ranks{{[0-9]*}}[dp]>)
// CHECK:      moe.merge
func.func @exchange(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<4x64x64xf32>,
                    %w2: tensor<4x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
