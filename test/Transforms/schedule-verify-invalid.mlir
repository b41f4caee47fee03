// RUN: moe-opt %s --split-input-file --schedule-verify --verify-diagnostics

// The aux stream reads what the caller's stream may still be writing.
// expected-note @below {{mark the compute stream at entry and wait for that event}}
func.func @fork_missing(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  %done = schedule.run on(aux) label("shared experts") {
    // expected-error @below {{the fork is missing: run 'shared experts' on aux reads argument #0 but waits for no event of the compute stream, on which the caller last used it}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  } -> !schedule.event
  schedule.run on(compute) after(%done) {}
  return
}

// -----

// The caller may use the output while the aux stream still writes it.
func.func @join_missing(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  %fork = schedule.mark on(compute)
  schedule.run on(aux) after(%fork) label("shared experts") {
    // expected-error @below {{the join is missing: run 'shared experts' on aux is not ordered before the return}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  // expected-note @below {{wait on compute for an event of 'aux' before this return}}
  return
}

// -----

// The merge waits for the shared experts in one arm only.
func.func @joined_in_one_arm(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                             %c: i1) {
  // expected-note @below {{the buffer is allocated here}}
  %shared = memref.alloc() : memref<8xf32>
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("shared experts") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    memref.copy %x, %shared : memref<8xf32> to memref<8xf32>
  } -> !schedule.event
  scf.if %c {
    schedule.run on(compute) after(%done) {}
  }
  schedule.run on(compute) label("merge") {
    // expected-error @below {{races with run 'shared experts' on aux: run 'merge' on compute reads a buffer of type 'memref<8xf32>', which run 'shared experts' on aux writes, and no event orders them}}
    memref.copy %shared, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

// Routed kernels that work in place on the hidden states change what the shared
// experts read: the race is the first thing wrong, the write the second.
func.func @in_place(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  %one = arith.constant 1.0 : f32
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("shared experts") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  } -> !schedule.event
  schedule.run on(compute) label("experts") {
    // expected-error @below {{races with run 'shared experts' on aux: run 'experts' on compute writes argument #0, which run 'shared experts' on aux reads, and no event orders them}}
    // expected-error @below {{run 'experts' on compute writes argument #0, an input: mark it 'schedule.inout' or 'bufferize.result' if the caller expects that}}
    linalg.fill ins(%one : f32) outs(%x : memref<8xf32>)
  }
  schedule.run on(compute) after(%done) {}
  return
}

// -----

// Two slots whose bytes the table overlaps, in use on two streams at once; and
// ordered, the second still destroys what the merge reads.
func.func @overlapping_slots(%x: memref<4x64xf32>, %ws: memref<?xi8> {schedule.workspace},
                             %y: memref<4x64xf32> {bufferize.result}) {
  %t = arith.constant 4 : index
  %n = schedule.total_tokens : index
  %w = schedule.workspace %ws(%t, %n) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (1024)>,
    #schedule.slot<"b", offset = (t, n) -> (512), size = (t, n) -> (1024)>
  ] : memref<?xi8>
  %a = schedule.slice %w["a"]() : memref<4x64xf32>
  %b = schedule.slice %w["b"]() : memref<4x64xf32>
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("left") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    memref.copy %x, %a : memref<4x64xf32> to memref<4x64xf32>
  } -> !schedule.event
  schedule.run on(compute) label("right") {
    // expected-error @below {{races with run 'left' on aux: run 'right' on compute writes slot 'b', which may share bytes with slot 'a', which run 'left' on aux writes, and no event orders them}}
    // expected-note @below {{run 'right' on compute overwrites them here}}
    memref.copy %x, %b : memref<4x64xf32> to memref<4x64xf32>
  }
  schedule.run on(compute) after(%done) label("merge") {
    // expected-error @below {{run 'merge' on compute reads slot 'a', whose bytes were overwritten through another slot}}
    linalg.add ins(%a, %b : memref<4x64xf32>, memref<4x64xf32>)
               outs(%y : memref<4x64xf32>)
  }
  return
}

// -----

// One piece of work that reads a slot while it writes the same bytes.
func.func @in_one_piece(%x: memref<4x64xf32>, %ws: memref<?xi8> {schedule.workspace}) {
  %t = arith.constant 4 : index
  %n = schedule.total_tokens : index
  %w = schedule.workspace %ws(%t, %n) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (1024)>,
    #schedule.slot<"b", offset = (t, n) -> (512), size = (t, n) -> (1024)>
  ] : memref<?xi8>
  %a = schedule.slice %w["a"]() : memref<4x64xf32>
  %b = schedule.slice %w["b"]() : memref<4x64xf32>
  schedule.run on(compute) {
    memref.copy %x, %a : memref<4x64xf32> to memref<4x64xf32>
  }
  schedule.run on(compute) label("shift") {
    // expected-error @below {{run 'shift' on compute uses slot 'a' and slot 'b' at once, writes at least one, and they share bytes}}
    memref.copy %a, %b : memref<4x64xf32> to memref<4x64xf32>
  }
  return
}

// -----

// A temporary that one path leaves unwritten.
func.func @unwritten(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}, %c: i1) {
  // expected-note @below {{the buffer is allocated here}}
  %a = memref.alloc() : memref<8xf32>
  scf.if %c {
    schedule.run on(compute) {
      memref.copy %x, %a : memref<8xf32> to memref<8xf32>
    }
  }
  schedule.run on(compute) label("merge") {
    // expected-error @below {{run 'merge' on compute reads a buffer of type 'memref<8xf32>', which some path here has not written}}
    memref.copy %a, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

// An output that is produced twice: the first product is lost.
func.func @twice(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  schedule.run on(compute) label("first") {
    // expected-note @below {{it was written here}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  schedule.run on(compute) label("second") {
    // expected-error @below {{run 'second' on compute overwrites argument #1, and nothing has read what was there}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

// An output that nothing writes.
func.func @no_output(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  schedule.run on(compute) {}
  // expected-error @below {{argument #1 is an output but nothing writes it}}
  return
}

// -----

// The host cannot look at what streams compute.
func.func @host(%x: memref<i1>, %y: memref<i1> {bufferize.result}) {
  schedule.run on(compute) label("decide") {
    // expected-note @below {{the other access is here}}
    memref.copy %x, %y : memref<i1> to memref<i1>
  }
  // expected-error @below {{races with run 'decide' on compute: host code reads argument #1, which run 'decide' on compute writes, and the host waits for no stream}}
  %c = memref.load %y[] : memref<i1>
  return
}

// -----

// An op that tells nothing of its effects may touch all buffers.
func.func private @opaque(memref<8xf32>)
func.func @unknown(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("call") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    func.call @opaque(%x) : (memref<8xf32>) -> ()
  } -> !schedule.event
  schedule.run on(compute) label("copy") {
    // expected-error @below {{races with run 'call' on aux: run 'copy' on compute reads argument #0, which may share bytes with memory of unknown origin, which run 'call' on aux updates, and no event orders them}}
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  schedule.run on(compute) after(%done) {}
  return
}

// -----

// An event that two arms may have recorded.
func.func @event(%c: i1) {
  %e = schedule.mark on(aux)
  %f = schedule.mark on(aux)
  // expected-note @below {{it comes from here}}
  %chosen = scf.if %c -> !schedule.event {
    scf.yield %e : !schedule.event
  } else {
    scf.yield %f : !schedule.event
  }
  // expected-error @below {{expected to wait for events of 'schedule.run' or 'schedule.mark' but got one that crosses control flow}}
  schedule.run on(compute) after(%chosen) {}
  return
}

// -----

// Basic blocks are not followed.
// expected-error @below {{expected structured control flow in a function that issues work but got 2 blocks}}
func.func @blocks() {
  schedule.run on(compute) {}
  cf.br ^end
^end:
  return
}

// -----

// Ranks may take different arms, so both issue the same collectives in one order.
func.func @orders(%c: i1, %x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}, %z: memref<?x4xf32> {bufferize.result}) {
  // expected-error @below {{expected all arms to issue the same collectives, or a condition that is 'schedule.uniform' over all ranks, but collective #0 is 'all_gather of 4xf32' on 'ep' in the first arm and 'all_reduce of 4xf32' on 'tp' in another}}
  scf.if %c {
    schedule.run on(compute) {
      // expected-note @below {{the first difference is here}}
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
      schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%z : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%z : memref<?x4xf32>)
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  }
  return
}

// -----

// A condition that is said to be uniform must not be made of what differs from
// rank to rank.
func.func @rank(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}, %z: memref<?x4xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  // expected-note @below {{ranks may differ in this}}
  %rank = schedule.rank : index
  %first = arith.cmpi eq, %rank, %c0 : index
  // expected-error @below {{expected a condition that all ranks share, as 'schedule.uniform' says, but got one that is made of 'schedule.rank'}}
  scf.if %first {
    schedule.run on(compute) {
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
      schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%z : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%z : memref<?x4xf32>)
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } {schedule.uniform}
  return
}

// -----

func.func @tokens(%x: memref<?x4xf32> {schedule.tokens}, %y: memref<?x4xf32> {bufferize.result}, %n: index) {
  %c0 = arith.constant 0 : index
  // expected-note @below {{ranks may differ in this}}
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %few = arith.cmpi ult, %t, %n : index
  // expected-error @below {{expected a condition that all ranks share, as 'schedule.uniform' says, but got one that is made of 'memref.dim'}}
  scf.if %few {
    schedule.run on(compute) {
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      schedule.collective reduce_scatter over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } {schedule.uniform}
  return
}

// -----

// Two collectives of one communicator on two streams have no order of their own.
func.func @streams(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}, %z: memref<?x4xf32> {bufferize.result}) {
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("first") {
    // expected-note @below {{}}
    schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  } -> !schedule.event
  schedule.run on(compute) label("second") {
    // expected-error @below {{run 'first' on aux}}
    schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%z : memref<?x4xf32>)
  }
  schedule.run on(compute) after(%done) {}
  return
}

// -----

// The steps of a phase are work like any other: rows are packed in an order that
// another stream may still be planning.
func.func @steps(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %packed: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %ids, %c0 : memref<?x2xi32>
  %counts = memref.alloc() : memref<4xi32>
  // expected-note @below {{the buffer is allocated here}}
  %rows = memref.alloc(%t) : memref<?xi32>
  %positions = memref.alloc(%t) : memref<?x2xi32>
  %fork = schedule.mark on(compute)
  %planned = schedule.run on(aux) after(%fork) label("plan") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    moe.send_plan ins(%ids : memref<?x2xi32>) placement(<experts = 8, ranks = 4>) outs(%counts, %rows, %positions : memref<4xi32>, memref<?xi32>, memref<?x2xi32>)
  } -> !schedule.event
  schedule.run on(compute) label("pack") {
    // expected-error @below {{races with run 'plan' on aux: run 'pack' on compute reads a buffer of type 'memref<?xi32>', which run 'plan' on aux writes, and no event orders them}}
    moe.gather_rows ins(%x, %rows : memref<?x64xf32>, memref<?xi32>) outs(%packed : memref<?x64xf32>)
  }
  schedule.run on(compute) after(%planned) {
    memref.copy %counts, %counts : memref<4xi32> to memref<4xi32>
  }
  return
}

// -----

// So are fused phases, and what they keep to themselves is no buffer.
func.func @fused(%x: memref<?x64xf32>, %w: memref<64x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  // expected-note @below {{the buffer is allocated here}}
  %rows = memref.alloc(%t) : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  %computed = schedule.run on(aux) after(%fork) label("rows") {
    // expected-note @below {{the other access is here; wait for an event of 'aux' after it}}
    moe.project ins(%x, %w : memref<?x64xf32>, memref<64x64xf32>) outs(%rows : memref<?x64xf32>)
  } -> !schedule.event
  schedule.run on(compute) label("combine+merge") {
    // expected-error @below {{races with run 'rows' on aux: run 'combine+merge' on compute reads a buffer of type 'memref<?x64xf32>', which run 'rows' on aux writes, and no event orders them}}
    moe.fused {
    ^bb0(%sums: memref<?x64xf32>):
      moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%sums : memref<?x64xf32>) scale(1.0)
      moe.merge ins(%sums : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
    }
  }
  schedule.run on(compute) after(%computed) {}
  return
}
