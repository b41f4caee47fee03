//===- Compile.h - From a layer to an artefact ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The driver that `moe-compile` runs and that other compilers can call: takes a
// module with one layer through the pipelines, stops at the form that is asked
// for, and writes the artefact. docs/artefact.md describes the descriptor.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_ARTEFACT_COMPILE_H
#define MOE_MLIR_ARTEFACT_COMPILE_H

#include "moe-mlir/Import/ModelConfig.h"
#include "moe-mlir/Policy/Explain.h"
#include "moe-mlir/Support/CompileOptions.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <optional>
#include <string>

namespace mlir {
class PassManager;
} // namespace mlir

namespace moe {

/// What a compilation can stop at, in the order of the levels.
enum class Form {
  Layer,
  Phases,
  Schedule,
  Kernels,
  PTX,
  Cubin,
  LLVM,
  Object,
  Shared
};

/// "layer", "phases", "schedule", "kernels", "ptx", "cubin", "llvm", "object",
/// "shared".
std::optional<Form> parseForm(llvm::StringRef name);

/// How an artefact is made.
struct ArtefactOptions : CompileOptions {
  /// Whether a shared object says where its runtime is.
  bool runpath = true;
  /// Called with every pass manager before it runs; may be null.
  std::function<mlir::LogicalResult(mlir::PassManager &)> instrument = nullptr;
  /// Where the weights of the layer come from, for the descriptor; may be null.
  const WeightMap *weights = nullptr;
};

/// Creates a context with everything that compiling a layer needs.
void prepareContext(mlir::MLIRContext &context);

/// The one function of a module that holds a `moe.layer`; an error otherwise.
mlir::FailureOr<mlir::func::FuncOp> findLayerFunction(mlir::ModuleOp module);

/// The number of tokens that the layer of such a function is for, where it is
/// for one only.
std::optional<int64_t> getStaticTokens(mlir::func::FuncOp function);

/// Takes `module`, at level 1, to `form`, in place. Diagnostics say what is
/// wrong; the module is in no useful state then. With Form::PTX and Form::Cubin
/// the kernels end as a `gpu.binary`, with Form::Object and Form::Shared the
/// module ends in the LLVM dialect.
mlir::LogicalResult compileTo(mlir::ModuleOp module, Form form,
                              const ArtefactOptions &options);

/// As compileTo with Form::Schedule or later; returns the explanation, with the
/// bytes of the workspace where the form has one.
mlir::FailureOr<policy::Explanation>
compileAndExplain(mlir::ModuleOp module, Form form,
                  const ArtefactOptions &options,
                  std::optional<int64_t> tokens);

/// Appends the GPU kernels of a module that `compileTo` took to Form::PTX
/// (text) or Form::Cubin (machine code, which needs ptxas).
mlir::LogicalResult emitGPUKernels(mlir::ModuleOp module, std::string &kernels);

/// Appends the object file of a module that `compileTo(Form::Object)` made.
mlir::LogicalResult emitObject(mlir::ModuleOp module,
                               const ArtefactOptions &options,
                               llvm::SmallVectorImpl<char> &object);

/// Links an object to the shared object `path`, which appears whole or not at
/// all. `runtime` is libmoert.so, which the artefact will need; without it the
/// artefact only loads where the runtime's symbols are global. The artefact
/// looks for it beside itself and where it is now; without `runpath`, only
/// where the loader looks. Needs a linker (ld.lld-22, ld.lld or ld) on the
/// PATH.
llvm::Error linkShared(llvm::ArrayRef<char> object, llvm::StringRef path,
                       llvm::StringRef runtime, bool runpath = true);

/// Writes a file that appears whole or not at all.
llvm::Error writeFile(llvm::StringRef path, llvm::StringRef bytes);

} // namespace moe

#endif // MOE_MLIR_ARTEFACT_COMPILE_H
