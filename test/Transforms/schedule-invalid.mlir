// RUN: moe-opt %s --split-input-file --moe-schedule --verify-diagnostics
// RUN: not moe-opt %s --split-input-file --moe-schedule=rule-set=fastest 2>&1 | FileCheck %s --check-prefix=RULES
// RUN: not moe-opt %s --split-input-file --moe-schedule=machine=%t.none 2>&1 | FileCheck %s --check-prefix=MACHINE

// Options that name what does not exist.
// RULES:   error: expected --schedule to be one of vllm, vllm-2026-08, vllm-2026-09, auto, serial, overlap but got 'fastest'
// MACHINE: error: cannot read machine file '{{.*}}.none'

// Tensors have no buffers to race for: bufferize first.
func.func @on_tensors(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %logits: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // expected-error @below {{'moe.gate' op expected work on buffers to schedule, without regions and results; bufferize first and keep control flow out of scheduled functions}}
  %0 = moe.gate ins(%x, %router : tensor<?x64xf32>, tensor<8x64xf32>) outs(%logits : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// Work in control flow has no place in an order.
func.func @in_a_branch(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %logits: memref<?x8xf32>, %c: i1) {
  // expected-error @below {{'scf.if' op expected work on buffers to schedule}}
  scf.if %c {
    moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  }
  return
}

// -----

// An op of a layer that nobody ended with a merge would have two of them.
func.func @twice(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %a: memref<?x64xf32>, %b: memref<?x64xf32>) {
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%a : memref<?x64xf32>) activation(<swiglu>)
  // expected-error @below {{'moe.shared_experts' op expected one 'moe.shared_experts' per 'moe.merge'}}
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%b : memref<?x64xf32>) activation(<swiglu>)
  return
}
