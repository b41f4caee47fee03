// RUN: moe-opt %s --schedule-verify | FileCheck %s

// The four runs of a layer with a forked and joined branch: everything that
// conflicts is ordered.
// CHECK-LABEL: func.func @fork_and_join
func.func @fork_and_join(%x: memref<?x64xf32>, %shared: memref<?x64xf32>,
                         %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %extra = memref.alloc(%t) : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("shared experts") {
    memref.copy %x, %extra : memref<?x64xf32> to memref<?x64xf32>
  } -> !schedule.event
  schedule.run on(compute) label("experts") {
    memref.copy %x, %routed : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) after(%done) label("merge") {
    linalg.add ins(%routed, %extra : memref<?x64xf32>, memref<?x64xf32>)
               outs(%y : memref<?x64xf32>)
  }
  return
}

// Three streams: aux is ordered before compute through comm alone.
// CHECK-LABEL: func.func @through_a_third_stream
func.func @through_a_third_stream(%x: memref<8xf32>,
                                  %y: memref<8xf32> {bufferize.result}) {
  %a = memref.alloc() : memref<8xf32>
  %b = memref.alloc() : memref<8xf32>
  %fork = schedule.mark on(compute)
  %on_aux = schedule.run on(aux) after(%fork) {
    memref.copy %x, %a : memref<8xf32> to memref<8xf32>
  } -> !schedule.event
  %on_comm = schedule.run on(comm <ep = 2>[ep]) after(%on_aux) {
    memref.copy %a, %b : memref<8xf32> to memref<8xf32>
  } -> !schedule.event
  schedule.run on(compute) after(%on_comm) {
    linalg.add ins(%a, %b : memref<8xf32>, memref<8xf32>)
               outs(%y : memref<8xf32>)
  }
  return
}

// All ranks see the most tokens of a rank, so the arms may issue other collectives.
// CHECK-LABEL: func.func @uniform
func.func @uniform(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %n = schedule.total_tokens : index
  %first = schedule.total_tokens part(<0 of 2>) : index
  %second = arith.subi %n, %first : index
  %a = schedule.rows %x[%c0](%first) : memref<?x4xf32> to memref<?x4xf32>
  %b = schedule.rows %x[%first](%second) : memref<?x4xf32> to memref<?x4xf32>
  %ya = schedule.rows %y[%c0](%first) : memref<?x4xf32> to memref<?x4xf32>
  %yb = schedule.rows %y[%first](%second) : memref<?x4xf32> to memref<?x4xf32>
  %max = schedule.max_tokens : index
  %many = arith.cmpi uge, %max, %c8 : index
  scf.if %many {
    schedule.run on(compute) {
      schedule.collective reduce_scatter over(<ep = 2>[ep]) part(<0 of 2>) sends(%a : memref<?x4xf32>) receives(%ya : memref<?x4xf32>)
      schedule.collective reduce_scatter over(<ep = 2>[ep]) part(<1 of 2>) sends(%b : memref<?x4xf32>) receives(%yb : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      schedule.collective reduce_scatter over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } {schedule.uniform}
  return
}
