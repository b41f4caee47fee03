// RUN: moe-opt %s -split-input-file -moe-cpu-add-kernel-entries=cpu=x86-64-v3 -verify-diagnostics | FileCheck %s

// Slots are the pointer of the first memref, its one dynamic size, and the
// pointer of the second.
// CHECK-LABEL: func.func private @kernel_body
// CHECK-SAME: memref<?x4xf32>
// CHECK-SAME: llvm.linkage = #llvm.linkage<internal>
// CHECK: llvm.func @kernel(%[[ARGS:.*]]: !llvm.ptr, %[[BLOCK:.*]]: i64)
// CHECK-SAME: target_cpu = "x86-64-v3"
// CHECK: %[[SLOT0:.*]] = llvm.getelementptr inbounds %[[ARGS]][0]
// CHECK: llvm.load %[[SLOT0]] {{.*}} -> !llvm.ptr
// CHECK: %[[SLOT1:.*]] = llvm.getelementptr inbounds %[[ARGS]][1]
// CHECK: llvm.load %[[SLOT1]] {{.*}} -> i64
// CHECK: %[[SLOT2:.*]] = llvm.getelementptr inbounds %[[ARGS]][2]
// CHECK: llvm.load %[[SLOT2]] {{.*}} -> !llvm.ptr
// CHECK: %[[INDEX:.*]] = builtin.unrealized_conversion_cast %[[BLOCK]] : i64 to index
// CHECK: call @kernel_body(%[[INDEX]], %{{.*}}, %{{.*}}) : (index, memref<?x4xf32>, memref<8xi32>) -> ()
func.func @kernel(%block: index, %x: memref<?x4xf32>, %ids: memref<8xi32>)
    attributes {schedule.kernel} {
  return
}

// Scalars come behind all memrefs.
// CHECK: llvm.func @scaled(%[[ARGS:.*]]: !llvm.ptr, %{{.*}}: i64)
// CHECK: %[[SLOT1:.*]] = llvm.getelementptr inbounds %[[ARGS]][1]
// CHECK: %[[VALUE:.*]] = llvm.load %[[SLOT1]] {{.*}} -> i64
// CHECK: %[[RANK:.*]] = builtin.unrealized_conversion_cast %[[VALUE]] : i64 to index
// CHECK: call @scaled_body(%{{.*}}, %{{.*}}, %[[RANK]]) : (index, memref<4xf32>, index) -> ()
func.func @scaled(%block: index, %x: memref<4xf32>, %rank: index)
    attributes {schedule.kernel} {
  return
}

// CHECK-LABEL: func.func @other
// CHECK-NOT: llvm.func @other
func.func @other() {
  return
}

// -----

// expected-error @below {{expected kernel arguments that are memrefs of identity layout but got 'memref<4xf32, strided<[2]>>'}}
func.func @strided(%block: index, %x: memref<4xf32, strided<[2]>>)
    attributes {schedule.kernel} {
  return
}

// -----

// expected-error @below {{expected a kernel of type (index, memrefs..., indices...) -> () but got '(memref<4xf32>) -> ()'}}
func.func @no_block(%x: memref<4xf32>) attributes {schedule.kernel} {
  return
}
