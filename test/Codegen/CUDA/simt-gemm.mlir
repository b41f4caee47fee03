// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s

// What tensor cores cannot multiply goes to CUDA cores: float32 by float32, with tiles of
// both sides in shared memory.

// CHECK-NOT:   {{wgmma|mma.sync}}
// CHECK-LABEL: llvm.func @shared_up_simt_{{[0-9a-f]+}}(
// CHECK:       nvvm.griddepcontrol {{ *}}wait
// CHECK:       llvm.store {{.*}}!llvm.ptr<3>
// CHECK:       nvvm.barrier
// CHECK:       llvm.load {{.*}}!llvm.ptr<3>
// CHECK:       llvm.intr.fma({{.*}} : (f32, f32, f32) -> f32
// CHECK:       llvm.return
// CHECK-NOT:   {{wgmma|mma.sync}}
func.func @layer(%x: memref<?x2048xf32>, %s13: memref<5632x2048xf32>, %s2: memref<2048x2816xf32>, %shared: memref<?x2048xf32>) {
  schedule.run on(compute) {
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x2048xf32>, memref<5632x2048xf32>, memref<2048x2816xf32>) outs(%shared : memref<?x2048xf32>) activation(<swiglu>)
  }
  return
}
