//===- Files.h - Tensors from and to files ----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_FILES_H
#define MOE_MLIR_RUN_FILES_H

#include "moe-mlir/Reference/Tensor.h"
#include "moe-mlir/Run/Descriptor.h"
#include "moert/Safetensors.h"

namespace moe::run {

/// A safetensors file of what differs from row to row.
class RowFile {
public:
  /// Maps the file and checks names, dtypes and shapes; the layer is kept by
  /// reference.
  Status open(const std::string &path, const LayerSpec &layer,
              bool convertDType);

  const std::string &name() const { return path; }

  /// T; nothing if no file is open.
  std::optional<int64_t> numRows() const { return rows; }

  /// Appends the tensors, and notes on what was converted.
  Status read(std::vector<HostTensor> &tensors,
              std::vector<std::string> &notes) const;

private:
  Status checkTensor(const moert::TensorView &tensor, const TensorSpec &spec,
                     bool convertDType);

  std::string path;
  const LayerSpec *layer = nullptr;
  std::optional<moert::SafetensorsFile> file;
  std::optional<int64_t> rows;
};

/// Appends the layer's weights, packed from the names of the model (by the
/// artefact's map) or from the names of the layer's inputs, such as "w13".
Status readWeights(const std::string &path, const Descriptor &descriptor,
                   bool convertDType, std::vector<HostTensor> &tensors,
                   std::vector<std::string> &notes);

/// Writes `output` [T, H] and, where it is not null, `expert_load` [P] or, of
/// several ranks, [ranks, P]; the file appears whole or not at all.
Status writeOutput(const std::string &path, const HostTensor &output,
                   const HostTensor *expertLoad);

} // namespace moe::run

#endif // MOE_MLIR_RUN_FILES_H
