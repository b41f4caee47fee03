// RUN: moe-opt %s --split-input-file --schedule-plan-workspace --verify-diagnostics

// A dimension that comes from nowhere cannot be bounded before the call.
func.func @unbounded(%x: memref<?x64xf32>, %count: memref<index>) {
  // expected-note @below {{this size has no bound in tokens, constants and arguments with 'schedule.max_shape'}}
  %n = memref.load %count[] : memref<index>
  // expected-error @below {{expected a buffer whose bytes are at most linear in the tokens but got 'memref<?xf32>'}}
  %a = memref.alloc(%n) : memref<?xf32>
  schedule.run on(compute) {}
  return
}

// -----

// Tokens times tokens is not linear.
func.func @square(%x: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  // expected-error @below {{expected a buffer whose bytes are at most linear in the tokens but got 'memref<?x?xf32>'}}
  %a = memref.alloc(%t, %t) : memref<?x?xf32>
  schedule.run on(compute) {}
  return
}

// -----

// A slot dies with the call, so a result cannot lie in one.
func.func @returned() -> memref<4xf32> {
  // expected-error @below {{expected a buffer that is not returned: make results output arguments first}}
  %a = memref.alloc() : memref<4xf32>
  schedule.run on(compute) {}
  return %a : memref<4xf32>
}

// -----

// Slots are aligned to 256 bytes and no more.
func.func @alignment() {
  // expected-error @below {{expected an alignment of at most 256 but got 4096}}
  %a = memref.alloc() {alignment = 4096 : i64} : memref<4xf32>
  schedule.run on(compute) {}
  return
}

// -----

// A caller within the module would pass too few arguments.
// expected-error @below {{expected a function that nothing in the module refers to: its arguments change}}
func.func @called(%x: memref<4xf32>) {
  %a = memref.alloc() : memref<4xf32>
  schedule.run on(compute) {
    memref.copy %x, %a : memref<4xf32> to memref<4xf32>
  }
  return
}
func.func @caller(%x: memref<4xf32>) {
  // expected-note @below {{it is referred to here}}
  call @called(%x) : (memref<4xf32>) -> ()
  return
}
