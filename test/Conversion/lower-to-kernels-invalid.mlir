// RUN: moe-opt %s --split-input-file --moe-lower-to-kernels --verify-diagnostics
// RUN: not moe-opt %s --split-input-file --moe-lower-to-kernels=target=tpu 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not moe-opt %s --split-input-file --moe-lower-to-kernels=cpu=i960 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not moe-opt %s --split-input-file --moe-lower-to-kernels=cpu=host,+warp9 2>&1 | FileCheck %s --check-prefix=FEATURE

// Options that name what does not exist.
// TARGET:  error: expected target 'cpu' or 'cuda' but got 'tpu'
// CPU:     error: expected 'host' or a CPU of {{.*}} such as 'x86-64-v3' but got 'i960'
// FEATURE: error: expected a feature of {{.*}} such as '+avx2' but got '+warp9'

// What needs other ranks says which communicator it needs.
func.func @dispatch(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<5xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>) {
  schedule.run on(compute) label("dispatch") {
    // expected-error @below {{'moe.dispatch' op needs ranks that communicate: communicator 'ep' has no transport on target 'cpu', which runs one rank}}
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<send_receive, "ep", 2>) parallel(<data = 2, expert_parallel = true>)
  }
  return
}

// -----

func.func @combine(%out: memref<?x64xf32>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %routed: memref<?x64xf32>) {
  schedule.run on(compute) label("combine") {
    // expected-error @below {{'moe.combine' op needs ranks that communicate: communicator 'ep'}}
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>)
      outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<send_receive, "ep", 2>)
  }
  return
}

// -----

func.func @merge(%routed: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) label("merge") {
    // expected-error @below {{'moe.merge' op needs ranks that communicate: communicator 'tp'}}
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over("tp", 2)
  }
  return
}

// -----

func.func @all_reduce(%x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) label("all reduce") {
    // expected-error @below {{'moe.all_reduce' op needs ranks that communicate: communicator 'tp'}}
    moe.all_reduce ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>) over("tp", 2)
  }
  return
}

// -----

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
