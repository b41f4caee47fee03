// RUN: moe-opt %s --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" | FileCheck %s

// A collective is in destination style: its result is the buffer that receives, what
// that held is not read, and nothing is copied.
// CHECK-LABEL: func.func @all_reduce(
// CHECK-SAME:    %[[X:.*]]: memref<?x4xf32>
// CHECK:         %[[SUM:.*]] = memref.alloc(
// CHECK-NOT:     memref.copy
// CHECK:         schedule.collective all_reduce over(#ranks[tp]) label("sum") sends(%[[X]] : memref<?x4xf32>) receives(%[[SUM]] : memref<?x4xf32>)
// CHECK-NEXT:    return %[[SUM]] : memref<?x4xf32>
func.func @all_reduce(%x: tensor<?x4xf32>, %t: index) -> tensor<?x4xf32> {
  %init = bufferization.alloc_tensor(%t) : tensor<?x4xf32>
  %sum = schedule.collective all_reduce over(<tp = 2>[tp]) label("sum") sends(%x : tensor<?x4xf32>) receives(%init : tensor<?x4xf32>)
    -> tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}

// Pairs move together; blocks, parts and rows stay what they were.
// CHECK-LABEL: func.func @pairs(
// CHECK:         schedule.collective all_gather over(#ranks[tp]) part(<1 of 3>) sends(%{{.*}}, %{{.*}} : memref<?x4xf32>, memref<?x2xi32>) receives(%{{.*}}, %{{.*}} : memref<?x4xf32>, memref<?x2xi32>) {rows_per_token = 2 : i64}
func.func @pairs(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>, %n: index) -> (tensor<?x4xf32>, tensor<?x2xi32>) {
  %rows_init = bufferization.alloc_tensor(%n) : tensor<?x4xf32>
  %ids_init = bufferization.alloc_tensor(%n) : tensor<?x2xi32>
  %all:2 = schedule.collective all_gather over(<tp = 2>[tp]) part(<1 of 3>) sends(%x, %ids : tensor<?x4xf32>, tensor<?x2xi32>)
    receives(%rows_init, %ids_init : tensor<?x4xf32>, tensor<?x2xi32>) {rows_per_token = 2 : i64} -> tensor<?x4xf32>, tensor<?x2xi32>
  return %all#0, %all#1 : tensor<?x4xf32>, tensor<?x2xi32>
}
