// RUN: moe-opt %s --moe-schedule | FileCheck %s --check-prefixes=CHECK,VLLM
// RUN: sed -E 's/(%x[^<]*memref<)[?]x64/\1256x64/' %s | moe-opt --moe-schedule \
// RUN:   | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: moe-opt %s --moe-schedule=rule-set=overlap \
// RUN:   | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: sed -E 's/(%x[^<]*memref<)[?]x64/\1257x64/' %s | moe-opt --moe-schedule \
// RUN:   | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s --moe-schedule=rule-set=serial \
// RUN:   | FileCheck %s --check-prefixes=MANY
// RUN: moe-opt %s --moe-schedule=aux-stream=false \
// RUN:   | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s --moe-schedule=disable-shared-experts-stream \
// RUN:   | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s --moe-schedule=token-threshold=-1 \
// RUN:   | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s --moe-schedule=token-threshold=7 \
// RUN:   | FileCheck %s --check-prefix=SEVEN
// RUN: moe-opt %s --moe-schedule=monolithic-kernel \
// RUN:   | FileCheck %s --check-prefix=MONOLITHIC

// Where rule 3 is left to decide, the function asks T in every call. Few tokens:
// one fork, before the gate, and one join, at the merge; every other phase is
// on compute and waits for nothing. Many: the same phases on one stream,
// shared experts between gate and route, and no event.
// Both arms write the same buffers, which are all set up at the entry.
// VLLM-LABEL: func @layer(
// VLLM-SAME:   %[[X:[^:]*]]: memref<?x64xf32>
// VLLM-SAME:   moe.decisions = [#moe.decision<rule_set = "vllm", threshold = 256, outcome = <order = MULTI_STREAM_OVERLAPPED, rule = "vllm rule 3", reason = "T is at most 256, and 'cpu' has an auxiliary stream">, above = <order = NO_OVERLAP, rule = "vllm rule 4", reason = "T is above the threshold of 256", suggestion = "raise --shared-experts-stream-token-threshold (VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)">>]
// VLLM-NOT:    schedule.
// VLLM-COUNT-9: memref.alloc
// VLLM-NOT:    {{memref.alloc|schedule\.}}
// VLLM:        %[[T:.*]] = memref.dim %[[X]]
// VLLM:        %[[THRESHOLD:.*]] = arith.constant 256 : index
// VLLM:        %[[CONDITION:.*]] = arith.cmpi ule, %[[T]], %[[THRESHOLD]] : index
// VLLM-NEXT:   scf.if %[[CONDITION]] {
// VLLM-NEXT:     %[[FORK:.*]] = schedule.mark on(compute)
// VLLM-NEXT:     %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts") {
// VLLM-NEXT:       moe.shared_experts ins(%[[X]], {{.*}}) outs(%[[SHARED:.*]] : memref<?x64xf32>)
// VLLM-NEXT:     } -> !schedule.event
// VLLM-NEXT:     schedule.run on(compute) label("gate") {
// VLLM-NEXT:       moe.gate ins(%[[X]], {{.*}}) outs(%[[LOGITS:.*]] : memref<?x8xf32>)
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("route") {
// VLLM-NEXT:       moe.route
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("dispatch") {
// VLLM-NEXT:       moe.dispatch
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("experts") {
// VLLM-NEXT:       moe.experts
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("combine") {
// VLLM-NEXT:       moe.combine
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) after(%[[DONE]]) label("merge") {
// VLLM-NEXT:       moe.merge {{.*}} shared(%[[SHARED]] :
// VLLM-NEXT:     }
// VLLM-NEXT:   } else {
// VLLM-NEXT:     schedule.run on(compute) label("gate") {
// VLLM-NEXT:       moe.gate ins(%[[X]], {{.*}}) outs(%[[LOGITS]] : memref<?x8xf32>)
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("shared experts") {
// VLLM-NEXT:       moe.shared_experts ins(%[[X]], {{.*}}) outs(%[[SHARED]] : memref<?x64xf32>)
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("route") {
// VLLM-NEXT:       moe.route
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("dispatch") {
// VLLM-NEXT:       moe.dispatch
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("experts") {
// VLLM-NEXT:       moe.experts
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("combine") {
// VLLM-NEXT:       moe.combine
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("merge") {
// VLLM-NEXT:       moe.merge {{.*}} shared(%[[SHARED]] :
// VLLM-NEXT:     }
// VLLM-NEXT:   }
// VLLM-NEXT:   return

// A known T, or a rule set that does not ask, leaves one schedule: exactly one
// fork and one join.
// FEW-LABEL:   func @layer(
// FEW-SAME:    moe.decisions = [#moe.decision<rule_set = "{{.*}}", outcome = <order = MULTI_STREAM_OVERLAPPED
// FEW-NOT:     scf.if
// FEW:         %[[FORK:.*]] = schedule.mark on(compute)
// FEW-NEXT:    %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts") {
// FEW-NOT:     {{schedule.mark|after\(|on\(aux\)}}
// FEW:         schedule.run on(compute) after(%[[DONE]]) label("merge") {
// FEW-NOT:     {{schedule\.}}
// FEW:         return

// Above the threshold, without a stream, or by a rule set that never overlaps,
// nothing is left but the order of one stream.
// MANY-LABEL:  func @layer(
// MANY-SAME:   moe.decisions = [#moe.decision<rule_set = "{{.*}}", outcome = <order = NO_OVERLAP
// MANY-NOT:    {{scf.if|schedule.mark|after\(|on\(aux\)}}
// MANY:        label("gate")
// MANY:        label("shared experts")
// MANY:        label("route")
// MANY:        label("dispatch")
// MANY:        label("experts")
// MANY:        label("combine")
// MANY:        label("merge")
// MANY-NOT:    {{schedule\.}}
// MANY:        return

// SEVEN-LABEL: func @layer(
// SEVEN:       %[[SEVEN:.*]] = arith.constant 7 : index
// SEVEN:       arith.cmpi ule, %{{.*}}, %[[SEVEN]] : index
func.func @layer(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %w13: memref<8x64x64xf32>,
                 %w2: memref<8x64x32xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                 %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %logits = memref.alloc(%t) : memref<?x8xf32>
  moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  %ids = memref.alloc(%t) : memref<?x2xi32>
  %weights = memref.alloc(%t) : memref<?x2xf32>
  moe.route ins(%logits : memref<?x8xf32>) outs(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  %p = arith.muli %t, %c2 : index
  %offsets = memref.alloc() : memref<9xi32>
  %source = memref.alloc(%p) : memref<?xi32>
  %pairs = memref.alloc(%t) : memref<?x2xi32>
  moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) num_experts(8)
  %out = memref.alloc(%p) : memref<?x64xf32>
  moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>)
    outs(%out : memref<?x64xf32>) activation(<swiglu>)
  %routed = memref.alloc(%t) : memref<?x64xf32>
  moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// Dispatch and combine of an asynchronous backend go to the stream of their
// communicator, and the shared experts run between the combine's launch and the
// merge, which waits for it: whatever T is. The dispatch waits for the route
// alone, which the router's event covers; the experts for the dispatch; the
// combine for the experts. A monolithic kernel does not own the shared experts.
// CHECK-LABEL: func @asynchronous(
// CHECK-SAME:  moe.decisions = [#moe.decision<rule_set = "{{.*}}", outcome = <order = MK_INTERNAL_OVERLAPPED, rule = "{{[a-z]+ rule [12]}}", reason = "the modular kernel owns the shared experts: 'deepep_high_throughput' launches its combine asynchronously, and they run until it is awaited">
// CHECK-NOT:   scf.if
// CHECK-NOT:   schedule.mark
// CHECK:       schedule.run on(compute) label("gate") {
// CHECK:       %[[ROUTED:.*]] = schedule.run on(compute) label("route") {
// CHECK:       %[[SENT:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[ROUTED]]) label("dispatch") {
// CHECK:       %[[COMPUTED:.*]] = schedule.run on(compute) after(%[[SENT]]) label("experts") {
// CHECK:       %[[COMBINED:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[COMPUTED]]) label("combine") {
// CHECK:       schedule.run on(compute) label("shared experts") {
// CHECK:       schedule.run on(compute) after(%[[COMBINED]]) label("merge") {
// CHECK-NOT:   {{schedule\.}}
// CHECK:       return

// MONOLITHIC-LABEL: func @asynchronous(
// MONOLITHIC:  scf.if
// MONOLITHIC:  schedule.mark on(compute)
// MONOLITHIC:  schedule.run on(aux)
// MONOLITHIC:  } else {
// MONOLITHIC-NOT: {{schedule.mark|on\(aux\)|on\(comm}}
// MONOLITHIC:  return
func.func @asynchronous(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %w13: memref<4x64x64xf32>,
                        %w2: memref<4x64x32xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                        %y: memref<?x64xf32> {bufferize.result})
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_high_throughput>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %n = schedule.total_tokens : index
  %p = arith.muli %n, %c2 : index
  %logits = memref.alloc(%t) : memref<?x8xf32>
  %ids = memref.alloc(%t) : memref<?x2xi32>
  %weights = memref.alloc(%t) : memref<?x2xf32>
  %offsets = memref.alloc() : memref<5xi32>
  %source = memref.alloc(%p) : memref<?xi32>
  %pairs = memref.alloc(%n) : memref<?x2xi32>
  %rows = memref.alloc(%n) : memref<?x64xf32>
  %row_weights = memref.alloc(%n) : memref<?x2xf32>
  %positions = memref.alloc(%t) : memref<?x2xi32>
  %sent = memref.alloc() : memref<2xi32>
  %got = memref.alloc() : memref<2xi32>
  %out = memref.alloc(%p) : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  moe.route ins(%logits : memref<?x8xf32>) outs(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
    outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
    received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
    way_back(%positions : memref<?x2xi32>) counts(%sent, %got : memref<2xi32>, memref<2xi32>)
    num_experts(8) exchange(<send_receive, <dp = 2>[dp]>) placement(<experts = 8, ranks = 2>)
  moe.experts ins(%rows, %offsets, %source, %w13, %w2 : memref<?x64xf32>, memref<5xi32>, memref<?xi32>, memref<4x64x64xf32>, memref<4x64x32xf32>)
    outs(%out : memref<?x64xf32>) activation(<swiglu>)
  moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%row_weights : memref<?x2xf32>)
    way_back(%positions : memref<?x2xi32>) counts(%sent, %got : memref<2xi32>, memref<2xi32>)
    outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<send_receive, <dp = 2>[dp]>)
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// Without shared experts there is nothing to decide, under any rule set.
// CHECK-LABEL: func @no_shared_experts(
// CHECK-SAME:  moe.decisions = [#moe.decision<rule_set = "{{.*}}", outcome = <order = NONE, rule = "no shared experts", reason = "the layer has no shared experts to overlap">
// CHECK-NOT:   {{scf.if|schedule.mark|after\(|on\(aux\)}}
// CHECK:       label("gate")
// CHECK:       label("route")
// CHECK:       label("dispatch")
// CHECK:       label("experts")
// CHECK:       label("combine")
// CHECK:       label("merge")
// CHECK-NOT:   {{schedule\.}}
// CHECK:       return
func.func @no_shared_experts(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %w13: memref<8x64x64xf32>,
                             %w2: memref<8x64x32xf32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %p = arith.muli %t, %c2 : index
  %logits = memref.alloc(%t) : memref<?x8xf32>
  %ids = memref.alloc(%t) : memref<?x2xi32>
  %weights = memref.alloc(%t) : memref<?x2xf32>
  %offsets = memref.alloc() : memref<9xi32>
  %source = memref.alloc(%p) : memref<?xi32>
  %pairs = memref.alloc(%t) : memref<?x2xi32>
  %out = memref.alloc(%p) : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  moe.route ins(%logits : memref<?x8xf32>) outs(%ids, %weights : memref<?x2xi32>, memref<?x2xf32>) routing(<top_k = 2>)
  moe.dispatch ins(%ids : memref<?x2xi32>) outs(%offsets, %source, %pairs : memref<9xi32>, memref<?xi32>, memref<?x2xi32>) num_experts(8)
  moe.experts ins(%x, %offsets, %source, %w13, %w2 : memref<?x64xf32>, memref<9xi32>, memref<?xi32>, memref<8x64x64xf32>, memref<8x64x32xf32>)
    outs(%out : memref<?x64xf32>) activation(<swiglu>)
  moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// Rule 1: EPLB with a backend that is not known to be safe, though its kernels
// are not even in use (dp = 1): one schedule whatever T is.
// VLLM-LABEL:  func @eplb(
// VLLM-SAME:   order = NO_OVERLAP
// VLLM-SAME:   rule = "vllm rule 1"
// VLLM-NOT:    {{scf.if|schedule.mark|after\(|on\(aux\)|on\(comm}}
// VLLM:        label("shared experts")
// VLLM-NOT:    schedule.mark
// VLLM:        label("merge")
// VLLM-NOT:    {{schedule\.}}
// VLLM:        return
func.func @eplb(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                %routed: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result})
    attributes {moe.parallel = #moe.parallel<tensor = 2, expert_parallel = true, eplb = true, all2all_backend = deepep_low_latency>} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// What prepares the shared experts' input comes with them, in both arms, on the
// stream where collectives are issued; so do both arms issue the same ones. T
// is this rank's rows, not the gathered ones.
// VLLM-LABEL:  func @sharded(
// VLLM-SAME:   %[[X:[^:]*]]: memref<?x64xf32>
// VLLM:        %[[GATHERED:.*]] = memref.alloc
// VLLM:        %[[T:.*]] = memref.dim %[[X]], %{{.*}} : memref<?x64xf32>
// VLLM:        arith.cmpi ule, %[[T]],
// VLLM-NEXT:   scf.if
// VLLM-NEXT:     %[[READY:.*]] = schedule.run on(compute) label("all-gather") {
// VLLM-NEXT:       schedule.collective all_gather over(#ranks{{[0-9]*}}[tp]) label("all-gather") sends(%[[X]] : {{.*}}) receives(%[[GATHERED]] : {{.*}})
// VLLM-NEXT:     }
// VLLM-NEXT:     %[[DONE:.*]] = schedule.run on(aux) after(%[[READY]]) label("shared experts") {
// VLLM-NEXT:       moe.shared_experts ins(%[[GATHERED]],
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("gate") {
// VLLM-NEXT:       moe.gate
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) after(%[[DONE]]) label("reduce-scatter") {
// VLLM-NEXT:       schedule.collective reduce_scatter
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("merge") {
// VLLM:        } else {
// VLLM-NEXT:     schedule.run on(compute) label("gate") {
// VLLM-NEXT:       moe.gate
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("all-gather") {
// VLLM-NEXT:       schedule.collective all_gather
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("shared experts") {
// VLLM-NEXT:       moe.shared_experts
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("reduce-scatter") {
// VLLM-NEXT:       schedule.collective reduce_scatter
// VLLM-NEXT:     }
// VLLM-NEXT:     schedule.run on(compute) label("merge") {
// VLLM-NOT:    {{schedule\.}}
// VLLM:        return
func.func @sharded(%x: memref<?x64xf32>, %router: memref<8x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                   %routed: memref<?x64xf32>, %logits: memref<?x8xf32> {bufferize.result}, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %all = arith.muli %t, %c2 : index
  %rows = memref.alloc(%all) : memref<?x64xf32>
  %part = memref.alloc(%all) : memref<?x64xf32>
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.gate ins(%x, %router : memref<?x64xf32>, memref<8x64xf32>) outs(%logits : memref<?x8xf32>)
  schedule.collective all_gather over(<tp = 2>[tp]) label("all-gather") sends(%x : memref<?x64xf32>) receives(%rows : memref<?x64xf32>)
  moe.shared_experts ins(%rows, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%part : memref<?x64xf32>) activation(<swiglu>)
  schedule.collective reduce_scatter over(<tp = 2>[tp]) label("reduce-scatter") sends(%part : memref<?x64xf32>) receives(%shared : memref<?x64xf32>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// Two layers, two decisions under their names; what sets the second one up
// comes before all work.
// FEW-LABEL:   func @two_layers(
// FEW-SAME:    moe.decisions = [#moe.decision<layer = "first", rule_set = "{{.*}}", outcome = <order = MULTI_STREAM_OVERLAPPED, {{.*}}>>, #moe.decision<layer = "second", rule_set = "{{.*}}", outcome = <order = NONE, {{.*}}>>]
// FEW:         memref.alloc
// FEW-NEXT:    memref.alloc
// FEW-NEXT:    %[[FORK:.*]] = schedule.mark on(compute)
// FEW-NEXT:    %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts") {
// FEW:         schedule.run on(compute) after(%[[DONE]]) label("merge") {
// FEW:         schedule.run on(compute) label("merge") {
// FEW-NOT:     {{schedule\.}}
// FEW:         return
func.func @two_layers(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>,
                      %routed: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result})
    attributes {moe.layers = [
      #moe.layer_info<name = "first", hidden = 64, top_k = 2, intermediate = 32, shared_intermediate = 48,
        gated = true, plan = <shared_experts = true, experts = 8>>,
      #moe.layer_info<name = "second", hidden = 64, top_k = 2, intermediate = 32, gated = true,
        plan = <experts = 8>>]} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %shared = memref.alloc(%t) : memref<?x64xf32>
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  %z = memref.alloc(%t) : memref<?x64xf32>
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%z : memref<?x64xf32>)
  moe.merge ins(%z : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// A function without work stays as it is.
// CHECK-LABEL: func @no_work(
// CHECK-NOT:   moe.decisions
// CHECK-NOT:   {{schedule\.}}
// CHECK:       return
func.func @no_work(%x: memref<?x64xf32>) -> index {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  return %t : index
}
