//===- Evaluate.h - The layer in float64 ---------------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Evaluates a layer in float64 from the very inputs that a compiled layer
// gets. Independent of code generation: it shares the layer's description with
// it and nothing else. Nothing depends on the number of threads.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_REFERENCE_EVALUATE_H
#define MOE_MLIR_REFERENCE_EVALUATE_H

#include "moe-mlir/Reference/Tensor.h"

namespace moe::reference {

struct EvaluateOptions {
  /// The rows to evaluate, any order; empty: all T.
  std::vector<int64_t> rows;
  /// [T, k] or null: experts that were chosen elsewhere and are to be used
  /// instead of the reference's own choice (the weights are still computed
  /// here, from their scores). -1 marks a slot without expert.
  const int32_t *chosenIds = nullptr;
  /// 0: one per core.
  unsigned numThreads = 0;
};

/// R rows, in the order of `rows`. All arrays are row-major.
struct Evaluation {
  std::vector<int64_t> rows;   // [R]
  std::vector<double> output;  // [R, H]
  std::vector<int32_t> ids;    // [R, k], best first (as given if given)
  std::vector<double> weights; // [R, k], before the routed scale
  /// [R, E + Z]: scores, and the choice scores that decided (with the
  /// correction bias, before groups are masked; NaN as it is). Empty where the
  /// routing is given.
  std::vector<double> scores;
  std::vector<double> choiceScores;
  /// [R]: how far a float32 evaluation of the row's logits may be off: 4
  /// standard deviations of float32 rounding over H random products.
  std::vector<double> logitError;
  /// Of the routed experts' rows that were evaluated; informative.
  int64_t expertRows = 0;
};

/// `inputs` are those of `layerInputs(spec)`, in any order and found by name;
/// a missing, superfluous or wrongly shaped one is an error, as is an id
/// outside -1 .. E + Z - 1.
Result<Evaluation> evaluate(const LayerSpec &spec,
                            const std::vector<TensorView> &inputs, int64_t T,
                            const EvaluateOptions &options = {});

/// The scores of one row's `numRouted` logits.
void scoreLogits(const LayerSpec &spec, const double *logits, double *scores);

/// The n_group group scores of one row; NaN counts as -infinity.
std::vector<double> groupScores(const LayerSpec &spec,
                                const double *choiceScores);

/// Which of the n_group groups one row keeps.
std::vector<char> keptGroups(const LayerSpec &spec, const double *choiceScores);

/// The choice of one row, as `RoutingSpec` defines it, from its `numRouted`
/// choice scores: `topK` ids, best first.
void chooseExperts(const LayerSpec &spec, const double *choiceScores,
                   int32_t *ids);

/// The weights of one row's chosen ids (-1 gives 0), before the routed scale.
void weighExperts(const LayerSpec &spec, const double *logits,
                  const double *scores, const int32_t *ids, double *weights);

} // namespace moe::reference

#endif // MOE_MLIR_REFERENCE_EVALUATE_H
