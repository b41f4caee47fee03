// RUN: moe-opt %s --split-input-file --schedule-plan-workspace --schedule-verify \
// RUN:   | FileCheck %s

// On one stream, a temporary takes the bytes of another that is dead: 'first'
// is last read by 'second', and the third buffer lies where it was.
// CHECK:       #[[$SIZE:.*]] = affine_map<(d0, d1) -> (d0 * 512)>
// CHECK-LABEL: func.func @chain
// CHECK-SAME:    %[[X:[a-z0-9]+]]: memref<?x64xf32>
// CHECK-SAME:    %[[WS:[a-z0-9]+]]: memref<?xi8> {schedule.workspace}
// CHECK-SAME:    schedule.workspace_size = #[[$SIZE]]
// CHECK:         %[[T:.*]] = memref.dim %[[X]]
// CHECK:         %[[N:.*]] = schedule.total_tokens : index
// CHECK:         %[[W:.*]] = schedule.workspace %[[WS]](%[[T]], %[[N]]) slots [
// CHECK-SAME:      #schedule.slot<"first", offset = (d0, d1) -> (0), size = (d0, d1) -> (d0 * 256)>
// CHECK-SAME:      #schedule.slot<"second", offset = (d0, d1) -> (d0 * 256), size = (d0, d1) -> (d0 * 256)>
// CHECK-SAME:      #schedule.slot<"third", offset = (d0, d1) -> (0), size = (d0, d1) -> (d0 * 256)>
// CHECK:         schedule.slice %[[W]]["first"](%[[T]]) : memref<?x64xf32>
// CHECK-NOT:     memref.alloc
func.func @chain(%x: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %a = memref.alloc(%t) : memref<?x64xf32>
  %b = memref.alloc(%t) : memref<?x64xf32>
  %c = memref.alloc(%t) : memref<?x64xf32>
  schedule.run on(compute) label("first") {
    memref.copy %x, %a : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) label("second") {
    memref.copy %a, %b : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) label("third") {
    memref.copy %b, %c : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) label("fourth") {
    memref.copy %c, %y : memref<?x64xf32> to memref<?x64xf32>
  }
  return
}

// -----

// The same chain, with its first half on aux while another branch runs on
// compute: the temporaries of both branches live at once, so sharing bytes
// would be a race, and every one gets bytes of its own. What 'left' and 'right'
// leave behind is dead at the merge, and the last buffer takes it.
// CHECK:       #[[$SIZE:.*]] = affine_map<(d0, d1) -> (d0 * 1024)>
// CHECK-LABEL: func.func @fork
// CHECK-SAME:    schedule.workspace_size = #[[$SIZE]]
// CHECK:         #schedule.slot<"left", offset = (d0, d1) -> (0), size
// CHECK-SAME:    #schedule.slot<"left again", offset = (d0, d1) -> (d0 * 256), size
// CHECK-SAME:    #schedule.slot<"right", offset = (d0, d1) -> (d0 * 512), size
// CHECK-SAME:    #schedule.slot<"right again", offset = (d0, d1) -> (d0 * 768), size
// CHECK-SAME:    #schedule.slot<"merge", offset = (d0, d1) -> (0), size
func.func @fork(%x: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %a = memref.alloc(%t) : memref<?x64xf32>
  %b = memref.alloc(%t) : memref<?x64xf32>
  %c = memref.alloc(%t) : memref<?x64xf32>
  %d = memref.alloc(%t) : memref<?x64xf32>
  %e = memref.alloc(%t) : memref<?x64xf32>
  %fork = schedule.mark on(compute)
  schedule.run on(aux) after(%fork) label("left") {
    memref.copy %x, %a : memref<?x64xf32> to memref<?x64xf32>
  }
  %done = schedule.run on(aux) label("left again") {
    memref.copy %a, %b : memref<?x64xf32> to memref<?x64xf32>
  } -> !schedule.event
  schedule.run on(compute) label("right") {
    memref.copy %x, %c : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) label("right again") {
    memref.copy %c, %d : memref<?x64xf32> to memref<?x64xf32>
  }
  schedule.run on(compute) after(%done) label("merge") {
    linalg.add ins(%b, %d : memref<?x64xf32>, memref<?x64xf32>)
               outs(%e : memref<?x64xf32>)
  }
  schedule.run on(compute) label("out") {
    memref.copy %e, %y : memref<?x64xf32> to memref<?x64xf32>
  }
  return
}

// -----

// Buffers of different arms share bytes though nothing orders them: only one of
// them ever lives.
// CHECK:       #[[$SIZE:.*]] = affine_map<(d0, d1) -> (d0 * 256)>
// CHECK-LABEL: func.func @arms
// CHECK-SAME:    schedule.workspace_size = #[[$SIZE]]
// CHECK:         #schedule.slot<"then", offset = (d0, d1) -> (0), size
// CHECK-SAME:    #schedule.slot<"else", offset = (d0, d1) -> (0), size
// CHECK:         scf.if
// CHECK:           schedule.slice {{.*}}["then"]
// CHECK:         } else {
// CHECK:           schedule.slice {{.*}}["else"]
func.func @arms(%x: memref<?x64xf32>, %y: memref<?x64xf32> {bufferize.result},
                %few: i1) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  scf.if %few {
    %a = memref.alloc(%t) : memref<?x64xf32>
    %fork = schedule.mark on(compute)
    %done = schedule.run on(aux) after(%fork) label("then") {
      memref.copy %x, %a : memref<?x64xf32> to memref<?x64xf32>
    } -> !schedule.event
    schedule.run on(compute) after(%done) {
      memref.copy %a, %y : memref<?x64xf32> to memref<?x64xf32>
    }
  } else {
    %a = memref.alloc(%t) : memref<?x64xf32>
    schedule.run on(compute) label("else") {
      memref.copy %x, %a : memref<?x64xf32> to memref<?x64xf32>
    }
    schedule.run on(compute) {
      memref.copy %a, %y : memref<?x64xf32> to memref<?x64xf32>
    }
  }
  return
}

// -----

// Sizes through index arithmetic. Blocks of 128 rows: ceildiv(8 t, 128) * 128
// is at most 8 t + 127 rows of 4 bytes. The minimum is the smaller bound, and
// the rows of all ranks grow with n. Coefficients are multiples of 256.
// CHECK-LABEL: func.func @sizes
// CHECK:         #schedule.slot<"padded", offset = {{.*}}, size = (d0, d1) -> (d0 * 256 + 512)>
// CHECK-SAME:    #schedule.slot<"gathered", offset = {{.*}}, size = (d0, d1) -> (d1 * 256 + 256)>
// CHECK-SAME:    #schedule.slot<"least", offset = {{.*}}, size = (d0, d1) -> (64000)>
// CHECK-SAME:    #schedule.slot<"most", offset = {{.*}}, size = (d0, d1) -> (d0 * 256 + 256)>
// CHECK-SAME:    #schedule.slot<"local", offset = {{.*}}, size = (d0, d1) -> (512)>
func.func @sizes(%bias: memref<?xf32> {schedule.max_shape = array<i64: 100>},
                 %x: memref<?x64xf32> {schedule.tokens}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c128 = arith.constant 128 : index
  %c1000 = arith.constant 1000 : index
  %zero = arith.constant 0.0 : f32
  %t = memref.dim %x, %c0 : memref<?x64xf32>
  %n = schedule.total_tokens : index
  %experts = memref.dim %bias, %c0 : memref<?xf32>
  %chosen = arith.muli %t, %c8 : index
  %blocks = arith.ceildivui %chosen, %c128 : index
  %padded = arith.muli %blocks, %c128 : index
  %more = arith.addi %n, %c1 : index
  %fewer = arith.subi %more, %c1 : index
  %least = arith.minui %padded, %c1000 : index
  %most = arith.maxui %t, %c1 : index
  %a = memref.alloc(%padded) : memref<?xf32>
  %b = memref.alloc(%more) : memref<?xf32>
  %c = memref.alloc(%least) : memref<?x64xi8>
  %d = memref.alloc(%most, %c128) : memref<?x?xbf16>
  %e = memref.alloc(%experts) : memref<?xi32>
  %sixty = arith.constant 0 : i8
  %half = arith.constant 0.0 : bf16
  %count = arith.constant 0 : i32
  schedule.run on(compute) label("padded") {
    linalg.fill ins(%zero : f32) outs(%a : memref<?xf32>)
  }
  schedule.run on(compute) label("gathered") {
    linalg.fill ins(%zero : f32) outs(%b : memref<?xf32>)
  }
  schedule.run on(compute) label("least") {
    linalg.fill ins(%sixty : i8) outs(%c : memref<?x64xi8>)
  }
  schedule.run on(compute) label("most") {
    linalg.fill ins(%half : bf16) outs(%d : memref<?x?xbf16>)
  }
  schedule.run on(compute) label("local") {
    linalg.fill ins(%count : i32) outs(%e : memref<?xi32>)
  }
  return
}

// -----

// Nothing to plan, nothing changes; a function that issues no work keeps its
// allocations.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT:     schedule.workspace
// CHECK-LABEL: func.func @kernel
// CHECK:         memref.alloc
func.func @nothing(%x: memref<4xf32>, %y: memref<4xf32> {bufferize.result}) {
  schedule.run on(compute) {
    memref.copy %x, %y : memref<4xf32> to memref<4xf32>
  }
  return
}
func.func @kernel() -> memref<4xf32> {
  %a = memref.alloc() : memref<4xf32>
  return %a : memref<4xf32>
}

// -----

// A part of the tokens of all ranks is a share of them, and up to a token more of each
// rank for every part that comes behind it.
// CHECK-LABEL: func.func @parts(
// CHECK:         slots [
// CHECK-SAME:      #schedule.slot<"first", offset = (d0, d1) -> {{.*}}, size = (d0, d1) -> (d1 * 256 + 2048)>
// CHECK-SAME:      #schedule.slot<"last", offset = (d0, d1) -> {{.*}}, size = (d0, d1) -> (d1 * 256)>
func.func @parts(%x: memref<?x192xf32>, %y: memref<?x192xf32> {bufferize.result}) attributes {schedule.grid = #schedule.grid<dp = 2, tp = 2>} {
  %first = schedule.total_tokens part(<0 of 3>) : index
  %last = schedule.total_tokens part(<2 of 3>) : index
  %a = memref.alloc(%first) : memref<?x192xf32>
  %b = memref.alloc(%last) : memref<?x192xf32>
  schedule.run on(compute) label("first") {
    memref.copy %x, %a : memref<?x192xf32> to memref<?x192xf32>
  }
  schedule.run on(compute) label("last") {
    memref.copy %a, %b : memref<?x192xf32> to memref<?x192xf32>
  }
  schedule.run on(compute) label("out") {
    memref.copy %b, %y : memref<?x192xf32> to memref<?x192xf32>
  }
  return
}

// -----

// Whoever does not say how many ranks there are gets room for all tokens.
// CHECK-LABEL: func.func @parts_of_unknown(
// CHECK:         #schedule.slot<"first", offset = (d0, d1) -> (0), size = (d0, d1) -> (d1 * 768)>
func.func @parts_of_unknown(%x: memref<?x192xf32>, %y: memref<?x192xf32> {bufferize.result}) {
  %first = schedule.total_tokens part(<0 of 3>) : index
  %a = memref.alloc(%first) : memref<?x192xf32>
  schedule.run on(compute) label("first") {
    memref.copy %x, %a : memref<?x192xf32> to memref<?x192xf32>
  }
  schedule.run on(compute) label("out") {
    memref.copy %a, %y : memref<?x192xf32> to memref<?x192xf32>
  }
  return
}
