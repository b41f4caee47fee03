// RUN: moe-opt %s --allow-unregistered-dialect --moe-fix-num-tokens=num-tokens=16 | FileCheck %s
// RUN: moe-opt %s --allow-unregistered-dialect --moe-fix-num-tokens | FileCheck %s --check-prefix=ANY
// RUN: moe-opt %s --allow-unregistered-dialect --moe-fix-num-tokens=num-tokens=0 | FileCheck %s --check-prefix=ANY
// RUN: not moe-opt %s --allow-unregistered-dialect --moe-fix-num-tokens=num-tokens=4 2>&1 | FileCheck %s --check-prefix=OTHER

// ANY-COUNT-8: tensor<?x64xf32>

// Arguments, result and function get the number; chosen experts have as many rows.
// CHECK-LABEL: func @given(
// CHECK-SAME:  %[[X:.*]]: tensor<16x64xf32>, %[[IDS:.*]]: tensor<16x2xi32>, %[[WEIGHTS:.*]]: tensor<16x2xf32>,
// CHECK-SAME:  -> tensor<16x64xf32>
// CHECK-NEXT:  %[[Y:.*]] = moe.layer hidden(%[[X]] : tensor<16x64xf32>) given(%[[IDS]], %[[WEIGHTS]] : tensor<16x2xi32>, tensor<16x2xf32>)
// CHECK-SAME:  -> tensor<16x64xf32>
// CHECK-NEXT:  return %[[Y]] : tensor<16x64xf32>
func.func @given(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>,
    %w13: tensor<8x64x64xf32>, %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %y = moe.layer hidden(%x : tensor<?x64xf32>) given(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// What else uses them sees what it saw.
// CHECK-LABEL: func @around(
// CHECK-SAME:  %[[X:.*]]: tensor<16x64xf32>, %{{.*}}: tensor<8x64xf32>
// CHECK-SAME:  -> (tensor<?x64xf32>, tensor<16x64xf32>)
// CHECK:       %[[BEFORE:.*]] = tensor.cast %[[X]] : tensor<16x64xf32> to tensor<?x64xf32>
// CHECK:       "other"(%[[BEFORE]]) : (tensor<?x64xf32>)
// CHECK:       %[[Y:.*]] = moe.layer hidden(%[[X]] : tensor<16x64xf32>)
// CHECK:       %[[RESULT:.*]] = tensor.cast %[[Y]] : tensor<16x64xf32> to tensor<?x64xf32>
// CHECK:       %[[USED:.*]] = "other"(%[[RESULT]])
// CHECK:       return %[[USED]], %[[Y]] : tensor<?x64xf32>, tensor<16x64xf32>
func.func @around(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  "other"(%x) : (tensor<?x64xf32>) -> ()
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  %z = "other"(%y) : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %z, %y : tensor<?x64xf32>, tensor<?x64xf32>
}

// An input that something computed is cast.
// CHECK-LABEL: func @computed(
// CHECK:       %[[X:.*]] = "other"() : () -> tensor<?x64xf32>
// CHECK-NEXT:  %[[FIXED:.*]] = tensor.cast %[[X]] : tensor<?x64xf32> to tensor<16x64xf32>
// CHECK-NEXT:  moe.layer hidden(%[[FIXED]] : tensor<16x64xf32>)
func.func @computed(%router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> tensor<?x64xf32> {
  %x = "other"() : () -> tensor<?x64xf32>
  %y = moe.layer hidden(%x : tensor<?x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// A layer that says it already can say nothing else.
// CHECK-LABEL: func @known(
// OTHER: error: 'moe.layer' op expected static-num-tokens = 16, the rows of its 'hidden_states', but got 4
func.func @known(%x: tensor<16x64xf32>, %router: tensor<8x64xf32>, %w13: tensor<8x64x64xf32>,
    %w2: tensor<8x64x32xf32>) -> tensor<16x64xf32> {
  %y = moe.layer hidden(%x : tensor<16x64xf32>) router(%router : tensor<8x64xf32>)
    experts(%w13, %w2 : tensor<8x64x64xf32>, tensor<8x64x32xf32>)
    routing(<top_k = 2>) activation(<swiglu>) -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}
