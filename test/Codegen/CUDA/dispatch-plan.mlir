// RUN: moe-opt %s --moe-generate-kernels=target=cuda -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: FileCheck %s --check-prefix=COUNT < %t.mlir

// The plan is a counting sort by expert that is stable and the same in every run: places
// come from ranks among the lanes of a warp and from scans, not from the order in which
// atomics arrive.

// A block alone: lanes with one expert are ranked by their mask, ...
// CHECK-LABEL: llvm.func @dispatch_sort_{{[0-9a-f]+}}(
// CHECK-NOT:   atomicrmw
// CHECK:       nvvm.match.sync {{ *}}any
// CHECK:       nvvm.read.ptx.sreg.lanemask.lt
// CHECK:       llvm.intr.ctpop

// ... and counts of warps and experts are summed up by scans over lanes and warps.
// CHECK:       nvvm.barrier
// CHECK-COUNT-5: nvvm.shfl.sync {{ *}}up
// CHECK:       nvvm.barrier
// CHECK-NOT:   atomicrmw
// CHECK:       llvm.return

// With more pairs blocks count first, with integers.
// COUNT-LABEL: llvm.func @dispatch_count_{{[0-9a-f]+}}(
// COUNT:       llvm.atomicrmw add {{.*}} i32
// COUNT:       llvm.return
// COUNT-LABEL: llvm.func @dispatch_sort_{{[0-9a-f]+}}(
// COUNT-NOT:   atomicrmw
// COUNT:       llvm.return

func.func @layer(%ids: memref<?x6xi32>, %offsets: memref<9xi32>, %source: memref<?xi32>, %pairs: memref<?x6xi32>) {
  schedule.run on(compute) {
    moe.dispatch_plan ins(%ids : memref<?x6xi32>) outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x6xi32>)
  }
  return
}
