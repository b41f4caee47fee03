// RUN: moe-opt %s --moe-schedule=rule-set=overlap --schedule-verify | FileCheck %s --check-prefixes=CHECK,OVERLAP
// RUN: moe-opt %s --moe-schedule=rule-set=serial --schedule-verify | FileCheck %s --check-prefixes=CHECK,SERIAL

// Phases that one kernel computes are one phase to the schedule: it ends the layer as
// a merge does, runs on one stream, and waits for what its phases read.
// CHECK-LABEL:  func.func @layer(
// OVERLAP:      %[[DONE:.*]] = schedule.run on(aux) after(%{{.*}}) label("shared experts")
// SERIAL-NOT:   on(aux)
// CHECK:        label("gate")
// CHECK:        label("route")
// CHECK:        label("dispatch")
// CHECK:        label("experts")
// OVERLAP-NEXT:   moe.experts
// OVERLAP-NEXT: }
// OVERLAP-NEXT: schedule.run on(compute) after(%[[DONE]]) label("combine+merge") {
// SERIAL:       schedule.run on(compute) label("combine+merge") {
// CHECK-NEXT:     moe.fused {
// CHECK-NEXT:     ^bb0(%[[SUMS:.*]]: memref<?x64xf32>):
// CHECK-NEXT:       moe.combine {{.*}} outs(%[[SUMS]]
// CHECK-NEXT:       moe.merge ins(%[[SUMS]]
// CHECK-NEXT:     }
// CHECK-NEXT:   }
// CHECK-NEXT:   return
func.func @layer(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %w13: memref<8x64x64xf32>,
                 %w2: memref<8x64x32xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                 %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %p = arith.muli %t, %c2 : index
  %logits = memref.alloc(%t) : memref<?x8xf32>
  %ids = memref.alloc(%t) : memref<?x2xi32>
  %weights = memref.alloc(%t) : memref<?x2xf32>
  %offsets = memref.alloc() : memref<9xi32>
  %source = memref.alloc(%p) : memref<?xi32>
  %pairs = memref.alloc(%t) : memref<?x2xi32>
  %out = memref.alloc(%p) : memref<?x64xf32>
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  moe.route ins(%logits : memref<?x8xf32>) outs(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) num_experts(8)
  moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>)
    outs(%out : memref<?x64xf32>) activation(<swiglu>)
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.fused {
  ^bb0(%sums: memref<?x64xf32>):
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>) outs(%sums : memref<?x64xf32>) scale(1.0)
    moe.merge ins(%sums : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}
