// RUN: moe-opt %s --split-input-file --verify-diagnostics

// One case per constraint of each phase.

// moe.gate C1: logits of all tokens and experts.
func.func @gate(%x: memref<4x64xf32>, %w: memref<8x64xf32>, %l: memref<4x7xf32>) {
  // expected-error @+1 {{expected 'logits' of shape [4, 8] but got [4, 7]}}
  moe.gate ins(%x, %w : memref<4x64xf32>, memref<8x64xf32>) outs(%l : memref<4x7xf32>)
  return
}

// -----

// moe.gate C1: a bias per expert.
func.func @gate(%x: memref<4x64xf32>, %w: memref<8x64xf32>, %b: memref<1xf32>, %l: memref<4x8xf32>) {
  // expected-error @+1 {{expected 'bias' of shape [8] but got [1]}}
  moe.gate ins(%x, %w : memref<4x64xf32>, memref<8x64xf32>) bias(%b : memref<1xf32>) outs(%l : memref<4x8xf32>)
  return
}

// -----

// moe.gate C2: a weight narrower than the tokens.
func.func @gate(%x: memref<4x64xf32>, %w: memref<8x64xbf16>, %l: memref<4x8xf32>) {
  // expected-error @+1 {{expected 'weight' of element type 'f32' but got 'bf16'}}
  moe.gate ins(%x, %w : memref<4x64xf32>, memref<8x64xbf16>) outs(%l : memref<4x8xf32>)
  return
}

// -----

// moe.route C1: top_k columns.
func.func @route(%l: memref<?x8xf32>, %i: memref<?x3xi32>, %w: memref<?x2xf32>) {
  // expected-error @+1 {{expected 'ids' of shape [?, 2] but got [?, 3]}}
  moe.route ins(%l : memref<?x8xf32>) outs(%i, %w : memref<?x3xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  return
}

// -----

// moe.route C1: a bias per expert.
func.func @route(%l: memref<?x8xf32>, %b: memref<7xf32>, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  // expected-error @+1 {{expected 'correction_bias' of shape [8] but got [7]}}
  moe.route ins(%l : memref<?x8xf32>) correction_bias(%b : memref<7xf32>) outs(%i, %w : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  return
}

// -----

// moe.expert_load C1: a number for each expert.
func.func @expert_load(%i: memref<?x2xi32>, %n: memref<?x?xi32>) {
  // expected-error @+1 {{'moe.expert_load' op operand #1 must be}}
  "moe.expert_load"(%i, %n) : (memref<?x2xi32>, memref<?x?xi32>) -> ()
  return
}

// -----

// moe.expert_load C2: the number of experts is static.
func.func @expert_load(%i: memref<?x2xi32>, %n: memref<?xi32>) {
  // expected-error @+1 {{expected 'load' with a static dimension 0 but got 'memref<?xi32>'}}
  moe.expert_load ins(%i : memref<?x2xi32>) outs(%n : memref<?xi32>)
  return
}

// -----

// moe.route C2: groups divide the experts.
func.func @route(%l: memref<?x8xf32>, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  // expected-error @+1 {{expected n_group that divides the 8 experts but got 5}}
  moe.route ins(%l : memref<?x8xf32>) outs(%i, %w : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2, n_group = 5>)
  return
}

// -----

// moe.route C3: a row of the map per expert.
func.func @route(%l: memref<?x8xf32>, %m: memref<9x2xi32>, %c: memref<8xi32>, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  // expected-error @+1 {{expected 'logical_to_physical' of shape [8, ?] but got [9, 2]}}
  moe.route ins(%l : memref<?x8xf32>) eplb(%m, %c : memref<9x2xi32>, memref<8xi32>) outs(%i, %w : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  return
}

// -----

// moe.route C3: rows count for replicas alone.
func.func @route(%l: memref<?x8xf32>, %first: index, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  // expected-error @+1 {{expected 'first_row' only with 'replica_count' but got it alone}}
  moe.route ins(%l : memref<?x8xf32>) first_row(%first) outs(%i, %w : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  return
}

// -----

// moe.dispatch C1: without an exchange, rows are tokens.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<9xi32>, %s: memref<8xi32>, %p: memref<5x2xi32>) {
  // expected-error @+1 {{expected 'pair_rows' of shape [4, 2] but got [5, 2]}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<8xi32>, memref<5x2xi32>) num_experts(8)
  return
}

// -----

// moe.dispatch C1: a source row per pair.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<9xi32>, %s: memref<4xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 'source_rows' of shape [8] but got [4]}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<4xi32>, memref<4x2xi32>) num_experts(8)
  return
}

// -----

// moe.dispatch C2: rows move only in an exchange.
func.func @dispatch(%i: memref<4x2xi32>, %x: memref<4x64xf32>, %w: memref<4x2xf32>, %o: memref<9xi32>, %s: memref<8xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 'x' only with an exchange}}
  moe.dispatch ins(%i : memref<4x2xi32>) rows(%x, %w : memref<4x64xf32>, memref<4x2xf32>) outs(%o, %s, %p : memref<9xi32>, memref<8xi32>, memref<4x2xi32>) num_experts(8)
  return
}

// -----

// moe.dispatch C2: an exchange of nothing.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<9xi32>, %s: memref<8xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 'x' with an exchange but got none}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<8xi32>, memref<4x2xi32>) num_experts(8) exchange(<all_gather, <dp = 2>[dp]>)
  return
}

// -----

// moe.dispatch C3: what is received is what was sent.
func.func @dispatch(%i: memref<4x2xi32>, %x: memref<4x64xf32>, %w: memref<4x2xf32>, %o: memref<9xi32>, %s: memref<16xi32>, %p: memref<8x2xi32>, %r: memref<8x32xf32>, %q: memref<8x2xf32>) {
  // expected-error @+1 {{expected 'rows' of shape [8, 64] but got [8, 32]}}
  moe.dispatch ins(%i : memref<4x2xi32>) rows(%x, %w : memref<4x64xf32>, memref<4x2xf32>) outs(%o, %s, %p : memref<9xi32>, memref<16xi32>, memref<8x2xi32>) received(%r, %q : memref<8x32xf32>, memref<8x2xf32>) num_experts(8) exchange(<all_gather, <dp = 2>[dp]>)
  return
}

// -----

// moe.dispatch C3: in the same dtype.
func.func @dispatch(%i: memref<4x2xi32>, %x: memref<4x64xf32>, %w: memref<4x2xf32>, %o: memref<9xi32>, %s: memref<16xi32>, %p: memref<8x2xi32>, %r: memref<8x64xbf16>, %q: memref<8x2xf32>) {
  // expected-error @+1 {{expected 'rows' of element type 'f32' but got 'bf16'}}
  moe.dispatch ins(%i : memref<4x2xi32>) rows(%x, %w : memref<4x64xf32>, memref<4x2xf32>) outs(%o, %s, %p : memref<9xi32>, memref<16xi32>, memref<8x2xi32>) received(%r, %q : memref<8x64xbf16>, memref<8x2xf32>) num_experts(8) exchange(<all_gather, <dp = 2>[dp]>)
  return
}

// -----

// moe.dispatch C1: batched rows are one choice each.
func.func @dispatch(%i: memref<4x2xi32>, %x: memref<4x64xf32>, %w: memref<4x2xf32>, %o: memref<9xi32>, %s: memref<16xi32>, %p: memref<8x2xi32>, %r: memref<8x64xf32>, %q: memref<8x2xf32>) {
  // expected-error @+1 {{expected 'pair_rows' of shape [?, 1] but got [8, 2]}}
  moe.dispatch ins(%i : memref<4x2xi32>) rows(%x, %w : memref<4x64xf32>, memref<4x2xf32>) outs(%o, %s, %p : memref<9xi32>, memref<16xi32>, memref<8x2xi32>) received(%r, %q : memref<8x64xf32>, memref<8x2xf32>) num_experts(8) exchange(<batched, <ep = 2>[ep]>)
  return
}

// -----

// moe.dispatch C4: without expert parallelism all experts are here.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<5xi32>, %s: memref<8xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 8 local experts, a rank's share of 8 over 1 rank, but got 4}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<5xi32>, memref<8xi32>, memref<4x2xi32>) num_experts(8)
  return
}

// -----

// moe.dispatch C4: a share of them with it.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<9xi32>, %s: memref<8xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected 4 local experts, a rank's share of 8 over 2 ranks, but got 8}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<8xi32>, memref<4x2xi32>) num_experts(8) placement(<experts = 8, ranks = 2>)
  return
}

// -----

// moe.dispatch C4: of the same experts.
func.func @dispatch(%i: memref<4x2xi32>, %o: memref<5xi32>, %s: memref<8xi32>, %p: memref<4x2xi32>) {
  // expected-error @+1 {{expected a placement of num_experts = 8 but got one of 6}}
  moe.dispatch ins(%i : memref<4x2xi32>) outs(%o, %s, %p : memref<5xi32>, memref<8xi32>, memref<4x2xi32>) num_experts(8) placement(<experts = 6, ranks = 2>)
  return
}

// -----

// moe.experts C1: offsets of the experts that there are.
func.func @experts(%x: memref<4x64xf32>, %o: memref<8xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xf32>, %w2: memref<8x64x32xf32>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'w2' of shape [7, 64, ?] but got [8, 64, 32]}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<8xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>) outs(%out : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.experts C2: gated weights.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x32x64xf32>, %w2: memref<8x64x32xf32>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'w13' of shape [8, 64, 64] but got [8, 32, 64]}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x32x64xf32>, memref<8x64x32xf32>) outs(%out : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.experts C2: biases match.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xf32>, %w2: memref<8x64x32xf32>, %b13: memref<8x64xf32>, %b2: memref<8x32xf32>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'b2' of shape [8, 64] but got [8, 32]}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>) biases(%b13, %b2 : memref<8x64xf32>, memref<8x32xf32>) outs(%out : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.experts C2: one input weight per row.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xf32>, %w2: memref<8x64x32xf32>, %iw: memref<4x2xf32>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'input_weights' of shape [4, 1] but got [4, 2]}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>) input_weights(%iw : memref<4x2xf32>) outs(%out : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.experts C3: the result is as wide as the rows.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xf32>, %w2: memref<8x64x32xf32>, %out: memref<?x32xf32>) {
  // expected-error @+1 {{expected 'expert_out' of shape [?, 64] but got [?, 32]}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>) outs(%out : memref<?x32xf32>) activation(<swiglu>)
  return
}

// -----

// moe.experts C3: in their dtype.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xf32>, %w2: memref<8x64x32xf32>, %out: memref<?x64xf16>) {
  // expected-error @+1 {{expected 'expert_out' of element type 'f32' but got 'f16'}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>) outs(%out : memref<?x64xf16>) activation(<swiglu>)
  return
}

// -----

// moe.experts C4: a scheme without scales.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xi8>, %w2: memref<8x64x32xi8>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'quant' and scales together but got only 'quant'}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xi8>, memref<8x64x32xi8>) outs(%out : memref<?x64xf32>) activation(<swiglu>) quant(<fp8_tensor>)
  return
}

// -----

// moe.experts C4: bytes without a scheme.
func.func @experts(%x: memref<4x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x64x64xi8>, %w2: memref<8x64x32xi8>, %out: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'w13' of element type 'f32' but got 'i8'}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<4x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xi8>, memref<8x64x32xi8>) outs(%out : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.combine C1: a weight per choice.
func.func @combine(%e: memref<8x64xf32>, %p: memref<4x2xi32>, %w: memref<4x1xf32>, %r: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'weights' of shape [4, 2] but got [4, 1]}}
  moe.combine ins(%e, %p : memref<8x64xf32>, memref<4x2xi32>) weights(%w : memref<4x1xf32>) outs(%r : memref<4x64xf32>) scale(1.0)
  return
}

// -----

// moe.combine C1: on tensors, a pair per choice.
func.func @combine(%e: tensor<4x64xf32>, %p: tensor<4x2xi32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // expected-error @+1 {{expected 'expert_out' of shape [8, ?] but got [4, 64]}}
  %y = moe.combine ins(%e, %p : tensor<4x64xf32>, tensor<4x2xi32>) outs(%r : tensor<4x64xf32>) scale(1.0) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.combine C1: without an exchange, tokens are rows.
func.func @combine(%e: memref<8x64xf32>, %p: memref<4x2xi32>, %r: memref<2x64xf32>) {
  // expected-error @+1 {{expected 'routed' of shape [4, 64] but got [2, 64]}}
  moe.combine ins(%e, %p : memref<8x64xf32>, memref<4x2xi32>) outs(%r : memref<2x64xf32>) scale(1.0)
  return
}

// -----

// moe.shared_experts C1: gated weights.
func.func @shared_experts(%x: memref<4x64xf32>, %w13: memref<48x64xf32>, %w2: memref<64x48xf32>, %o: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'w13' of shape [96, 64] but got [48, 64]}}
  moe.shared_experts ins(%x, %w13, %w2 : memref<4x64xf32>, memref<48x64xf32>, memref<64x48xf32>) outs(%o : memref<4x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.shared_experts C1: one gate for all of them.
func.func @shared_experts(%x: memref<4x64xf32>, %w13: memref<48x64xf32>, %w2: memref<64x48xf32>, %g: memref<2x64xf32>, %o: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'gate' of shape [1, 64] but got [2, 64]}}
  moe.shared_experts ins(%x, %w13, %w2 : memref<4x64xf32>, memref<48x64xf32>, memref<64x48xf32>) gate(%g : memref<2x64xf32>) outs(%o : memref<4x64xf32>) activation(<relu2>)
  return
}

// -----

// moe.project C1: a matrix product.
func.func @project(%x: memref<4x64xf32>, %w: memref<16x64xf32>, %y: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'projected' of shape [4, 16] but got [4, 64]}}
  moe.project ins(%x, %w : memref<4x64xf32>, memref<16x64xf32>) outs(%y : memref<4x64xf32>)
  return
}

// -----

// moe.merge C1: summands of one shape.
func.func @merge(%r: memref<4x64xf32>, %s: memref<4x32xf32>, %y: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'shared' of shape [4, 64] but got [4, 32]}}
  moe.merge ins(%r : memref<4x64xf32>) shared(%s : memref<4x32xf32>) outs(%y : memref<4x64xf32>)
  return
}

// -----

// moe.merge C1: choices of as many tokens.
func.func @merge(%r: memref<4x64xf32>, %x: memref<4x64xf32>, %i: memref<5x2xi32>, %w: memref<4x2xf32>, %y: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'ids' of shape [4, ?] but got [5, 2]}}
  moe.merge ins(%r : memref<4x64xf32>) zero(%x, %i, %w : memref<4x64xf32>, memref<5x2xi32>, memref<4x2xf32>) from(6) scale(1.0) outs(%y : memref<4x64xf32>)
  return
}

// -----

// moe.merge C2: only the generic form can leave the first zero expert out.
func.func @merge(%r: memref<4x64xf32>, %x: memref<4x64xf32>, %i: memref<4x2xi32>,
                 %w: memref<4x2xf32>, %y: memref<4x64xf32>) {
  // expected-error @+1 {{expected 'first_zero_expert' and 'zero_scale' exactly with the operands of 'zero'}}
  "moe.merge"(%r, %x, %i, %w, %y) <{operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1>}>
    : (memref<4x64xf32>, memref<4x64xf32>, memref<4x2xi32>, memref<4x2xf32>, memref<4x64xf32>) -> ()
  return
}

// -----

// moe.combine C2: a plan that nobody made.
func.func @combine(%x: tensor<4x64xf32>, %i: tensor<4x2xi32>, %w: tensor<4x2xf32>, %o: tensor<9xi32>,
                   %s: tensor<8xi32>, %p: tensor<4x2xi32>, %w13: tensor<8x64x64xf32>,
                   %w2: tensor<8x64x32xf32>, %e: tensor<8x64xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // expected-error @+1 {{expected 'pair_rows' of a 'moe.dispatch'}}
  %y = moe.combine ins(%e, %p : tensor<8x64xf32>, tensor<4x2xi32>) weights(%w : tensor<4x2xf32>)
    outs(%r : tensor<4x64xf32>) scale(1.0) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.combine C2: the choices, which are no plan.
func.func @combine(%x: tensor<4x64xf32>, %i: tensor<4x2xi32>, %w: tensor<4x2xf32>, %o: tensor<9xi32>,
                   %s: tensor<8xi32>, %p: tensor<4x2xi32>, %l: tensor<4x8xf32>, %w13: tensor<8x64x64xf32>,
                   %w2: tensor<8x64x32xf32>, %e: tensor<8x64xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %ids, %weights = moe.route ins(%l : tensor<4x8xf32>) outs(%i, %w : tensor<4x2xi32>, tensor<4x2xf32>)
    routing(<top_k = 2>) -> tensor<4x2xi32>, tensor<4x2xf32>
  // expected-error @+1 {{expected 'pair_rows' of a 'moe.dispatch'}}
  %y = moe.combine ins(%e, %ids : tensor<8x64xf32>, tensor<4x2xi32>) weights(%w : tensor<4x2xf32>)
    outs(%r : tensor<4x64xf32>) scale(1.0) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.combine C2: rows that came by an exchange and never go back.
func.func @combine(%x: tensor<4x64xf32>, %i: tensor<4x2xi32>, %w: tensor<4x2xf32>, %o: tensor<9xi32>,
                   %s: tensor<8xi32>, %p: tensor<4x2xi32>, %w13: tensor<8x64x64xf32>,
                   %w2: tensor<8x64x32xf32>, %e: tensor<8x64xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // expected-note @+1 {{the plan is made here}}
  %plan:5 = moe.dispatch ins(%i : tensor<4x2xi32>) rows(%x, %w : tensor<4x64xf32>, tensor<4x2xf32>)
    outs(%o, %s, %p : tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>) received(%x, %w : tensor<4x64xf32>, tensor<4x2xf32>)
    num_experts(8) exchange(<all_gather, <dp = 2>[dp]>)
    -> tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>, tensor<4x64xf32>, tensor<4x2xf32>
  // expected-error @+1 {{expected the exchange of its plan, #moe.exchange<all_gather, <dp = 2>[dp]>, but got none}}
  %y = moe.combine ins(%e, %plan#2 : tensor<8x64xf32>, tensor<4x2xi32>) weights(%plan#4 : tensor<4x2xf32>)
    outs(%r : tensor<4x64xf32>) scale(1.0) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.combine C2: this rank's weights for rows of all ranks.
func.func @combine(%x: tensor<4x64xf32>, %i: tensor<4x2xi32>, %w: tensor<4x2xf32>, %o: tensor<9xi32>,
                   %s: tensor<8xi32>, %p: tensor<4x2xi32>, %w13: tensor<8x64x64xf32>,
                   %w2: tensor<8x64x32xf32>, %e: tensor<8x64xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // expected-note @+1 {{the plan is made here}}
  %plan:5 = moe.dispatch ins(%i : tensor<4x2xi32>) rows(%x, %w : tensor<4x64xf32>, tensor<4x2xf32>)
    outs(%o, %s, %p : tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>) received(%x, %w : tensor<4x64xf32>, tensor<4x2xf32>)
    num_experts(8) exchange(<all_gather, <dp = 2>[dp]>)
    -> tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>, tensor<4x64xf32>, tensor<4x2xf32>
  // expected-error @+1 {{expected 'weights' to be the 'row_weights' that its plan received}}
  %y = moe.combine ins(%e, %plan#2 : tensor<8x64xf32>, tensor<4x2xi32>) weights(%w : tensor<4x2xf32>)
    outs(%r : tensor<4x64xf32>) scale(1.0) exchange(<all_gather, <dp = 2>[dp]>) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.combine C3: the plans of two dispatches.
func.func @combine(%x: tensor<4x64xf32>, %i: tensor<4x2xi32>, %w: tensor<4x2xf32>, %o: tensor<9xi32>,
                   %s: tensor<8xi32>, %p: tensor<4x2xi32>, %w13: tensor<8x64x64xf32>,
                   %w2: tensor<8x64x32xf32>, %e: tensor<8x64xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %first:3 = moe.dispatch ins(%i : tensor<4x2xi32>) outs(%o, %s, %p : tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>)
    num_experts(8) -> tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>
  %second:3 = moe.dispatch ins(%i : tensor<4x2xi32>) outs(%o, %s, %p : tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>)
    num_experts(8) -> tensor<9xi32>, tensor<8xi32>, tensor<4x2xi32>
  // expected-note @+1 {{the experts run by another plan here}}
  %out = moe.experts ins(%x, %first#0, %first#1, %w13, %w2 : tensor<4x64xf32>, tensor<9xi32>, tensor<8xi32>, tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    outs(%e : tensor<8x64xf32>) activation(<swiglu>) -> tensor<8x64xf32>
  // expected-error @+1 {{expected 'expert_out' computed by the plan of 'pair_rows'}}
  %y = moe.combine ins(%out, %second#2 : tensor<8x64xf32>, tensor<4x2xi32>) weights(%w : tensor<4x2xf32>)
    outs(%r : tensor<4x64xf32>) scale(1.0) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// On buffers, what kernels are made for is static. moe.gate C3
func.func @gate(%x: memref<?x?xf32>, %w: memref<8x64xf32>, %l: memref<?x8xf32>) {
  // expected-error @+1 {{expected 'x' with a static dimension 1 but got 'memref<?x?xf32>'}}
  moe.gate ins(%x, %w : memref<?x?xf32>, memref<8x64xf32>) outs(%l : memref<?x8xf32>)
  return
}

// -----

// moe.dispatch C6
func.func @dispatch(%i: memref<?x?xi32>, %o: memref<9xi32>, %s: memref<?xi32>, %p: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'ids' with a static dimension 1 but got 'memref<?x?xi32>'}}
  moe.dispatch ins(%i : memref<?x?xi32>) outs(%o, %s, %p : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) num_experts(8)
  return
}

// -----

// moe.experts C5
func.func @experts(%x: memref<?x64xf32>, %o: memref<9xi32>, %s: memref<?xi32>, %w13: memref<8x?x64xf32>, %w2: memref<8x64x32xf32>, %y: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'w13' with a static dimension 1 but got 'memref<8x?x64xf32>'}}
  moe.experts ins(%x, %o, %s, %w13, %w2 : memref<?x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x?x64xf32>, memref<8x64x32xf32>)
    outs(%y : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.combine C5
func.func @combine(%e: memref<?x?xf32>, %p: memref<?x2xi32>, %r: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'expert_out' with a static dimension 1 but got 'memref<?x?xf32>'}}
  moe.combine ins(%e, %p : memref<?x?xf32>, memref<?x2xi32>) outs(%r : memref<?x64xf32>) scale(1.0)
  return
}

// -----

// moe.shared_experts C2
func.func @shared(%x: memref<?x64xf32>, %w13: memref<64x64xf32>, %w2: memref<64x?xf32>, %y: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'w2' with a static dimension 1 but got 'memref<64x?xf32>'}}
  moe.shared_experts ins(%x, %w13, %w2 : memref<?x64xf32>, memref<64x64xf32>, memref<64x?xf32>) outs(%y : memref<?x64xf32>) activation(<swiglu>)
  return
}

// -----

// moe.project C2
func.func @project(%x: memref<?x64xf32>, %w: memref<?x64xf32>, %y: memref<?x16xf32>) {
  // expected-error @+1 {{expected 'weight' with a static dimension 0 but got 'memref<?x64xf32>'}}
  moe.project ins(%x, %w : memref<?x64xf32>, memref<?x64xf32>) outs(%y : memref<?x16xf32>)
  return
}

// -----

// moe.merge C4
func.func @merge(%r: memref<?x?xf32>, %y: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'routed' with a static dimension 1 but got 'memref<?x?xf32>'}}
  moe.merge ins(%r : memref<?x?xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// moe.dispatch C5: rows that are sent one by one have a way back.
func.func @dispatch(%i: memref<?x2xi32>, %x: memref<?x64xf32>, %w: memref<?x2xf32>, %o: memref<3xi32>, %s: memref<?xi32>, %p: memref<?x2xi32>,
                    %r: memref<?x64xf32>, %rw: memref<?x2xf32>) {
  // expected-error @+1 {{expected 'positions' with the exchange but got none: 'send_receive'}}
  moe.dispatch ins(%i : memref<?x2xi32>) rows(%x, %w : memref<?x64xf32>, memref<?x2xf32>)
    outs(%o, %s, %p : memref<3xi32>, memref<?xi32>, memref<?x2xi32>) received(%r, %rw : memref<?x64xf32>, memref<?x2xf32>)
    num_experts(8) exchange(<send_receive, <ep = 4>[ep]>) placement(<experts = 8, ranks = 4>)
  return
}

// -----

// moe.dispatch C5: others have none.
func.func @dispatch(%i: memref<?x2xi32>, %o: memref<9xi32>, %s: memref<?xi32>, %p: memref<?x2xi32>, %b: memref<?x2xi32>) {
  // expected-error @+1 {{expected 'positions' only with an exchange that sends rows one by one: 'none'}}
  moe.dispatch ins(%i : memref<?x2xi32>) outs(%o, %s, %p : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) way_back(%b : memref<?x2xi32>) num_experts(8)
  return
}

// -----

// moe.dispatch C5: a count for each rank.
func.func @dispatch(%i: memref<?x2xi32>, %x: memref<?x64xf32>, %w: memref<?x2xf32>, %o: memref<3xi32>, %s: memref<?xi32>, %p: memref<?x2xi32>,
                    %r: memref<?x64xf32>, %rw: memref<?x2xf32>, %b: memref<?x2xi32>, %c: memref<3xi32>) {
  // expected-error @+1 {{expected 'send_counts' of shape [4] but got [3]}}
  moe.dispatch ins(%i : memref<?x2xi32>) rows(%x, %w : memref<?x64xf32>, memref<?x2xf32>)
    outs(%o, %s, %p : memref<3xi32>, memref<?xi32>, memref<?x2xi32>) received(%r, %rw : memref<?x64xf32>, memref<?x2xf32>)
    way_back(%b : memref<?x2xi32>) counts(%c, %c : memref<3xi32>, memref<3xi32>)
    num_experts(8) exchange(<send_receive, <ep = 4>[ep]>) placement(<experts = 8, ranks = 4>)
  return
}

// -----

// moe.combine C4: with fixed capacity, the experts of all ranks.
func.func @combine(%e: memref<?x64xf32>, %p: memref<?x1xi32>, %b: memref<?x2xi32>, %r: memref<?x64xf32>) {
  // expected-error @+1 {{expected 'num_experts' with exchange 'batched' but got none}}
  moe.combine ins(%e, %p : memref<?x64xf32>, memref<?x1xi32>) way_back(%b : memref<?x2xi32>)
    outs(%r : memref<?x64xf32>) scale(1.0) exchange(<batched, <ep = 4>[ep]>)
  return
}

// -----

// moe.combine C2: the way back of its own plan.
func.func @combine(%i: tensor<?x2xi32>, %x: tensor<?x64xf32>, %w: tensor<?x2xf32>, %o: tensor<3xi32>, %s: tensor<?xi32>, %p: tensor<?x1xi32>,
                   %r: tensor<?x64xf32>, %rw: tensor<?x1xf32>, %b: tensor<?x2xi32>, %e: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-note @+1 {{the plan is made here}}
  %plan:6 = moe.dispatch ins(%i : tensor<?x2xi32>) rows(%x, %w : tensor<?x64xf32>, tensor<?x2xf32>)
    outs(%o, %s, %p : tensor<3xi32>, tensor<?xi32>, tensor<?x1xi32>) received(%r, %rw : tensor<?x64xf32>, tensor<?x1xf32>)
    way_back(%b : tensor<?x2xi32>)
    num_experts(8) exchange(<batched, <ep = 4>[ep]>) placement(<experts = 8, ranks = 4>)
    -> tensor<3xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x64xf32>, tensor<?x1xf32>, tensor<?x2xi32>
  // expected-error @+1 {{expected the way back that its plan tells}}
  %y = moe.combine ins(%e, %plan#2 : tensor<?x64xf32>, tensor<?x1xi32>) weights(%plan#4 : tensor<?x1xf32>) way_back(%b : tensor<?x2xi32>)
    outs(%x : tensor<?x64xf32>) scale(1.0) exchange(<batched, <ep = 4>[ep]>) num_experts(8) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
