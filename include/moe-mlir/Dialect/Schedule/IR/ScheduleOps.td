//===- ScheduleOps.td - Runs, marks, launches, workspace ---*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEOPS_TD
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEOPS_TD

include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/ViewLikeInterface.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleAttributes.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleInterfaces.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleTypes.td"

// Issuing work is an effect on the stream, so nothing merges, drops or reorders it.
def Schedule_StreamResource : Resource<"::moe::schedule::StreamResource">;

// Collectives of one communicator keep their order, whatever streams they are on.
def Schedule_CommunicatorResource : Resource<"::moe::schedule::CommunicatorResource">;

class Schedule_Op<string mnemonic, list<Trait> traits = []>
    : Op<Schedule_Dialect, mnemonic, traits>;

def Schedule_MarkOp : Schedule_Op<"mark", [
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
    MemoryEffects<[MemWrite<Schedule_StreamResource>]>]> {
  let summary = "an event after all work issued to a stream so far";
  let description = [{
    On the compute stream, before any run, it is the fork: all that the caller
    did before entry.

    ```mlir
    %fork = schedule.mark on(compute)
    ```
  }];
  let arguments = (ins Schedule_StreamAttr:$stream);
  let results = (outs Schedule_EventType:$event);
  let assemblyFormat = "`on` `(` custom<Stream>($stream) `)` attr-dict";
}

def Schedule_RunOp : Schedule_Op<"run", [
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
    SingleBlock, NoTerminator, RecursiveMemoryEffects,
    MemoryEffects<[MemWrite<Schedule_StreamResource>]>]> {
  let summary = "hands its body to a stream";
  let description = [{
    Makes the stream wait for the events of `after`, then issues the body's
    work to it in order. The result, if asked for, is the event after the
    body's work.

    ```mlir
    %done = schedule.run on(aux) after(%fork) label("shared experts") {
      moe.shared_experts ins(...) outs(...)
    } -> !schedule.event
    ```

    Constraints:
    - C1: the body holds no other `schedule.run` and no `schedule.mark`.
    - C2: the body allocates and frees nothing: issue time is not completion
      time.
    - C3: an event of the same stream is not waited for: program order already
      says so.
  }];
  let arguments = (ins
    Schedule_StreamAttr:$stream,
    Variadic<Schedule_EventType>:$after,
    OptionalAttr<StrAttr>:$label
  );
  let results = (outs Optional<Schedule_EventType>:$done);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `on` `(` custom<Stream>($stream) `)` (`after` `(` $after^ `)`)?
    (`label` `(` $label^ `)`)? $body attr-dict (`->` type($done)^)?
  }];
  let hasVerifier = 1;
}

def Schedule_LaunchOp : Schedule_Op<"launch", [
    AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a kernel on the stream of the enclosing run";
  let description = [{
    The kernel gets `reads`, then `writes`, then `scalars` as arguments; a
    buffer that a kernel reads and writes stands in both lists. The declared
    buffers are all that the kernel touches, and a buffer that stands in
    `writes` alone is written as a whole: kernels that share a buffer get
    subviews of it.

    ```mlir
    schedule.launch @gate grid(%n) reads(%x, %w : memref<?x64xf32>, memref<8x64xf32>)
                                   writes(%logits : memref<?x8xf32>)
    ```

    A GPU kernel takes what `gpu` says instead: see `#schedule.gpu`.

    Constraints:
    - C1: the op lies in a `schedule.run`.
    - C2: the kernel exists and takes a block number, then these operands.
    - C3: the parameters of `gpu` name operands, dimensions and scalars that
      exist.
  }];
  let arguments = (ins
    SymbolRefAttr:$kernel,
    Index:$grid,
    Variadic<AnyMemRef>:$reads,
    Variadic<AnyMemRef>:$writes,
    Variadic<AnyTypeOf<[Index, AnySignlessInteger, AnyFloat]>>:$scalars,
    OptionalAttr<StrAttr>:$label,
    OptionalAttr<Schedule_GPULaunchAttr>:$gpu
  );
  let assemblyFormat = [{
    $kernel `grid` `(` $grid `)` (`label` `(` $label^ `)`)?
    (`gpu` `(` $gpu^ `)`)?
    (`reads` `(` $reads^ `:` type($reads) `)`)?
    (`writes` `(` $writes^ `:` type($writes) `)`)?
    (`scalars` `(` $scalars^ `:` type($scalars) `)`)? attr-dict
  }];
  let hasVerifier = 1;
}

def Schedule_Shaped : AnyTypeOf<[AnyRankedTensor, AnyMemRef]>;

def Schedule_CollectiveOp : Schedule_Op<"collective", [
    AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
    DeclareOpInterfaceMethods<BufferizableOpInterface, [
      "bufferizesToMemoryRead", "bufferizesToMemoryWrite", "getAliasingValues",
      "bufferize"]>,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<Schedule_CollectiveOpInterface>]> {
  let summary = "an exchange of rows with the other ranks of a communicator";
  let description = [{
    Every rank of the communicator issues the same collective. Each send buffer
    belongs to the receive buffer at its place; the pairs of one op move
    together. Rows are the first dimension, and n is the number of ranks of a
    group of the communicator.

    The op is in destination style: `sends` are read, `receives` are written and
    never read. On tensors each result is its `receives`; bufferization makes it
    an op on buffers, which a `schedule.run` hands to a stream.

    | kind | sent | received |
    |---|---|---|
    | `all_gather` | this rank's rows | the rows of all ranks, in rank order |
    | `reduce_scatter` | a row for each row of every rank, in rank order | this rank's rows of the sum over the ranks |
    | `all_reduce` | a row for each row | the sum over the ranks |
    | `all_to_all` | a block of rows for each rank, in rank order | a block from each rank, in rank order |

    Sums are float32, in rank order, and rounded to the element type: all ranks
    get the same bits.

    How many rows come from whom the host knows before it issues the op, with
    one exception:
    - `all_gather` and `reduce_scatter`: a rank has `rows_per_token` rows for
      each of its tokens, or for those of a `part` of them, and every rank knows
      the tokens of all;
    - `all_to_all` with `blocks`: what rank r gets are blocks of `blocks[r]`
      rows, or with `blocks_by_source`, which is the way back, what it sends;
      without `blocks` all blocks are one n-th of the send buffer;
    - `all_to_all` with `counts`: two buffers of n numbers say how many rows go
      to each rank and come from each. The blocks lie one behind the other, and
      rows behind the last are neither read nor written. A transport that needs
      these numbers on the host waits for them.

    ```mlir
    schedule.collective all_gather over(#ranks[dp])
        sends(%x, %ids : memref<?x64xbf16>, memref<?x2xi32>)
        receives(%rows, %all_ids : memref<?x64xbf16>, memref<?x2xi32>)
    %sum = schedule.collective all_reduce over(#ranks[tp])
        sends(%y : tensor<?x64xf32>) receives(%init : tensor<?x64xf32>)
        -> tensor<?x64xf32>
    ```

    Constraints:
    - C1: operands are all tensors or all buffers; on buffers there are no
      results.
    - C2: there are 1 to 4 send buffers and as many receive buffers; the two of
      a pair have one element type and equal dimensions but the first, which
      `all_reduce` leaves as it is.
    - C3: buffers are contiguous; those that are summed hold f32, bf16 or f16.
    - C4: the communicator is of the function's `schedule.grid`, if it has one.
    - C5: `blocks` has an entry for each rank, `counts` are [n] i32; both are
      only with `all_to_all`, and not together; `blocks_by_source` is only with
      `blocks`.
    - C6: `rows_per_token` is at least 1.
  }];
  let arguments = (ins
    EnumProp<Schedule_CollectiveKind>:$kind,
    Schedule_CommunicatorAttr:$communicator,
    Variadic<Schedule_Shaped>:$sends,
    Variadic<Schedule_Shaped>:$receives,
    Variadic<AnyTypeOf<[TensorRankOf<[I32], [1]>, MemRefRankOf<[I32], [1]>]>>:$counts,
    DefaultValuedAttr<I64Attr, "1">:$rows_per_token,
    OptionalAttr<Schedule_PartAttr>:$part,
    OptionalAttr<DenseI64ArrayAttr>:$blocks,
    UnitAttr:$blocks_by_source,
    OptionalAttr<StrAttr>:$label
  );
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getReceivesMutable();
    }
    /// The ranks of a group of the communicator.
    int64_t getNumRanks() { return getCommunicator().getNumRanks(); }
  }];
  let assemblyFormat = [{
    $kind `over` `(` custom<Communicator>($communicator) `)`
    (`label` `(` $label^ `)`)? (`part` `(` $part^ `)`)? (`blocks` $blocks^)?
    (`counts` `(` $counts^ `:` type($counts) `)`)?
    `sends` `(` $sends `:` type($sends) `)`
    `receives` `(` $receives `:` type($receives) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Schedule_RankOp : Schedule_Op<"rank", [Pure]> {
  let summary = "the number of the rank that issues the work";
  let description = [{
    Among all ranks that run the program together. One program serves them all,
    so this is known only when it runs.

    ```mlir
    %rank = schedule.rank : index
    ```
  }];
  let results = (outs Index:$rank);
  let assemblyFormat = "attr-dict `:` type($rank)";
}

def Schedule_TotalTokensOp : Schedule_Op<"total_tokens", [Pure]> {
  let summary = "the tokens of all ranks";
  let description = [{
    The sum of the tokens that all ranks bring to this call. Whoever lowers the
    function knows where it comes from; here it is what buffers may grow with
    beside the tokens of this rank. With `part` every rank counts that part of
    its tokens alone: see `#schedule.part`.

    ```mlir
    %n = schedule.total_tokens : index
    %first = schedule.total_tokens part(<0 of 2>) : index
    ```
  }];
  let arguments = (ins OptionalAttr<Schedule_PartAttr>:$part);
  let results = (outs Index:$tokens);
  let assemblyFormat = "(`part` `(` $part^ `)`)? attr-dict `:` type($tokens)";
}

def Schedule_MaxTokensOp : Schedule_Op<"max_tokens", [Pure]> {
  let summary = "the tokens of the rank that has most";
  let description = [{
    Every rank gets the same value, so a branch on it is one that all ranks
    take alike.

    ```mlir
    %max = schedule.max_tokens : index
    ```
  }];
  let results = (outs Index:$tokens);
  let assemblyFormat = "attr-dict `:` type($tokens)";
}

def Schedule_CallValueOp : Schedule_Op<"call_value", [Pure]> {
  let summary = "a number that the caller gives by name";
  let description = [{
    The caller of all ranks gives the same value on each of them, so a branch on
    it is one that all ranks take alike. A value that is not given is 0. What a
    name means is between the caller and whoever wrote the function.

    ```mlir
    %decodes = schedule.call_value "decodes" : i1
    ```

    Constraints:
    - C1: the name is not empty.
  }];
  let arguments = (ins StrAttr:$name);
  let results = (outs AnyTypeOf<[I1, I64, Index]>:$value);
  let assemblyFormat = "$name attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def Schedule_RowsOp : Schedule_Op<"rows", [
    Pure, DeclareOpInterfaceMethods<ViewLikeOpInterface>]> {
  let summary = "consecutive rows of a buffer, as a buffer";
  let description = [{
    Rows are the first dimension. Unlike a `memref.subview` the result is
    row-major with no offset, and so what runs on a whole buffer runs on it.

    ```mlir
    %second = schedule.rows %x[%first](%n) : memref<?x64xf32> to memref<?x64xf32>
    %fixed = schedule.rows %x[%first]() : memref<?x64xf32> to memref<8x64xf32>
    ```

    Constraints:
    - C1: both buffers are row-major, with one element type and equal static
      dimensions but the first.
    - C2: `size` is there exactly where the result's first dimension is dynamic.
  }];
  let arguments = (ins AnyMemRef:$source, Index:$first, Optional<Index>:$size);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = [{
    $source `[` $first `]` `` `(` ($size^)? `)` attr-dict
      `:` type($source) `to` type($result)
  }];
  let hasVerifier = 1;
}

def Schedule_WorkspaceOp : Schedule_Op<"workspace", [Pure]> {
  let summary = "the table of slots of the caller's workspace";
  let description = [{
    `tokens` and `total_tokens` are what the slots' offsets and sizes are
    functions of.

    ```mlir
    %ws = schedule.workspace %bytes(%t, %n) slots [
      #schedule.slot<"logits", offset = (t, n) -> (0),
                               size = (t, n) -> (t * 256)>
    ] : memref<?xi8>
    ```

    Constraints:
    - C1: slot names are unique.
    - C2: the buffer has type `memref<?xi8>`.
  }];
  let arguments = (ins
    Arg<MemRefRankOf<[I8], [1]>, "the caller's bytes">:$bytes,
    Index:$tokens, Index:$total_tokens,
    Schedule_SlotArrayAttr:$slots
  );
  let results = (outs Schedule_WorkspaceType:$workspace);
  let assemblyFormat = [{
    $bytes `(` $tokens `,` $total_tokens `)` `slots` $slots attr-dict `:` type($bytes)
  }];
  let extraClassDeclaration = [{
    /// The slot of that name, or null.
    SlotAttr getSlot(::llvm::StringRef name);
  }];
  let hasVerifier = 1;
}

def Schedule_SliceOp : Schedule_Op<"slice", [Pure]> {
  let summary = "a slot of the workspace as a buffer";
  let description = [{
    ```mlir
    %logits = schedule.slice %ws["logits"](%t) : memref<?x64xf32>
    ```

    Constraints:
    - C1: the workspace is a `schedule.workspace` that has the slot.
    - C2: one size per dynamic dimension.
    - C3: the slot is large enough for every number of tokens, as far as the
      sizes are the workspace's tokens and constants.
    - C4: the buffer is contiguous.
  }];
  let arguments = (ins
    Schedule_WorkspaceType:$workspace, StrAttr:$slot, Variadic<Index>:$sizes
  );
  let results = (outs AnyMemRef:$buffer);
  let assemblyFormat = [{
    $workspace `[` $slot `]` `` `(` ($sizes^)? `)` attr-dict `:` type($buffer)
  }];
  let extraClassDeclaration = [{
    /// The slot that the op names.
    SlotAttr getSlotAttrValue();
  }];
  let hasVerifier = 1;
}

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEOPS_TD
