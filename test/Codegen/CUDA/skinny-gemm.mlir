// RUN: moe-opt %s --moe-generate-kernels=target=cuda -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: FileCheck %s --check-prefix=EXPERTS < %t.mlir

// Products with few rows stream the weights once, past shared memory, into the
// registers of mma.sync.

// The next launch may start at once; no memory is touched before the last one is done.
// CHECK-LABEL: llvm.func @shared_up_few_{{[0-9a-f]+}}(
// CHECK-NOT:   llvm.load
// CHECK:       nvvm.griddepcontrol {{ *}}launch_dependents
// CHECK-NOT:   llvm.load
// CHECK:       nvvm.griddepcontrol {{ *}}wait

// Eight vectors of 16 bytes of two rows of weights and four of x are under way before
// the first product; nothing is staged or waited for.
// CHECK:         scf.for
// CHECK:         scf.for
// CHECK-NOT:     {{llvm.store|nvvm.barrier|ptr<3>}}
// CHECK-COUNT-12: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK-NOT:     {{llvm.load|llvm.store|nvvm.barrier|ptr<3>}}
// CHECK-COUNT-8: nvvm.mma.sync {{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 16>
// CHECK-NOT:     {{llvm.load|nvvm.mma.sync}}

// Warps add up their parts of K through shared memory, in their order.
// CHECK:         llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<3>
// CHECK-NEXT:    nvvm.barrier
// CHECK-COUNT-7: llvm.load {{.*}} : !llvm.ptr<3> -> vector<4xf32>
// CHECK-NOT:     {{atomicrmw|ptr<3>}}
// CHECK:         llvm.store {{.*}} : bf16, !llvm.ptr<1>
// CHECK:         llvm.return

// Those of experts find their expert by its rows.
// EXPERTS-LABEL: llvm.func @experts_down_few_{{[0-9a-f]+}}(
// EXPERTS:       nvvm.mma.sync
// EXPERTS-NOT:   atomicrmw
// EXPERTS:       llvm.return
func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>, %s13: memref<5632x2048xbf16>, %s2: memref<2048x2816xbf16>,
                 %shared: memref<?x2048xf32>) {
  schedule.run on(compute) {
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>)
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x2048xbf16>, memref<5632x2048xbf16>, memref<2048x2816xbf16>) outs(%shared : memref<?x2048xf32>) activation(<swiglu>)
  }
  return
}
