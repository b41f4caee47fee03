// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s

// A token's sum is taken by one thread per few columns, over the choices in their order
// and in float32, so that it is the same in every run. The output of the shared experts
// is added last.

// CHECK-LABEL: llvm.func @combine_merge_{{[0-9a-f]+}}(
// CHECK-NOT:   {{atomicrmw|shfl|barrier}}
// CHECK:       %[[FIRST:.*]] = llvm.intr.fma(%{{.*}}, %{{.*}}, %cst{{[_0-9]*}}) : (vector<4xf32>,
// CHECK-COUNT-4: llvm.intr.fma({{.*}} : (vector<4xf32>,
// CHECK:       llvm.intr.fma({{.*}} : (vector<4xf32>,
// CHECK-NOT:   {{atomicrmw|shfl|barrier|intr.fma}}
// CHECK:       arith.addf {{.*}} : vector<4xf32>
// CHECK:       llvm.store {{.*}} {alignment = 8 : i64} : vector<4xbf16>, !llvm.ptr<1>
// CHECK:       llvm.return
func.func @layer(%out: memref<?x2048xbf16>, %pairs: memref<?x6xi32>, %weights: memref<?x6xf32>, %shared: memref<?x2048xf32>, %y: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    moe.fused {
    ^bb0(%sums: memref<?x2048xf32>):
      moe.combine ins(%out, %pairs : memref<?x2048xbf16>, memref<?x6xi32>) weights(%weights : memref<?x6xf32>) outs(%sums : memref<?x2048xf32>) scale(1.0)
      moe.merge ins(%sums : memref<?x2048xf32>) shared(%shared : memref<?x2048xf32>) outs(%y : memref<?x2048xbf16>)
    }
  }
  return
}
