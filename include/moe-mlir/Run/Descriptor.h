//===- Descriptor.h - What an artefact says of itself -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_DESCRIPTOR_H
#define MOE_MLIR_RUN_DESCRIPTOR_H

#include "moe-mlir/Import/WeightSource.h"
#include "moe-mlir/Support/Result.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace moe::run {

/// The descriptor of an artefact; docs/artefact.md lists its fields.
struct Descriptor {
  std::string name;
  std::string target;
  std::string instructionSet;
  LayerSpec layer;
  std::optional<WeightMap> weights;
  /// In the order of the call; -1 stands for T.
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  int64_t numRanks = 1;
  std::optional<int64_t> maxNumTokens;
  std::optional<int64_t> staticNumTokens;
  /// The object of --explain=json, its keys in their order.
  nlohmann::ordered_json decision;
};

/// Reads a descriptor; `path` is the artefact's, for messages.
Status readDescriptor(const std::string &text, const std::string &path,
                      Descriptor &descriptor);

/// Whether the artefact takes T rows; `where` says what gave them.
Status checkTokens(const Descriptor &descriptor, int64_t T,
                   const std::string &where);

} // namespace moe::run

#endif // MOE_MLIR_RUN_DESCRIPTOR_H
