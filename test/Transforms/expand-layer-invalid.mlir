// RUN: moe-opt %s --moe-expand-layer --split-input-file --verify-diagnostics

// The policy's errors stand at the layer: balancing needs expert parallelism.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>, %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<tensor = 2, eplb = true>} {
  // expected-error @+1 {{expected --enable-expert-parallel with --enable-eplb but expert parallelism is off}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A fixed capacity that nobody gives.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<4x64x64xf32>,
    %w2: tensor<4x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_low_latency>} {
  // expected-error @+1 {{expected the function's attribute 'schedule.max_num_tokens' or the option 'max-num-tokens': the exchange of 'deepep_low_latency' has a fixed capacity}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Zero experts add this rank's tokens, whose choices are not known where routing comes after a gather.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<6x64x64xf32>,
    %w2: tensor<6x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<prefill_context = 2>} {
  // expected-error @+1 {{zero experts with prefill_context = 2 need the choices of this rank}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<6x64x64xf32>, tensor<6x64x32xf32>)
    routing(<top_k = 2, zero_experts = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A capacity that is none.
// expected-error @+1 {{expected 'schedule.max_num_tokens' of at least 1 on a function but got 0 : i64}}
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> attributes {schedule.max_num_tokens = 0 : i64} {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Layers of one function run on one set of ranks.
func.func @layers(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  // expected-note @+1 {{the first layer is here}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  // expected-error @+1 {{expected the parallel configuration of the function's first layer, #moe.parallel, but got #moe.parallel<tensor = 2>}}
  %z = moe.layer hidden(%y : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) parallel(<tensor = 2>) -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// -----

// What the policy only warns of stands at the layer, too.
func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<4x64x64xf32>,
    %w2: tensor<4x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, expert_placement = round_robin>} {
  // expected-warning @+1 {{round_robin expert placement is not possible, using linear: the router has no expert groups}}
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// The load of the experts is counted over all tokens at once, so there are no halves.
func.func @load(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<4x64x64xf32>, %w2: tensor<4x64x32xf32>,
    %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> (tensor<?x64xf32>, tensor<8xi32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, eplb = true, dbo = true>} {
  // expected-warning @below {{runs in one batch: the load of the experts is counted over all tokens at once}}
  %y, %load = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>, tensor<8xi32>
  return %y, %load : tensor<?x64xf32>, tensor<8xi32>
}
