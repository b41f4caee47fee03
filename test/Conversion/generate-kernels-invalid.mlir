// RUN: moe-opt %s --split-input-file --moe-generate-kernels --verify-diagnostics
// RUN: not moe-opt %s --split-input-file --moe-generate-kernels=target=tpu 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not moe-opt %s --split-input-file --moe-generate-kernels=cpu=i960 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not moe-opt %s --split-input-file --moe-generate-kernels=cpu=host,+warp9 2>&1 | FileCheck %s --check-prefix=FEATURE

// Options that name what does not exist.
// TARGET:  error: expected target 'cpu' or 'cuda' but got 'tpu'
// CPU:     error: expected 'host' or a CPU of {{.*}} such as 'x86-64-v3' but got 'i960'
// FEATURE: error: expected a feature of {{.*}} such as '+avx2' but got '+warp9'

// Quantized weights have no kernel.
func.func @quantized(%x: memref<?x64xbf16>, %offsets: memref<9xi32>, %source: memref<?xi32>, %w13: memref<8x64x64xi8>,
                     %w2: memref<8x64x32xi8>, %s13: memref<8xf32>, %s2: memref<8xf32>, %out: memref<?x64xbf16>) {
  schedule.run on(compute) label("experts") {
    // expected-error @below {{'moe.experts' op has quantized weights, which target 'cpu' cannot multiply}}
    moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xbf16>, memref<9xi32>, memref<?xi32>, memref<8x64x64xi8>, memref<8x64x32xi8>)
      scales(%s13, %s2 : memref<8xf32>, memref<8xf32>) outs(%out : memref<?x64xbf16>) activation(<swiglu>) quant(<fp8_tensor>)
  }
  return
}

// -----

// Work of other dialects is no phase.
func.func @copy(%x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'memref.copy' op has no kernel on target 'cpu'}}
    memref.copy %x, %y : memref<?x64xf32> to memref<?x64xf32>
  }
  return
}

// -----

// Kernels run on one rank.
func.func @exchange(%x: memref<?x64xf32>, %sum: memref<?x64xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'moe.merge' op expected its steps (--moe-lower-exchanges), since it exchanges over 'tp'}}
    moe.merge ins(%x : memref<?x64xf32>) outs(%sum : memref<?x64xf32>) sum_over(<tp = 2>[tp])
  }
  return
}

// -----

// A dispatch is steps before it is kernels.
func.func @dispatch(%ids: memref<?x2xi32>, %offsets: memref<9xi32>, %source: memref<?xi32>, %pairs: memref<?x2xi32>) {
  schedule.run on(compute) {
    // expected-error @below {{'moe.dispatch' op has no kernel on target 'cpu'}}
    moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) num_experts(8)
  }
  return
}

// -----

// Kernels find rows one behind the other.
func.func @strided(%x: memref<4x64xf32, strided<[128, 1]>>, %w: memref<16x64xf32>, %y: memref<4x16xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'moe.project' op expected row-major buffers but got 'memref<4x64xf32, strided<[128, 1]>>'}}
    moe.project ins(%x, %w : memref<4x64xf32, strided<[128, 1]>>, memref<16x64xf32>) outs(%y : memref<4x16xf32>)
  }
  return
}

// -----

// The CPU has a kernel for each of the two.
func.func @fused(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'moe.fused' op has no kernel on target 'cpu'}}
    moe.fused {
    ^bb0(%sums: memref<?x64xf32>):
      moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
      moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
    }
  }
  return
}
