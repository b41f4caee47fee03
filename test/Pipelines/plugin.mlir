// REQUIRES: plugin
// RUN: mlir-opt %s --load-dialect-plugin=%moe_plugin --load-pass-plugin=%moe_plugin \
// RUN:   --pass-pipeline="builtin.module(moe-schedule-pipeline{token-threshold=64})" \
// RUN:   --mlir-use-nameloc-as-prefix | FileCheck %s

// An unmodified mlir-opt takes a layer to its proven schedule: it has the
// dialects, the pipeline with its options, and the upstream dialects'
// interfaces that bufferization asks for.
// CHECK-LABEL: func.func @layer(
// CHECK-SAME:    %hidden_states: memref<?x64xbf16>
// CHECK-SAME:    moe.decisions = [#moe.decision<{{.*}}threshold = 64, {{.*}}>]
// CHECK:         scf.if
// CHECK:           schedule.run on(aux) after(%{{.*}}) label("shared experts")
// CHECK:         } else {
// CHECK-NOT:       on(aux)
// CHECK:         return
func.func @layer(%x: tensor<?x64xbf16> {moe.name = "hidden_states"}, %router: tensor<8x64xbf16>,
                 %w13: tensor<8x64x64xbf16>, %w2: tensor<8x64x32xbf16>, %s13: tensor<96x64xbf16>,
                 %s2: tensor<64x48xbf16>) -> tensor<?x64xbf16> {
  %y = moe.layer hidden(%x : tensor<?x64xbf16>) router(%router : tensor<8x64xbf16>)
    experts(%w13, %w2 : tensor<8x64x64xbf16>, tensor<8x64x32xbf16>)
    shared(%s13, %s2 : tensor<96x64xbf16>, tensor<64x48xbf16>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
