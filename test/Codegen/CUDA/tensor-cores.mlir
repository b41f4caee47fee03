// RUN: moe-opt %s --moe-generate-kernels=target=cuda -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: FileCheck %s --check-prefix=SWAPPED < %t.mlir
// RUN: grep -c 'llvm.func @experts_up_.*nvvm.cluster_dim = array<i32: 2, 1, 1>' %t.mlir | FileCheck %s --check-prefix=PAIRS
// RUN: not grep 'llvm.func @experts_down_.*nvvm.cluster_dim' %t.mlir
// RUN: FileCheck %s --check-prefix=DENSE < %t.mlir

// The kernels that multiply many rows: a ring of stages between a producer, which TMA
// serves, and consumers, which wgmma serves.

// The 8 warps of two consumers give a stage back; the leader and TMA fill it. Every
// barrier is there before any thread waits.
// CHECK-LABEL: llvm.func @experts_down_{{[0-9a-f]+}}(%{{.*}}nvvm.grid_constant
// CHECK:      %[[ONE:c1_i32[_0-9]*]] = arith.constant 1
// CHECK:      nvvm.mbarrier.init %{{.*}}, %[[ONE]]
// CHECK:      %[[WARPS:c8_i32[_0-9]*]] = arith.constant 8
// CHECK:      nvvm.mbarrier.init %{{.*}}, %[[WARPS]]
// CHECK:      nvvm.fence.mbarrier.init
// CHECK:      nvvm.barrier

// The producer waits for the kernel before it and for an empty stage.
// CHECK:      nvvm.griddepcontrol wait
// CHECK:      nvvm.setmaxregister decrease
// CHECK:      nvvm.mbarrier.try_wait.parity
// CHECK:      nvvm.mbarrier.arrive.expect_tx
// CHECK:      nvvm.cp.async.bulk.tensor.shared.cluster.global

// A consumer takes the tile from the lane that gives its stage back, ...
// CHECK:      nvvm.setmaxregister increase
// CHECK:      nvvm.mbarrier.try_wait.parity
// CHECK:      llvm.load {{.*}} -> vector<4xi32>
// CHECK-COUNT-4: nvvm.shfl.sync

// ... multiplies the first stage into nothing, so that no register is cleared, ...
// CHECK:      nvvm.wgmma.fence.aligned
// CHECK-NOT:  D[<f32>, <one>]
// CHECK:      nvvm.wgmma.mma_async {{.*}} D[<f32>, <zero>]
// CHECK-NOT:  D[<f32>, <zero>]
// CHECK:      nvvm.wgmma.mma_async {{.*}} D[<f32>, <one>]
// CHECK:      nvvm.wgmma.commit.group.sync.aligned

// ... and gives a stage back when the products of the next are under way.
// CHECK:      scf.for
// CHECK:      nvvm.mbarrier.try_wait.parity
// CHECK:      nvvm.wgmma.mma_async
// CHECK:      nvvm.wgmma.commit.group.sync.aligned
// CHECK-NEXT: nvvm.wgmma.wait.group.sync.aligned 1
// CHECK:      nvvm.mbarrier.arrive
// CHECK:      nvvm.wgmma.wait.group.sync.aligned 0
// CHECK:      nvvm.mbarrier.arrive

// It waits for its turn to store, and ends it.
// CHECK:      nvvm.mbarrier.try_wait.parity
// CHECK:      nvvm.stmatrix
// CHECK:      nvvm.mbarrier.arrive

// Experts' tiles are swapped: the weights are the 64 rows of wgmma, and the rows of x as
// many columns as a tile needs, in three steps. Their rows are gathered, 16 bytes at a
// time, to where TMA's swizzle would put them.
// SWAPPED-LABEL: llvm.func @experts_up_{{[0-9a-f]+}}(
// SWAPPED:      nvvm.setmaxregister {{ *}}decrease
// SWAPPED:      nvvm.mbarrier.arrive.expect_tx
// SWAPPED:      %[[CHUNK:.*]] = arith.xori
// SWAPPED:      nvvm.cp.async.shared.global {{.*}}, 16, cache = {{ *}}cg
// SWAPPED:      nvvm.cp.async.mbarrier.arrive {{.*}} {noinc = true}
// SWAPPED:      nvvm.setmaxregister {{ *}}increase
// SWAPPED-NOT:  <m = 64, n = {{96|80|64|48|32|16}}, k = 16>
// SWAPPED:      nvvm.wgmma.mma_async {{.*}} <m = 64, n = 112, k = 16>
// SWAPPED:      nvvm.wgmma.mma_async {{.*}} <m = 64, n = 128, k = 16>
// SWAPPED:      nvvm.wgmma.mma_async {{.*}} <m = 64, n = 144, k = 16>
// SWAPPED:      llvm.return

// Blocks that gather rows come alone or, where experts have rows for two tiles, in pairs
// that load the weights once; the others are always alone.
// PAIRS: {{^}}1{{$}}

// Dense products with many rows are not: all of their height is x, of one size.
// DENSE-LABEL: llvm.func @shared_up_{{[0-9a-f]+}}({{.*}} nvvm.reqntid = array<i32: 384
// DENSE-NOT:   cp.async.shared
// DENSE:       nvvm.cp.async.bulk.tensor.shared.cluster.global
// DENSE-NOT:   cp.async.shared
// DENSE:       nvvm.wgmma.mma_async {{.*}} <m = 64, n = {{128|256}}, k = 16>
// DENSE-NOT:   <m = 64, n = 32,
// DENSE:       llvm.return
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
