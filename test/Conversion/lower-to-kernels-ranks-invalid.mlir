// RUN: moe-opt %s --split-input-file --moe-lower-to-kernels=target=cuda --verify-diagnostics

// What needs other ranks says which communicator it needs.
func.func @dispatch(%ids: memref<?x2xi32>, %x: memref<?x64xf32>, %weights: memref<?x2xf32>, %offsets: memref<5xi32>,
                    %source: memref<?xi32>, %pairs: memref<?x2xi32>, %rows: memref<?x64xf32>, %row_weights: memref<?x2xf32>) {
  schedule.run on(compute) label("dispatch") {
    // expected-error @below {{'moe.dispatch' op needs ranks that communicate: communicator 'ep' has no transport on target 'cuda', which runs one rank}}
    moe.dispatch ins(%ids : memref<?x2xi32>) rows(%x, %weights : memref<?x64xf32>, memref<?x2xf32>)
      outs(%offsets, %source, %pairs : memref<5xi32>, memref<?xi32>, memref<?x2xi32>)
      received(%rows, %row_weights : memref<?x64xf32>, memref<?x2xf32>)
      num_experts(8) exchange(<send_receive, "ep", 2>) parallel(<data = 2, expert_parallel = true>)
  }
  return
}

// -----

func.func @combine(%out: memref<?x64xf32>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %routed: memref<?x64xf32>) {
  schedule.run on(compute) label("combine") {
    // expected-error @below {{'moe.combine' op needs ranks that communicate: communicator 'ep'}}
    moe.combine ins(%out, %pairs : memref<?x64xf32>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>)
      outs(%routed : memref<?x64xf32>) scale(1.0) exchange(<send_receive, "ep", 2>)
  }
  return
}

// -----

func.func @merge(%routed: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) label("merge") {
    // expected-error @below {{'moe.merge' op needs ranks that communicate: communicator 'tp'}}
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over("tp", 2)
  }
  return
}

// -----

func.func @all_reduce(%x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  schedule.run on(compute) label("all reduce") {
    // expected-error @below {{'moe.all_reduce' op needs ranks that communicate: communicator 'tp'}}
    moe.all_reduce ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>) over("tp", 2)
  }
  return
}
