// RUN: moe-opt %s --moe-compile-pipeline -o %t
// RUN: FileCheck %s < %t
// RUN: FileCheck %s --check-prefix=DIALECTS < %t
// RUN: moe-opt %s --moe-compile-pipeline="rule-set=serial max-num-tokens=512" | FileCheck %s --check-prefix=SERIAL
// RUN: not moe-opt %s --moe-compile-pipeline=target=tpu 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not moe-opt %s --moe-compile-pipeline=cpu=i960 2>&1 | FileCheck %s --check-prefix=CPU

// TARGET: error: expected target 'cpu' or 'cuda' but got 'tpu'
// CPU:    expected 'host' or a CPU of {{.*}} such as 'x86-64-v3' but got 'i960'

// Nothing but the LLVM dialect is left.
// DIALECTS:      module
// DIALECTS-NOT:  {{^ *(%[^=]*= )?(func|scf|cf|arith|math|memref|vector|linalg|affine|moe|schedule|builtin\.unrealized_conversion_cast)[. ]}}
// DIALECTS:      llvm.func @layer_run(
// DIALECTS-NOT:  {{^ *(%[^=]*= )?(func|scf|cf|arith|math|memref|vector|linalg|affine|moe|schedule|builtin\.unrealized_conversion_cast)[. ]}}
// DIALECTS:      llvm.mlir.global external constant @moert_artefact()

// The artefact's two functions. A call that the runtime refuses ends at once
// with its status. Both orders are there, and T chooses; the arm of few tokens
// records two events, the fork and the join, and waits for both; the other has
// none. Every phase is launched in both.
// CHECK-LABEL:  llvm.func @layer_workspace_size(%{{.*}}: i64, %{{.*}}: i64) -> i64
// CHECK-LABEL:  llvm.func @layer_run(
// CHECK-SAME:     %[[CALL:.*]]: !llvm.ptr) -> i32
// CHECK-DAG:      %[[SIGNATURE:.*]] = llvm.mlir.addressof @layer_signature : !llvm.ptr
// CHECK-DAG:      %[[COMPUTE:.*]] = llvm.mlir.constant(0 : i32) : i32
// CHECK-DAG:      %[[AUX:.*]] = llvm.mlir.constant(1 : i32) : i32
// CHECK-DAG:      %[[THRESHOLD:.*]] = llvm.mlir.constant(256 : index) : i64
// CHECK:          %[[STATUS:.*]] = llvm.call @moert_call_begin(%[[CALL]], %[[SIGNATURE]])
// CHECK-NEXT:     %[[ACCEPTED:.*]] = llvm.icmp "eq" %[[STATUS]], %[[COMPUTE]] : i32
// CHECK-NEXT:     llvm.cond_br %[[ACCEPTED]], ^{{.*}}, ^[[REFUSED:.*]]
// CHECK:          %[[FEW:.*]] = llvm.icmp "ule" %{{.*}}, %[[THRESHOLD]] : i64
// CHECK:          llvm.cond_br %[[FEW]]
// CHECK:          %[[FORK:.*]] = llvm.call @moert_event_record(%[[CALL]], %[[COMPUTE]])
// CHECK-NEXT:     llvm.call @moert_stream_wait(%[[CALL]], %[[AUX]], %[[FORK]])
// CHECK-COUNT-2:  llvm.call @moert_launch(%[[CALL]], %[[AUX]],
// CHECK-NEXT:     %[[DONE:.*]] = llvm.call @moert_event_record(%[[CALL]], %[[AUX]])
// CHECK-COUNT-6:  llvm.call @moert_launch(%[[CALL]], %[[COMPUTE]],
// CHECK-NEXT:     llvm.call @moert_stream_wait(%[[CALL]], %[[COMPUTE]], %[[DONE]])
// CHECK:          llvm.call @moert_launch(%[[CALL]], %[[COMPUTE]],
// CHECK-NEXT:     llvm.br
// CHECK-NOT:      {{moert_event_record|moert_stream_wait}}
// CHECK-COUNT-9:  llvm.call @moert_launch(%[[CALL]], %[[COMPUTE]],
// CHECK-NOT:      llvm.call
// CHECK:          %[[END:.*]] = llvm.call @moert_call_end(%[[CALL]])
// CHECK-NEXT:     llvm.return %[[END]]
// CHECK:        ^[[REFUSED]]:
// CHECK-NEXT:     llvm.return %[[STATUS]]
// CHECK:        llvm.mlir.global external constant @moert_artefact()

// Options reach their passes: one order, and a bound in the signature.
// SERIAL:       llvm.func @layer_run(
// SERIAL-NOT:   {{llvm.call @moert_(event_record|stream_wait)}}
// SERIAL:       llvm.mlir.global private constant @layer_signature()
// SERIAL:         llvm.mlir.constant(512 : i64) : i64
// SERIAL:       llvm.mlir.global external constant @moert_artefact()
func.func @layer(%x: tensor<?x64xbf16> {moe.name = "hidden_states", schedule.tokens}, %router: tensor<8x64xbf16>,
                 %w13: tensor<8x64x64xbf16>, %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>,
                 %s2: tensor<64x48xbf16>) -> (tensor<?x64xbf16> {moe.name = "output"}) {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
