//===- Descriptor.h - What an artefact says of itself -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_ARTEFACT_DESCRIPTOR_H
#define MOE_MLIR_LIB_ARTEFACT_DESCRIPTOR_H

#include "moe-mlir/Import/WeightSource.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace moe {

/// What the descriptor says beyond what the function says.
struct DescriptorInput {
  LayerSpec layer;
  const WeightMap *weights = nullptr;
  /// "cpu" or "cuda".
  std::string target;
  /// LLVM's name of the CPU, or the GPU's architecture.
  std::string instructionSet;
  /// What the code for the CPU may use of moert/CPUFeatures.def.
  std::vector<std::string> cpuFeatures;
  std::optional<int64_t> staticTokens, maxTokens;
};

/// The descriptor of a scheduled function with its workspace (level 7), as
/// JSON text; docs/artefact.md lists the fields.
mlir::FailureOr<std::string> makeDescriptor(mlir::func::FuncOp function,
                                            const DescriptorInput &input);

} // namespace moe

#endif // MOE_MLIR_LIB_ARTEFACT_DESCRIPTOR_H
