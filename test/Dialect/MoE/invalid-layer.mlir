// RUN: moe-opt %s --split-input-file --verify-diagnostics

// One case per constraint of moe.layer that a file can break.

// moe.layer C1: without a router, nothing chooses.
func.func @layer(%x: tensor<?x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected either 'router_weight' or 'topk_ids' and 'topk_weights' but got neither}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C1: two sources of the choice.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected either 'router_weight' or 'topk_ids' and 'topk_weights' but got both}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C1: a bias of no router.
func.func @layer(%x: tensor<?x64xf32>, %cb: tensor<8xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'correction_bias' only with 'router_weight'}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) correction_bias(%cb : tensor<8xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C1: num_experts that the router contradicts.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected num_experts = 8, the rows of 'router_weight', but got 9}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) num_experts(9) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C2: the router reads other rows than there are.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x32xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'router_weight' of shape [?, 64] but got [8, 32]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x32xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C2: a bias per expert.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %b: tensor<7xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'router_bias' of shape [8] but got [7]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>) router_bias(%b : tensor<7xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C2: ids of another top_k.
func.func @layer(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'topk_ids' of shape [?, 3] but got [?, 2]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 3>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C2: weights of another number of tokens than ids.
func.func @layer(%x: tensor<?x64xf32>, %ids: tensor<4x2xi32>, %weights: tensor<5x2xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'topk_weights' of shape [4, 2] but got [5, 2]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<4x2xi32>, tensor<5x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C3: groups of unequal size.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected n_group that divides the 8 experts but got 3}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2, n_group = 3>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C3: more choices than the chosen groups hold.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected top_k of at most the 2 experts of 1 groups but got 3}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 3, n_group = 4, topk_group = 1>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C3: more choices than experts.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected top_k of at most the 8 experts but got 9}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 9>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C3: zero experts only.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected zero_experts below the 8 experts but got 8}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2, zero_experts = 8>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: a gated first weight has two rows per column of the second.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x32x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'w13' of shape [8, 64, 64] but got [8, 32, 64]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x32x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: one that is not gated has one.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'w13' of shape [8, 32, 64] but got [8, 64, 64]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<relu2>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: biases match the weights.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %b13: tensor<8x32xf32>, %b2: tensor<8x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'b13' of shape [8, 64] but got [8, 32]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) expert_biases(%b13, %b2 : tensor<8x32xf32>, tensor<8x64xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: one rank holds all experts.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<4x64x64xf32>, %w2: tensor<4x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 8 local experts, a rank's share of 8 over 1 rank, but got 4}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: zero experts have no weights.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 6 local experts, a rank's share of 6 over 1 rank, but got 8}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2, zero_experts = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C4: shares of 8 experts over 3 ranks hold 2 or 3.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 2 or 3 local experts, a rank's share of 8 over 3 ranks, but got 8}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) parallel(<data = 3, expert_parallel = true>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C5: the second shared weight writes H columns.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %s13: tensor<96x64xf32>, %s2: tensor<32x48xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'shared_w2' of shape [64, ?] but got [32, 48]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) shared(%s13, %s2 : tensor<96x64xf32>, tensor<32x48xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C5: the first shared weight is twice as high as the second is wide.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %s13: tensor<48x64xf32>, %s2: tensor<64x48xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'shared_w13' of shape [96, 64] but got [48, 64]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) shared(%s13, %s2 : tensor<48x64xf32>, tensor<64x48xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C5: a gate of no shared experts.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %g: tensor<1x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'shared_gate' only with shared experts}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) shared_gate(%g : tensor<1x64xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C6: the projection out undoes the projection in.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %i: tensor<16x64xf32>, %o: tensor<64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'latent_out' of shape [64, 16] but got [64, 32]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) latent(%i, %o : tensor<16x64xf32>, tensor<64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C6: experts work on the latent width.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %i: tensor<16x64xf32>, %o: tensor<64x16xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'w2' of shape [?, 16, ?] but got [8, 64, 32]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) latent(%i, %o : tensor<16x64xf32>, tensor<64x16xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C7: weights in another dtype.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xbf16>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'w2' of element type 'f32' but got 'bf16'}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C7: the router may be f32 beside a narrower layer, not the reverse.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xbf16>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'router_weight' of element type 'f32' but got 'bf16'}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C7: a scheme without scales.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'quant' and scales together but got only 'quant'}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) quant(<fp8_tensor>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C7: scales without a scheme.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %s: tensor<8xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'quant' and scales together but got only scales}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) expert_scales(%s, %s : tensor<8xf32>, tensor<8xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C8: maps of a balancing that is off.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>, %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected EPLB's maps only with 'eplb = true' in the parallel configuration}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>) eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C8: balancing without maps; the configuration is the function's.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<eplb = true>} {
  // expected-error @+1 {{expected EPLB's maps with 'eplb = true' in the parallel configuration}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C8: a column per replica.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<5x64x64xf32>, %w2: tensor<5x64x32xf32>, %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'logical_to_physical' of shape [8, 3] but got [8, 1]}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<5x64x64xf32>, tensor<5x64x32xf32>) eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C8: zero experts have no replicas.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<3x64x64xf32>, %w2: tensor<3x64x32xf32>, %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected no zero experts with EPLB's maps but got 2}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<3x64x64xf32>, tensor<3x64x32xf32>) eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)
    routing(<top_k = 2, zero_experts = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C9: the result is as the input.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<4x64xf32> {
  // expected-error @+1 {{expected a result of the type of 'hidden_states', 'tensor<?x64xf32>', but got 'tensor<4x64xf32>'}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// -----

// moe.layer C10: H is static.
func.func @layer(%x: tensor<?x?xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x?xf32> {
  // expected-error @+1 {{expected only the numbers of tokens and of local experts to be dynamic but got operand 0 of type 'tensor<?x?xf32>'}}
  %y = moe.layer hidden(%x : tensor<?x?xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}

// -----

// moe.layer C11: an element for each physical expert.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<5x64x64xf32>, %w2: tensor<5x64x32xf32>, %map: tensor<8x3xi32>, %count: tensor<8xi32>) -> (tensor<?x64xf32>, tensor<8xi32>) {
  // expected-error @+1 {{expected 'expert_load' of shape [10] but got [8]}}
  %y, %load = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<5x64x64xf32>, tensor<5x64x32xf32>) eplb(%map, %count : tensor<8x3xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>)
    parallel(<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2>) -> tensor<?x64xf32>, tensor<8xi32>
  return %y, %load : tensor<?x64xf32>, tensor<8xi32>
}

// -----

// moe.layer C11: who is given the choice knows how often he chose.
func.func @layer(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> (tensor<?x64xf32>, tensor<8xi32>) {
  // expected-error @+1 {{expected 'expert_load' only with 'router_weight'}}
  %y, %load = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>, tensor<8xi32>
  return %y, %load : tensor<?x64xf32>, tensor<8xi32>
}

// -----

// moe.layer C4: biases come together; only the generic form can break pairs.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                 %w2: tensor<8x64x32xf32>, %b13: tensor<8x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'b13' and 'b2' together but got only 'b13'}}
  %y = "moe.layer"(%x, %router, %w13, %w2, %b13) <{
    operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>,
    routing = #moe.routing<top_k = 2>, activation = #moe.activation<swiglu>}>
    : (tensor<?x64xf32>, tensor<8x64xf32>, tensor<8x64x64xf32>, tensor<8x64x32xf32>, tensor<8x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// moe.layer C5: so do shared weights.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                 %w2: tensor<8x64x32xf32>, %s2: tensor<64x48xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{expected 'shared_w13' and 'shared_w2' together but got only 'shared_w2'}}
  %y = "moe.layer"(%x, %router, %w13, %w2, %s2) <{
    operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0>,
    routing = #moe.routing<top_k = 2>, activation = #moe.activation<swiglu>}>
    : (tensor<?x64xf32>, tensor<8x64xf32>, tensor<8x64x64xf32>, tensor<8x64x32xf32>, tensor<64x48xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
