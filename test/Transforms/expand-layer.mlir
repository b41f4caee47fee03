// RUN: moe-opt %s --moe-expand-layer --split-input-file | FileCheck %s

// One rank: all phases in the order of the data flow, every init a buffer of
// its own that `tensor.empty` (which CSE merges) would not be, and T asked for
// once. Routed and shared outputs stay in float32 until the merge rounds them.
// CHECK-LABEL: func @one_rank(
// CHECK-SAME: %[[X:.*]]: tensor<?x64xbf16> {moe.name = "hidden_states"}, %[[ROUTER:.*]]: tensor<8x64xbf16>, %[[W13:.*]]: tensor<8x64x64xbf16>, %[[W2:.*]]: tensor<8x64x32xbf16>, %[[S13:.*]]: tensor<96x64xbf16>, %[[S2:.*]]: tensor<64x48xbf16>
// CHECK-SAME: -> (tensor<?x64xbf16> {moe.name = "output"})
// CHECK-SAME: moe.layers = [#moe.layer_info<name = "model.layers.3", hidden = 64, top_k = 2, intermediate = 32, shared_intermediate = 48, gated = true, plan = <shared_experts = true, experts = 8>>]
// CHECK-SAME: moe.parallel = #moe.parallel}
// CHECK-NOT:  tensor.empty
// CHECK:      %[[T:.*]] = tensor.dim %[[X]], %{{.*}} : tensor<?x64xbf16>
// CHECK:      %[[LOGITS0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x8xf32>
// CHECK:      %[[LOGITS:.*]] = moe.gate ins(%[[X]], %[[ROUTER]] : {{.*}}) outs(%[[LOGITS0]] : {{.*}})
// CHECK:      %[[IDS0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x2xi32>
// CHECK:      %[[WEIGHTS0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x2xf32>
// CHECK:      %[[IDS:.*]], %[[WEIGHTS:.*]] = moe.route ins(%[[LOGITS]] : {{.*}}) outs(%[[IDS0]], %[[WEIGHTS0]] : {{.*}}) routing(<top_k = 2, score = sigmoid, scale = 2.500000e+00 : f64>)
// CHECK:      %[[P:.*]] = arith.muli %[[T]], %c2
// CHECK:      %[[OFFSETS0:.*]] = bufferization.alloc_tensor() : tensor<9xi32>
// CHECK:      %[[SOURCE0:.*]] = bufferization.alloc_tensor(%[[P]]) : tensor<?xi32>
// CHECK:      %[[PAIRS0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x2xi32>
// CHECK:      %[[OFFSETS:.*]], %[[SOURCE:.*]], %[[PAIRS:.*]] = moe.dispatch ins(%[[IDS]] : {{.*}}) outs(%[[OFFSETS0]], %[[SOURCE0]], %[[PAIRS0]] : {{.*}}) num_experts(8) ->
// CHECK:      %[[OUT0:.*]] = bufferization.alloc_tensor(%[[P]]) : tensor<?x64xbf16>
// CHECK:      %[[OUT:.*]] = moe.experts ins(%[[X]], %[[OFFSETS]], %[[SOURCE]], %[[W13]], %[[W2]] : {{.*}}) outs(%[[OUT0]] : {{.*}}) activation(<swiglu>)
// CHECK:      %[[ROUTED0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x64xf32>
// CHECK:      %[[ROUTED:.*]] = moe.combine ins(%[[OUT]], %[[PAIRS]] : {{.*}}) weights(%[[WEIGHTS]] : {{.*}}) outs(%[[ROUTED0]] : {{.*}}) scale(2.500000e+00) ->
// CHECK:      %[[SHARED0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x64xf32>
// CHECK:      %[[SHARED:.*]] = moe.shared_experts ins(%[[X]], %[[S13]], %[[S2]] : {{.*}}) outs(%[[SHARED0]] : {{.*}}) activation(<swiglu>)
// CHECK:      %[[Y0:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x64xbf16>
// CHECK:      %[[Y:.*]] = moe.merge ins(%[[ROUTED]] : {{.*}}) shared(%[[SHARED]] : {{.*}}) outs(%[[Y0]] : tensor<?x64xbf16>) ->
// CHECK-NOT:  moe.layer
// CHECK:      return %[[Y]]
func.func @one_rank(%x: tensor<?x64xbf16> {moe.name = "hidden_states"}, %router: tensor<8x64xbf16>,
                    %w13: tensor<8x64x64xbf16>, %w2: tensor<8x64x32xbf16>,
                    %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> (tensor<?x64xbf16> {moe.name = "output"}) {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2, score = sigmoid, scale = 2.5 : f64>) activation(<swiglu>) name("model.layers.3")
    -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Sizes fold where T is static.
// CHECK-LABEL: func @static_tokens(
// CHECK-NOT:  tensor.dim
// CHECK:      bufferization.alloc_tensor() : tensor<5x8xf32>
// CHECK:      bufferization.alloc_tensor() : tensor<10x64xf32>
// CHECK-NOT:  moe.shared_experts
// CHECK:      moe.merge ins({{.*}} : tensor<5x64xf32>) outs({{.*}} : tensor<5x64xf32>) -> tensor<5x64xf32>
func.func @static_tokens(%x: tensor<5x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                         %w2: tensor<8x64x32xf32>) -> tensor<5x64xf32> {
  %y = moe.layer hidden(%x : tensor<5x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<5x64xf32>
  return %y : tensor<5x64xf32>
}

// -----

// A router of the embedder's: its ids and weights take the place of gate and
// route.
// CHECK-LABEL: func @given(
// CHECK-SAME: %{{.*}}: tensor<?x64xf32>, %[[IDS:.*]]: tensor<?x2xi32> {schedule.tokens}, %[[WEIGHTS:.*]]: tensor<?x2xf32> {schedule.tokens}
// CHECK-NOT:  moe.gate
// CHECK-NOT:  moe.route
// CHECK:      moe.dispatch ins(%[[IDS]] :
// CHECK:      moe.combine {{.*}} weights(%[[WEIGHTS]] :
func.func @given(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>,
                 %w13: tensor<8x32x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x32x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<relu2>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Llama-4's weight multiplies the experts' input, so the combine has none; the
// hidden states themselves are only read.
// CHECK-LABEL: func @weight_on_input(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xf32>
// CHECK:      %[[IDS:.*]], %[[WEIGHTS:.*]] = moe.route
// CHECK:      moe.experts ins(%[[X]], {{.*}}) input_weights(%[[WEIGHTS]] : tensor<?x1xf32>) outs(
// CHECK:      moe.combine ins({{[^)]*}}) outs(
func.func @weight_on_input(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                           %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 1, score = logits, weight = sigmoid_of_chosen, weight_on_input = true>)
    activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Zero experts have no weights: the plan knows 6 experts, and the merge adds
// the tokens that chose one of the other two.
// CHECK-LABEL: func @zero_experts(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xf32>
// CHECK-SAME: experts = 6
// CHECK:      %[[IDS:.*]], %[[WEIGHTS:.*]] = moe.route
// CHECK:      moe.dispatch {{.*}} num_experts(6)
// CHECK:      moe.merge ins({{.*}}) zero(%[[X]], %[[IDS]], %[[WEIGHTS]] : {{.*}}) from(6) scale(6.000000e+00) outs(
func.func @zero_experts(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %bias: tensor<8xf32>, %w13: tensor<6x64x64xf32>,
                        %w2: tensor<6x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>) correction_bias(%bias : tensor<8xf32>)
    experts(%w13, %w2 : tensor<6x64x64xf32>, tensor<6x64x32xf32>)
    routing(<top_k = 2, scale = 6.0 : f64, zero_experts = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// The latent projection lies before dispatch and after combine; gate and shared
// experts see the full width. What the second projection reads is in the
// layer's dtype.
// CHECK-LABEL: func @latent(
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xbf16>
// CHECK-SAME: %[[IN:[^:]*]]: tensor<16x64xbf16>, %[[OUT:[^:]*]]: tensor<64x16xbf16>
// CHECK:      moe.gate ins(%[[X]],
// CHECK:      %[[Z:.*]] = moe.project ins(%[[X]], %[[IN]] : {{.*}}) outs({{.*}}) -> tensor<?x16xbf16>
// CHECK:      moe.experts ins(%[[Z]],
// CHECK:      %[[ROUTED:.*]] = moe.combine {{.*}} -> tensor<?x16xbf16>
// CHECK:      %[[Y:.*]] = moe.project ins(%[[ROUTED]], %[[OUT]] : {{.*}}) outs({{.*}}) -> tensor<?x64xf32>
// CHECK:      moe.shared_experts ins(%[[X]],
// CHECK:      moe.merge ins(%[[Y]] :
func.func @latent(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w1: tensor<8x32x16xbf16>, %w2: tensor<8x16x32xbf16>,
                  %in: tensor<16x64xbf16>, %out: tensor<64x16xbf16>, %s1: tensor<48x64xbf16>,
                  %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w1, %w2 : tensor<8x32x16xbf16>, tensor<8x16x32xbf16>)
    shared(%s1, %s2 : tensor<48x64xbf16>, tensor<64x48xbf16>)
    latent(%in, %out : tensor<16x64xbf16>, tensor<64x16xbf16>)
    routing(<top_k = 2>) activation(<relu2>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Biases, the shared gate and quantized weights with their scales arrive at
// their phases.
// CHECK-LABEL: func @operands(
// CHECK-SAME: %[[RB:[^:]*]]: tensor<8xf32>, %[[CB:[^:]*]]: tensor<8xf32>
// CHECK-SAME: %[[B13:[^:]*]]: tensor<8x64xbf16>, %[[B2:[^:]*]]: tensor<8x64xbf16>, %[[Q13:[^:]*]]: tensor<8x1x1xf32>, %[[Q2:[^:]*]]: tensor<8x1x1xf32>
// CHECK-SAME: %[[GATE:[^:]*]]: tensor<1x64xbf16>
// CHECK:      moe.gate {{.*}} bias(%[[RB]] :
// CHECK:      moe.route {{.*}} correction_bias(%[[CB]] :
// CHECK:      moe.experts {{.*}} biases(%[[B13]], %[[B2]] : {{.*}}) scales(%[[Q13]], %[[Q2]] : {{.*}}) outs({{.*}}) activation(<swiglu>) quant(<fp8_block>)
// CHECK:      moe.shared_experts {{.*}} gate(%[[GATE]] :
func.func @operands(%x: tensor<?x64xbf16>, %router: tensor<8x64xf32>, %rb: tensor<8xf32>, %cb: tensor<8xf32>,
                    %w13: tensor<8x64x64xf8E4M3FN>, %w2: tensor<8x64x32xf8E4M3FN>, %b13: tensor<8x64xbf16>,
                    %b2: tensor<8x64xbf16>, %q13: tensor<8x1x1xf32>, %q2: tensor<8x1x1xf32>,
                    %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %gate: tensor<1x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xf32>)
    router_bias(%rb : tensor<8xf32>) correction_bias(%cb : tensor<8xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf8E4M3FN>, tensor<8x64x32xf8E4M3FN>)
    expert_biases(%b13, %b2 : tensor<8x64xbf16>, tensor<8x64xbf16>)
    expert_scales(%q13, %q2 : tensor<8x1x1xf32>, tensor<8x1x1xf32>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>) shared_gate(%gate : tensor<1x64xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) quant(<fp8_block>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Two layers of one function: the second reads what the first wrote, and each
// has its plan and its description.
// CHECK-LABEL: func @two_layers(
// CHECK-SAME: moe.layers = [#moe.layer_info<name = "first", {{.*}}>, #moe.layer_info<name = "second", {{.*}}>]
// CHECK:      %[[FIRST:.*]] = moe.merge
// CHECK:      moe.gate ins(%[[FIRST]],
// CHECK:      %[[SECOND:.*]] = moe.merge
// CHECK:      return %[[SECOND]]
func.func @two_layers(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
                      %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) name("first") -> tensor<?x64xf32>
  %z = moe.layer hidden(%y : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) name("second") -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}
