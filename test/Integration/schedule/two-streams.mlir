// A schedule of anybody's code runs: its kernels are functions, its ranks a grid with
// an axis of its own, and nothing of it is a layer.
// DEFINE: %{lower} = --schedule-verify --schedule-plan-workspace --schedule-verify --moe-cpu-add-kernel-entries --convert-schedule-to-runtime --expand-strided-metadata --lower-affine --convert-scf-to-cf --finalize-memref-to-llvm --convert-arith-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts
// RUN: moe-opt %s %{lower} -o %t.llvm.mlir
// RUN: mlir-translate --mlir-to-llvmir %t.llvm.mlir -o %t.ll
// RUN: llc -filetype=obj -relocation-model=pic %t.ll -o %t.o
// RUN: ld -shared %t.o -o %t.so
// RUN: %python %S/Inputs/run_program.py %moe_build/lib/libmoert.so %t.so 3,1 offset=7 unasked=9 | FileCheck %s

// Row k of all rows is k, k + 1, k + 2, k + 3, and the columns' sums over the rows of
// both ranks are 6, 10, 14 and 18. Results are twice the row, plus the sums, plus 7.
// CHECK:      rank 0: [13, 19, 25, 31] [15, 21, 27, 33] [17, 23, 29, 35]
// CHECK-NEXT: rank 1: [19, 25, 31, 37]

// A value that is not given is 0; a rank may have no rows.
// RUN: %python %S/Inputs/run_program.py %moe_build/lib/libmoert.so %t.so 0,2 | FileCheck %s --check-prefix=EMPTY
// EMPTY:      rank 0:
// EMPTY-NEXT: rank 1: [1, 5, 9, 13] [3, 7, 11, 15]

// The grid is the program's: it runs on no other number of ranks, and on no more rows
// than it says.
// RUN: not %python %S/Inputs/run_program.py %moe_build/lib/libmoert.so %t.so 1,1,1 2>&1 | FileCheck %s --check-prefix=RANKS
// RANKS: rank {{[0-2]}}: program: the context has 3 ranks, expected 2
// RUN: not %python %S/Inputs/run_program.py %moe_build/lib/libmoert.so %t.so 9,1 2>&1 | FileCheck %s --check-prefix=TOKENS
// TOKENS: rank 0: program: got 9 tokens on this rank, expected at most 8

#ranks = #schedule.grid<node = 2>
module attributes {schedule.descriptor = "{}"} {

func.func @double(%row: index, %x: memref<?x4xf32>, %y: memref<?x4xf32>) attributes {schedule.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  scf.for %i = %c0 to %c4 step %c1 {
    %value = memref.load %x[%row, %i] : memref<?x4xf32>
    %twice = arith.addf %value, %value : f32
    memref.store %twice, %y[%row, %i] : memref<?x4xf32>
  }
  return
}

func.func @add_sums(%row: index, %x: memref<?x4xf32>, %all: memref<?x4xf32>, %y: memref<?x4xf32>, %offset: index)
    attributes {schedule.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %n = memref.dim %all, %c0 : memref<?x4xf32>
  %integer = arith.index_cast %offset : index to i32
  %begin = arith.sitofp %integer : i32 to f32
  scf.for %i = %c0 to %c4 step %c1 {
    %own = memref.load %x[%row, %i] : memref<?x4xf32>
    %first = arith.addf %own, %begin : f32
    %sum = scf.for %k = %c0 to %n step %c1 iter_args(%before = %first) -> f32 {
      %value = memref.load %all[%k, %i] : memref<?x4xf32>
      %after = arith.addf %before, %value : f32
      scf.yield %after : f32
    }
    memref.store %sum, %y[%row, %i] : memref<?x4xf32>
  }
  return
}

func.func @program(%x: memref<?x4xf32> {schedule.tokens}, %y: memref<?x4xf32> {bufferize.result})
    attributes {schedule.grid = #ranks, schedule.max_num_tokens = 8} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %n = schedule.total_tokens : index
  %offset = schedule.call_value "offset" : index
  %twice = memref.alloc(%t) : memref<?x4xf32>
  %all = memref.alloc(%n) : memref<?x4xf32>
  %fork = schedule.mark on(compute)
  %doubled = schedule.run on(aux) after(%fork) label("double") {
    schedule.launch @double grid(%t) reads(%x : memref<?x4xf32>) writes(%twice : memref<?x4xf32>)
  } -> !schedule.event
  %gathered = schedule.run on(comm #ranks[node]) after(%fork) label("gather") {
    schedule.collective all_gather over(#ranks[node]) label("gather")
      sends(%x : memref<?x4xf32>) receives(%all : memref<?x4xf32>)
  } -> !schedule.event
  schedule.run on(compute) after(%doubled, %gathered) label("add") {
    schedule.launch @add_sums grid(%t) reads(%twice, %all : memref<?x4xf32>, memref<?x4xf32>)
      writes(%y : memref<?x4xf32>) scalars(%offset : index)
  }
  return
}
}
