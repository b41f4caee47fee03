//===- Lowering.h - From CPU kernels to machine code ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CPU_LOWERING_H
#define MOE_MLIR_CODEGEN_CPU_LOWERING_H

#include "moe-mlir/Codegen/CPU/Target.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"

namespace moe::codegen::cpu {

#define GEN_PASS_DECL
#include "moe-mlir/Codegen/CPU/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "moe-mlir/Codegen/CPU/Passes.h.inc"

/// Registers the dialects that emitting, lowering and translating kernels need.
void registerDialects(mlir::DialectRegistry &registry);

/// Adds the passes that turn the kernels of a module, as CPU.h emits them, into
/// vector code and give each its packed entry. `cpu` is what Target::parse
/// takes; an unknown one is an error of the passes.
void buildKernelEntryPipeline(mlir::OpPassManager &pm, llvm::StringRef cpu);

/// Adds the passes that take what is left of a module to the LLVM dialect. Ops
/// that are in the LLVM dialect already stay as they are.
void buildToLLVMPipeline(mlir::OpPassManager &pm);

/// Both of the above: kernels to the LLVM dialect.
void buildKernelLoweringPipeline(mlir::OpPassManager &pm, llvm::StringRef cpu);

//===----------------------------------------------------------------------===//
// Packed arguments
//===----------------------------------------------------------------------===//
//
// The lowered form of kernel @k with memref arguments m0, m1, ... is
//
//   void k(const void *arguments, int64_t block)
//
// where `arguments` is an array of 8-byte slots, aligned to 8 bytes. For m0,
// then m1 and so on: one slot with the pointer to the memref's first element,
// then one slot with an int64_t for each dynamic dimension of its type,
// outermost first. Static dimensions take no slot. The memrefs have the
// identity layout, so offset and strides follow. Scalars, of index type, take
// one slot each behind the memrefs. Argument m0 is the kernel's second: the
// block is not in the array.

/// The number of 8-byte slots that arguments of these types take.
int64_t countArgumentSlots(llvm::ArrayRef<mlir::MemRefType> types);

/// Arguments that are packed at a launch site.
struct PackedArguments {
  mlir::Value pointer; ///< !llvm.ptr
  int64_t bytes;
};

/// Packs memrefs for a launch, in the LLVM dialect. `descriptors` are the
/// memrefs' descriptors as the LLVM type converter makes them; `types` their
/// memref types, `scalars` are i64. The array lies in an alloca in the entry
/// block of the `llvm.func` around the builder, so launches in loops do not
/// grow the stack.
PackedArguments packArguments(mlir::OpBuilder &builder, mlir::Location loc,
                              llvm::ArrayRef<mlir::MemRefType> types,
                              mlir::ValueRange descriptors,
                              mlir::ValueRange scalars = {});

//===----------------------------------------------------------------------===//
// Machine code
//===----------------------------------------------------------------------===//

enum class CodeForm { Object, Assembly, LLVMIR };

/// Translates a module in the LLVM dialect, optimizes it for `target` and
/// appends the code to `code`: an object file, or the text of the assembly or
/// of the optimized LLVM IR. Errors are emitted at the module.
llvm::LogicalResult compile(mlir::ModuleOp module, const Target &target,
                            CodeForm form, llvm::SmallVectorImpl<char> &code);

/// Object code of a module in the LLVM dialect: position independent, to be
/// linked or given to LLVM's JIT.
inline llvm::LogicalResult
compileToObject(mlir::ModuleOp module, const Target &target,
                llvm::SmallVectorImpl<char> &object) {
  return compile(module, target, CodeForm::Object, object);
}

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_CODEGEN_CPU_LOWERING_H
