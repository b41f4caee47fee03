// RUN: moe-opt %s --split-input-file --schedule-verify --verify-diagnostics

// That all ranks take an arm or loop alike is derived from what the condition
// and the bounds are made of; the mark alone is not believed.

// The rank through the results of a branch.
func.func @result_of_a_branch(%x: memref<8x4xf32>, %o: memref<8x4xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  // expected-note @below {{ranks may differ in this}}
  %r = schedule.rank : index
  %first = arith.cmpi eq, %r, %c0 : index
  %true = arith.constant true
  %false = arith.constant false
  %c = scf.if %first -> (i1) {
    scf.yield %true : i1
  } else {
    scf.yield %false : i1
  }
  // expected-error @below {{expected a condition that all ranks share, as 'schedule.uniform' says, but got one that is made of 'schedule.rank'}}
  scf.if %c {
    schedule.run on(compute) {
      schedule.collective all_to_all over(<ep = 2>[ep]) sends(%x : memref<8x4xf32>) receives(%o : memref<8x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      memref.copy %x, %o : memref<8x4xf32> to memref<8x4xf32>
    }
  } {schedule.uniform}
  return
}

// -----

// This rank's tokens through a cast.
func.func @cast(%x: memref<?x4xf32> {schedule.tokens}, %o: memref<?x4xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %m = memref.cast %x : memref<?x4xf32> to memref<?x?xf32>
  // expected-note @below {{ranks may differ in this}}
  %t = memref.dim %m, %c0 : memref<?x?xf32>
  %few = arith.cmpi ult, %t, %c0 : index
  // expected-error @below {{but got one that is made of 'memref.dim'}}
  scf.if %few {
    schedule.run on(compute) {
      schedule.collective all_to_all over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%o : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      memref.copy %x, %o : memref<?x4xf32> to memref<?x4xf32>
    }
  } {schedule.uniform}
  return
}

// -----

// A loop up to the rank.
func.func @loop(%x: memref<8x4xf32>, %o: memref<8x4xf32> {schedule.inout}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-note @below {{ranks may differ in this}}
  %r = schedule.rank : index
  // expected-error @below {{expected a bound that all ranks share, as 'schedule.uniform' says, but got one that is made of 'schedule.rank'}}
  scf.for %i = %c0 to %r step %c1 {
    schedule.run on(compute) {
      schedule.collective all_to_all over(<ep = 2>[ep]) sends(%x : memref<8x4xf32>) receives(%o : memref<8x4xf32>)
    }
  } {schedule.uniform}
  return
}

// -----

// A number of which nothing is known.
func.func @argument(%n: index, %x: memref<8x4xf32>, %o: memref<8x4xf32> {schedule.inout}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @below {{expected a bound that all ranks share, as 'schedule.uniform' says, but got one that is made of argument #0, which is not marked 'schedule.uniform'}}
  scf.for %i = %c0 to %n step %c1 {
    schedule.run on(compute) {
      schedule.collective all_to_all over(<ep = 2>[ep]) sends(%x : memref<8x4xf32>) receives(%o : memref<8x4xf32>)
    }
  } {schedule.uniform}
  return
}

// -----

// A number that the caller gives to all ranks alike, and a branch on the number
// of the loop.
func.func @accepted(%n: index {schedule.uniform}, %x: memref<8x4xf32>, %o: memref<8x4xf32> {schedule.inout}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %first = arith.cmpi eq, %i, %c0 : index
    scf.if %first {
      schedule.run on(compute) {
        schedule.collective all_to_all over(<ep = 2>[ep]) sends(%x : memref<8x4xf32>) receives(%o : memref<8x4xf32>)
      }
    } {schedule.uniform}
  } {schedule.uniform}
  return
}
