// REQUIRES: plugin
// RUN: mlir-opt %s --load-dialect-plugin=%moe_plugin --load-pass-plugin=%moe_plugin \
// RUN:   --pass-pipeline="builtin.module(schedule-verify,schedule-plan-workspace)" \
// RUN:   | FileCheck %s

// An unmodified mlir-opt knows the dialect and runs its passes.
// CHECK: schedule.slice
func.func @f(%x: memref<4xf32>) {
  %a = memref.alloc() : memref<4xf32>
  schedule.run on(compute) {
    memref.copy %x, %a : memref<4xf32> to memref<4xf32>
  }
  return
}
