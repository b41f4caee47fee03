//===- Emulated.h - Phases of a layer on an emulated GPU --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_CODEGEN_CUDA_EMULATED_H
#define MOE_MLIR_UNITTESTS_CODEGEN_CUDA_EMULATED_H

#include "Testing/CUDA/Host.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <random>

namespace moe::codegen::cuda::test {

/// Phases in IR, as kernels.
class Phase {
public:
  /// An operand's name and type. In the text, `%name` is the operand and
  /// `!name` its type.
  using Operands = std::vector<std::pair<std::string, std::string>>;

  /// `text` is a phase, or a schedule of several; `attributes` are those of the
  /// function, in braces.
  Phase(const Operands &operands, const std::string &text,
        const std::string &attributes = "");

  /// Runs the phase in both orders, on one rank. A test fails where there is an
  /// error, or where one bit differs.
  void run(const std::vector<Tensor *> &arguments) { runOnRanks({arguments}); }
  /// The same on several ranks with arguments of their own.
  void runOnRanks(const std::vector<std::vector<Tensor *>> &arguments);

  /// The labels of all launches, with those on both sides of a branch.
  std::vector<std::string> labels();
  /// The module as text.
  std::string text();

private:
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// Types in IR: of a row per token, and of i32 numbers.
std::string matrix(int64_t columns, Element element);
std::string vector(int64_t size);

/// Random values that are multiples of 1/8 in [-1, 1], whose products and short
/// sums are exact in every element type.
Tensor exactTensor(std::mt19937 &random, Element element,
                   std::vector<int64_t> shape);
/// Normal values, rounded to the element type.
Tensor normalTensor(std::mt19937 &random, Element element,
                    std::vector<int64_t> shape, double deviation = 1.0);

/// Expects every element to be set, and to be the value of the function as the
/// element type holds it, but for `tolerance` of it, and as much of 1.
void expectValues(const Tensor &tensor, double tolerance,
                  const std::function<double(int64_t, int64_t)> &value);

/// Expects the numbers, all of them set.
void expectNumbers(const Tensor &tensor, const std::vector<int64_t> &numbers);

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_UNITTESTS_CODEGEN_CUDA_EMULATED_H
