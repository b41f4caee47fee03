// RUN: moe-opt %s --moe-schedule --moe-explain -o /dev/null | FileCheck %s --check-prefix=ANY
// RUN: moe-opt %s --moe-schedule --moe-explain=num-tokens=257 -o /dev/null | FileCheck %s --check-prefix=MANY
// RUN: moe-opt %s --moe-schedule --moe-explain="format=json" -o /dev/null | FileCheck %s --check-prefix=JSON
// RUN: moe-opt %s --moe-schedule --moe-explain="format=json num-tokens=256" -o /dev/null | FileCheck %s --check-prefix=FEW
// RUN: not moe-opt %s --moe-schedule --moe-explain=format=xml 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: moe-opt %s --moe-explain -o /dev/null | count 0

// FORMAT: error: expected format 'text' or 'json' but got 'xml'

// Functions are explained in their order, each with its decision, the rule, why
// and what would change it, and all that follows from its configuration.
// ANY:       first: when the shared experts run, by --schedule=vllm
// ANY-NEXT:    order         MULTI_STREAM_OVERLAPPED where T <= 256, NO_OVERLAP above (decided in every call)
// ANY-NEXT:    rule          vllm rule 3 where T <= 256, vllm rule 4 above
// ANY-NEXT:    reason        T is at most 256, and 'cpu' has an auxiliary stream; otherwise T is above the threshold of 256
// ANY-NEXT:    to change it  raise --shared-experts-stream-token-threshold (VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)
// ANY-NEXT:    streams       compute, aux
// ANY-NEXT:    events        2
// ANY-NEXT:    workspace     depends on T
// ANY-NEXT:    capturable    yes
// ANY:       parallel configuration
// ANY-NEXT:    tensor_parallel_size {{ *}}1
// ANY:         reduction {{ *}}none
// ANY:       second: when the shared experts run, by --schedule=vllm
// ANY-NEXT:    order         NO_OVERLAP, whatever T is
// ANY-NEXT:    rule          vllm rule 1
// ANY-NEXT:    reason        EPLB is on and all2all backend 'mori'
// ANY-NEXT:    to change it  use a backend that is safe with EPLB (allgather_reducescatter), or drop --enable-eplb
// ANY-NEXT:    streams       compute
// ANY-NEXT:    events        0
// ANY-NEXT:    workspace     depends on T
// ANY-NEXT:    capturable    no: the host waits for the exchange of counts
// ANY:         use_mori_kernels {{ *}}yes
// ANY:         transport {{ *}}send_receive

// One T has one order, and the streams and events of its arm alone; what holds
// for the others is said beside it.
// MANY:      first: when
// MANY-NEXT:   order         NO_OVERLAP at T = 257
// MANY-NEXT:   for any T     MULTI_STREAM_OVERLAPPED where T <= 256, NO_OVERLAP above (decided in every call)
// MANY-NEXT:   rule          vllm rule 4
// MANY-NEXT:   reason        T is above the threshold of 256
// MANY-NEXT:   to change it  raise
// MANY-NEXT:   streams       compute
// MANY-NEXT:   events        0
// MANY:      second: when
// MANY-NEXT:   order         NO_OVERLAP at T = 257
// MANY-NEXT:   rule          vllm rule 1

// For programs, one object in a line. The order stands there where T does not
// decide, or is given.
// JSON:      {"layer":"first","order_at_or_below_threshold":"MULTI_STREAM_OVERLAPPED","order_above_threshold":"NO_OVERLAP","threshold":256,"rule":"vllm rule 3 where T <= 256, vllm rule 4 above","reason":
// JSON-SAME: ,"parallel":{"tensor_parallel_size":1,{{.*}},"reduction":"none"},"streams":["compute","aux"],"events":2,"workspace_bytes":null,"capturable":true}{{$}}
// JSON-NEXT: {"layer":"second","order":"NO_OVERLAP","rule":"vllm rule 1","reason":
// JSON-SAME: ,"streams":["compute"],"events":0,"workspace_bytes":null,"capturable":false}{{$}}

// FEW:       {"layer":"first","order":"MULTI_STREAM_OVERLAPPED","order_at_or_below_threshold":"MULTI_STREAM_OVERLAPPED","order_above_threshold":"NO_OVERLAP","threshold":256,"rule":"vllm rule 3","reason":"T is at most 256
// FEW-SAME:  "streams":["compute","aux"],"events":2,
// FEW-NEXT:  {"layer":"second","order":"NO_OVERLAP","rule":"vllm rule 1"
func.func @first(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %routed: memref<?x64xf32>,
                 %shared: memref<?x64xf32>, %y: memref<?x64xf32>) {
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}

// A function that nobody scheduled has nothing to explain.
func.func @between(%x: memref<?x64xf32>) {
  return
}

func.func @second(%x: memref<?x64xf32>, %s13: memref<96x64xf32>, %s2: memref<64x48xf32>, %routed: memref<?x64xf32>,
                  %shared: memref<?x64xf32>, %y: memref<?x64xf32>)
    attributes {moe.parallel = #moe.parallel<data = 2, expert_parallel = true, eplb = true, all2all_backend = mori>} {
  moe.shared_experts ins(%x, %s13, %s2 : memref<?x64xf32>, memref<96x64xf32>, memref<64x48xf32>)
    outs(%shared : memref<?x64xf32>) activation(<swiglu>)
  moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  return
}
