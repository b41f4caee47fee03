// RUN: moe-opt %s --split-input-file --moe-lower-to-kernels=target=cuda --verify-diagnostics

// What needs other ranks is not computed with its neighbour, and says so.
func.func @exchange(%t: index, %out: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    // expected-error @below {{'moe.combine' op needs ranks that communicate: communicator 'ep' has no transport on target 'cuda', which runs one rank}}
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
      exchange(<send_receive, "ep", 2>)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// -----

func.func @sum_over(%t: index, %out: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    // expected-error @below {{'moe.merge' op needs ranks that communicate: communicator 'tp' has no transport on target 'cuda', which runs one rank}}
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over("tp", 2)
  }
  return
}
