//===- CUDACases.h - Kernels for a machine without LLVM ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Programs that compile kernels here, to run and check them on a machine that
// has a GPU but no LLVM (cuda_kernels.py). What to compile are lines of
// settings on standard input.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_BENCHMARKS_CUDACASES_H
#define MOE_MLIR_BENCHMARKS_CUDACASES_H

#include "moe-mlir/Codegen/CUDA/CUDA.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/JSON.h"
#include <string>

namespace moe::benchmarks {

/// One line of the input: words `key=value`.
class Case {
public:
  explicit Case(llvm::StringRef line);
  std::string text(llvm::StringRef key, llvm::StringRef otherwise = "") const;
  int64_t number(llvm::StringRef key, int64_t otherwise = 0) const;
  /// An element type by name; bf16 where there is none.
  mlir::Type element(mlir::MLIRContext *context, llvm::StringRef key) const;
  llvm::json::Object json() const;

private:
  llvm::StringMap<std::string> settings;
};

/// A buffer of a case.
struct Operand {
  std::string name;
  llvm::SmallVector<int64_t> shape;
  /// Whether the kernel learns the first dimension only when it runs.
  bool isDynamic;
  mlir::Type element;
};

/// What a program compiles.
class CaseEmitter {
public:
  virtual ~CaseEmitter() = default;
  virtual std::vector<Operand> getOperands(mlir::MLIRContext *context,
                                           const Case &settings) = 0;
  /// Emits the launches of a case on buffers, which are its operands.
  virtual llvm::LogicalResult emit(const codegen::cuda::Emission &emission,
                                   const Case &settings,
                                   mlir::ValueRange buffers) = 0;
};

/// The main function of such a program: writes kernels.ptx, kernels.cubin and,
/// with the launches of each case, launches.json to the folder of the command
/// line. What ptxas says goes to standard error. Returns the exit code.
int compileCases(int argc, char **argv, llvm::StringRef tool,
                 CaseEmitter &emitter);

} // namespace moe::benchmarks

#endif // MOE_MLIR_BENCHMARKS_CUDACASES_H
