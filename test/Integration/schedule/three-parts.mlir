// The tokens of every rank in three parts, each with an exchange of its own: while one
// part is added up, the next one is gathered.
// DEFINE: %{lower} = --schedule-verify --schedule-plan-workspace --schedule-verify --moe-cpu-add-kernel-entries --convert-schedule-to-runtime --expand-strided-metadata --lower-affine --convert-scf-to-cf --finalize-memref-to-llvm --convert-arith-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts
// RUN: moe-opt %s %{lower} -o %t.llvm.mlir
// RUN: mlir-translate --mlir-to-llvmir %t.llvm.mlir -o %t.ll
// RUN: llc -filetype=obj -relocation-model=pic %t.ll -o %t.o
// RUN: ld -shared %t.o -o %t.so
// RUN: %python %S/Inputs/run_program.py %moe_build/lib/libmoert.so %t.so 4,1 --rows 1 | FileCheck %s

// Of 4 tokens the parts are rows 0 and 1, row 2 and row 3, of 1 token that row and two
// times nothing. So part 0 sums to 5 (rows 0, 1 and 4 of all), part 1 to 2 and part 2 to
// 3; in the next column each row counts one more. They count 1, 10 and 100 times.
// CHECK:      rank 0: [325, 438, 551, 664]
// CHECK-NEXT: rank 1: [325, 438, 551, 664]

#ranks = #schedule.grid<node = 2>
module attributes {schedule.descriptor = "{}"} {

func.func @zero(%block: index, %y: memref<1x4xf32>) attributes {schedule.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f32
  scf.for %i = %c0 to %c4 step %c1 {
    memref.store %zero, %y[%c0, %i] : memref<1x4xf32>
  }
  return
}

func.func @add(%block: index, %sums: memref<1x4xf32>, %rows: memref<?x4xf32>, %y: memref<1x4xf32>, %factor: index)
    attributes {schedule.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %n = memref.dim %rows, %c0 : memref<?x4xf32>
  %integer = arith.index_cast %factor : index to i32
  %times = arith.sitofp %integer : i32 to f32
  scf.for %i = %c0 to %c4 step %c1 {
    %first = memref.load %sums[%c0, %i] : memref<1x4xf32>
    %sum = scf.for %k = %c0 to %n step %c1 iter_args(%before = %first) -> f32 {
      %value = memref.load %rows[%k, %i] : memref<?x4xf32>
      %product = arith.mulf %value, %times : f32
      %after = arith.addf %before, %product : f32
      scf.yield %after : f32
    }
    memref.store %sum, %y[%c0, %i] : memref<1x4xf32>
  }
  return
}

func.func @program(%x: memref<?x4xf32> {schedule.tokens}, %y: memref<1x4xf32> {bufferize.result})
    attributes {schedule.grid = #ranks} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c10 = arith.constant 10 : index
  %c100 = arith.constant 100 : index
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %t0 = affine.apply affine_map<(t) -> ((t + 2) floordiv 3)>(%t)
  %t1 = affine.apply affine_map<(t) -> ((t + 1) floordiv 3)>(%t)
  %t2 = affine.apply affine_map<(t) -> (t floordiv 3)>(%t)
  %begin2 = arith.addi %t0, %t1 : index
  %n0 = schedule.total_tokens part(<0 of 3>) : index
  %n1 = schedule.total_tokens part(<1 of 3>) : index
  %n2 = schedule.total_tokens part(<2 of 3>) : index
  %x0 = schedule.rows %x[%c0](%t0) : memref<?x4xf32> to memref<?x4xf32>
  %x1 = schedule.rows %x[%t0](%t1) : memref<?x4xf32> to memref<?x4xf32>
  %x2 = schedule.rows %x[%begin2](%t2) : memref<?x4xf32> to memref<?x4xf32>
  %all0 = memref.alloc(%n0) : memref<?x4xf32>
  %all1 = memref.alloc(%n1) : memref<?x4xf32>
  %all2 = memref.alloc(%n2) : memref<?x4xf32>
  %none = memref.alloc() : memref<1x4xf32>
  %one = memref.alloc() : memref<1x4xf32>
  %two = memref.alloc() : memref<1x4xf32>
  %fork = schedule.mark on(compute)
  %came0 = schedule.run on(comm #ranks[node]) after(%fork) label("part 0") {
    schedule.collective all_gather over(#ranks[node]) part(<0 of 3>) sends(%x0 : memref<?x4xf32>) receives(%all0 : memref<?x4xf32>)
  } -> !schedule.event
  %came1 = schedule.run on(comm #ranks[node]) label("part 1") {
    schedule.collective all_gather over(#ranks[node]) part(<1 of 3>) sends(%x1 : memref<?x4xf32>) receives(%all1 : memref<?x4xf32>)
  } -> !schedule.event
  %came2 = schedule.run on(comm #ranks[node]) label("part 2") {
    schedule.collective all_gather over(#ranks[node]) part(<2 of 3>) sends(%x2 : memref<?x4xf32>) receives(%all2 : memref<?x4xf32>)
  } -> !schedule.event
  schedule.run on(compute) after(%came0) label("add 0") {
    schedule.launch @zero grid(%c1) writes(%none : memref<1x4xf32>)
    schedule.launch @add grid(%c1) reads(%none, %all0 : memref<1x4xf32>, memref<?x4xf32>) writes(%one : memref<1x4xf32>) scalars(%c1 : index)
  }
  schedule.run on(compute) after(%came1) label("add 1") {
    schedule.launch @add grid(%c1) reads(%one, %all1 : memref<1x4xf32>, memref<?x4xf32>) writes(%two : memref<1x4xf32>) scalars(%c10 : index)
  }
  schedule.run on(compute) after(%came2) label("add 2") {
    schedule.launch @add grid(%c1) reads(%two, %all2 : memref<1x4xf32>, memref<?x4xf32>) writes(%y : memref<1x4xf32>) scalars(%c100 : index)
  }
  return
}
}
