// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// All ops print and parse, in both forms.

// CHECK-LABEL: func.func private @gate
func.func private @gate(index, memref<?x64xf32>, memref<?x8xf32>, i32)

// CHECK-LABEL: func.func @ops
// CHECK-SAME:    {schedule.tokens}
// CHECK-SAME:    {schedule.axes = ["S", ""], schedule.inout, schedule.max_shape = array<i64: 8, -1>}
// CHECK-SAME:    {schedule.workspace}
func.func @ops(%x: memref<?x64xf32> {schedule.tokens},
               %state: memref<?x4xf32> {schedule.axes = ["S", ""], schedule.inout, schedule.max_shape = array<i64: 8, -1>},
               %bytes: memref<?xi8> {schedule.workspace})
    attributes {schedule.workspace_size = affine_map<(t, n) -> (t * 256 + n * 512)>} {
  %c0 = arith.constant 0 : index
  %seed = arith.constant 7 : i32
  // CHECK: %[[T:.*]] = memref.dim
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  // CHECK: %[[N:.*]] = schedule.total_tokens : index
  %n = schedule.total_tokens : index
  // CHECK: %[[WS:.*]] = schedule.workspace %{{.*}}(%[[T]], %[[N]]) slots
  // CHECK-SAME: #schedule.slot<"logits", offset = (d0, d1) -> (0), size = (d0, d1) -> (d0 * 256)>
  // CHECK-SAME: #schedule.slot<"rows", offset = (d0, d1) -> (d0 * 256), size = (d0, d1) -> (d1 * 512)>
  %ws = schedule.workspace %bytes(%t, %n) slots [
    #schedule.slot<"logits", offset = (t, n) -> (0), size = (t, n) -> (t * 256)>,
    #schedule.slot<"rows", offset = (t, n) -> (t * 256), size = (t, n) -> (n * 512)>
  ] : memref<?xi8>
  // CHECK: schedule.slice %[[WS]]["logits"](%[[T]]) : memref<?x8xf32>
  %logits = schedule.slice %ws["logits"](%t) : memref<?x8xf32>
  // CHECK: schedule.slice %[[WS]]["rows"](%[[N]]) : memref<?x128xf32>
  %rows = schedule.slice %ws["rows"](%n) : memref<?x128xf32>
  // CHECK: %[[FORK:.*]] = schedule.mark on(compute)
  %fork = schedule.mark on(compute)
  // CHECK: %[[AUX:.*]] = schedule.run on(aux) after(%[[FORK]]) label("gate") {
  // CHECK:   schedule.launch @gate grid(%[[T]]) label("gate kernel") reads(%{{.*}} : memref<?x64xf32>) writes(%{{.*}} : memref<?x8xf32>) scalars(%{{.*}} : i32)
  // CHECK: } -> !schedule.event
  %aux = schedule.run on(aux) after(%fork) label("gate") {
    schedule.launch @gate grid(%t) label("gate kernel")
      reads(%x : memref<?x64xf32>) writes(%logits : memref<?x8xf32>)
      scalars(%seed : i32)
  } -> !schedule.event
  // CHECK: %[[COMM:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[ep]) after(%[[FORK]], %[[AUX]]) {
  %comm = schedule.run on(comm <ep = 2>[ep]) after(%fork, %aux) {
  } -> !schedule.event
  // CHECK: schedule.run on(compute) after(%[[COMM]]) {
  schedule.run on(compute) after(%comm) {
  }
  return
}

// What a GPU kernel takes: addresses, extents and tensor maps of buffers, and
// scalars.
// CHECK-LABEL: func.func @gpu_launch
func.func @gpu_launch(%x: memref<?x64xbf16>, %y: memref<?x64xbf16>, %rank: index, %seed: i32) {
  %c1 = arith.constant 1 : index
  schedule.run on(compute) {
    // CHECK: schedule.launch @gpu_kernels::@rows grid(%{{.*}}) gpu(<threads = 128, shared_bytes = 1024, cluster = 1, early_start = true,
    // CHECK-SAME: parameters = [#schedule.pointer<0>, #schedule.size<0, 0>, #schedule.scalar<1>, #schedule.tensor_map<1, box = [64, 64], swizzle = 128>, #schedule.scalar<0>]>)
    // CHECK-SAME: scalars(%{{.*}}, %{{.*}} : index, i32)
    schedule.launch @gpu_kernels::@rows grid(%c1) gpu(<threads = 128, shared_bytes = 1024, cluster = 1, early_start = true,
        parameters = [#schedule.pointer<0>, #schedule.size<0, 0>, #schedule.scalar<1>,
                      #schedule.tensor_map<1, box = [64, 64], swizzle = 128>, #schedule.scalar<0>]>)
      reads(%x : memref<?x64xbf16>) writes(%y : memref<?x64xbf16>) scalars(%rank, %seed : index, i32)
  }
  return
}
gpu.module @gpu_kernels {
  llvm.func @rows(%x: !llvm.ptr<1>, %rows: i64, %seed: i32, %y: !llvm.ptr, %rank: i64) {
    llvm.return
  }
}

// Issue is an effect: CSE keeps two equal marks and drops no run.
// RUN: moe-opt %s --cse --canonicalize | FileCheck %s --check-prefix=CSE
// CSE-LABEL: func.func @effects
// CSE:         schedule.mark
// CSE-NEXT:    schedule.run on(compute)
// CSE:         schedule.mark
// CSE-NEXT:    schedule.run on(compute)
func.func @effects(%x: memref<4xf32>) {
  %a = schedule.mark on(aux)
  schedule.run on(compute) after(%a) {
  }
  %b = schedule.mark on(aux)
  schedule.run on(compute) after(%b) {
  }
  return
}

// Collectives are effects too: neither two equal ones merge, nor is one dropped.
// CHECK-LABEL: func.func @collectives
// CSE-LABEL:   func.func @collectives
func.func @collectives(%x: memref<?x64xbf16>, %ids: memref<?x2xi32>, %y: memref<?x64xbf16>, %all: memref<?x2xi32>,
                       %n: memref<2xi32>, %m: memref<2xi32>) {
  // CHECK: %{{.*}} = schedule.rank : index
  %rank = schedule.rank : index
  // CHECK: %{{.*}} = schedule.max_tokens : index
  %max = schedule.max_tokens : index
  // CHECK: %{{.*}} = schedule.call_value "decodes" : i1
  %decodes = schedule.call_value "decodes" : i1
  // CHECK: %[[HALF:.*]] = schedule.total_tokens part(<1 of 2>) : index
  %half = schedule.total_tokens part(<1 of 2>) : index
  // CHECK: %{{.*}} = schedule.rows %{{.*}}[%{{.*}}](%[[HALF]]) : memref<?x64xbf16> to memref<?x64xbf16>
  %some = schedule.rows %x[%rank](%half) : memref<?x64xbf16> to memref<?x64xbf16>
  // CHECK: %{{.*}} = schedule.rows %{{.*}}[%{{.*}}]() : memref<?x64xbf16> to memref<8x64xbf16>
  %eight = schedule.rows %x[%rank]() : memref<?x64xbf16> to memref<8x64xbf16>
  schedule.run on(comm <ep = 2>[ep]) {
    // CHECK: schedule.collective all_gather over(#ranks{{[0-9]*}}[ep]) label("dispatch") sends(%{{.*}}, %{{.*}} : memref<?x64xbf16>, memref<?x2xi32>) receives(%{{.*}}, %{{.*}} : memref<?x64xbf16>, memref<?x2xi32>) {rows_per_token = 2 : i64}
    schedule.collective all_gather over(<ep = 2>[ep]) label("dispatch") sends(%x, %ids : memref<?x64xbf16>, memref<?x2xi32>)
      receives(%y, %all : memref<?x64xbf16>, memref<?x2xi32>) {rows_per_token = 2 : i64}
    // CHECK: schedule.collective reduce_scatter over(#ranks{{[0-9]*}}[ep]) part(<0 of 2>) sends
    schedule.collective reduce_scatter over(<ep = 2>[ep]) part(<0 of 2>) sends(%y : memref<?x64xbf16>) receives(%x : memref<?x64xbf16>)
    // CHECK: schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) blocks [3, 5] sends
    schedule.collective all_to_all over(<ep = 2>[ep]) blocks [3, 5] sends(%ids : memref<?x2xi32>) receives(%all : memref<?x2xi32>)
    // CHECK: schedule.collective all_to_all over(#ranks{{[0-9]*}}[ep]) counts(%{{.*}}, %{{.*}} : memref<2xi32>, memref<2xi32>) sends
    // CSE-COUNT-5: schedule.collective
    schedule.collective all_to_all over(<ep = 2>[ep]) counts(%n, %m : memref<2xi32>, memref<2xi32>)
      sends(%ids : memref<?x2xi32>) receives(%all : memref<?x2xi32>)
    schedule.collective all_to_all over(<ep = 2>[ep]) counts(%n, %m : memref<2xi32>, memref<2xi32>)
      sends(%ids : memref<?x2xi32>) receives(%all : memref<?x2xi32>)
  }
  return
}

// A grid is written once. Axes of one rank may stand between others.
// CHECK-LABEL: func.func @grid(
// CHECK-SAME:    attributes {schedule.grid = #[[RANKS:ranks[0-9]*]]}
func.func @grid(%x: tensor<?x4xf32>, %init: tensor<?x4xf32>) -> tensor<?x4xf32>
    attributes {schedule.grid = #schedule.grid<dp = 4, pcp = 1, tp = 2>} {
  // CHECK: %gathered = schedule.collective all_gather over(#[[RANKS]][dp, tp]) part(<2 of 3>) sends(%{{.*}} : tensor<?x4xf32>) receives(%{{.*}} : tensor<?x4xf32>) -> tensor<?x4xf32>
  %0 = schedule.collective all_gather over(<dp = 4, pcp = 1, tp = 2>[dp, tp]) part(<2 of 3>)
    sends(%x : tensor<?x4xf32>) receives(%init : tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: %{{.*}} = schedule.call_value "rows" : index
  %rows = schedule.call_value "rows" : index
  return %0 : tensor<?x4xf32>
}
