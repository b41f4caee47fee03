// RUN: moe-opt %s --split-input-file --moe-generate-kernels=target=cuda --verify-diagnostics

// Tiles that do not fit are an error that says what would.

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.down' cannot use #moe.gemm_tile<{{.*}}>: expected weights = 128 * consumers = 128 but got 256}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.down = #moe.gemm_tile<rows = 32, weights = 256, stages = 4, consumers = 1>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected row_step (or else rows) a multiple of 16 but got 40}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 40, weights = 128, stages = 4, consumers = 1>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected stages of at most 3, of 65536 bytes each, but got 9}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 256, weights = 256, stages = 9, consumers = 2>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected {{.*}} but got}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 256, weights = 256, stages = 3, consumers = 2>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected swapped = true for experts but got false}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 64, weights = 128, stages = 4, consumers = 1, swapped = false>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xbf16>,
                 %w2: memref<8x2048x1408xbf16>, %out: memref<?x2048xbf16>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected cluster of 1 or 2 but got 4}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xbf16>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xbf16>, memref<8x2048x1408xbf16>)
      outs(%out : memref<?x2048xbf16>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 128, row_step = 32, weights = 256, stages = 4, consumers = 2, cluster = 4>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xbf16>, %s13: memref<5632x2048xbf16>, %s2: memref<2048x2816xbf16>, %out: memref<?x2048xf32>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'shared.up' cannot use #moe.gemm_tile<{{.*}}>: expected weights of 128 or 256 but got 192}}
    moe.shared_experts ins(%x, %s13, %s2 : memref<?x2048xbf16>, memref<5632x2048xbf16>, memref<2048x2816xbf16>) outs(%out : memref<?x2048xf32>) activation(<swiglu>)
      {moe.gemm_tiles = {shared.up = #moe.gemm_tile<rows = 128, weights = 192, stages = 4, consumers = 2, swapped = false>}}
  }
  return
}

// -----

func.func @layer(%x: memref<?x2048xf32>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x2816x2048xf32>,
                 %w2: memref<8x2048x1408xf32>, %out: memref<?x2048xf32>) {
  schedule.run on(compute) {
    // expected-error-re @below {{'experts.up' cannot use #moe.gemm_tile<{{.*}}>: expected a product on tensor cores}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x2048xf32>, memref<9xi32>, memref<?xi32>, memref<8x2816x2048xf32>, memref<8x2048x1408xf32>)
      outs(%out : memref<?x2048xf32>) activation(<swiglu>) {moe.gemm_tiles = {experts.up = #moe.gemm_tile<rows = 32, row_step = 16, weights = 128, stages = 3, consumers = 1>}}
  }
  return
}
