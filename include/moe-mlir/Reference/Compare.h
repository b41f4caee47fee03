//===- Compare.h - Errors against the reference --------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_REFERENCE_COMPARE_H
#define MOE_MLIR_REFERENCE_COMPARE_H

#include "moe-mlir/Reference/Evaluate.h"

namespace moe::reference {

/// The relative Frobenius error up to which a layer of `dtype` agrees with the
/// reference: 1e-5 for f32, 1e-2 for bf16, 2e-3 for f16.
double tolerance(DType dtype);

struct Comparison {
  /// |actual - reference| / |reference| over all compared elements (Frobenius
  /// norms); the absolute norm where the reference is zero.
  double relativeError = 0;
  double maxAbsolute = 0;
  /// The row with the largest error relative to the larger of its own norm and
  /// the root mean square norm of all rows; -1 if nothing was compared.
  int64_t worstRow = -1;
  double worstRowError = 0;
  /// Elements that are not finite on one side and different on the other; they
  /// make `relativeError` infinite. Equal infinities and pairs of NaNs agree.
  int64_t nonFiniteMismatches = 0;
  int64_t rowsCompared = 0;
};

/// Compares `actual` [T, H] with the evaluated rows. Rows named in `skipRows`
/// (of T) are left out.
Result<Comparison> compare(const TensorView &actual,
                           const Evaluation &reference,
                           const std::vector<int64_t> &skipRows = {});

/// Choices of experts that differ from the reference's.
struct ChoiceReport {
  int64_t rowsCompared = 0;
  /// Rows (of T) with another set of experts that near-equal scores explain.
  std::vector<int64_t> nearTies;
  /// Rows with another set of experts that they do not.
  std::vector<int64_t> wrong;
  /// The largest amount, over `nearTies`, by which a score was passed over.
  double largestGap = 0;
};

/// Judges the ids [T, k] that a layer chose. A row's choice is admissible if
/// some set of kept groups and some top-k among them explain it when every
/// choice score may be off by what `resolution` resolves (a relative
/// unitRoundoff(resolution)) and by the row's float32 logit error. An id out of
/// range or twice in a row is always wrong. Compiled layers score in float32
/// whatever their dtype, so DType::F32 is what they should meet; the layer's
/// own dtype allows for implementations that score in it. Nothing is compared
/// where the routing is given.
ChoiceReport compareChoices(const LayerSpec &spec, const Evaluation &reference,
                            const int32_t *ids, DType resolution);

/// The rows (of T) whose choice hangs on scores that close: where a layer's
/// own ids are not known, only these may rightly differ.
std::vector<int64_t> rowsWithNearTies(const LayerSpec &spec,
                                      const Evaluation &reference,
                                      DType resolution);

} // namespace moe::reference

#endif // MOE_MLIR_REFERENCE_COMPARE_H
