// RUN: moe-opt %s --split-input-file --moe-cpu-add-kernel-entries --convert-schedule-to-runtime \
// RUN:   --reconcile-unrealized-casts --cse --verify-diagnostics | FileCheck %s

// The artefact's interface: a function that checks the call and issues the
// schedule, one that says how many bytes the workspace needs, and the symbol that
// the runtime looks for.
module attributes {schedule.descriptor = "{\"abi\": 1}"} {
func.func @kernel(%block: index, %x: memref<?x4xf32>, %y: memref<?x4xf32>) attributes {schedule.kernel} {
  return
}

// The size is the affine form of this rank's tokens and all ranks' tokens.
// CHECK-LABEL: llvm.func @layer_workspace_size(
// CHECK-SAME:    %[[T:.*]]: i64, %[[N:.*]]: i64) -> i64
// CHECK:         %[[FIXED:.*]] = llvm.mlir.constant(1024 : i64) : i64
// CHECK-NEXT:    %[[PER_TOKEN:.*]] = llvm.mlir.constant(256 : i64) : i64
// CHECK-NEXT:    %[[A:.*]] = llvm.mul %[[T]], %[[PER_TOKEN]]
// CHECK-NEXT:    %[[B:.*]] = llvm.add %[[FIXED]], %[[A]]
// CHECK-NEXT:    %[[PER_TOTAL:.*]] = llvm.mlir.constant(512 : i64) : i64
// CHECK-NEXT:    %[[C:.*]] = llvm.mul %[[N]], %[[PER_TOTAL]]
// CHECK-NEXT:    %[[D:.*]] = llvm.add %[[B]], %[[C]]
// CHECK:         llvm.return %[[D]] : i64

// A refused call ends with the runtime's status before anything is enqueued.
// CHECK-LABEL: llvm.func @layer_run(
// CHECK-SAME:    %[[CALL:.*]]: !llvm.ptr) -> i32
// CHECK:         %[[SIGNATURE:.*]] = llvm.mlir.addressof @layer_signature : !llvm.ptr
// CHECK:         %[[STATUS:.*]] = llvm.call @moert_call_begin(%[[CALL]], %[[SIGNATURE]]) : (!llvm.ptr, !llvm.ptr) -> i32
// CHECK:         %[[SUCCESS:.*]] = llvm.mlir.constant(0 : i32) : i32
// CHECK:         %[[ACCEPTED:.*]] = llvm.icmp "eq" %[[STATUS]], %[[SUCCESS]] : i32
// CHECK-NEXT:    cf.cond_br %[[ACCEPTED]], ^[[BODY:.*]], ^[[REFUSED:.*]]

// A tensor starts at its data plus its byte offset.
// CHECK:       ^[[BODY]]:
// CHECK:         %[[INPUTS_AT:.*]] = llvm.getelementptr %[[CALL]][0, 4]
// CHECK-NEXT:    %[[INPUTS:.*]] = llvm.load %[[INPUTS_AT]]
// CHECK:         %[[INPUT_AT:.*]] = llvm.getelementptr %[[INPUTS]][0]
// CHECK-NEXT:    %[[INPUT:.*]] = llvm.load %[[INPUT_AT]]
// CHECK:         %[[DATA_AT:.*]] = llvm.getelementptr %[[INPUT]][0, 0]
// CHECK-NEXT:    %[[DATA:.*]] = llvm.load %[[DATA_AT]]
// CHECK-NEXT:    %[[OFFSET_AT:.*]] = llvm.getelementptr %[[INPUT]][0, 6]
// CHECK-NEXT:    %[[OFFSET:.*]] = llvm.load %[[OFFSET_AT]]
// CHECK-NEXT:    llvm.getelementptr %[[DATA]][%[[OFFSET]]] : (!llvm.ptr, i64) -> !llvm.ptr, i8

// A slice starts where its slot's affine offset says.
// CHECK:         %[[TOTAL:.*]] = llvm.call @moert_call_total_tokens(%[[CALL]]) : (!llvm.ptr) -> i64
// CHECK:         %[[BY_TOKENS:.*]] = llvm.mul
// CHECK-NEXT:    %[[SUM:.*]] = llvm.add
// CHECK:         %[[BY_TOTAL:.*]] = llvm.mul
// CHECK-NEXT:    %[[SLOT:.*]] = llvm.add %[[SUM]], %[[BY_TOTAL]]
// CHECK-NEXT:    llvm.getelementptr %{{.*}}[%[[SLOT]]] : (!llvm.ptr, i64) -> !llvm.ptr, i8

// Streams are numbered: compute, aux, then communicators in the order of their
// first use. Waits come before the launches of a run, its event after them. A
// launch without a label has the run's.
// CHECK:         %[[FORK:.*]] = llvm.call @moert_event_record(%[[CALL]], %[[SUCCESS]])
// CHECK:         %[[EP:.*]] = llvm.mlir.constant(2 : i32) : i32
// CHECK-NEXT:    llvm.call @moert_stream_wait(%[[CALL]], %[[EP]], %[[FORK]])
// CHECK:         %[[KERNEL:.*]] = llvm.mlir.addressof @kernel : !llvm.ptr
// CHECK:         %[[SEND:.*]] = llvm.mlir.addressof @[[$SEND:[a-z_0-9]*]] : !llvm.ptr
// CHECK:         llvm.call @moert_launch(%[[CALL]], %[[EP]], %[[KERNEL]], %[[SEND]], %{{.*}}, %{{.*}}, %{{.*}})
// CHECK-NEXT:    %[[SENT:.*]] = llvm.call @moert_event_record(%[[CALL]], %[[EP]])
// CHECK:         %[[AUX:.*]] = llvm.mlir.constant(1 : i32) : i32
// CHECK-NEXT:    llvm.call @moert_stream_wait(%[[CALL]], %[[AUX]], %[[FORK]])
// CHECK-NEXT:    llvm.call @moert_stream_wait(%[[CALL]], %[[AUX]], %[[SENT]])
// CHECK:         %[[NAMED:.*]] = llvm.mlir.addressof @[[$NAMED:[a-z_0-9]*]] : !llvm.ptr
// CHECK:         llvm.call @moert_launch(%[[CALL]], %[[AUX]], %[[KERNEL]], %[[NAMED]],
// CHECK-NEXT:    %[[DONE:.*]] = llvm.call @moert_event_record(%[[CALL]], %[[AUX]])
// CHECK:         %[[TP:.*]] = llvm.mlir.constant(3 : i32) : i32
// CHECK-NEXT:    llvm.call @moert_stream_wait(%[[CALL]], %[[TP]], %[[DONE]])
// CHECK-NEXT:    llvm.call @moert_stream_wait(%[[CALL]], %[[SUCCESS]], %[[DONE]])
// CHECK:         llvm.call @moert_launch(%[[CALL]], %[[SUCCESS]], %[[KERNEL]],
// CHECK-NOT:     llvm.call
// CHECK:         %[[END:.*]] = llvm.call @moert_call_end(%[[CALL]]) : (!llvm.ptr) -> i32
// CHECK-NEXT:    llvm.return %[[END]] : i32
// CHECK:       ^[[REFUSED]]:
// CHECK-NEXT:    llvm.return %[[STATUS]] : i32

// The signature has what the runtime checks: names, sizes with -1 for tokens and
// -2 and -3 for the axes that arguments name, their names, and the bound.
// CHECK-LABEL: llvm.mlir.global private constant @layer_signature()
// CHECK:         llvm.mlir.constant(64 : i64) : i64
// CHECK:         llvm.mlir.addressof @layer_workspace_size : !llvm.ptr
// CHECK:         llvm.mlir.constant(2 : i64) : i64
// CHECK:         llvm.mlir.addressof @layer_signature_axes : !llvm.ptr
// CHECK-LABEL: llvm.mlir.global private constant @layer_signature_inputs_dims_0() {{.*}} : !llvm.array<2 x i64>
// CHECK:         llvm.mlir.constant(-1 : i64) : i64
// CHECK:         llvm.mlir.constant(4 : i64) : i64
// CHECK-LABEL: llvm.mlir.global private constant @layer_signature_inputs_dims_1() {{.*}} : !llvm.array<3 x i64>
// CHECK:         llvm.mlir.constant(-2 : i64) : i64
// CHECK:         llvm.mlir.constant(4 : i64) : i64
// CHECK-LABEL: llvm.mlir.global private constant @layer_signature_inputs_dims_2() {{.*}} : !llvm.array<3 x i64>
// CHECK:         llvm.mlir.constant(-1 : i64) : i64
// CHECK:         llvm.mlir.constant(-3 : i64) : i64
// CHECK:         llvm.mlir.constant(-2 : i64) : i64
// CHECK:       "hidden_states\00"
// CHECK:       "argument 1\00"
// CHECK:       "argument 2\00"
// CHECK:       "output\00"
// CHECK-LABEL: llvm.mlir.global private constant @layer_signature_axes() {{.*}} : !llvm.array<2 x ptr>
// CHECK:       "experts\00"
// CHECK:       "columns\00"
// CHECK:       @[[$SEND]]("send\00")
// CHECK:       @[[$NAMED]]("named\00")
// CHECK:       llvm.mlir.global external constant @moert_artefact()
// CHECK:       ("{\22abi\22: 1}\00")
func.func @layer(%x: memref<?x4xf32> {moe.name = "hidden_states"}, %w: memref<?x4x4xbf16> {schedule.axes = ["experts", "", ""]},
                 %v: memref<?x?x?xbf16> {schedule.axes = ["", "columns", "experts"]},
                 %y: memref<?x4xf32> {bufferize.result, moe.name = "output"}, %bytes: memref<?xi8> {schedule.workspace})
    attributes {schedule.workspace_size = affine_map<(t, n) -> (t * 256 + n * 512 + 1024)>, schedule.max_num_tokens = 64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %n = schedule.total_tokens : index
  %ws = schedule.workspace %bytes(%t, %n) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (t * 256)>,
    #schedule.slot<"b", offset = (t, n) -> (t * 256 + n * 256 + 1024), size = (t, n) -> (n * 256)>
  ] : memref<?xi8>
  %a = schedule.slice %ws["a"](%t) : memref<?x4xf32>
  %b = schedule.slice %ws["b"](%n) : memref<?x4xf32>
  %fork = schedule.mark on(compute)
  %sent = schedule.run on(comm <ep = 2, tp = 2>[ep]) after(%fork) label("send") {
    schedule.launch @kernel grid(%t) reads(%x : memref<?x4xf32>) writes(%b : memref<?x4xf32>)
  } -> !schedule.event
  %done = schedule.run on(aux) after(%fork, %sent) label("shared") {
    schedule.launch @kernel grid(%c1) label("named") reads(%b : memref<?x4xf32>) writes(%a : memref<?x4xf32>)
  } -> !schedule.event
  schedule.run on(comm <ep = 2, tp = 2>[tp]) after(%done) {}
  schedule.run on(compute) after(%done) label("merge") {
    %rows = memref.dim %a, %c0 : memref<?x4xf32>
    schedule.launch @kernel grid(%rows) reads(%a : memref<?x4xf32>) writes(%y : memref<?x4xf32>)
  }
  return
}
}

// -----

// Events stay in the arm that they are recorded in, and the branch is none of the
// pass's business. Without a workspace its size is 0. Two layers in one module are
// no artefact; what issues no work stays.
func.func @kernel(%block: index, %x: memref<4xf32>, %y: memref<4xf32>) attributes {schedule.kernel} {
  return
}
// CHECK-LABEL: llvm.func @branch_workspace_size(
// CHECK-NEXT:    %[[ZERO:.*]] = llvm.mlir.constant(0 : i64) : i64
// CHECK-NEXT:    llvm.return %[[ZERO]]
// CHECK-LABEL: llvm.func @branch_run(
// CHECK:         scf.if
// CHECK:           %[[FORK:.*]] = llvm.call @moert_event_record
// CHECK:           llvm.call @moert_stream_wait(%{{.*}}, %{{.*}}, %[[FORK]])
// CHECK:           llvm.call @moert_launch
// CHECK:         } else {
// CHECK-NOT:       {{moert_event_record|moert_stream_wait}}
// CHECK:           llvm.call @moert_launch
// CHECK:         llvm.call @moert_call_end
func.func @branch(%x: memref<4xf32>, %y: memref<4xf32> {bufferize.result}) {
  %c1 = arith.constant 1 : index
  %n = schedule.total_tokens : index
  %few = arith.cmpi ule, %n, %c1 : index
  scf.if %few {
    %fork = schedule.mark on(compute)
    %done = schedule.run on(aux) after(%fork) {
      schedule.launch @kernel grid(%c1) reads(%x : memref<4xf32>) writes(%y : memref<4xf32>)
    } -> !schedule.event
    schedule.run on(compute) after(%done) {}
  } else {
    schedule.run on(compute) {
      schedule.launch @kernel grid(%c1) reads(%x : memref<4xf32>) writes(%y : memref<4xf32>)
    }
  }
  return
}
// CHECK-LABEL: llvm.func @second_run(
func.func @second(%x: memref<4xf32>, %y: memref<4xf32> {bufferize.result}) {
  %c1 = arith.constant 1 : index
  schedule.run on(compute) {
    schedule.launch @kernel grid(%c1) reads(%x : memref<4xf32>) writes(%y : memref<4xf32>)
  }
  return
}
// CHECK-NOT:   @moert_artefact
// CHECK:       func.func @no_work(
func.func @no_work(%x: memref<4xf32>) {
  return
}

// -----

// What the runtime hands over is row-major.
// expected-error @below {{'func.func' op expected arguments that are row-major buffers but got 'memref<4xf32, strided<[2]>>'}}
func.func @strided(%x: memref<4xf32, strided<[2]>>) {
  schedule.run on(compute) {}
  return
}

// -----

// expected-error @below {{'func.func' op expected arguments that are row-major buffers but got 'index'}}
func.func @scalar(%x: index) {
  schedule.run on(compute) {}
  return
}

// -----

// Collectives are numbered along every path: both arms have the same numbers, and
// the table says of each what the ranks must have in common. Communicators are
// numbered as their streams are.
// CHECK-LABEL: llvm.func @ranks_run(
// CHECK-SAME:    %[[CALL:.*]]: !llvm.ptr) -> i32
// CHECK:         llvm.call @moert_call_rank(%[[CALL]]) : (!llvm.ptr) -> i32
// CHECK:         scf.if
// CHECK:           llvm.call @moert_collective_enqueue(%[[CALL]], %{{.*}}, %{{.*}}, %{{.*}}, %[[NONE:.*]], %[[NONE]])
// CHECK:           llvm.call @moert_collective_enqueue(
// CHECK:         } else {
// CHECK:           llvm.call @moert_collective_enqueue(
// CHECK:           llvm.call @moert_collective_enqueue(
// CHECK-NOT:       moert_collective_enqueue
// CHECK:         }
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange_dtypes_0() {{.*}} : !llvm.array<2 x i32>
// CHECK:         llvm.mlir.constant(544 : i32)
// CHECK:         llvm.mlir.constant(32 : i32)
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange_columns_0() {{.*}} : !llvm.array<2 x i64>
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange_blocks_1() {{.*}} : !llvm.array<4 x i64>
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange_collectives() {{.*}} : !llvm.array<2 x struct
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange_communicators() {{.*}} : !llvm.array<2 x struct<(ptr, i64, i64)>>
// CHECK-LABEL: llvm.mlir.global private constant @ranks_exchange()
// CHECK-LABEL: llvm.mlir.global private constant @ranks_signature()
// CHECK:         llvm.mlir.constant(4 : i64) : i64
// CHECK:         llvm.mlir.addressof @ranks_exchange : !llvm.ptr
func.func @ranks(%x: memref<?x4xf32>, %ids: memref<?x2xi32>, %y: memref<?x4xf32> {bufferize.result},
                 %all: memref<?x2xi32> {bufferize.result}) attributes {schedule.grid = #schedule.grid<dp = 2, tp = 2>} {
  %c0 = arith.constant 0 : index
  %rank = schedule.rank : index
  %t = memref.dim %x, %c0 : memref<?x4xf32>
  %few = arith.cmpi ule, %t, %rank : index
  scf.if %few {
    %fork = schedule.mark on(compute)
    %done = schedule.run on(comm <dp = 2, tp = 2>[tp]) after(%fork) {
      schedule.collective all_gather over(<dp = 2, tp = 2>[dp, tp]) sends(%x, %ids : memref<?x4xf32>, memref<?x2xi32>) receives(%y, %all : memref<?x4xf32>, memref<?x2xi32>)
      schedule.collective all_to_all over(<dp = 2, tp = 2>[dp, tp]) blocks [1, 1, 1, 2] sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    } -> !schedule.event
    schedule.run on(compute) after(%done) {}
  } else {
    schedule.run on(compute) {
      schedule.collective all_gather over(<dp = 2, tp = 2>[dp, tp]) sends(%x, %ids : memref<?x4xf32>, memref<?x2xi32>) receives(%y, %all : memref<?x4xf32>, memref<?x2xi32>)
      schedule.collective all_to_all over(<dp = 2, tp = 2>[dp, tp]) blocks [1, 1, 1, 2] sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  }
  return
}

// -----

// Arms that all ranks take alike have numbers of their own, one sequence behind
// the other. What the call knows of its ranks' tokens comes from the runtime, and
// rows of a buffer start where their first one does.
// CHECK-LABEL: llvm.func @halves_run(
// CHECK-SAME:    %[[CALL:.*]]: !llvm.ptr) -> i32
// CHECK:         %[[HALF:.*]] = llvm.call @moert_call_part_tokens(%[[CALL]], %{{.*}}, %{{.*}}) : (!llvm.ptr, i32, i32) -> i64
// CHECK:         %[[FIRST:.*]] = arith.index_cast %[[HALF]] : i64 to index
// CHECK:         llvm.call @moert_call_max_tokens(%[[CALL]]) : (!llvm.ptr) -> i64
// CHECK:         %[[DECODES:.*]] = llvm.call @moert_call_get_value(%[[CALL]], %{{.*}}) : (!llvm.ptr, !llvm.ptr) -> i64
// CHECK:         llvm.icmp "ne" %[[DECODES]], %{{.*}} : i64
// CHECK:         %[[ROW_BYTES:.*]] = llvm.mlir.constant(16 : i64) : i64
// CHECK:         %[[OFFSET:.*]] = llvm.mul %{{.*}}, %[[ROW_BYTES]]
// CHECK:         llvm.getelementptr %{{.*}}[%[[OFFSET]]] : (!llvm.ptr, i64) -> !llvm.ptr, i8
// CHECK-LABEL: llvm.mlir.global private constant @halves_exchange_collectives() {{.*}} : !llvm.array<3 x struct
func.func @halves(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result})
    attributes {schedule.grid = #schedule.grid<ep = 2>} {
  %c8 = arith.constant 8 : index
  %first = schedule.total_tokens part(<0 of 2>) : index
  %max = schedule.max_tokens : index
  %decodes = schedule.call_value "decodes" : i1
  %threshold = arith.select %decodes, %c8, %first : index
  %many = arith.cmpi uge, %max, %threshold : index
  %rest = schedule.rows %x[%first](%first) : memref<?x4xf32> to memref<?x4xf32>
  scf.if %many {
    schedule.run on(compute) {
      schedule.collective all_gather over(<ep = 2>[ep]) part(<0 of 2>) sends(%rest : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
      schedule.collective all_gather over(<ep = 2>[ep]) part(<1 of 2>) sends(%rest : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } {schedule.uniform}
  return
}

// -----

// No table fits two paths that differ.
func.func @orders(%c: memref<?x4xf32>, %x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result})
    attributes {schedule.grid = #schedule.grid<tp = 2>} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %c, %c0 : memref<?x4xf32>
  %few = arith.cmpi ule, %t, %c0 : index
  scf.if %few {
    schedule.run on(compute) {
      // expected-note @below {{the other path has it here}}
      schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  } else {
    schedule.run on(compute) {
      // expected-error @below {{'schedule.collective' op expected all paths to have one sequence of collectives, with 'all_reduce of 4xf32' on 'tp' as number 0, but got 'all_gather of 4xf32' on 'tp'}}
      schedule.collective all_gather over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
    }
  }
  return
}

// -----

// Communicators have ranks by the grid.
// expected-error @below {{'func.func' op expected 'schedule.grid' to say what ranks the communicators have}}
func.func @nowhere(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}) {
  schedule.run on(compute) {
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  }
  return
}

// -----

// A stream is one of the ranks that run the program, too.
func.func @elsewhere(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}) attributes {schedule.grid = #schedule.grid<tp = 2>} {
  // expected-error @below {{'schedule.run' op expected a communicator of the function's grid #schedule.grid<tp = 2> but got one of #schedule.grid<tp = 4>}}
  schedule.run on(comm <tp = 4>[tp]) {
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  }
  return
}

// -----

// Outside of a run nothing has a stream.
func.func @stray(%x: memref<?x4xf32>, %y: memref<?x4xf32> {bufferize.result}) attributes {schedule.grid = #schedule.grid<tp = 2>} {
  schedule.run on(compute) {}
  // expected-error @below {{'schedule.collective' op expected to lie in a 'schedule.run'}}
  schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  return
}

// -----

// Rows of another buffer are contiguous, but do not begin where it does.
func.func @offset(%x: memref<8x4xf32>, %y: memref<4x4xf32> {bufferize.result}) attributes {schedule.grid = #schedule.grid<tp = 2>} {
  %rows = memref.subview %x[4, 0] [4, 4] [1, 1] : memref<8x4xf32> to memref<4x4xf32, strided<[4, 1], offset: 16>>
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected row-major buffers without an offset, such as those of 'schedule.rows', but got 'memref<4x4xf32, strided<[4, 1], offset: 16>>'}}
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%rows : memref<4x4xf32, strided<[4, 1], offset: 16>>) receives(%y : memref<4x4xf32>)
  }
  return
}
