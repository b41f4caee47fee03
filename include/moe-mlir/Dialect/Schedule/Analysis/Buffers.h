//===- Buffers.h - What memory a value stands for ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which buffers a memref may point into, and which buffers may share bytes.
//
// | buffer                          | shares bytes with                      |
// |---------------------------------|----------------------------------------|
// | an argument that is an output   | nothing but memory of unknown origin   |
// | the workspace argument          | its slots                              |
// | an argument that is read only   | arguments and globals that are written |
// | an argument that is updated     | arguments and globals                  |
// | an allocation                   | nothing but memory of unknown origin   |
// | a slot                          | slots whose bytes the table overlaps   |
// | memory of unknown origin        | everything                             |
//
// Roles of arguments are unit attributes: `bufferize.result` (an output, which
// the bufferization passes set), `schedule.workspace`, `schedule.inout` (read
// and updated). Every other argument is an input and read only.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_BUFFERS_H
#define MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_BUFFERS_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include <deque>

namespace moe::schedule {

/// An index into a BufferTable.
using BufferId = unsigned;

/// A piece of memory with one origin.
struct Buffer {
  enum class Origin {
    Unknown,    ///< A value that could not be traced.
    Input,      ///< An argument that is read only.
    Inout,      ///< An argument that is read and updated.
    Output,     ///< An argument that holds nothing at entry.
    Workspace,  ///< The argument that slots are cut from.
    Allocation, ///< memref.alloc and the like.
    Stack,      ///< memref.alloca: dies when the function returns.
    Global,     ///< A memref.global that may be written.
    Constant,   ///< A memref.global that may not.
    Slot        ///< A named slot of a workspace.
  };
  Origin origin = Origin::Unknown;
  /// The first value seen that is the whole buffer; null if unknown.
  mlir::Value root;
  /// The global's name.
  mlir::StringAttr symbol;
  /// Of a slot: its name and bytes, and the buffer that it is cut from.
  SlotAttr slot;
  WorkspaceOp workspace;
  SlotAttr::Bytes begin{}, end{};
  BufferId bytes = 0;

  /// True if the caller can see the buffer before entry or after return.
  bool isCallers() const {
    return origin == Origin::Input || origin == Origin::Inout ||
           origin == Origin::Output || origin == Origin::Workspace ||
           origin == Origin::Global;
  }
  /// True if the buffer holds nothing until the function writes it.
  bool startsUnwritten() const {
    return origin == Origin::Output || origin == Origin::Allocation ||
           origin == Origin::Stack || origin == Origin::Slot;
  }
  bool isReadOnly() const {
    return origin == Origin::Input || origin == Origin::Constant;
  }
  /// "argument #2", "slot 'logits'", for messages.
  std::string getDisplayName() const;
};

/// The part of a buffer that a value covers.
struct View {
  explicit View(BufferId buffer = 0, bool whole = true)
      : buffer(buffer), whole(whole) {}

  BufferId buffer;
  /// True if the value is all of the buffer, and of no other buffer.
  bool whole;
  /// False if the value may be of this buffer or of another.
  bool certain = true;
  /// Half-open index ranges in a buffer of this type, dimension by dimension;
  /// empty if nothing is known. A range of {0, -1} is unknown.
  mlir::Type boxType;
  llvm::SmallVector<std::pair<int64_t, int64_t>, 4> box;

  /// True if two views of one buffer provably share no element.
  bool isDisjointFrom(const View &other) const;
};

/// The buffers of one function, collected as values are asked for.
class BufferTable {
public:
  explicit BufferTable(mlir::FunctionOpInterface function);

  /// The buffer of memory whose origin is not known.
  static constexpr BufferId unknown = 0;

  /// What the value may point into; never empty.
  llvm::SmallVector<View, 1> trace(mlir::Value value);

  /// The buffer that the value is a part of, if there is exactly one.
  std::optional<BufferId> getRoot(mlir::Value value);

  size_t size() const { return buffers.size(); }
  const Buffer &operator[](BufferId id) const { return buffers[id].buffer; }

  /// All other buffers collected so far that may share bytes with this one.
  llvm::ArrayRef<BufferId> getOverlapping(BufferId id) const {
    return buffers[id].overlapping;
  }

private:
  struct Entry {
    Buffer buffer;
    llvm::SmallVector<BufferId, 2> overlapping;
  };

  llvm::SmallVector<View, 1> traceUncached(mlir::Value value);
  BufferId add(Buffer buffer);
  BufferId addSlot(SliceOp slice);
  BufferId addGlobal(mlir::memref::GetGlobalOp op);
  bool overlap(BufferId first, BufferId second) const;

  mlir::FunctionOpInterface function;
  std::deque<Entry> buffers;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<View, 1>> views;
  llvm::DenseMap<mlir::Value, BufferId> byRoot;
  llvm::DenseMap<mlir::StringAttr, BufferId> bySymbol;
  llvm::DenseMap<SlotAttr, llvm::SmallVector<BufferId, 1>> bySlot;
};

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_BUFFERS_H
