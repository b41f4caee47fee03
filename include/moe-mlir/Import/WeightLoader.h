//===- WeightLoader.h - Checkpoint tensors to layer inputs ---- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_IMPORT_WEIGHTLOADER_H
#define MOE_MLIR_IMPORT_WEIGHTLOADER_H

#include "moe-mlir/Import/WeightSource.h"
#include "moe-mlir/Reference/Tensor.h"

namespace moe {

/// A tensor in a file, row-major contiguous; `dtype` as safetensors spells it
/// ("F32", "BF16", "F16", "F8_E4M3", ...).
struct SourceTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  const void *data = nullptr;
};

/// What the loader asks of a file format. The data lives as long as the source
/// and need not be aligned.
class TensorSource {
public:
  virtual ~TensorSource();
  virtual std::vector<std::string> names() const = 0;
  /// One of `names()`; an error if it cannot be read (a missing shard).
  virtual Result<SourceTensor> find(const std::string &name) = 0;
};

struct LoadOptions {
  /// Convert tensors of another floating-point dtype to the layer's (noted in
  /// `LoadedWeights::notes`). Without it they are an error, except that inputs
  /// that are always f32 (the biases of the router) may be widened from bf16
  /// or f16, which loses nothing.
  bool convertDType = false;
};

struct LoadedWeights {
  /// In canonical order: those of `layerInputs(spec)` that are weights.
  std::vector<HostTensor> tensors;
  std::vector<std::string> notes;
};

/// Packs the weights of one layer. Names are taken inside the MoE module:
/// where the file has names such as `model.layers.3.mlp.gate.weight`, those of
/// layer `map.layer` and one of `map.modules` count and all others are none of
/// our business; else names count as they are (with or without `mlp.`), and a
/// tensor that no input uses is an error. Errors name the tensor, what was
/// expected and what was found.
Result<LoadedWeights> loadWeights(const LayerSpec &spec, const WeightMap &map,
                                  TensorSource &source,
                                  const LoadOptions &options = {});

} // namespace moe

#endif // MOE_MLIR_IMPORT_WEIGHTLOADER_H
