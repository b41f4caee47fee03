// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s

// For few rows the router's logits are dots of one block each: float32 sums of vectors
// of 16 bytes, added up over lanes and then warps in a fixed order.

// CHECK-LABEL: llvm.func @dots_{{[0-9a-f]+}}(
// CHECK:       nvvm.griddepcontrol {{ *}}wait
// CHECK:       llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// CHECK:       llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// CHECK-COUNT-8: llvm.intr.fma({{.*}} : (f32, f32, f32) -> f32
// CHECK-COUNT-5: nvvm.shfl.sync {{ *}}bfly
// CHECK-NOT:   atomicrmw
// CHECK:       nvvm.barrier
// CHECK-NOT:   atomicrmw
// CHECK:       llvm.store {{.*}} : f32, !llvm.ptr<1>
// CHECK:       llvm.return
func.func @layer(%x: memref<?x2048xbf16>, %w: memref<8x2048xbf16>, %logits: memref<?x8xf32>) {
  schedule.run on(compute) {
    moe.gate ins(%x, %w : memref<?x2048xbf16>, memref<8x2048xbf16>) outs(%logits : memref<?x8xf32>)
  }
  return
}
