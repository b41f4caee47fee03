//===- ScheduleAttributes.td - Streams and workspace slots -*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEATTRIBUTES_TD
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEATTRIBUTES_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleDialect.td"

class Schedule_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Schedule_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

def Schedule_GridAttr : Schedule_Attr<"Grid", "grid"> {
  let summary = "the ranks of a program, along named axes";
  let description = [{
    One program runs on all ranks. Their numbers are row-major over the axes:
    the last axis counts fastest. What an axis is for is the business of whoever
    names it.

    ```mlir
    #ranks = #schedule.grid<dp = 4, pcp = 1, tp = 2>
    func.func @layer(...) attributes {schedule.grid = #ranks} { ... }
    ```

    Rank 5 of these 8 is at dp = 2, pcp = 0, tp = 1. All communicators of a
    function are of the grid that its attribute `schedule.grid` gives.

    Constraints:
    - C1: there is an axis; names of axes are unique and not empty.
    - C2: sizes are at least 1, and there are at most 2^31 - 1 ranks.
  }];
  let parameters = (ins
    ArrayRefParameter<"::mlir::StringAttr">:$axes,
    ArrayRefParameter<"int64_t">:$sizes
  );
  let extraClassDeclaration = [{
    int64_t getNumRanks() const;
    /// "dp = 4, pcp = 1, tp = 2".
    std::string getText() const;
  }];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Schedule_CommunicatorAttr : Schedule_Attr<"Communicator", "communicator"> {
  let summary = "the ranks that differ along some axes of a grid";
  let description = [{
    Each rank is in one group: those of the ranks that agree with it along all
    other axes, in the order of their numbers. Ops write it as the grid and the
    axes:

    ```mlir
    schedule.collective all_gather over(#ranks[dp, tp]) ...
    schedule.run on(comm #ranks[dp, tp]) { ... }
    ```

    Of `<dp = 4, pcp = 2, tp = 2>`, `[tp]` makes groups such as {4, 5}, `[dp]`
    {1, 5, 9, 13}, and `[dp, pcp, tp]` one group of all.

    Constraints:
    - C1: the axes are some of the grid's, at least one, in its order.
    - C2: the ranks of a group are equally far apart: between two axes that have
      more than one rank, the grid has no other such axis that is left out.
  }];
  let parameters = (ins
    "GridAttr":$grid,
    ArrayRefParameter<"::mlir::StringAttr">:$axes
  );
  let extraClassDeclaration = [{
    /// Of the named axes those that have more than one rank; the last of them
    /// if none has.
    static CommunicatorAttr getOver(GridAttr grid,
                                    ::llvm::ArrayRef<::llvm::StringRef> axes);
    /// The ranks of a group.
    int64_t getNumRanks() const;
    /// How far apart they are.
    int64_t getStride() const;
    /// The ranks of the group that `rank` is in.
    ::llvm::SmallVector<int64_t> getGroup(int64_t rank) const;
    bool hasAxis(::llvm::StringRef name) const;
    /// True if there is one group, of all ranks.
    bool coversGrid() const { return getNumRanks() == getGrid().getNumRanks(); }
    /// "dp x tp".
    std::string getName() const;
  }];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Schedule_PartAttr : Schedule_Attr<"Part", "part"> {
  let summary = "one of the parts into which each rank's tokens are split";
  let description = [{
    Part i of n of t tokens are ceil((t - i) / n) consecutive ones, behind those
    of the parts before: parts differ by at most one token, and the first are
    the larger ones.

    ```mlir
    #schedule.part<0 of 2>
    ```

    Of 7 tokens the parts of 2 are 4 and 3, those of 3 are 3, 2 and 2.

    Constraints:
    - C1: the part is one of those that there are.
  }];
  let parameters = (ins "int64_t":$index, "int64_t":$count);
  let extraClassDeclaration = [{
    /// The tokens of the part, where a rank has `tokens`.
    int64_t getTokens(int64_t tokens) const {
      return (tokens + getCount() - 1 - getIndex()) / getCount();
    }
  }];
  let assemblyFormat = "`<` $index `of` $count `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Streams and slots
//===----------------------------------------------------------------------===//

def Schedule_StreamKind : I32Enum<"StreamKind", "the kinds of streams", [
  I32EnumCase<"compute", 0>, I32EnumCase<"aux", 1>, I32EnumCase<"comm", 2>
]> {
  let cppNamespace = "::moe::schedule";
}

def Schedule_StreamAttr : Schedule_Attr<"Stream", "stream"> {
  let summary = "a stream of the program";
  let description = [{
    `compute` is the caller's stream. `aux` is the one auxiliary stream of the
    whole program: streams per layer were measured several times slower. There
    is one `comm` stream per communicator.

    Syntax in ops: `on(compute)`, `on(aux)`, `on(comm #ranks[dp, tp])`.
  }];
  let parameters = (ins
    EnumParameter<Schedule_StreamKind>:$kind,
    OptionalParameter<"CommunicatorAttr">:$communicator
  );
  let builders = [
    AttrBuilder<(ins CArg<"StreamKind", "StreamKind::compute">:$kind), [{
      return $_get($_ctxt, kind, CommunicatorAttr());
    }]>
  ];
  let extraClassDeclaration = [{
    /// "compute", "aux" or "comm dp x tp".
    std::string getDisplayName() const;
  }];
  let assemblyFormat = [{
    `<` $kind (`,` custom<Communicator>($communicator)^)? `>`
  }];
  let genVerifyDecl = 1;
}

def Schedule_SlotAttr : Schedule_Attr<"Slot", "slot"> {
  let summary = "a named slice of the workspace";
  let description = [{
    Offset and size in bytes as functions of the tokens of this rank and the
    tokens of all ranks:

    ```mlir
    #schedule.slot<"logits", offset = (t, n) -> (t * 512),
                             size = (t, n) -> (t * 256)>
    ```

    Both are linear with coefficients that are not negative and multiples of
    256, so that every slot is aligned whatever the tokens, and so that two
    slots are disjoint for all tokens exactly when one's end is at most the
    other's offset coefficient by coefficient. That is how disjointness is
    proven; no alias analysis is asked.
  }];
  let parameters = (ins
    "::mlir::StringAttr":$name,
    "::mlir::AffineMap":$offset,
    "::mlir::AffineMap":$size
  );
  let extraClassDeclaration = [{
    /// Coefficients of (1, tokens, tokens of all ranks), in bytes.
    using Bytes = std::array<int64_t, 3>;
    /// The coefficients of a linear map of two dimensions, or nothing.
    static std::optional<Bytes> getCoefficients(::mlir::AffineMap map);
    Bytes getOffsetBytes() const;
    Bytes getSizeBytes() const;
    /// True if the two slots share no byte, whatever the tokens.
    bool isDisjointFrom(SlotAttr other) const;
  }];
  let assemblyFormat = "`<` $name `,` `offset` `=` $offset `,` `size` `=` $size `>`";
  let genVerifyDecl = 1;
}
def Schedule_SlotArrayAttr
    : TypedArrayAttrBase<Schedule_SlotAttr, "workspace slots">;

def Schedule_CollectiveKind : I32Enum<"CollectiveKind", "what a collective does", [
  I32EnumCase<"all_gather", 0>, I32EnumCase<"reduce_scatter", 1>,
  I32EnumCase<"all_reduce", 2>, I32EnumCase<"all_to_all", 3>
]> {
  let cppNamespace = "::moe::schedule";
}

//===----------------------------------------------------------------------===//
// How a GPU kernel is launched
//===----------------------------------------------------------------------===//

def Schedule_PointerAttr : Schedule_Attr<"Pointer", "pointer"> {
  let summary = "kernel parameter: the address of a buffer of the launch";
  let description = [{
    `operand` counts the reads and then the writes. The kernel takes a pointer.
  }];
  let parameters = (ins "int64_t":$operand);
  let assemblyFormat = "`<` $operand `>`";
}

def Schedule_SizeAttr : Schedule_Attr<"Size", "size"> {
  let summary = "kernel parameter: the extent of a dimension of a buffer";
  let description = [{
    Dimension `dim` of buffer `operand`. The kernel takes an `i64`.
  }];
  let parameters = (ins "int64_t":$operand, "int64_t":$dim);
  let assemblyFormat = "`<` $operand `,` $dim `>`";
}

def Schedule_ScalarAttr : Schedule_Attr<"Scalar", "scalar"> {
  let summary = "kernel parameter: a scalar of the launch";
  let description = [{
    `operand` counts the scalars, which are values of the host. The kernel takes
    one of that type, and an `i64` for an `index`.
  }];
  let parameters = (ins "int64_t":$operand);
  let assemblyFormat = "`<` $operand `>`";
}

def Schedule_TensorMapAttr : Schedule_Attr<"TensorMap", "tensor_map"> {
  let summary = "kernel parameter: a tensor map (TMA descriptor) of a buffer";
  let description = [{
    A map over the whole row-major buffer `operand`. `box` is the extent of what
    one copy moves, outermost dimension first, one number per dimension of the
    buffer; `swizzle` is the width in bytes of the swizzle in shared memory: 0,
    32, 64 or 128. Elements out of bounds read as zero. The kernel takes the 128
    bytes of the map by value.

    ```mlir
    #schedule.tensor_map<1, box = [1, 128, 64], swizzle = 128>
    ```
  }];
  let parameters = (ins
    "int64_t":$operand, ArrayRefParameter<"int64_t">:$box, "int64_t":$swizzle
  );
  let assemblyFormat = [{
    `<` $operand `,` `box` `=` `[` $box `]` `,` `swizzle` `=` $swizzle `>`
  }];
  let genVerifyDecl = 1;
}

def Schedule_GPULaunchAttr : Schedule_Attr<"GPULaunch", "gpu"> {
  let summary = "the shape of a GPU kernel's blocks and its parameters";
  let description = [{
    `threads` per block, `shared_bytes` of dynamic shared memory per block and
    `cluster` blocks per cluster, all along the first dimension. With
    `early_start` a block may start while the kernel before it on the stream
    still runs (programmatic dependent launch): the kernel itself waits, before
    its first access of memory that any kernel writes.

    ```mlir
    #schedule.gpu<threads = 384, shared_bytes = 197632, cluster = 1,
                  early_start = true,
                  parameters = [#schedule.pointer<0>, #schedule.size<0, 0>]>
    ```
  }];
  let parameters = (ins
    "int64_t":$threads,
    "int64_t":$shared_bytes,
    "int64_t":$cluster,
    "bool":$early_start,
    ArrayRefParameter<"::mlir::Attribute">:$parameters
  );
  let assemblyFormat = [{
    `<` `threads` `=` $threads `,` `shared_bytes` `=` $shared_bytes `,`
        `cluster` `=` $cluster `,` `early_start` `=` $early_start `,`
        `parameters` `=` `[` $parameters `]` `>`
  }];
  let genVerifyDecl = 1;
}

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEATTRIBUTES_TD
