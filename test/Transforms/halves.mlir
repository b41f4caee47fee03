// RUN: moe-opt %s --moe-expand-layer=max-num-tokens=7 --canonicalize | FileCheck %s --check-prefix=EXPAND
// RUN: moe-opt %s --moe-expand-layer=max-num-tokens=7 --moe-bufferize | FileCheck %s --check-prefix=BUFFER
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=7" --mlir-use-nameloc-as-prefix | FileCheck %s --check-prefixes=SCHEDULE,VLLM
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=7 rule-set=overlap" --mlir-use-nameloc-as-prefix | FileCheck %s --check-prefixes=SCHEDULE,OVERLAP
// RUN: moe-opt %s --moe-schedule-pipeline="max-num-tokens=7 rule-set=serial" | FileCheck %s --check-prefix=SERIAL
// RUN: moe-opt %s --moe-compile-pipeline="max-num-tokens=7 rule-set=overlap" -o /dev/null
// RUN: moe-opt %s --moe-compile-pipeline="max-num-tokens=7 rule-set=overlap target=cuda" -o /dev/null

// Where two batches are asked for, and rows move between ranks, a layer is expanded
// twice: for the halves of the tokens where the rank with most of them has enough,
// of decodes or of others, and for all tokens. The shared experts run once, on all
// tokens. Every rank cuts its own tokens, the first half being the larger, and knows
// how many rows come from the first or second halves of all. Both halves' rows lie
// in one output.
// EXPAND-LABEL: func @counted(
// EXPAND-SAME:    %[[X:[^:]*]]: tensor<?x64xbf16>
// EXPAND-DAG:     %[[T:.*]] = tensor.dim %[[X]], %{{.*}}
// EXPAND-DAG:     %[[OUTPUT:.*]] = bufferization.alloc_tensor(%[[T]]) : tensor<?x64xbf16>
// EXPAND-DAG:     %[[DECODE:.*]] = arith.constant 5 : index
// EXPAND-DAG:     %[[PREFILL:.*]] = arith.constant 512 : index
// EXPAND-DAG:     %[[C2:.*]] = arith.constant 2 : index
// EXPAND-DAG:     %[[C1:.*]] = arith.constant 1 : index
// EXPAND:         %[[MAX:.*]] = schedule.max_tokens : index
// EXPAND:         %[[DECODES:.*]] = schedule.call_value "decodes" : i1
// EXPAND:         %[[THRESHOLD:.*]] = arith.select %[[DECODES]], %[[DECODE]], %[[PREFILL]] : index
// EXPAND:         %[[MANY:.*]] = arith.cmpi uge, %[[MAX]], %[[THRESHOLD]] : index
// EXPAND:         scf.if %[[MANY]] -> (tensor<?x64xbf16>) {
// EXPAND:           %[[SHARED:.*]] = moe.shared_experts ins(%[[X]],
// EXPAND-NOT:       moe.part
// EXPAND:           %[[MORE:.*]] = arith.addi %[[T]], %[[C1]] : index
// EXPAND:           %[[HALF:.*]] = arith.divui %[[MORE]], %[[C2]] : index
// EXPAND:           %[[REST:.*]] = arith.subi %[[T]], %[[HALF]] : index
// EXPAND:           %[[XA:.*]] = tensor.extract_slice %[[X]][0, 0] [%[[HALF]], 64]
// EXPAND:           tensor.extract_slice %[[SHARED]][0, 0] [%[[HALF]], 64]
// EXPAND:           %[[YA0:.*]] = tensor.extract_slice %[[OUTPUT]][0, 0] [%[[HALF]], 64]
// EXPAND:           moe.gate ins(%[[XA]], {{.*}} {moe.part = #schedule.part<0 of 2>}
// EXPAND:           %[[NA:.*]] = schedule.total_tokens part(<0 of 2>) : index
// EXPAND:           %[[ROWSA:.*]] = bufferization.alloc_tensor(%[[NA]]) : tensor<?x64xbf16>
// EXPAND:           moe.dispatch {{.*}} received(%[[ROWSA]], {{.*}} exchange(<send_receive, #ranks{{[0-9]*}}[dp]>) {{.*}} {moe.part = #schedule.part<0 of 2>}
// EXPAND:           %[[YA:.*]] = moe.merge {{.*}} outs(%[[YA0]] : {{.*}} {moe.part = #schedule.part<0 of 2>}
// EXPAND:           %[[PART:.*]] = tensor.insert_slice %[[YA]] into %[[OUTPUT]][0, 0] [%[[HALF]], 64]
// EXPAND:           %[[XB:.*]] = tensor.extract_slice %[[X]][%[[HALF]], 0] [%[[REST]], 64]
// EXPAND:           %[[YB0:.*]] = tensor.extract_slice %[[PART]][%[[HALF]], 0] [%[[REST]], 64]
// EXPAND:           moe.gate ins(%[[XB]], {{.*}} {moe.part = #schedule.part<1 of 2>}
// EXPAND:           schedule.total_tokens part(<1 of 2>) : index
// EXPAND:           %[[YB:.*]] = moe.merge {{.*}} outs(%[[YB0]] : {{.*}} {moe.part = #schedule.part<1 of 2>}
// EXPAND:           %[[WHOLE:.*]] = tensor.insert_slice %[[YB]] into %[[PART]][%[[HALF]], 0] [%[[REST]], 64]
// EXPAND:           scf.yield %[[WHOLE]]
// EXPAND:         } else {
// EXPAND-NOT:       moe.part
// EXPAND:           moe.gate ins(%[[X]],
// EXPAND:           schedule.total_tokens : index
// EXPAND:           %[[Y:.*]] = moe.merge {{.*}} outs(%[[OUTPUT]] :
// EXPAND:           scf.yield %[[Y]]

// On buffers, the halves are rows of the arguments, and nothing is copied or
// allocated in an arm.
// BUFFER-LABEL: func @counted(
// BUFFER-SAME:    %[[X:[^:]*]]: memref<?x64xbf16>
// BUFFER-SAME:    %[[Y:[^:]*]]: memref<?x64xbf16> {bufferize.result}
// BUFFER-NOT:     memref.copy
// BUFFER-DAG:     %[[XA:.*]] = schedule.rows %[[X]][%[[ZERO:.*]]](%[[HALF:.*]]) : memref<?x64xbf16> to memref<?x64xbf16>
// BUFFER-DAG:     %[[YA:.*]] = schedule.rows %[[Y]][%{{.*}}](%[[HALF]]) : memref<?x64xbf16> to memref<?x64xbf16>
// BUFFER-DAG:     %[[XB:.*]] = schedule.rows %[[X]][%[[HALF]]](%[[REST:.*]]) : memref<?x64xbf16> to memref<?x64xbf16>
// BUFFER-DAG:     %[[YB:.*]] = schedule.rows %[[Y]][%[[HALF]]](%[[REST]]) : memref<?x64xbf16> to memref<?x64xbf16>
// BUFFER:         scf.if
// BUFFER-NOT:     {{memref\.|[^#]schedule\.}}
// BUFFER:           moe.gate ins(%[[XA]],
// BUFFER-NOT:     {{memref\.|[^#]schedule\.}}
// BUFFER:           moe.merge {{.*}} outs(%[[YA]] :
// BUFFER-NOT:     {{memref\.|[^#]schedule\.}}
// BUFFER:           moe.gate ins(%[[XB]],
// BUFFER-NOT:     {{memref\.|[^#]schedule\.}}
// BUFFER:           moe.merge {{.*}} outs(%[[YB]] :
// BUFFER:         } else {
// BUFFER-NOT:     {{memref\.|[^#]schedule\.}}
// BUFFER:           moe.merge {{.*}} outs(%[[Y]] :
// BUFFER:         }
// BUFFER-NEXT:    return

// The halves are interleaved: rows of B are on their way while A's experts compute,
// and A's results while B's do. Experts wait for their own dispatch alone, and merges
// for their own combine; an asynchronous backend has the shared experts in between.
// The exchanges are in one order on one stream, and the branch is one that all ranks
// take alike.
// SCHEDULE-LABEL: func @counted(
// SCHEDULE:         %[[MANY:.*]] = arith.cmpi uge, %max_tokens, %dbo_threshold : index
// SCHEDULE:         scf.if %[[MANY]] {
// SCHEDULE-NEXT:      schedule.run on(compute) label("gate") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<0 of 2>
// SCHEDULE:           %[[ROUTEDA:.*]] = schedule.run on(compute) label("route") {
// SCHEDULE:           %[[SENTA:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[ROUTEDA]]) label("dispatch") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<0 of 2>
// SCHEDULE:           schedule.run on(compute) label("gate") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<1 of 2>
// SCHEDULE:           %[[ROUTEDB:.*]] = schedule.run on(compute) label("route") {
// SCHEDULE:           %[[SENTB:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[ROUTEDB]]) label("dispatch") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<1 of 2>
// SCHEDULE:           %[[COMPUTEDA:.*]] = schedule.run on(compute) after(%[[SENTA]]) label("experts") {
// SCHEDULE:           %[[BACKA:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[COMPUTEDA]]) label("combine") {
// SCHEDULE:           %[[COMPUTEDB:.*]] = schedule.run on(compute) after(%[[SENTB]]) label("experts") {
// SCHEDULE:           %[[BACKB:.*]] = schedule.run on(comm #ranks{{[0-9]*}}[dp]) after(%[[COMPUTEDB]]) label("combine") {
// SCHEDULE:           schedule.run on(compute) label("shared experts") {
// SCHEDULE:           schedule.run on(compute) after(%[[BACKA]]) label("merge") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<0 of 2>
// SCHEDULE:           schedule.run on(compute) after(%[[BACKB]]) label("merge") {
// SCHEDULE-NEXT:        moe.part = #schedule.part<1 of 2>
// SCHEDULE:         } else {
// SCHEDULE:           label("gate")
// SCHEDULE:           label("route")
// SCHEDULE:           label("dispatch")
// SCHEDULE:           label("experts")
// SCHEDULE:           label("combine")
// SCHEDULE:           label("shared experts")
// SCHEDULE:           label("merge")
// SCHEDULE-NOT:       label(
// SCHEDULE:         } {schedule.uniform}
// SCHEDULE-NEXT:    return

// A rule set that does not overlap keeps the arm of all tokens, and no buffer of the
// other one.
// SERIAL-LABEL:   func @counted(
// SERIAL-SAME:      batches = <rule = "serial batch rule 1", reason = "the serial rule set never overlaps", suggestion = "use --schedule=vllm or --schedule=auto">
// SERIAL-NOT:       {{scf.if|part|max_tokens|on\(comm}}
// SERIAL:           label("merge")
// SERIAL-NOT:       label(
// SERIAL:           return
func.func @counted(%x: tensor<?x64xbf16>, %router: tensor<8x64xbf16>, %w13: tensor<4x64x64xbf16>,
    %w2: tensor<4x64x32xbf16>, %s13: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_high_throughput, dbo = true, dbo_decode_threshold = 5>} {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<4x64x64xbf16>, tensor<4x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// A fixed capacity is that of a half: 4 of 7 tokens, from 2 ranks for 4 experts. With
// a known number of tokens halves have known sizes; choices that are given are cut
// as the hidden states are.
// EXPAND-LABEL: func @batched(
// EXPAND:         tensor.extract_slice %{{.*}}[0, 0] [4, 64] [1, 1] : tensor<7x64xf32> to tensor<4x64xf32>
// EXPAND:         tensor.extract_slice %{{.*}}[0, 0] [4, 2] [1, 1] : tensor<7x2xi32> to tensor<4x2xi32>
// EXPAND:         tensor.extract_slice %{{.*}}[0, 0] [4, 2] [1, 1] : tensor<7x2xf32> to tensor<4x2xf32>
// EXPAND:         moe.dispatch {{.*}} received(%{{.*}}, %{{.*}} : tensor<32x64xf32>, tensor<32x1xf32>) {{.*}} exchange(<batched, #ranks{{[0-9]*}}[dp]>) {{.*}} {moe.part = #schedule.part<0 of 2>}
// EXPAND:         tensor.extract_slice %{{.*}}[4, 0] [3, 64] [1, 1] : tensor<7x64xf32> to tensor<3x64xf32>
// EXPAND:         moe.dispatch {{.*}} received(%{{.*}}, %{{.*}} : tensor<32x64xf32>, tensor<32x1xf32>) {{.*}} {moe.part = #schedule.part<1 of 2>}
// EXPAND:       } else {
// EXPAND:         moe.dispatch {{.*}} received(%{{.*}}, %{{.*}} : tensor<56x64xf32>, tensor<56x1xf32>)
func.func @batched(%x: tensor<7x64xf32>, %ids: tensor<7x2xi32>, %weights: tensor<7x2xf32>, %w13: tensor<4x64x64xf32>,
    %w2: tensor<4x64x32xf32>) -> tensor<7x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_low_latency, dbo = true>} {
  %y = moe.layer hidden(%x : tensor<7x64xf32>) given(%ids, %weights : tensor<7x2xi32>, tensor<7x2xf32>)
    experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) num_experts(8) -> tensor<7x64xf32>
  return %y : tensor<7x64xf32>
}

// Replicas are chosen by the row among all tokens of the rank. The rules of vLLM
// overlap two batches of some backends only; others overlap all, and the shared
// experts run where their order says, once: here on the auxiliary stream.
// EXPAND-LABEL: func @replicas(
// EXPAND-DAG:     %[[ZERO:.*]] = arith.constant 0 : index
// EXPAND:         moe.route {{.*}} first_row(%[[ZERO]]) {{.*}} {moe.part = #schedule.part<0 of 2>}
// EXPAND:         moe.route {{.*}} first_row(%[[HALF:.*]]) {{.*}} {moe.part = #schedule.part<1 of 2>}
// EXPAND:       } else {
// EXPAND-NOT:     first_row
// EXPAND:         return
// VLLM-LABEL:   func @replicas(
// VLLM-SAME:      rule = "vllm batch rule 3"
// VLLM-NOT:       {{moe.part|part\(}}
// VLLM:           return
// OVERLAP-LABEL: func @replicas(
// OVERLAP-SAME:   rule = "overlap batch rule 3"
// OVERLAP:        scf.if
// OVERLAP-NEXT:     %[[FORK:.*]] = schedule.mark on(compute)
// OVERLAP-NEXT:     %[[DONE:.*]] = schedule.run on(aux) after(%[[FORK]]) label("shared experts") {
// OVERLAP:          on(comm #ranks{{[0-9]*}}[dp]){{.*}}label("dispatch")
// OVERLAP:          on(comm #ranks{{[0-9]*}}[dp]){{.*}}label("dispatch")
// OVERLAP:          on(comm #ranks{{[0-9]*}}[dp]){{.*}}label("combine")
// OVERLAP:          on(comm #ranks{{[0-9]*}}[dp]){{.*}}label("combine")
// OVERLAP:          schedule.run on(compute) after({{.*}}%[[DONE]]{{.*}}) label("merge") {
// OVERLAP:        } else {
func.func @replicas(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<5x64x64xf32>,
    %w2: tensor<5x64x32xf32>, %s13: tensor<96x64xf32>, %s2: tensor<64x48xf32>, %map: tensor<8x3xi32>,
    %count: tensor<8xi32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, eplb = true, redundant_experts = 2, dbo = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<5x64x64xf32>, tensor<5x64x32xf32>)
    shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>)
    eplb(%map, %count : tensor<8x3xi32>, tensor<8xi32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// tp alone moves no rows: nothing is split.
// EXPAND-LABEL: func @no_exchange(
// EXPAND-NOT:     {{scf.if|moe.part}}
// EXPAND:         return
func.func @no_exchange(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32>
    attributes {moe.parallel = #moe.parallel<tensor = 2, dbo = true>} {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
