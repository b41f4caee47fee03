// RUN: moe-opt %s --moe-lower-exchanges --moe-fuse-phases=target=cuda --schedule-verify | FileCheck %s
// RUN: moe-opt %s --moe-fuse-phases | FileCheck %s --check-prefix=CPU
// RUN: moe-opt %s --moe-lower-exchanges --moe-fuse-phases=target=cuda --moe-generate-kernels=target=cuda --schedule-verify | FileCheck %s --check-prefix=KERNEL
// RUN: not moe-opt %s --moe-fuse-phases=target=tpu 2>&1 | FileCheck %s --check-prefix=TARGET

// TARGET: error: expected target 'cpu' or 'cuda' but got 'tpu'

// On a GPU a merge sums the experts' rows itself where it alone needs the sums:
// one op, in the merge's run and after its events, and no buffer between. It
// becomes one launch. The CPU, which has no kernel for the two, keeps them.
// CHECK-LABEL: func.func @fused(
// CHECK-SAME:    %[[ROWS:[^:]*]]: memref<?x64xbf16>, %[[PAIRS:[^:]*]]: memref<?x2xi32>, %[[WEIGHTS:[^:]*]]: memref<?x2xf32>
// CHECK-NOT:     memref.alloc(%{{.*}}) : memref<?x64xf32>
// CHECK:         %[[SHARED:.*]] = memref.alloc(%{{.*}}) {{.*}}shared{{.*}} : memref<?x64xf32>
// CHECK:         %[[DONE:.*]] = schedule.run on(aux)
// CHECK-NOT:     schedule.run
// CHECK:         schedule.run on(compute) after(%[[DONE]]) label("merge") {
// CHECK-NEXT:      moe.fused {
// CHECK-NEXT:      ^bb0(%[[SUMS:.*]]: memref<?x64xf32>):
// CHECK-NEXT:        moe.combine ins(%[[ROWS]], %[[PAIRS]] : {{.*}}) weights(%[[WEIGHTS]] : {{.*}}) outs(%[[SUMS]] : memref<?x64xf32>) scale(2.500000e+00)
// CHECK-NEXT:        moe.merge ins(%[[SUMS]] : memref<?x64xf32>) shared(%[[SHARED]] : {{.*}}) outs(%{{.*}} : memref<?x64xbf16>)
// CHECK-NEXT:      }
// CHECK-NEXT:    }
// CHECK-NEXT:    return
// KERNEL-LABEL: func.func @fused(
// KERNEL-SAME:   %[[ROWS:[^:]*]]: memref<?x64xbf16>, %[[PAIRS:[^:]*]]: memref<?x2xi32>, %[[WEIGHTS:[^:]*]]: memref<?x2xf32>
// KERNEL:        %[[SHARED:.*]] = memref.alloc(%{{.*}}) {{.*}}shared{{.*}} : memref<?x64xf32>
// KERNEL:        label("merge") {
// KERNEL:          schedule.launch @kernels::@combine_merge{{.*}} label("combine+merge") {{.*}} reads(%[[ROWS]], %[[PAIRS]], %[[WEIGHTS]], %[[SHARED]] : {{.*}}) writes(%{{.*}} : memref<?x64xbf16>)
// KERNEL-NEXT:   }
// KERNEL-NEXT:   return
// CPU-NOT:     moe.fused
func.func @fused(%rows: memref<?x64xbf16>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %x: memref<?x64xbf16>, %w: memref<64x64xbf16>,
                 %y: memref<?x64xbf16> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %shared = memref.alloc(%t) {shared} : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("shared") {
    moe.project ins(%x, %w : memref<?x64xbf16>, memref<64x64xbf16>) outs(%shared : memref<?x64xf32>)
  } -> !schedule.event
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xbf16>, memref<?x2xi32>) weights(%weights : memref<?x2xf32>) outs(%routed : memref<?x64xf32>) scale(2.5)
  }
  schedule.run on(compute) after(%done) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xbf16>)
  }
  return
}

// Both arms of a choice by T share the buffer. Zero experts and work between the
// two runs, which writes other buffers, are no obstacle.
// CHECK-LABEL: func.func @arms(
// CHECK-NOT:     memref.alloc(%{{.*}}) : memref<?x64xf32>
// CHECK:         scf.if
// CHECK:           moe.fused
// CHECK:         } else {
// CHECK:           label("shared")
// CHECK:           moe.fused
// CHECK:         return
func.func @arms(%few: i1, %rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %weights: memref<?x2xf32>, %x: memref<?x64xf32>, %ids: memref<?x2xi32>,
                %w: memref<64x64xf32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %shared = memref.alloc(%t) {shared} : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  scf.if %few {
    schedule.run on(compute) label("combine") {
      moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
    }
    schedule.run on(compute) label("merge") {
      moe.merge ins(%routed : memref<?x64xf32>)
        zero(%x, %ids, %weights : memref<?x64xf32>, memref<?x2xi32>, memref<?x2xf32>) from(6) scale(6.0) outs(%y : memref<?x64xf32>)
    }
  } else {
    schedule.run on(compute) label("combine") {
      moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
    }
    schedule.run on(compute) label("shared") {
      moe.project ins(%x, %w : memref<?x64xf32>, memref<64x64xf32>) outs(%shared : memref<?x64xf32>)
    }
    schedule.run on(compute) label("merge") {
      moe.merge ins(%routed : memref<?x64xf32>) shared(%shared : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
    }
  }
  return
}

// Work of another stream waits for the combine.
// CHECK-LABEL: func.func @event_used(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @event_used(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %combined = schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  } -> !schedule.event
  %done = schedule.run on(aux) after(%combined) label("aux") {} -> !schedule.event
  schedule.run on(compute) after(%done) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// The combine waits for another stream, and so may the work behind it.
// CHECK-LABEL: func.func @event_awaited(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @event_awaited(%x: memref<?x64xf32>, %w: memref<64x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %rows = memref.alloc(%t) : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  %computed = schedule.run on(aux) after(%fork) label("rows") {
    moe.project ins(%x, %w : memref<?x64xf32>, memref<64x64xf32>) outs(%rows : memref<?x64xf32>)
  } -> !schedule.event
  schedule.run on(compute) after(%computed) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// The sums have another reader.
// CHECK-LABEL: func.func @other_reader(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("project")
// CHECK:         label("merge")
func.func @other_reader(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %w: memref<16x64xf32>, %y: memref<?x64xf32> {bufferize.result},
                        %z: memref<?x16xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("project") {
    moe.project ins(%routed, %w : memref<?x64xf32>, memref<16x64xf32>) outs(%z : memref<?x16xf32>)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// Two merges read the sums.
// CHECK-LABEL: func.func @two_merges(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("first")
// CHECK:         label("second")
func.func @two_merges(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}, %z: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("first") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  schedule.run on(compute) label("second") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%z : memref<?x64xf32>)
  }
  return
}

// The caller sees the sums.
// CHECK-LABEL: func.func @output(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @output(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %routed: memref<?x64xf32> {bufferize.result}, %y: memref<?x64xf32> {bufferize.result}) {
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// Sums that are rounded before the merge adds to them.
// CHECK-LABEL: func.func @rounded(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @rounded(%rows: memref<?x64xbf16>, %pairs: memref<?x2xi32>, %y: memref<?x64xbf16> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xbf16>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xbf16>, memref<?x2xi32>) outs(%routed : memref<?x64xbf16>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xbf16>) outs(%y : memref<?x64xbf16>)
  }
  return
}

// The combine runs on another stream.
// CHECK-LABEL: func.func @other_stream(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @other_stream(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  %combined = schedule.run on(aux) after(%fork) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  } -> !schedule.event
  schedule.run on(compute) after(%combined) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// Between the two, the combine's input becomes another value.
// CHECK-LABEL: func.func @overwritten(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("project")
// CHECK:         label("merge")
func.func @overwritten(%rows: memref<?x64xf32> {schedule.inout}, %pairs: memref<?x2xi32>, %x: memref<?x64xf32>, %w: memref<64x64xf32>,
                       %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("project") {
    moe.project ins(%x, %w : memref<?x64xf32>, memref<64x64xf32>) outs(%rows : memref<?x64xf32>)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// So it may on another stream that waits for nothing but the combine.
// CHECK-LABEL: func.func @overwritten_elsewhere(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
// CHECK:         label("project")
func.func @overwritten_elsewhere(%rows: memref<?x64xf32> {schedule.inout}, %pairs: memref<?x2xi32>, %x: memref<?x64xf32>, %w: memref<64x64xf32>,
                                 %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  %combined = schedule.mark on(compute)
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  %done = schedule.run on(aux) after(%combined) label("project") {
    moe.project ins(%x, %w : memref<?x64xf32>, memref<64x64xf32>) outs(%rows : memref<?x64xf32>)
  } -> !schedule.event
  schedule.run on(compute) after(%done) label("join") {}
  return
}

// The merge writes over rows that the combine reads.
// CHECK-LABEL: func.func @in_place(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
func.func @in_place(%rows: memref<?x64xf32> {schedule.inout}, %pairs: memref<?x2xi32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%rows : memref<?x64xf32>)
  }
  return
}

// What comes back from other ranks is summed after it came, and what goes to them
// before.
// CHECK-LABEL: func.func @exchange(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK-NOT:     moe.fused
// CHECK:         schedule.collective reduce_scatter
// CHECK:         label("merge")
func.func @exchange(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %x: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
      exchange(<all_gather, <ep = 2>[ep]>)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>)
  }
  return
}

// CHECK-LABEL: func.func @sum_over(
// CHECK-NOT:     moe.fused
// CHECK:         label("combine")
// CHECK:         label("merge")
// CHECK-NOT:     moe.fused
// CHECK:         schedule.collective all_reduce
func.func @sum_over(%rows: memref<?x64xf32>, %pairs: memref<?x2xi32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %pairs, %c0 : memref<?x2xi32>
  %routed = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("combine") {
    moe.combine ins(%rows, %pairs : memref<?x64xf32>, memref<?x2xi32>) outs(%routed : memref<?x64xf32>) scale(1.0)
  }
  schedule.run on(compute) label("merge") {
    moe.merge ins(%routed : memref<?x64xf32>) outs(%y : memref<?x64xf32>) sum_over(<tp = 2>[tp])
  }
  return
}
