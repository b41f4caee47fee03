// RUN: moe-opt %s --split-input-file --allow-unregistered-dialect --schedule-verify --verify-diagnostics

// What is not known may touch everything: ops that say nothing of their
// effects, whatever they take, and calls that return before their work is done.

// A kernel by symbol alone is work, and so it needs a fork and a join.
// expected-note @below {{mark the compute stream at entry and wait for that event}}
func.func @symbol(%in: memref<4xf32>, %out: memref<4xf32> {bufferize.result}) {
  schedule.run on(aux) {
    // expected-error @below {{the fork is missing: 'other.kernel' on aux updates memory of unknown origin but waits for no event of the compute stream}}
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    "other.kernel"() {symbol = "everything"} : () -> ()
  }
  schedule.run on(compute) {
    // expected-error @below {{races with 'other.kernel' on aux}}
    memref.copy %in, %out : memref<4xf32> to memref<4xf32>
  }
  return
}

// -----

// An effect on a global that no value stands for.
ml_program.global private mutable @g(0 : i32) : i32
func.func @global(%out: memref<i32> {bufferize.result}) {
  %c = arith.constant 1 : i32
  %fork = schedule.mark on(compute)
  %e = schedule.run on(aux) after(%fork) {
    // expected-note @below {{the other access is here}}
    ml_program.global_store @g = %c : i32
  } -> !schedule.event
  schedule.run on(compute) {
    // expected-error @below {{races with 'ml_program.global_store' on aux: 'ml_program.global_load' on compute reads memory of unknown origin}}
    %v = ml_program.global_load @g : i32
    memref.store %v, %out[] : memref<i32>
  }
  schedule.run on(compute) after(%e) {}
  return
}

// -----

// What the regions of an unknown op capture.
func.func @region(%in: memref<4xf32>, %out: memref<4xf32> {bufferize.result}) {
  %tmp = memref.alloc() : memref<4xf32>
  %fork = schedule.mark on(compute)
  %d = schedule.run on(aux) after(%fork) {
    // expected-note @below {{the other access is here}}
    "test.loop"() ({
      memref.copy %in, %tmp : memref<4xf32> to memref<4xf32>
      "test.end"() : () -> ()
    }) : () -> ()
  } -> !schedule.event
  schedule.run on(compute) {
    // expected-error @below {{races with 'test.loop' on aux}}
    memref.copy %in, %tmp : memref<4xf32> to memref<4xf32>
    memref.copy %tmp, %out : memref<4xf32> to memref<4xf32>
  }
  schedule.run on(compute) after(%d) {}
  return
}

// -----

// Memory behind a pointer is the caller's, with or without buffers beside it.
// expected-note @below {{mark the compute stream at entry and wait for that event}}
func.func @pointer(%p: !llvm.ptr) {
  %d = schedule.run on(aux) {
    %z = llvm.mlir.constant(1.0 : f32) : f32
    // expected-error @below {{the fork is missing: 'llvm.store' on aux writes memory of unknown origin}}
    llvm.store %z, %p : f32, !llvm.ptr
  } -> !schedule.event
  schedule.run on(compute) after(%d) {}
  return
}

// -----

// An address that was made into a number.
// expected-note @below {{mark the compute stream at entry and wait for that event}}
func.func @number(%p: i64) {
  %d = schedule.run on(aux) {
    // expected-error @below {{the fork is missing: 'other.store' on aux updates memory of unknown origin}}
    "other.store"(%p) : (i64) -> ()
  } -> !schedule.event
  schedule.run on(compute) after(%d) {}
  return
}

// -----

// A callee that only issues: what it does is not done when it returns.
func.func private @issues(%a: memref<4xf32> {schedule.inout}) {
  %z = arith.constant 0.0 : f32
  schedule.run on(compute) { linalg.fill ins(%z : f32) outs(%a : memref<4xf32>) }
  return
}
// expected-note @below {{it calls this}}
func.func private @calls(%a: memref<4xf32> {schedule.inout}) {
  func.call @issues(%a) : (memref<4xf32>) -> ()
  return
}
// expected-note @below {{the other access is here}}
func.func @call(%b: memref<4xf32> {bufferize.result}) {
  %z = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<4xf32>
  linalg.fill ins(%z : f32) outs(%a : memref<4xf32>)
  // expected-error @below {{expected a call that returns when its work is done but got one that issues work to streams: inline it}}
  // expected-error @below {{races with the caller's stream: host code updates memory of unknown origin}}
  func.call @calls(%a) : (memref<4xf32>) -> ()
  schedule.run on(compute) { memref.copy %a, %b : memref<4xf32> to memref<4xf32> }
  return
}

// -----

// A loop from -1 to 1 runs no time if it compares unsigned: its fork may not
// have happened, and what it writes may not be written.
// expected-note @below {{mark the compute stream at entry and wait for that event}}
func.func @unsigned(%in: memref<4xf32>, %out: memref<4xf32> {bufferize.result}) {
  %lo = arith.constant -1 : index
  %hi = arith.constant 1 : index
  %fork = schedule.mark on(compute)
  scf.for unsigned %i = %lo to %hi step %hi {
    schedule.run on(aux) after(%fork) {}
  }
  %d = schedule.run on(aux) {
    // expected-error @below {{the fork is missing: 'memref.copy' on aux}}
    memref.copy %in, %out : memref<4xf32> to memref<4xf32>
  } -> !schedule.event
  schedule.run on(compute) after(%d) {}
  return
}

// -----

// The same from 0 to a number that may be 0.
func.func @maybe_never(%n: index, %in: memref<4xf32>, %out: memref<4xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    schedule.run on(compute) {
      memref.copy %in, %out : memref<4xf32> to memref<4xf32>
    }
  }
  // expected-error @below {{is an output but some path does not write it}}
  return
}
