// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s

// A warp chooses the experts of a token: scores in float32, and each choice is one
// maximum over the warp and one minimum of the ids that have it, so that ties go to
// the smaller id.

// CHECK-LABEL: llvm.func @route_{{[0-9a-f]+}}(
// CHECK:       nvvm.griddepcontrol {{ *}}wait

// Softmax: the largest logit, then the sum.
// CHECK:         scf.for
// CHECK:         llvm.load {{.*}} : !llvm.ptr<1> -> f32
// CHECK-COUNT-5: nvvm.shfl.sync {{ *}}bfly
// CHECK:         llvm.intr.exp2({{.*}} : (f32) -> f32
// CHECK-COUNT-5: nvvm.shfl.sync {{ *}}bfly

// Six choices, without a barrier of the block.
// CHECK-NOT:   nvvm.barrier
// CHECK:       %[[K:c6_i32[_0-9]*]] = arith.constant 6
// CHECK:       scf.for %{{.*}} to %[[K]] step
// CHECK:       nvvm.redux.sync {{ *}}max
// CHECK:       nvvm.redux.sync {{ *}}min
// CHECK:       llvm.store {{.*}} : i32, !llvm.ptr<1>
// CHECK:       llvm.store {{.*}} : f32, !llvm.ptr<1>
// CHECK-NOT:   nvvm.barrier
// CHECK:       llvm.return
func.func @layer(%logits: memref<?x8xf32>, %ids: memref<?x6xi32>, %weights: memref<?x6xf32>) {
  schedule.run on(compute) {
    moe.route ins(%logits : memref<?x8xf32>) outs(%ids, %weights : memref<?x6xi32>, memref<?x6xf32>) routing(<top_k = 6>)
  }
  return
}
