//===- Inputs.h - The tensors of a run --------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_INPUTS_H
#define MOE_MLIR_TOOLS_MOERUN_INPUTS_H

#include "Artefact.h"
#include "moe-mlir/Reference/Tensor.h"

namespace moe::tools {

struct Inputs {
  int64_t T = 0;
  /// Those of layerInputs(layer), in canonical order.
  std::vector<HostTensor> tensors;
  /// Where they come from, one line of text each.
  std::string weightsFrom;
  std::string rowsFrom;
  /// What the user should know, such as a conversion.
  std::vector<std::string> notes;

  const HostTensor *find(const std::string &name) const;
  std::vector<TensorView> views() const;
};

/// Finds T, then reads or makes all inputs of the artefact's layer. Checks the
/// memory that they and the call need before anything is allocated.
Outcome makeInputs(const RunOptions &options, const Artefact &artefact,
                   Inputs &inputs);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_INPUTS_H
