// RUN: moe-opt %s -moe-cpu-approximate-math | FileCheck %s

// No call to libm is left, for which `math.fma` counts too.
// CHECK-LABEL: func.func @functions
// CHECK-NOT: math.{{exp|log1p|tanh|erf|fma}}
// CHECK: vector.fma
// CHECK-NOT: math.{{exp|log1p|tanh|erf|fma}}
// CHECK: return
func.func @functions(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp %x : vector<16xf32>
  %1 = math.log1p %0 : vector<16xf32>
  %2 = math.tanh %1 : vector<16xf32>
  %3 = math.erf %2 : vector<16xf32>
  return %3 : vector<16xf32>
}

// CHECK-LABEL: func.func @bf16
// CHECK-NOT: arith.truncf
// CHECK-NOT: arith.extf
// CHECK: arith.bitcast
func.func @bf16(%x: vector<16xbf16>) -> vector<16xbf16> {
  %0 = arith.extf %x : vector<16xbf16> to vector<16xf32>
  %1 = arith.addf %0, %0 : vector<16xf32>
  %2 = arith.truncf %1 : vector<16xf32> to vector<16xbf16>
  return %2 : vector<16xbf16>
}
