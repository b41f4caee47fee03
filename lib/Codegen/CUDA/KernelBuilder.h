//===- KernelBuilder.h - What CUDA kernels are made of ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Buffers start at addresses aligned to 16 bytes (the runtime refuses others),
// so a row can be read in vectors of as many bytes as divide its length.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_KERNELBUILDER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_KERNELBUILDER_H

#include "Carried.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinTypes.h"

namespace moe::codegen::cuda {

/// Threads of a warp.
inline constexpr int64_t kWarpSize = 32;
/// Bytes of the widest load or store of a thread.
inline constexpr int64_t kVectorBytes = 16;

/// LLVM address spaces of NVPTX.
enum AddressSpace : unsigned { Generic = 0, Global = 1, Shared = 3 };

/// A buffer of a launch, as its kernel sees it. Null where an optional operand
/// is absent.
struct Buffer {
  mlir::MemRefType type = {};
  /// The kernel's argument that is its address or tensor map; its dynamic
  /// extents are those that follow.
  unsigned argument = 0;

  explicit operator bool() const { return static_cast<bool>(type); }
};

/// A value of the host that a launch takes along.
struct Scalar {
  unsigned argument = 0; ///< Of the kernel.
};

/// A row-major array in global or shared memory.
struct Array {
  Expr base; ///< !llvm.ptr<1> or !llvm.ptr<3>.
  mlir::Type element;
  llvm::SmallVector<Expr, 3> sizes; ///< i32.
};

/// Writes the body of one kernel. Integers are i32 unless said otherwise;
/// addresses are computed in 64 bits.
class KernelBuilder : public ExprBuilder {
public:
  KernelBuilder(mlir::Location loc, mlir::OpBuilder &builder,
                mlir::LLVM::LLVMFuncOp kernel)
      : ExprBuilder(loc, builder), kernel(kernel) {}

  //===--- Where a thread is ------------------------------------------------===

  Expr thread();
  Expr lane();
  Expr warp();
  Expr block();
  Expr numBlocks();

  /// An index of the host, which fits into 31 bits.
  Expr scalar(Scalar scalar);

  //===--- Memory -----------------------------------------------------------===

  /// The extent of a dimension, a constant where it is static.
  Expr dim(const Buffer &buffer, unsigned position);
  Array array(const Buffer &buffer);
  const Array &array(const Array &array) { return array; }
  /// The generic address of a buffer's tensor map, for TMA.
  Expr tensorMap(const Buffer &buffer);

  /// An array in static shared memory, `name` for readers of the IR.
  Array shared(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
               mlir::Type element);
  /// Byte `offset` of the launch's dynamic shared memory, which is aligned to
  /// 1024 bytes.
  Expr dynamicShared(int64_t offset = 0);
  /// An array there.
  Array dynamicShared(int64_t offset, llvm::ArrayRef<int64_t> shape,
                      mlir::Type element);

  /// The address of an element. With fewer indices than dimensions, of the
  /// first element there.
  template <typename Memory>
  Expr address(const Memory &memory, llvm::ArrayRef<Expr> indices) {
    return addressOf(array(memory), indices);
  }
  /// Loads `width` contiguous elements as they are; the address is aligned to
  /// their size.
  template <typename Memory>
  Expr loadRaw(const Memory &memory, llvm::ArrayRef<Expr> indices,
               unsigned width = 1) {
    const Array &source = array(memory);
    return loadRaw(addressOf(source, indices), source.element, width);
  }
  Expr loadRaw(Expr address, mlir::Type element, unsigned width = 1);
  /// The same, and widens floats to f32.
  template <typename Memory>
  Expr load(const Memory &memory, llvm::ArrayRef<Expr> indices,
            unsigned width = 1) {
    return widen(loadRaw(memory, indices, width));
  }
  /// Rounds floats to the element type, to nearest even, and stores.
  template <typename Memory>
  void store(Expr value, const Memory &memory, llvm::ArrayRef<Expr> indices) {
    const Array &target = array(memory);
    storeRaw(narrow(value, target.element), addressOf(target, indices));
  }
  void storeRaw(Expr value, Expr address);
  /// Adds an integer to an element, atomically for the whole GPU.
  template <typename Memory>
  void atomicAdd(Expr value, const Memory &memory,
                 llvm::ArrayRef<Expr> indices) {
    atomicAdd(value, addressOf(array(memory), indices));
  }
  void atomicAdd(Expr value, Expr address);

  //===--- Control flow -----------------------------------------------------===
  // What is carried and what results is a state; see Carried.h.

  void forEach(Expr begin, Expr end, Expr step,
               llvm::function_ref<void(Expr)> body);
  /// A loop that carries a state: `body(i, state)` maps that of one iteration
  /// to that of the next.
  template <typename State, typename Body>
  State forEach(Expr begin, Expr end, Expr step, State init, const Body &body) {
    auto next = [&](Expr i, llvm::ArrayRef<Expr> values) {
      return getValues(State(body(i, withValues(init, values))));
    };
    return withValues(init, emitFor(begin, end, step, getValues(init), next));
  }
  /// Repeats `body(state)` while `condition(state)` is true.
  template <typename State, typename Condition, typename Body>
  State whileTrue(State init, const Condition &condition, const Body &body) {
    auto isTrue = [&](llvm::ArrayRef<Expr> values) -> Expr {
      return condition(withValues(init, values));
    };
    auto next = [&](llvm::ArrayRef<Expr> values) {
      return getValues(State(body(withValues(init, values))));
    };
    return withValues(init, emitWhile(getValues(init), isTrue, next));
  }
  void ifThen(Expr condition, llvm::function_ref<void()> body);
  /// Both sides hand back a state of the same type and size, or nothing.
  template <typename Then, typename Otherwise>
  auto ifElse(Expr condition, const Then &then, const Otherwise &otherwise) {
    using State = std::invoke_result_t<const Then &>;
    if constexpr (std::is_void_v<State>) {
      emitIf(
          condition, [&] { return then(), Exprs(); },
          [&] { return otherwise(), Exprs(); });
    } else {
      State state;
      Exprs values = emitIf(
          condition, [&] { return getValues(state = then()); },
          [&] { return getValues(State(otherwise())); });
      return withValues(state, values);
    }
  }
  /// `body(bound)` for the first of the rising `bounds` that is not below
  /// `value`, the last for all that are larger: code that has a number in its
  /// instructions, once for each number.
  template <typename Body>
  std::invoke_result_t<const Body &, int64_t>
  switchUpTo(Expr value, llvm::ArrayRef<int64_t> bounds, const Body &body) {
    if (bounds.size() == 1)
      return body(bounds.front());
    return ifElse(
        value <= bounds.front(), [&] { return body(bounds.front()); },
        [&] { return switchUpTo(value, bounds.drop_front(), body); });
  }

  //===--- Values that no optimizer sees through ----------------------------===

  /// The i32 `value`, of which nothing is known any more. A loop of so many
  /// steps is not unrolled: the products of its steps would want registers of
  /// their own.
  Expr opaque(Expr value);
  /// The number of the thread in its block, read anew. What depends on
  /// `thread()` alone is computed once for all iterations of the loops around
  /// it, and takes the registers that their values need.
  Expr threadAnew();

  //===--- Threads together -------------------------------------------------===

  /// All threads of the block wait for each other.
  void barrier();
  /// The same for the threads that use barrier `id`, `count` of them.
  void barrier(Expr id, int64_t count);
  void syncWarp();
  /// The value of lane `lane`, or of the lane at a distance.
  Expr shuffle(Expr value, Expr lane);
  Expr shuffleXor(Expr value, int64_t mask);
  /// Lanes below `delta` keep their own value.
  Expr shuffleUp(Expr value, int64_t delta);
  /// Combines the values of `lanes` neighbouring lanes, a power of two; all of
  /// them get the result, bitwise the same if `combine` is commutative.
  Expr reduceLanes(Expr value, llvm::function_ref<Expr(Expr, Expr)> combine,
                   int64_t lanes = kWarpSize);
  Expr sumLanes(Expr value, int64_t lanes = kWarpSize);
  /// The largest and the smallest value of the warp, i32 or f32.
  Expr maxLanes(Expr value);
  Expr minLanes(Expr value);
  /// Sum of the i32 values of this lane and those before it.
  Expr scanLanes(Expr value);
  /// Sums of the i32 values of the threads before this one, and of all threads
  /// of a block of `warps`.
  std::pair<Expr, Expr> scanBlock(Expr value, int64_t warps);
  /// One bit per lane.
  Expr ballot(Expr condition);
  /// The lanes whose i32 value is the same, one bit per lane.
  Expr matchLanes(Expr value);
  /// The bits of the lanes before this one.
  Expr lanesBefore();
  /// How many bits are set.
  Expr countBits(Expr value);

  /// Lets the next launch of the stream start its blocks.
  void startDependents();
  /// Waits until the launch before this one has finished. No memory that any
  /// kernel writes may be touched before.
  void awaitPrevious();
  /// Both: how kernels without a prologue begin.
  void awaitInputs() {
    startDependents();
    awaitPrevious();
  }

private:
  Exprs emitFor(Expr begin, Expr end, Expr step, llvm::ArrayRef<Expr> init,
                llvm::function_ref<Exprs(Expr, llvm::ArrayRef<Expr>)> body);
  Exprs emitWhile(llvm::ArrayRef<Expr> init,
                  llvm::function_ref<Expr(llvm::ArrayRef<Expr>)> condition,
                  llvm::function_ref<Exprs(llvm::ArrayRef<Expr>)> body);
  Exprs emitIf(Expr condition, llvm::function_ref<Exprs()> then,
               llvm::function_ref<Exprs()> otherwise);
  Expr emitAsm(llvm::StringRef text, llvm::StringRef constraints,
               mlir::ValueRange operands, bool hasSideEffects);
  Expr addressOf(const Array &array, llvm::ArrayRef<Expr> indices);
  mlir::LLVM::GlobalOp getOrCreateGlobal(llvm::StringRef name, mlir::Type type,
                                         mlir::LLVM::Linkage linkage,
                                         unsigned alignment);

  mlir::LLVM::LLVMFuncOp kernel;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_KERNELBUILDER_H
