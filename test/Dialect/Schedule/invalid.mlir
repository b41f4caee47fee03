// RUN: moe-opt %s --split-input-file --verify-diagnostics

// schedule.run C1: work is issued by the host, not by work.
func.func @nested() {
  // expected-error @below {{'schedule.run' op expected a body without nested issue but got 'schedule.mark'}}
  schedule.run on(compute) {
    %a = schedule.mark on(compute)
  }
  return
}

// -----

// schedule.run C2: an allocation would live at issue time.
func.func @allocates() {
  // expected-error @below {{'schedule.run' op expected a body that allocates and frees nothing but got 'memref.alloc'}}
  schedule.run on(compute) {
    %a = memref.alloc() : memref<4xf32>
  }
  return
}

// -----

// schedule.run C3: one stream needs no event of its own.
func.func @own_event() {
  %a = schedule.mark on(aux)
  // expected-error @below {{'schedule.run' op expected events of other streams but waits for one of its own stream 'aux'}}
  schedule.run on(aux) after(%a) {}
  return
}

// -----

// A communicator has a name.
func.func @no_communicator() {
  // expected-error @below {{expected stream 'compute', 'aux' or 'comm' but got 'copy'}}
  schedule.run on(copy) {}
  return
}

// -----

// schedule.launch C1: the stream is that of the run.
func.func private @kernel(index, memref<4xf32>)
func.func @outside(%x: memref<4xf32>, %g: index) {
  // expected-error @below {{'schedule.launch' op expected to lie in a 'schedule.run'}}
  schedule.launch @kernel grid(%g) reads(%x : memref<4xf32>)
  return
}

// -----

// schedule.launch C2: the kernel exists.
func.func @no_kernel(%x: memref<4xf32>, %g: index) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.launch' op expected a kernel named @kernel}}
    schedule.launch @kernel grid(%g) reads(%x : memref<4xf32>)
  }
  return
}

// -----

// schedule.launch C2: the kernel takes a block number and the operands.
// expected-note @below {{kernel defined here}}
func.func private @kernel(index, memref<8xf32>)
func.func @wrong_kernel(%x: memref<4xf32>, %g: index) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.launch' op expected kernel @kernel of arguments ('index', 'memref<4xf32>') but got ('index', 'memref<8xf32>')}}
    schedule.launch @kernel grid(%g) reads(%x : memref<4xf32>)
  }
  return
}

// -----

// schedule.workspace C1: a slot is found by its name.
func.func @twice(%b: memref<?xi8>, %t: index) {
  // expected-error @below {{'schedule.workspace' op expected unique slot names but got "a" twice}}
  %w = schedule.workspace %b(%t, %t) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (256)>,
    #schedule.slot<"a", offset = (t, n) -> (256), size = (t, n) -> (256)>
  ] : memref<?xi8>
  return
}

// -----

// schedule.workspace C2: bytes that may be any number.
func.func @bytes(%b: memref<64xi8>, %t: index) {
  // expected-error @below {{'schedule.workspace' op expected bytes of type 'memref<?xi8>' but got 'memref<64xi8>'}}
  %w = schedule.workspace %b(%t, %t) slots [] : memref<64xi8>
  return
}

// -----

// A slot is aligned whatever the tokens.
// expected-error @below {{expected coefficients of the size of slot "a" that are multiples of 256 and not negative but got 100}}
func.func private @slot() attributes {slot = #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (t * 100)>}

// -----

// A slot is linear, so that disjointness can be read off the table.
// expected-error @below {{expected the offset of slot "a" to be linear in (tokens, total tokens) but got affine_map<(d0, d1) -> (d0 ceildiv 256)>}}
func.func private @slot() attributes {slot = #schedule.slot<"a", offset = (t, n) -> (t ceildiv 256), size = (t, n) -> (256)>}

// -----

// schedule.slice C1: the slot is in the table.
func.func @no_slot(%b: memref<?xi8>, %t: index) {
  // expected-note @below {{slots are listed here}}
  %w = schedule.workspace %b(%t, %t) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (256)>
  ] : memref<?xi8>
  // expected-error @below {{'schedule.slice' op expected a slot of the workspace but got "b"}}
  %s = schedule.slice %w["b"]() : memref<64xf32>
  return
}

// -----

// schedule.slice C2: a size per dynamic dimension.
func.func @sizes(%b: memref<?xi8>, %t: index) {
  %w = schedule.workspace %b(%t, %t) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (256)>
  ] : memref<?xi8>
  // expected-error @below {{'schedule.slice' op expected 1 sizes but got 0}}
  %s = schedule.slice %w["a"]() : memref<?xf32>
  return
}

// -----

// schedule.slice C3: rows of 256 bytes do not fit 256 bytes of the slot.
func.func @too_small(%b: memref<?xi8>, %t: index, %n: index) {
  // expected-note @below {{slots are listed here}}
  %w = schedule.workspace %b(%t, %n) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (n * 256 + 256)>
  ] : memref<?xi8>
  // expected-error @below {{'schedule.slice' op expected a buffer that fits slot "a" of affine_map<(d0, d1) -> (d1 * 256 + 256)> bytes whatever the tokens but got 256 bytes per token}}
  %s = schedule.slice %w["a"](%t) : memref<?x64xf32>
  return
}

// -----

// schedule.slice C3: no slot is large enough for tokens times tokens.
func.func @square(%b: memref<?xi8>, %t: index, %n: index) {
  // expected-note @below {{slots are listed here}}
  %w = schedule.workspace %b(%t, %n) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (t * 256)>
  ] : memref<?xi8>
  // expected-error @below {{but got a size that is not linear in them}}
  %s = schedule.slice %w["a"](%t, %t) : memref<?x?xi8>
  return
}

// -----

// schedule.slice C4: slots hold contiguous buffers.
func.func @strided(%b: memref<?xi8>, %t: index) {
  %w = schedule.workspace %b(%t, %t) slots [
    #schedule.slot<"a", offset = (t, n) -> (0), size = (t, n) -> (256)>
  ] : memref<?xi8>
  // expected-error @below {{'schedule.slice' op expected a contiguous buffer but got 'memref<4xf32, strided<[2]>>'}}
  %s = schedule.slice %w["a"]() : memref<4xf32, strided<[2]>>
  return
}

// -----

// Attributes of arguments and functions have the types that are promised.
// expected-error @below {{expected 'schedule.inout' of argument #0 to be a unit attribute but got 1 : i64}}
func.func private @inout(memref<4xf32> {schedule.inout = 1})

// -----

// expected-error @below {{expected 'schedule.max_shape' of argument #0 to be 2 bounds but got 1}}
func.func private @max_shape(memref<?x4xf32> {schedule.max_shape = array<i64: 4>})

// -----

// expected-error @below {{expected 'schedule.axes' of argument #0 to be an array of names but got [4]}}
func.func private @axes(memref<?x4xf32> {schedule.axes = [4]})

// -----

// expected-error @below {{expected 'schedule.axes' of argument #0 to be 2 names but got 1}}
func.func private @axes(memref<?x4xf32> {schedule.axes = ["L"]})

// -----

// expected-error @below {{expected 'schedule.workspace_size' to be a linear map from (tokens, total tokens) to bytes on a function but got affine_map<(d0) -> (d0)>}}
func.func private @size() attributes {schedule.workspace_size = affine_map<(t) -> (t)>}

// -----

// Sizes are sums of multiples of both.
// expected-error @below {{expected 'schedule.workspace_size' to be a linear map from (tokens, total tokens) to bytes on a function but got affine_map<(d0, d1) -> (d0 mod 2)>}}
func.func @workspace_size_not_linear() attributes {schedule.workspace_size = affine_map<(t, n) -> (t mod 2)>} {
  return
}

// -----

// schedule.collective C1: tensors or buffers.
func.func @mixed(%x: tensor<?x4xf32>, %y: memref<?x4xf32>) {
  // expected-error @below {{'schedule.collective' op expected tensors or buffers but got both}}
  schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : tensor<?x4xf32>) receives(%y : memref<?x4xf32>)
  return
}

// -----

// schedule.collective C2: pairs of buffers differ in their rows alone.
func.func @pairs(%x: memref<?x4xf32>, %y: memref<?x8xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected pairs of buffers that differ in their rows alone but got 'memref<?x4xf32>' and 'memref<?x8xf32>'}}
    schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x8xf32>)
  }
  return
}

// -----

func.func @numbers(%x: memref<?x4xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected 1 to 4 pairs of buffers but got 2 to send and 1 to receive}}
    schedule.collective all_gather over(<ep = 2>[ep]) sends(%x, %x : memref<?x4xf32>, memref<?x4xf32>) receives(%x : memref<?x4xf32>)
  }
  return
}

// -----

func.func @sum_of_fewer(%x: memref<8x4xf32>, %y: memref<4x4xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected as many rows of a sum as are sent, 8, but got 4}}
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<8x4xf32>) receives(%y : memref<4x4xf32>)
  }
  return
}

// -----

// schedule.collective C3: sums are of floats.
func.func @sums(%x: memref<?x4xi32>, %y: memref<?x4xi32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected sums of f32, bf16 or f16 but got 'memref<?x4xi32>'}}
    schedule.collective reduce_scatter over(<ep = 2>[ep]) sends(%x : memref<?x4xi32>) receives(%y : memref<?x4xi32>)
  }
  return
}

// -----

// schedule.collective C4: one program runs on one grid.
func.func @elsewhere(%x: memref<?x4xf32>, %y: memref<?x4xf32>) attributes {schedule.grid = #schedule.grid<tp = 4>} {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected a communicator of the function's grid #schedule.grid<tp = 4> but got one of #schedule.grid<tp = 2>}}
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  }
  return
}

// -----

// schedule.collective C5: blocks and counts are those of all ranks, of an all_to_all.
func.func @blocks(%x: memref<?x4xf32>, %y: memref<?x4xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected 2 blocks but got 3}}
    schedule.collective all_to_all over(<ep = 2>[ep]) blocks [1, 2, 3] sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  }
  return
}

// -----

func.func @counts(%x: memref<?x4xf32>, %y: memref<?x4xf32>, %n: memref<2xi32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected blocks and counts with 'all_to_all' only}}
    schedule.collective all_gather over(<ep = 2>[ep]) counts(%n, %n : memref<2xi32>, memref<2xi32>)
      sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>)
  }
  return
}

// -----

// schedule.collective C6: a token has rows.
func.func @no_rows(%x: memref<?x4xf32>, %y: memref<?x4xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected at least 1 row per token but got 0}}
    schedule.collective all_gather over(<ep = 2>[ep]) sends(%x : memref<?x4xf32>) receives(%y : memref<?x4xf32>) {rows_per_token = 0 : i64}
  }
  return
}

// -----

// schedule.launch C3: parameters of a GPU kernel are of this launch.
gpu.module @kernels {
  llvm.func @rows(%rank: i64) {
    llvm.return
  }
}
func.func @no_scalar(%x: memref<4xf32>, %rank: index) {
  %c1 = arith.constant 1 : index
  schedule.run on(compute) {
    // expected-error @below {{'schedule.launch' op expected parameters of 1 scalars but got #schedule.scalar<1>}}
    schedule.launch @kernels::@rows grid(%c1)
      gpu(<threads = 32, shared_bytes = 0, cluster = 1, early_start = true, parameters = [#schedule.scalar<1>]>)
      writes(%x : memref<4xf32>) scalars(%rank : index)
  }
  return
}

// -----

gpu.module @kernels {
  llvm.func @rows(%size: i64) {
    llvm.return
  }
}
func.func @no_dimension(%x: memref<4xf32>) {
  %c1 = arith.constant 1 : index
  schedule.run on(compute) {
    // expected-error @below {{'schedule.launch' op expected a dimension of 'memref<4xf32>' but got #schedule.size<0, 1>}}
    schedule.launch @kernels::@rows grid(%c1)
      gpu(<threads = 32, shared_bytes = 0, cluster = 1, early_start = true, parameters = [#schedule.size<0, 1>]>)
      writes(%x : memref<4xf32>)
  }
  return
}

// -----

// #schedule.part C1: the parts of 3 are 0, 1 and 2.
func.func @fourth_third() {
  // expected-error @below {{expected a part from 0 to below 3 but got 3}}
  %n = schedule.total_tokens part(<3 of 3>) : index
  return
}

// -----

// schedule.call_value C1: a value has a name.
func.func @nameless() {
  // expected-error @below {{'schedule.call_value' op expected a name but got ""}}
  %n = schedule.call_value "" : i1
  return
}

// -----

// #schedule.grid C1: axes have names of their own.
// expected-error @below {{expected axes with names of their own but got "tp" twice}}
module attributes {test.attribute = #schedule.grid<tp = 2, tp = 4>} {}

// -----

// #schedule.grid C2: nobody is no rank.
// expected-error @below {{expected at least 1 rank along axis "tp" but got 0}}
module attributes {test.attribute = #schedule.grid<tp = 0>} {}

// -----

// #schedule.grid C2: ranks have numbers of 32 bits.
// expected-error @below {{expected at most 2147483647 ranks but got more}}
module attributes {test.attribute = #schedule.grid<dp = 65536, tp = 65536>} {}

// -----

// #schedule.communicator C1: axes are the grid's.
// expected-error @below {{expected axes of #schedule.grid<dp = 2, tp = 2>, in its order, but got 'pcp'}}
module attributes {test.attribute = #schedule.communicator<<dp = 2, tp = 2>[dp, pcp]>} {}

// -----

// expected-error @below {{expected axes of #schedule.grid<dp = 2, tp = 2>, in its order, but got 'dp'}}
module attributes {test.attribute = #schedule.communicator<<dp = 2, tp = 2>[tp, dp]>} {}

// -----

// expected-error @below {{expected at least 1 axis of the grid but got none}}
module attributes {test.attribute = #schedule.communicator<<dp = 2, tp = 2>[]>} {}

// -----

// #schedule.communicator C2: the ranks of a group are equally far apart.
// expected-error @below {{expected axes that lie side by side but 'tp' is behind one of #schedule.grid<dp = 2, pcp = 2, tp = 2> that is left out}}
module attributes {test.attribute = #schedule.communicator<<dp = 2, pcp = 2, tp = 2>[dp, tp]>} {}

// -----

// What functions say of their ranks and tokens is of its kind.
// expected-error @below {{expected 'schedule.grid' to be a '#schedule.grid' on a function but got 4 : i64}}
func.func private @grid() attributes {schedule.grid = 4}

// -----

// expected-error @below {{expected 'schedule.max_num_tokens' of at least 1 on a function but got 0 : i64}}
func.func private @tokens() attributes {schedule.max_num_tokens = 0}

// -----

// expected-error @below {{expected 'schedule.descriptor' to be a string but got 4 : i64}}
module attributes {schedule.descriptor = 4} {}

// -----

// schedule.rows C1: the result is rows of the buffer.
func.func @rows(%x: memref<?x4xf32>, %i: index) {
  // expected-error @below {{'schedule.rows' op expected buffers that differ in their rows alone but got 'memref<?x4xf32>' and 'memref<?x8xf32>'}}
  %y = schedule.rows %x[%i](%i) : memref<?x4xf32> to memref<?x8xf32>
  return
}

// -----

func.func @rows(%x: memref<?x4xf32, strided<[8, 1]>>, %i: index) {
  // expected-error @below {{'schedule.rows' op expected row-major buffers whose rows have a static size but got 'memref<?x4xf32, strided<[8, 1]>>' and 'memref<?x4xf32>'}}
  %y = schedule.rows %x[%i](%i) : memref<?x4xf32, strided<[8, 1]>> to memref<?x4xf32>
  return
}

// -----

// schedule.rows C2: a size says how many, or the type does.
func.func @rows(%x: memref<?x4xf32>, %i: index) {
  // expected-error @below {{'schedule.rows' op expected a size exactly where the number of rows is dynamic but got one for 'memref<8x4xf32>'}}
  %y = schedule.rows %x[%i](%i) : memref<?x4xf32> to memref<8x4xf32>
  return
}

// -----

// schedule.collective C3: columns of another buffer have gaps between their rows.
func.func @gaps(%x: memref<8x4xf32, strided<[8, 1]>>, %y: memref<8x4xf32>) {
  schedule.run on(compute) {
    // expected-error @below {{'schedule.collective' op expected contiguous buffers of rows but got 'memref<8x4xf32, strided<[8, 1]>>'}}
    schedule.collective all_reduce over(<tp = 2>[tp]) sends(%x : memref<8x4xf32, strided<[8, 1]>>) receives(%y : memref<8x4xf32>)
  }
  return
}
