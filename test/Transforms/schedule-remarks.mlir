// RUN: moe-opt %s --split-input-file --moe-schedule --remarks-filter=moe-schedule --remark-policy=all --verify-diagnostics
// RUN: moe-opt %s --split-input-file --moe-schedule --remarks-filter=moe-schedule --remark-policy=all 2>&1 \
// RUN:   | FileCheck %s
// RUN: moe-opt %s --split-input-file --moe-schedule 2>&1 | FileCheck %s --check-prefix=SILENT --implicit-check-not=remark:

// Every decision is a remark at the layer: passed where the shared experts
// overlap, missed where they do not, and then with what would change it. They
// cost nothing unless they are asked for.
// SILENT: moe.decisions

// Where T decides there are two.
// CHECK: remark: [Passed] order | Category:moe-schedule | Function=two | Reason="T is at most 256, and 'cpu' has an auxiliary stream", Remark="MULTI_STREAM_OVERLAPPED at T <= 256: vllm rule 3", order=MULTI_STREAM_OVERLAPPED, rule="vllm rule 3"
// CHECK: remark: [Missed] order | Category:moe-schedule | Function=two | Reason="T is above the threshold of 256", Remark="NO_OVERLAP at T > 256: vllm rule 4", Suggestion="raise --shared-experts-stream-token-threshold (VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)", order=NO_OVERLAP, rule="vllm rule 4"
func.func @two(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %routed: memref<?x64xf32>,
               %shared: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // expected-remark @below {{MULTI_STREAM_OVERLAPPED at T <= 256: vllm rule 3}}
  // expected-remark @below {{NO_OVERLAP at T > 256: vllm rule 4}}
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// Overlap that EPLB forbids: the rule, why, and the two ways out.
// CHECK: remark: [Missed] order | Category:moe-schedule | Function=eplb | Reason="EPLB is on and all2all backend 'mori' is not known to be safe with it (allgather_reducescatter): wrong results were seen when shared experts overlapped", Remark="NO_OVERLAP: vllm rule 1", Suggestion="use a backend that is safe with EPLB (allgather_reducescatter), or drop --enable-eplb", order=NO_OVERLAP, rule="vllm rule 1"
func.func @eplb(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %routed: memref<?x64xf32>,
                %shared: memref<?x64xf32>, %y: memref<?x64xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, eplb = true, all2all_backend = mori>} {
  // expected-remark @below {{Suggestion="use a backend that is safe with EPLB (allgather_reducescatter), or drop --enable-eplb"}}
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// Overlap that leaves nothing to wish for has no suggestion.
// CHECK: remark: [Passed] order | Category:moe-schedule | Function=owned |
// CHECK-NOT: Suggestion
// CHECK-SAME: rule="vllm rule 2"
func.func @owned(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %routed: memref<?x64xf32>,
                 %shared: memref<?x64xf32>, %y: memref<?x64xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = nixl_ep>} {
  // expected-remark @below {{MK_INTERNAL_OVERLAPPED: vllm rule 2}}
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// Nothing to overlap is neither a success nor a miss.
// CHECK: remark: [Analysis] order | Category:moe-schedule | Function=none | Reason="the layer has no shared experts to overlap", Remark="NONE: no shared experts"
func.func @none(%x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // expected-remark @below {{NONE: no shared experts}}
  moe.merge ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// Two batches, where they are asked for: not by this backend under these rules.
// CHECK: remark: [Missed] batches | Category:moe-schedule | Function=backend | Reason="all2all backend 'mori' is not overlapped in two batches (deepep_low_latency, deepep_high_throughput are)", Remark="one batch: vllm batch rule 3", Suggestion="use one of deepep_low_latency, deepep_high_throughput, or --schedule=overlap, which takes any backend"
func.func @backend(%x: memref<?x64xf32>, %y: memref<?x64xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = mori, dbo = true>} {
  // expected-remark @below {{NONE: no shared experts}}
  // expected-remark @below {{one batch: vllm batch rule 3}}
  moe.merge ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// -----

// The rules would, but nobody wrote the halves.
// CHECK: remark: [Missed] batches | Category:moe-schedule | Function=phases | Reason="the layer has no phases for halves of its tokens", Remark="one batch: vllm batch rule 4", Suggestion="let --moe-expand-layer write the phases, and record no load of the experts"
func.func @phases(%x: memref<?x64xf32>, %y: memref<?x64xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, all2all_backend = deepep_low_latency, dbo = true>} {
  // expected-remark @below {{NONE: no shared experts}}
  // expected-remark @below {{one batch: vllm batch rule 4}}
  moe.merge ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}
