//===- KernelTable.h - Which emitter an op has on a target ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_KERNELTABLE_H
#define MOE_MLIR_CODEGEN_KERNELTABLE_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "llvm/ADT/StringMap.h"
#include <functional>
#include <string>

namespace moe::codegen {

/// Success if every target's kernels can run a phase, or phases that are fused:
/// buffers are row-major, and no other rank takes part. Shapes are the business
/// of verifiers.
llvm::LogicalResult checkRunnable(mlir::Operation *phase);

/// For emitters that multiply weights as they are: an error where they are
/// quantized.
llvm::LogicalResult checkPlainWeights(ExpertsOp experts,
                                      llvm::StringRef target);

/// What a target can run: for each op the function that emits its kernels and
/// their launches where `EmissionT` says. What a target cannot do with an op it
/// has a row for, the emitter says.
template <typename EmissionT> class KernelTable {
public:
  explicit KernelTable(llvm::StringRef target) : target(target) {}

  /// A row for an op.
  template <typename OpT>
  KernelTable &add(llvm::LogicalResult (*emit)(OpT, const EmissionT &)) {
    emitters[OpT::getOperationName()] = [emit](mlir::Operation *op,
                                               const EmissionT &emission) {
      return emit(llvm::cast<OpT>(op), emission);
    };
    return *this;
  }

  /// A row for a `moe.fused` of two phases.
  template <typename FirstT, typename SecondT>
  KernelTable &addFused(llvm::LogicalResult (*emit)(FirstT, SecondT,
                                                    const EmissionT &)) {
    emitters[getKey<FirstT, SecondT>()] = [emit](mlir::Operation *op,
                                                 const EmissionT &emission) {
      mlir::Block &body = llvm::cast<FusedOp>(op).getBody().front();
      return emit(llvm::cast<FirstT>(body.front()),
                  llvm::cast<SecondT>(body.back()), emission);
    };
    return *this;
  }

  /// Whether there is a kernel for a `moe.fused` whose body has these names,
  /// as `FusedOp::getOpNames` gives them.
  bool canFuse(llvm::StringRef opNames) const {
    return emitters.contains(opNames);
  }

  /// Emits the launches of `op` before it, or an error that names the target.
  llvm::LogicalResult emit(mlir::Operation *op,
                           const EmissionT &emission) const {
    auto fused = llvm::dyn_cast<FusedOp>(op);
    auto row = emitters.find(fused ? fused.getOpNames()
                                   : op->getName().getStringRef().str());
    if (row == emitters.end())
      return op->emitOpError("has no kernel on target '") << target << "'";
    if (failed(checkRunnable(op)))
      return llvm::failure();
    return row->second(op, emission);
  }

private:
  template <typename FirstT, typename SecondT> static std::string getKey() {
    return (FirstT::getOperationName() + "+" + SecondT::getOperationName())
        .str();
  }

  std::string target;
  llvm::StringMap<
      std::function<llvm::LogicalResult(mlir::Operation *, const EmissionT &)>>
      emitters;
};

} // namespace moe::codegen

#endif // MOE_MLIR_CODEGEN_KERNELTABLE_H
