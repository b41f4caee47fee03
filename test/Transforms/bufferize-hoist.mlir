// RUN: moe-opt %s --moe-hoist-buffers | FileCheck %s

// Allocations and the sizes they are made of come first, in their order; work
// and what depends on it stay.
// CHECK-LABEL: func @hoist(
// CHECK-SAME: %[[X:[^:]*]]: memref<?x4xf32>, %[[N:[^:]*]]: memref<1xindex>)
// CHECK-NEXT: %[[C0:.*]] = arith.constant 0 : index
// CHECK-NEXT: %[[T:.*]] = memref.dim %[[X]], %[[C0]]
// CHECK-NEXT: %[[A:.*]] = memref.alloc(%[[T]]) : memref<?x4xf32>
// CHECK-NEXT: %[[TWICE:.*]] = arith.addi %[[T]], %[[T]]
// CHECK-NEXT: %[[B:.*]] = memref.alloc(%[[TWICE]]) : memref<?x4xf32>
// CHECK-NEXT: memref.copy %[[X]], %[[A]]
// CHECK-NEXT: %[[LOADED:.*]] = memref.load %[[N]]
// CHECK-NEXT: %[[C:.*]] = memref.alloc(%[[LOADED]]) : memref<?x4xf32>
// CHECK-NEXT: memref.copy %[[A]], %[[C]]
func.func @hoist(%x: memref<?x4xf32>, %n: memref<1xindex>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %a = memref.alloc(%t) : memref<?x4xf32>
  memref.copy %x, %a : memref<?x4xf32> to memref<?x4xf32>
  %loaded = memref.load %n[%c0] : memref<1xindex>
  %c = memref.alloc(%loaded) : memref<?x4xf32>
  %twice = arith.addi %t, %t : index
  %b = memref.alloc(%twice) : memref<?x4xf32>
  memref.copy %a, %c : memref<?x4xf32> to memref<?x4xf32>
  memref.copy %b, %b : memref<?x4xf32> to memref<?x4xf32>
  return
}

// A declaration has no entry.
// CHECK: func private @declared(memref<?x4xf32>)
func.func private @declared(memref<?x4xf32>)
