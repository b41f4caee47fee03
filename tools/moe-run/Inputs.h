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

struct RankLayout;

struct Inputs {
  int64_t T = 0;
  /// With several ranks: the tokens of each. T is then those of one rank, or
  /// the rows of all of them.
  std::vector<int64_t> tokensPerRank;
  /// All tokens are decodes.
  bool decodes = false;
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
/// memory that they and the call need before anything is allocated. With a
/// layout of ranks these are the inputs of the whole layer, and the rows of all
/// ranks.
Outcome makeInputs(const RunOptions &options, const Artefact &artefact,
                   Inputs &inputs, const RankLayout *layout = nullptr);

/// Hidden states of T rows, as `makeInputs` makes them without a file.
HostTensor makeRandomRows(const RunOptions &options, const LayerSpec &layer,
                          int64_t T, uint64_t seed);

/// Whether an input has a row for each token.
bool isRowInput(const std::string &name);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_INPUTS_H
