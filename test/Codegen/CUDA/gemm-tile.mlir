// RUN: moe-opt %s --split-input-file --moe-generate-kernels=target=cuda --verify-diagnostics -o %t.mlir
// RUN: FileCheck %s < %t.mlir

// The tiles of a matrix product can be given instead of chosen.

// One launch is left of the product, whatever T is: two warpgroups, and shared memory
// for three stages of 32 + 128 rows of 128 bytes. The others are chosen as before.
// CHECK-LABEL: func.func @down(
// CHECK:       schedule.launch @kernels::@experts_up_few_
// CHECK:       schedule.launch @kernels::@experts_up_
// CHECK-NOT:   _down_few_
// CHECK:       schedule.launch @kernels::@[[DOWN:experts_down_[0-9a-f]+]] {{.*}} gpu(<threads = 256, shared_bytes = {{[67][0-9][0-9][0-9][0-9]}}, cluster = 1,
// CHECK-NOT:   @experts_down_
// CHECK:       return
// CHECK:       llvm.func @[[DOWN]](
// CHECK:       nvvm.wgmma.mma_async {{.*}} <m = 64, n = 16, k = 16>
// CHECK:       nvvm.wgmma.mma_async {{.*}} <m = 64, n = 32, k = 16>
// CHECK-NOT:   <m = 64, n = 48
// CHECK:       llvm.return
func.func @down(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>, %s13: memref<5632x2048xbf16>, %s2: memref<2048x2816xbf16>,
                %shared: memref<?x2048xf32>)
    attributes {moe.gemm_tiles = {experts.down = #moe.gemm_tile<rows = 32, row_step = 16, weights = 128, stages = 3, consumers = 1, resident_blocks = 2>}} {
  schedule.run on(compute) {
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>)
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x2048xbf16>, memref<5632x2048xbf16>, memref<2048x2816xbf16>) outs(%shared : memref<?x2048xf32>) activation(<swiglu>)
  }
  return
}

// -----

// Dense products, too.
// CHECK-LABEL: func.func @dense(
// CHECK:       schedule.launch @kernels::@shared_up_{{[0-9a-f]+}} {{.*}} gpu(<threads = 256,
// CHECK-NOT:   @shared_up_
// CHECK:       label("shared.down")
// CHECK:       llvm.func @shared_up_
// CHECK:       nvvm.wgmma.mma_async {{.*}} <m = 64, n = 128, k = 16>
func.func @dense(%x: memref<?x2048xbf16>, %s13: memref<5632x2048xbf16>, %s2: memref<2048x2816xbf16>, %shared: memref<?x2048xf32>)
    attributes {moe.gemm_tiles = {shared.up = #moe.gemm_tile<rows = 64, weights = 128, stages = 4, consumers = 1, swapped = false>}} {
  schedule.run on(compute) {
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x2048xbf16>, memref<5632x2048xbf16>, memref<2048x2816xbf16>) outs(%shared : memref<?x2048xf32>) activation(<swiglu>)
  }
  return
}

// -----

// Blocks of a cluster load weights for each other, and give stages back to each other.
// CHECK-LABEL: func.func @cluster(
// CHECK:       schedule.launch @kernels::@[[UP:experts_up_[0-9a-f]+]] {{.*}} cluster = 2,
// CHECK:       llvm.func @[[UP]](
// CHECK:       nvvm.cluster.arrive
// CHECK-NEXT:  nvvm.cluster.wait
// CHECK:       nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} multicast_mask
// CHECK:       [[OTHER:%.*]] = nvvm.mapa
// CHECK-NEXT:  nvvm.mbarrier.arrive [[OTHER]]
// CHECK:       nvvm.cluster.arrive
// CHECK-NEXT:  nvvm.cluster.wait
// CHECK-NEXT:  llvm.return
func.func @cluster(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                   %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>)
    attributes {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 128, row_step = 32, weights = 256, stages = 4, consumers = 2, cluster = 2>}} {
  schedule.run on(compute) {
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>)
  }
  return
}

// -----

// Those of a phase go before those of the function.
// CHECK-LABEL: func.func @phase(
// CHECK:     schedule.launch @kernels::@experts_up_{{[0-9a-f]+}}
// CHECK-NOT: @experts_up_
// CHECK:     label("experts.down")
// CHECK:     llvm.func @experts_up_
// CHECK:     nvvm.wgmma.mma_async {{.*}} <m = 64, n = 96, k = 16>
func.func @phase(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>)
    attributes {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 128, row_step = 32, weights = 256, stages = 4, consumers = 2, cluster = 2>}} {
  schedule.run on(compute) {
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 96, weights = 256, stages = 4, consumers = 2>}}
  }
  return
}
