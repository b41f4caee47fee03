// RUN: moe-opt %s -split-input-file -moe-cpu-lower-row-contractions=cpu=x86-64-v4 | FileCheck %s
// RUN: moe-opt %s -split-input-file -moe-cpu-lower-row-contractions=cpu=x86-64-v3 | FileCheck %s --check-prefix=NARROW

#row = affine_map<(n, k) -> (k)>
#weights = affine_map<(n, k) -> (n, k)>
#sums = affine_map<(n, k) -> (n)>

// Two rows and four columns: eight sums stay in registers along k. A register
// of bf16 is two of f32, by a shift and by a mask.
// CHECK-LABEL: func.func @bf16
// CHECK-NOT: linalg
// CHECK: scf.for %[[N:.*]] = %{{.*}} to %{{.*}} step %c4
// CHECK: %[[ACC:.*]]:8 = scf.for %[[K:.*]] = %{{.*}} to %{{.*}} step %c32
// CHECK-SAME: vector<16xf32>
// CHECK-COUNT-4: memref.prefetch %{{.*}}, read, locality<2>
// CHECK: vector.load %{{.*}}[%{{.*}}, %[[K]]] : memref<8x64xbf16>, vector<32xbf16>
// CHECK: arith.shli
// CHECK: arith.andi
// CHECK-COUNT-16: vector.fma
// CHECK: scf.yield
// The lanes are added, then the vector of four columns is added to the sums.
// CHECK: vector.store %{{.*}}, %{{.*}}[%[[N]]] : memref<8xf32>, vector<4xf32>
// CHECK: vector.store %{{.*}}, %{{.*}}[%[[N]]] : memref<8xf32>, vector<4xf32>
// NARROW-LABEL: func.func @bf16
// NARROW: scf.for %{{.*}} step %c2
// NARROW: :4 = scf.for %{{.*}} step %c16
func.func @bf16(%r0: memref<64xbf16>, %r1: memref<64xbf16>,
                %w: memref<8x64xbf16>, %s0: memref<8xf32>, %s1: memref<8xf32>) {
  linalg.generic {indexing_maps = [#row, #row, #weights, #sums, #sums],
                  iterator_types = ["parallel", "reduction"]}
      ins(%r0, %r1, %w : memref<64xbf16>, memref<64xbf16>, memref<8x64xbf16>)
      outs(%s0, %s1 : memref<8xf32>, memref<8xf32>) {
  ^bb0(%x0: bf16, %x1: bf16, %y: bf16, %a0: f32, %a1: f32):
    %yw = arith.extf %y : bf16 to f32
    %x0w = arith.extf %x0 : bf16 to f32
    %p0 = arith.mulf %x0w, %yw : f32
    %t0 = arith.addf %a0, %p0 : f32
    %x1w = arith.extf %x1 : bf16 to f32
    %p1 = arith.mulf %x1w, %yw : f32
    %t1 = arith.addf %a1, %p1 : f32
    linalg.yield %t0, %t1 : f32, f32
  }
  return
}

// -----

#row = affine_map<(n, k) -> (k)>
#weights = affine_map<(n, k) -> (n, k)>
#sums = affine_map<(n, k) -> (n)>

// Columns that do not fill a group come one by one, and elements of k that do
// not fill a register come as the upper part of a load that ends with the row.
// CHECK-LABEL: func.func @remainders
// CHECK-SAME: %[[R:.*]]: memref<20xf32>
// CHECK-NOT: linalg
// CHECK: scf.for %{{.*}} step %c4
// CHECK: scf.for %{{.*}} step %c1
// CHECK-DAG: vector.load %{{.*}}[%{{.*}}, %[[LAST:.*]]] : memref<?x20xf32>, vector<16xf32>
// CHECK-DAG: arith.constant dense<[false, false, false, false, false, false, false, false, false, false, false, false, true, true, true, true]>
// CHECK-DAG: vector.load %[[R]][%[[LAST]]] : memref<20xf32>, vector<16xf32>
func.func @remainders(%r: memref<20xf32>, %w: memref<?x20xf32>,
                      %s: memref<?xf32>) {
  linalg.generic {indexing_maps = [#row, #weights, #sums],
                  iterator_types = ["parallel", "reduction"]}
      ins(%r, %w : memref<20xf32>, memref<?x20xf32>) outs(%s : memref<?xf32>) {
  ^bb0(%x: f32, %y: f32, %a: f32):
    %p = arith.mulf %x, %y : f32
    %t = arith.addf %a, %p : f32
    linalg.yield %t : f32
  }
  return
}

// -----

#row = affine_map<(n, k) -> (k)>
#weights = affine_map<(n, k) -> (n, k)>
#sums = affine_map<(n, k) -> (n)>

// Long rows come in blocks of k of 4 KiB.
// CHECK-LABEL: func.func @blocks
// CHECK: scf.for %[[BLOCK:.*]] = %{{.*}} to %{{.*}} step %c1024
// CHECK: scf.for %{{.*}} step %c4
// CHECK: scf.for %{{.*}} = %[[BLOCK]] to %{{.*}} step %c16
func.func @blocks(%r: memref<2048xf32>, %w: memref<8x2048xf32>,
                  %s: memref<8xf32>) {
  linalg.generic {indexing_maps = [#row, #weights, #sums],
                  iterator_types = ["parallel", "reduction"]}
      ins(%r, %w : memref<2048xf32>, memref<8x2048xf32>)
      outs(%s : memref<8xf32>) {
  ^bb0(%x: f32, %y: f32, %a: f32):
    %p = arith.mulf %x, %y : f32
    %t = arith.addf %a, %p : f32
    linalg.yield %t : f32
  }
  return
}

// -----

#row = affine_map<(n, k) -> (k)>
#weights = affine_map<(n, k) -> (n, k)>
#sums = affine_map<(n, k) -> (n)>

// What is no sum of products stays as it is.
// CHECK-LABEL: func.func @maximum
// CHECK: linalg.generic
func.func @maximum(%r: memref<64xf32>, %w: memref<8x64xf32>,
                   %s: memref<8xf32>) {
  linalg.generic {indexing_maps = [#row, #weights, #sums],
                  iterator_types = ["parallel", "reduction"]}
      ins(%r, %w : memref<64xf32>, memref<8x64xf32>) outs(%s : memref<8xf32>) {
  ^bb0(%x: f32, %y: f32, %a: f32):
    %p = arith.mulf %x, %y : f32
    %t = arith.maximumf %a, %p : f32
    linalg.yield %t : f32
  }
  return
}
