//===- Inputs.h - The tensors of a run --------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_INPUTS_H
#define MOE_MLIR_RUN_INPUTS_H

#include "moe-mlir/Reference/Tensor.h"
#include "moe-mlir/Run/Artefact.h"

#include <functional>
#include <memory>

namespace moe::run {

class RowFile;

/// Told before what takes long, such as "reading 1.1 GB of weights"; what it
/// returns is kept until that is done.
using ProgressListener =
    std::function<std::shared_ptr<void>(const std::string &what)>;

/// Where inputs come from.
struct InputOptions {
  /// A safetensors file, a model's folder or its index; "": random weights.
  std::string weights;
  /// Of all that is random.
  uint64_t seed = 0;
  /// Floating-point tensors of files may have other dtypes than the layer's.
  bool convertDType = false;
  /// All tokens are decodes.
  bool decodes = false;
  /// How uneven random routing is: the r-th popular expert's logit is lower by
  /// this times ln(r).
  std::optional<double> routingSkew;
  ProgressListener onProgress;
};

/// The inputs of a layer, or of one rank's share of it. Owns them.
struct Inputs {
  /// The rows of one rank, or of all of them.
  int64_t T = 0;
  /// The tokens of each rank.
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

/// Bytes that a run needs; doubles, as what is asked for may be beyond all
/// integers.
struct MemoryNeed {
  double weights = 0;
  /// Weights, rows, outputs and the workspaces of all ranks.
  double total = 0;
};

/// What `makeInputs` and the calls of all ranks allocate in this process. The
/// first argument's rows are those of `T`, the whole layer's.
MemoryNeed estimateMemory(const Artefact &artefact, int64_t T,
                          const std::vector<int64_t> &tokensPerRank);

/// Whether the inputs and outputs that the artefact asks for are its layer's.
Status checkSignature(const Descriptor &descriptor);

/// Reads or makes all inputs of the whole layer: weights, and the rows of all
/// ranks, `T` together, one rank after the other. `rows` is an open file of
/// them, or null for random ones.
Status makeInputs(const Descriptor &descriptor, int64_t T,
                  const std::vector<int64_t> &tokensPerRank,
                  const InputOptions &options, const RowFile *rows,
                  Inputs &inputs);

/// Hidden states of T rows, as `makeInputs` makes them without a file.
HostTensor makeRandomRows(const InputOptions &options, const LayerSpec &layer,
                          int64_t T, uint64_t seed);

/// Whether an input has a row for each token.
bool isRowInput(const std::string &name);

} // namespace moe::run

#endif // MOE_MLIR_RUN_INPUTS_H
