// RUN: moe-opt %s --moe-generate-kernels=target=cuda -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: FileCheck %s --check-prefix=GATHER < %t.mlir
// RUN: FileCheck %s --check-prefix=MAP < %t.mlir
// RUN: FileCheck %s --check-prefix=BATCHED < %t.mlir

// What a rank sends is planned without an order that depends on atomics: a choice
// finds out by itself whether it is its token's first for a rank or an expert, and the
// sort of dispatch does the rest.

// CHECK-LABEL: llvm.func @send_keys_{{[0-9a-f]+}}(
// CHECK:       nvvm.griddepcontrol {{ *}}wait
// CHECK:       scf.for
// CHECK-NOT:   {{atomicrmw|barrier}}
// CHECK:       llvm.store {{.*}} : i32, !llvm.ptr<1>
// CHECK:       llvm.return
// CHECK-LABEL: llvm.func @send_sort_{{[0-9a-f]+}}(
// CHECK-NOT:   atomicrmw
// CHECK:       nvvm.match.sync {{ *}}any
// CHECK-NOT:   atomicrmw
// CHECK:       llvm.return

// Rows are copied in the widest vectors; all loads of a group come before its stores.
// GATHER-LABEL:    llvm.func @gather_rows_{{[0-9a-f]+}}(
// GATHER-COUNT-32: llvm.load {{.*}} : !llvm.ptr<1> -> i32
// GATHER-COUNT-8:  llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// GATHER-COUNT-8:  llvm.store {{.*}} {alignment = 16 : i64} : vector<8xbf16>, !llvm.ptr<1>
// GATHER:          llvm.return

// The rank is a number that comes with the launch.
// MAP:       %[[RANK:.*]] = schedule.rank
// MAP:       schedule.launch @kernels::@expert_map_{{.*}} parameters = [#schedule.pointer<0>, #schedule.scalar<0>]>) writes(%{{.*}} : memref<8xi32>) scalars(%[[RANK]] : index)
// MAP-LABEL: llvm.func @expert_map_{{[0-9a-f]+}}(%{{.*}}: !llvm.ptr<1>, %{{.*}}: i64)

// With fixed capacity all rows are made empty by the same launch that finds the keys,
// and the sort keeps what it does not fill.
// BATCHED:       schedule.launch @kernels::@batched_send_keys_{{.*}} writes(%{{[a-z0-9_]+}}, %{{[a-z0-9_]+}}, %[[ROWS:[a-z0-9]+]] : {{.*}}memref<512xi32>)
// BATCHED:       schedule.launch @kernels::@batched_send_sort_{{.*}} reads(%{{[a-z0-9_]+}}, %{{[a-z0-9_]+}}, %[[ROWS]] : {{.*}} writes(%{{[a-z0-9_]+}}, %[[ROWS]],
// BATCHED:       schedule.launch @kernels::@batched_plan_
// BATCHED-LABEL: llvm.func @batched_plan_{{[0-9a-f]+}}(
// BATCHED-NOT:   atomicrmw
// BATCHED:       nvvm.shfl.sync {{ *}}up
// BATCHED-NOT:   atomicrmw
// BATCHED:       llvm.return

func.func @counted(%ids: memref<?x6xi32>, %counts: memref<4xi32>, %rows: memref<?xi32>, %positions: memref<?x6xi32>, %x: memref<?x2048xbf16>,
                   %packed: memref<?x2048xbf16>, %map: memref<8xi32>) {
  %rank = schedule.rank : index
  schedule.run on(compute) {
    moe.send_plan ins(%ids : memref<?x6xi32>) placement(<experts = 8, ranks = 4>) outs(%counts, %rows, %positions : memref<4xi32>, memref<?xi32>, memref<?x6xi32>)
    moe.gather_rows ins(%x, %rows : memref<?x2048xbf16>, memref<?xi32>) outs(%packed : memref<?x2048xbf16>)
    moe.expert_map of(%rank) placement(<experts = 8, ranks = 4>) outs(%map : memref<8xi32>)
  }
  return
}

func.func @batched(%ids: memref<?x6xi32>, %weights: memref<?x6xf32>, %counts: memref<8xi32>, %rows: memref<512xi32>, %row_weights: memref<512x1xf32>,
                   %positions: memref<?x6xi32>, %got: memref<8xi32>, %offsets: memref<3xi32>, %source: memref<512xi32>, %pairs: memref<512x1xi32>) {
  schedule.run on(compute) {
    moe.batched_send_plan ins(%ids, %weights : memref<?x6xi32>, memref<?x6xf32>) placement(<experts = 8, ranks = 4>) capacity(64)
      outs(%counts, %rows, %row_weights, %positions : memref<8xi32>, memref<512xi32>, memref<512x1xf32>, memref<?x6xi32>)
    moe.batched_plan ins(%got : memref<8xi32>) ranks(4) capacity(64) outs(%offsets, %source, %pairs : memref<3xi32>, memref<512xi32>, memref<512x1xi32>)
  }
  return
}
