// RUN: moe-opt %s --split-input-file --verify-diagnostics

// One case per constraint of each step, and of fused phases.

// moe.dispatch_plan C1
func.func @dispatch_plan(%i: memref<4x2xi32>, %o: memref<9xi32>, %s: memref<4xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 'source_rows' of shape [8] but got [4]}}
  moe.dispatch_plan ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<4xi32>, memref<4x2xi32>)
  return
}

// -----

// moe.dispatch_plan C2
func.func @dispatch_plan(%i: memref<?x?xi32>, %o: memref<9xi32>, %s: memref<?xi32>, %p: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'ids' with a static dimension 1 but got 'memref<?x?xi32>'}}
  moe.dispatch_plan ins(%i : memref<?x?xi32>) outs(%o, %s, %p : memref<9xi32>, memref<?xi32>, memref<?x2xi32>)
  return
}

// -----

// moe.expert_map C1
func.func @expert_map(%rank: index, %m: memref<7xi32>) {
  // expected-error @+1 {{expected 'map' of shape [8] but got [7]}}
  moe.expert_map of(%rank) placement(<experts = 8, ranks = 4>) outs(%m : memref<7xi32>)
  return
}

// -----

// moe.send_plan C1: a count for each rank.
func.func @send_plan(%i: memref<?x8xi32>, %c: memref<4xi32>, %r: memref<?xi32>, %p: memref<?x8xi32>) {
  // expected-error @+1 {{expected 'counts' of shape [8] but got [4]}}
  moe.send_plan ins(%i : memref<?x8xi32>) placement(<experts = 64, ranks = 8>) outs(%c, %r, %p : memref<4xi32>, memref<?xi32>, memref<?x8xi32>)
  return
}

// -----

// moe.send_plan C1: a position for each choice.
func.func @send_plan(%i: memref<?x8xi32>, %c: memref<8xi32>, %r: memref<?xi32>, %p: memref<?x4xi32>) {
  // expected-error @+1 {{expected 'positions' of shape [?, 8] but got [?, 4]}}
  moe.send_plan ins(%i : memref<?x8xi32>) placement(<experts = 64, ranks = 8>) outs(%c, %r, %p : memref<8xi32>, memref<?xi32>, memref<?x4xi32>)
  return
}

// -----

// moe.send_plan C2: room for each token on each rank.
func.func @send_plan(%i: memref<4x8xi32>, %c: memref<2xi32>, %r: memref<7xi32>, %p: memref<4x8xi32>) {
  // expected-error @+1 {{expected 'rows' of at least 8 but got 7}}
  moe.send_plan ins(%i : memref<4x8xi32>) placement(<experts = 64, ranks = 2>) outs(%c, %r, %p : memref<2xi32>, memref<7xi32>, memref<4x8xi32>)
  return
}

// -----

// moe.send_plan C3
func.func @send_plan(%i: memref<?x8xi32>, %c: memref<?xi32>, %r: memref<?xi32>, %p: memref<?x8xi32>) {
  // expected-error @+1 {{expected 'counts' with a static dimension 0 but got 'memref<?xi32>'}}
  moe.send_plan ins(%i : memref<?x8xi32>) placement(<experts = 64, ranks = 8>) outs(%c, %r, %p : memref<?xi32>, memref<?xi32>, memref<?x8xi32>)
  return
}

// -----

// moe.batched_send_plan C1
func.func @batched_send_plan(%i: memref<?x2xi32>, %w: memref<?x2xf32>, %c: memref<8xi32>, %r: memref<0xi32>, %rw: memref<0x1xf32>, %p: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'capacity' of at least 1 but got 0}}
  moe.batched_send_plan ins(%i, %w : memref<?x2xi32>, memref<?x2xf32>) placement(<experts = 8, ranks = 4>) capacity(0)
    outs(%c, %r, %rw, %p : memref<8xi32>, memref<0xi32>, memref<0x1xf32>, memref<?x2xi32>)
  return
}

// -----

// moe.batched_send_plan C2
func.func @batched_send_plan(%i: memref<?x2xi32>, %w: memref<?x2xf32>, %c: memref<8xi32>, %r: memref<16xi32>, %rw: memref<32x1xf32>, %p: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'rows' of shape [32] but got [16]}}
  moe.batched_send_plan ins(%i, %w : memref<?x2xi32>, memref<?x2xf32>) placement(<experts = 8, ranks = 4>) capacity(4)
    outs(%c, %r, %rw, %p : memref<8xi32>, memref<16xi32>, memref<32x1xf32>, memref<?x2xi32>)
  return
}

// -----

// moe.batched_send_plan C3
func.func @batched_send_plan(%i: memref<?x2xi32>, %w: memref<?x2xf32>, %c: memref<8xi32>, %r: memref<?xi32>, %rw: memref<32x1xf32>, %p: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'rows' with a static dimension 0 but got 'memref<?xi32>'}}
  moe.batched_send_plan ins(%i, %w : memref<?x2xi32>, memref<?x2xf32>) placement(<experts = 8, ranks = 4>) capacity(4)
    outs(%c, %r, %rw, %p : memref<8xi32>, memref<?xi32>, memref<32x1xf32>, memref<?x2xi32>)
  return
}

// -----

// moe.batched_plan C1
func.func @batched_plan(%c: memref<8xi32>, %o: memref<3xi32>, %s: memref<?xi32>, %p: memref<?x1xi32>) {
  // expected-error @+1 {{expected 'ranks' of at least 1 but got 0}}
  moe.batched_plan ins(%c : memref<8xi32>) ranks(0) capacity(16) outs(%o, %s, %p : memref<3xi32>, memref<?xi32>, memref<?x1xi32>)
  return
}

// -----

// moe.batched_plan C2: a count for each expert from each rank.
func.func @batched_plan(%c: memref<9xi32>, %o: memref<3xi32>, %s: memref<?xi32>, %p: memref<?x1xi32>) {
  // expected-error @+1 {{expected 'counts' of shape [8] but got [9]}}
  moe.batched_plan ins(%c : memref<9xi32>) ranks(4) capacity(16) outs(%o, %s, %p : memref<3xi32>, memref<?xi32>, memref<?x1xi32>)
  return
}

// -----

// moe.batched_plan C2: a place for each row.
func.func @batched_plan(%c: memref<8xi32>, %o: memref<3xi32>, %s: memref<64xi32>, %p: memref<128x1xi32>) {
  // expected-error @+1 {{expected 'source_rows' of shape [128] but got [64]}}
  moe.batched_plan ins(%c : memref<8xi32>) ranks(4) capacity(16) outs(%o, %s, %p : memref<3xi32>, memref<64xi32>, memref<128x1xi32>)
  return
}

// -----

// moe.gather_rows C1
func.func @gather_rows(%x: memref<?x64xf32>, %r: memref<8xi32>, %y: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'to' of shape [8, 64] but got [4, 64]}}
  moe.gather_rows ins(%x, %r : memref<?x64xf32>, memref<8xi32>) outs(%y : memref<4x64xf32>)
  return
}

// -----

// moe.gather_rows C2
func.func @gather_rows(%x: memref<?x8xbf16>, %r: memref<?xi32>, %y: memref<?x8xf16>) {
  // expected-error @+1 {{expected 'to' of element type 'bf16' but got 'f16'}}
  moe.gather_rows ins(%x, %r : memref<?x8xbf16>, memref<?xi32>) outs(%y : memref<?x8xf16>)
  return
}

// -----

// moe.gather_rows C3
func.func @gather_rows(%x: memref<?x?xf32>, %r: memref<?xi32>, %y: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'from' with a static dimension 1 but got 'memref<?x?xf32>'}}
  moe.gather_rows ins(%x, %r : memref<?x?xf32>, memref<?xi32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// moe.clear_ids C1
func.func @clear_ids(%i: memref<4x?xi32>) {
  // expected-error @+1 {{expected 'ids' with a static dimension 1 but got 'memref<4x?xi32>'}}
  moe.clear_ids outs(%i : memref<4x?xi32>)
  return
}

// -----

// moe.fused C1: several phases.
func.func @fused(%x: memref<?x64xf32>, %w: memref<8x64xf32>, %l: memref<?x8xf32>) {
  // expected-error @+1 {{expected at least 2 phases but got 1}}
  moe.fused {
    moe.gate ins(%x, %w : memref<?x64xf32>, memref<8x64xf32>) outs(%l : memref<?x8xf32>)
  }
  return
}

// -----

// moe.fused C1: nothing but phases.
func.func @fused(%x: memref<?x64xf32>, %w: memref<8x64xf32>, %l: memref<?x8xf32>) {
  moe.fused {
    moe.gate ins(%x, %w : memref<?x64xf32>, memref<8x64xf32>) outs(%l : memref<?x8xf32>)
    // expected-error @+1 {{'memref.copy' op expected a phase in 'moe.fused'}}
    memref.copy %l, %l : memref<?x8xf32> to memref<?x8xf32>
  }
  return
}

// -----

// moe.fused C1: on buffers.
func.func @fused(%x: tensor<?x64xf32>, %w: tensor<8x64xf32>, %l: tensor<?x8xf32>) {
  moe.fused {
    // expected-error @+1 {{'moe.gate' op expected a phase on buffers in 'moe.fused'}}
    %a = moe.gate ins(%x, %w : tensor<?x64xf32>, tensor<8x64xf32>) outs(%l : tensor<?x8xf32>) -> tensor<?x8xf32>
    %b = moe.gate ins(%x, %w : tensor<?x64xf32>, tensor<8x64xf32>) outs(%l : tensor<?x8xf32>) -> tensor<?x8xf32>
  }
  return
}

// -----

// moe.fused C1: of one rank.
func.func @fused(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32>) {
  moe.fused {
  ^bb0(%sums: memref<?x64xf32>):
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
    // expected-error @+1 {{'moe.merge' op expected a phase of this rank alone in 'moe.fused' but it exchanges over 'tp'}}
    moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over(<tp = 2>[tp])
  }
  return
}

// -----

// moe.fused C2: what is read was written.
func.func @fused(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %r: memref<?x64xf32>, %y: memref<?x64xf32>) {
  moe.fused {
  ^bb0(%sums: memref<?x64xf32>):
    // expected-error @+1 {{'moe.merge' op expected argument #0 of 'moe.fused' to be written before it is read}}
    moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
  }
  return
}

// -----

// moe.fused C2: once.
func.func @fused(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>) {
  moe.fused {
  ^bb0(%sums: memref<?x64xf32>):
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
    // expected-error @+1 {{'moe.combine' op expected argument #0 of 'moe.fused' to be written once}}
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
  }
  return
}
