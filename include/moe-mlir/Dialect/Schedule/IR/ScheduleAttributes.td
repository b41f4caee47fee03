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
    is one `comm` stream per communicator, named by it.

    Syntax in ops: `on(compute)`, `on(aux)`, `on(comm "ep")`.
  }];
  let parameters = (ins
    EnumParameter<Schedule_StreamKind>:$kind,
    OptionalParameter<"::mlir::StringAttr">:$communicator
  );
  let builders = [
    AttrBuilder<(ins CArg<"StreamKind", "StreamKind::compute">:$kind,
                     CArg<"::llvm::StringRef", "{}">:$communicator), [{
      return $_get($_ctxt, kind,
                   communicator.empty()
                       ? ::mlir::StringAttr()
                       : ::mlir::StringAttr::get($_ctxt, communicator));
    }]>
  ];
  let extraClassDeclaration = [{
    /// "compute", "aux" or "comm ep".
    std::string getDisplayName() const;
  }];
  let assemblyFormat = "`<` $kind (`,` $communicator^)? `>`";
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
