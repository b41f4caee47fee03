// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s
// RUN: moe-opt %s --moe-generate-kernels=target=cuda | FileCheck %s --check-prefix=LAUNCH

// The load is counted by blocks that each own some experts: in shared memory, with
// integers, and stored once, so that nothing has to be cleared before and the order of
// atomics does not matter.

// CHECK-LABEL: llvm.func @expert_load_{{[0-9a-f]+}}(
// CHECK:       nvvm.griddepcontrol {{ *}}wait
// CHECK:       scf.for
// CHECK:       nvvm.match.sync {{ *}}any
// CHECK:       llvm.atomicrmw add {{.*}} : !llvm.ptr<3>, i32
// CHECK-NOT:   atomicrmw {{.*}} : !llvm.ptr<1>
// CHECK:       nvvm.barrier
// CHECK:       llvm.store {{.*}} : i32, !llvm.ptr<1>
// CHECK:       llvm.return

// Two blocks for 40 experts.
// LAUNCH: %[[BLOCKS:.*]] = arith.constant 2 : index
// LAUNCH: schedule.launch @kernels::@expert_load_{{.*}} grid(%[[BLOCKS]]) label("expert load")
func.func @layer(%ids: memref<?x6xi32>, %load: memref<40xi32>) {
  schedule.run on(compute) {
    moe.expert_load ins(%ids : memref<?x6xi32>) outs(%load : memref<40xi32>)
  }
  return
}
