//===- Checker.h - An output against the reference --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_CHECKER_H
#define MOE_MLIR_RUN_CHECKER_H

#include "moe-mlir/Reference/Compare.h"
#include "moe-mlir/Run/Inputs.h"

#include <functional>
#include <optional>

namespace moe::run {

/// How far an output is from the reference in float64. It fails if
/// - the relative Frobenius error over all rows but those below is past the
///   tolerance of the dtype, or one of these rows is off by more than
///   `rowFactor` times it (in a large output a row can be lost in the sum);
/// - a value is not finite where the reference's is;
/// - nothing could be compared.
/// An artefact does not tell its choice of experts. Rows whose choice hangs on
/// scores closer than float32 resolves, which is what logits are computed in,
/// may differ; they are reported apart.
struct CheckReport {
  /// How much more a single row may be off than all rows together.
  static constexpr double rowFactor = 10;

  DType dtype = DType::F32;
  int64_t T = 0;
  int64_t numEvaluated = 0;
  double tolerance = 0;
  /// The evaluated rows whose choice is certain, and the others.
  reference::Comparison rows, ties;
  std::vector<int64_t> tieRows;

  bool tiesAgree() const;
  /// Why the check fails; "" if it does not.
  std::string complaint() const;
};

/// Compares the output [T, H] of a run with the reference, in `numRows` of its
/// rows, evenly spaced, or in all. Fails only where nothing can be compared.
Result<CheckReport> checkOutput(const LayerSpec &layer, const Inputs &inputs,
                                const HostTensor &output,
                                std::optional<int64_t> numRows = std::nullopt);

/// Runs `times` more, each of which writes `output` anew, and requires the bits
/// that are there now.
Status checkRepeats(const std::function<Status()> &run,
                    const HostTensor &output, int64_t times);

/// Whether two outputs have the same bits; else where they differ and by how
/// much, in words.
bool isBitwiseEqual(const HostTensor &first, const HostTensor &second,
                    std::string &difference);

} // namespace moe::run

#endif // MOE_MLIR_RUN_CHECKER_H
