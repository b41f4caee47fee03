//===- Compare.cpp - Errors against the reference -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Compare.h"
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

using namespace moe;
using namespace moe::reference;

static constexpr double infinity = std::numeric_limits<double>::infinity();

double reference::tolerance(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return 1e-5;
  case DType::BF16:
    return 1e-2;
  case DType::F16:
    return 2e-3;
  case DType::I32:
    return 0;
  }
  return 0;
}

Result<Comparison> reference::compare(const TensorView &actual,
                                      const Evaluation &reference,
                                      const std::vector<int64_t> &skipRows) {
  const int64_t R = static_cast<int64_t>(reference.rows.size());
  const int64_t H = R ? static_cast<int64_t>(reference.output.size()) / R : 0;
  if (actual.dtype == DType::I32)
    return Failure{"expected '" + actual.name +
                   "' of a floating-point dtype "
                   "but got i32"};
  if (actual.shape.size() != 2 || (R && actual.shape[1] != H))
    return Failure{"expected '" + actual.name + "' of shape " +
                   shapeText({-1, H}) + " but got " + shapeText(actual.shape)};

  Comparison comparison;
  std::vector<double> row(H), rowErrors, rowNorms;
  std::vector<int64_t> rows;
  double errorSum = 0, normSum = 0;
  for (int64_t r = 0; r < R; ++r) {
    const int64_t index = reference.rows[r];
    if (std::find(skipRows.begin(), skipRows.end(), index) != skipRows.end())
      continue;
    if (index >= actual.shape[0])
      return Failure{"expected '" + actual.name + "' to have row " +
                     std::to_string(index) + " but got shape " +
                     shapeText(actual.shape)};
    readAsDouble(actual.dtype, actual.data, index * H, H, row.data());
    double error = 0, norm = 0;
    for (int64_t i = 0; i < H; ++i) {
      const double a = row[i], b = reference.output[r * H + i];
      if (!std::isfinite(a) || !std::isfinite(b)) {
        bool agree = std::isnan(a) ? std::isnan(b) : a == b;
        if (!agree) {
          ++comparison.nonFiniteMismatches;
          error = comparison.maxAbsolute = infinity;
        }
        continue;
      }
      error += (a - b) * (a - b);
      norm += b * b;
      comparison.maxAbsolute =
          std::max(comparison.maxAbsolute, std::fabs(a - b));
    }
    errorSum += error;
    normSum += norm;
    rows.push_back(index);
    rowErrors.push_back(std::sqrt(error));
    rowNorms.push_back(std::sqrt(norm));
  }
  comparison.rowsCompared = static_cast<int64_t>(rows.size());
  if (rows.empty())
    return comparison;
  comparison.relativeError =
      std::sqrt(errorSum) / (normSum > 0 ? std::sqrt(normSum) : 1.0);
  const double typical = std::sqrt(normSum / double(rows.size()));
  comparison.worstRowError = -1;
  for (size_t i = 0; i < rows.size(); ++i) {
    double scale = std::max(typical, rowNorms[i]);
    double relative = rowErrors[i] / (scale > 0 ? scale : 1.0);
    if (relative > comparison.worstRowError) {
      comparison.worstRowError = relative;
      comparison.worstRow = rows[i];
    }
  }
  return comparison;
}

namespace {
/// Judges the choice of one row when its scores are uncertain.
class RowChoice {
public:
  RowChoice(const LayerSpec &spec, const Evaluation &reference, int64_t r,
            DType resolution);

  /// Whether `ids` is a choice that some scores within the uncertainty explain;
  /// `gap` is then the largest amount by which a score was passed over.
  bool isAdmissible(const int32_t *ids, double &gap) const;

  /// Whether another choice than the reference's own is admissible.
  bool hasNearTie() const;

private:
  double uncertaintyOfGroup(int64_t group) const;
  /// Kept and dropped groups that are within their uncertainty of each other.
  std::vector<int64_t> contenders() const;
  bool explains(const std::vector<char> &groups,
                const std::vector<char> &chosen, double &gap) const;

  const LayerSpec &spec;
  int64_t groupSize;
  std::vector<double> scores, uncertainties;
  std::vector<double> groups;
  std::vector<char> kept;
  std::vector<int32_t> ownIds;
};
} // namespace

/// How much further `b` is up than `a`; equal infinities are equal.
static double excess(double b, double a) { return a == b ? 0 : b - a; }

RowChoice::RowChoice(const LayerSpec &spec, const Evaluation &reference,
                     int64_t r, DType resolution)
    : spec(spec), groupSize(spec.numRouted() / spec.routing.nGroup),
      ownIds(spec.topK) {
  const int64_t N = spec.numRouted();
  // Evaluating a score takes a handful of float32 operations, whatever the
  // layer's dtype.
  const double relative =
      std::max(unitRoundoff(resolution), 8 * unitRoundoff(DType::F32));
  const double logitError = reference.logitError[r];
  scores.resize(N);
  uncertainties.resize(N);
  for (int64_t e = 0; e < N; ++e) {
    const double score = reference.scores[r * N + e];
    const double choice = reference.choiceScores[r * N + e];
    scores[e] = std::isnan(choice) ? -infinity : choice;
    // The logit's error times the derivative of the score.
    double propagated = 0;
    switch (spec.routing.score) {
    case ScoreFunction::softmax:
      propagated = 2 * score * logitError;
      break;
    case ScoreFunction::sigmoid:
      propagated = score * (1 - score) * logitError;
      break;
    case ScoreFunction::sqrt_softplus:
      if (score > 0)
        propagated = -std::expm1(-score * score) / (2 * score) * logitError;
      break;
    case ScoreFunction::logits:
      propagated = logitError;
      break;
    }
    double uncertainty =
        propagated + relative * (std::fabs(score) + std::fabs(choice - score)) +
        FLT_MIN;
    uncertainties[e] = std::isfinite(uncertainty) ? uncertainty : 0;
  }
  groups = groupScores(spec, scores.data());
  kept = keptGroups(spec, scores.data());
  chooseExperts(spec, scores.data(), ownIds.data());
}

double RowChoice::uncertaintyOfGroup(int64_t group) const {
  double largest = 0;
  for (int64_t i = 0; i < groupSize; ++i)
    largest = std::max(largest, uncertainties[group * groupSize + i]);
  return spec.routing.groupScore == GroupScore::max ? largest : 2 * largest;
}

std::vector<int64_t> RowChoice::contenders() const {
  const int64_t nGroup = spec.routing.nGroup;
  std::vector<char> contends(nGroup, false);
  for (int64_t in = 0; in < nGroup; ++in)
    for (int64_t out = 0; out < nGroup; ++out)
      if (kept[in] && !kept[out] &&
          excess(groups[in], groups[out]) <=
              uncertaintyOfGroup(in) + uncertaintyOfGroup(out))
        contends[in] = contends[out] = true;
  std::vector<int64_t> list;
  for (int64_t group = 0; group < nGroup; ++group)
    if (contends[group])
      list.push_back(group);
  return list;
}

bool RowChoice::explains(const std::vector<char> &keptNow,
                         const std::vector<char> &chosen, double &gap) const {
  gap = 0;
  for (int64_t a = 0; a < spec.numRouted(); ++a) {
    if (!chosen[a])
      continue;
    if (!keptNow[a / groupSize])
      return false;
    for (int64_t b = 0; b < spec.numRouted(); ++b) {
      if (chosen[b] || !keptNow[b / groupSize])
        continue;
      double passedOver = excess(scores[b], scores[a]);
      if (passedOver > uncertainties[a] + uncertainties[b])
        return false;
      gap = std::max(gap, passedOver);
    }
  }
  return true;
}

bool RowChoice::isAdmissible(const int32_t *ids, double &gap) const {
  std::vector<char> chosen(spec.numRouted(), false);
  for (int64_t slot = 0; slot < spec.topK; ++slot) {
    int32_t id = ids[slot];
    if (id < 0 || id >= spec.numRouted() || chosen[id])
      return false;
    chosen[id] = true;
  }
  if (explains(kept, chosen, gap))
    return true;
  // Other sets of groups differ in contenders only. Models have at most 16
  // groups, so trying all sets is cheap; beyond that, some are not tried and a
  // choice may be called wrong that is not.
  std::vector<int64_t> open = contenders();
  if (open.size() > 16)
    open.resize(16);
  int64_t keep = 0;
  std::vector<char> certain = kept;
  for (int64_t group : open) {
    keep += kept[group];
    certain[group] = false;
  }
  for (uint32_t set = 1; set < (1u << open.size()); ++set) {
    std::vector<char> keptNow = certain;
    int64_t count = 0;
    for (size_t i = 0; i < open.size(); ++i)
      if (set >> i & 1) {
        keptNow[open[i]] = true;
        ++count;
      }
    if (count != keep)
      continue;
    bool possible = true;
    for (int64_t in : open)
      for (int64_t out : open)
        if (keptNow[in] && !keptNow[out] &&
            excess(groups[out], groups[in]) >
                uncertaintyOfGroup(in) + uncertaintyOfGroup(out))
          possible = false;
    if (possible && explains(keptNow, chosen, gap))
      return true;
  }
  return false;
}

bool RowChoice::hasNearTie() const {
  if (!contenders().empty())
    return true;
  std::vector<char> chosen(spec.numRouted(), false);
  for (int32_t id : ownIds)
    chosen[id] = true;
  for (int32_t a : ownIds)
    for (int64_t b = 0; b < spec.numRouted(); ++b)
      if (!chosen[b] && kept[b / groupSize] &&
          excess(scores[a], scores[b]) <= uncertainties[a] + uncertainties[b])
        return true;
  return false;
}

ChoiceReport reference::compareChoices(const LayerSpec &spec,
                                       const Evaluation &reference,
                                       const int32_t *ids, DType resolution) {
  ChoiceReport report;
  if (reference.scores.empty())
    return report;
  const int64_t k = spec.topK, N = spec.numRouted();
  std::vector<int32_t> mine(k), theirs(k);
  for (size_t r = 0; r < reference.rows.size(); ++r) {
    const int64_t row = reference.rows[r];
    ++report.rowsCompared;
    // The evaluation may have used other experts than its own choice.
    chooseExperts(spec, &reference.choiceScores[r * N], mine.data());
    std::copy_n(ids + row * k, k, theirs.begin());
    std::sort(mine.begin(), mine.end());
    std::sort(theirs.begin(), theirs.end());
    if (mine == theirs)
      continue;
    double gap = 0;
    RowChoice choice(spec, reference, static_cast<int64_t>(r), resolution);
    if (choice.isAdmissible(ids + row * k, gap)) {
      report.nearTies.push_back(row);
      report.largestGap = std::max(report.largestGap, gap);
    } else {
      report.wrong.push_back(row);
    }
  }
  return report;
}

std::vector<int64_t> reference::rowsWithNearTies(const LayerSpec &spec,
                                                 const Evaluation &reference,
                                                 DType resolution) {
  std::vector<int64_t> rows;
  if (reference.scores.empty())
    return rows;
  for (size_t r = 0; r < reference.rows.size(); ++r)
    if (RowChoice(spec, reference, static_cast<int64_t>(r), resolution)
            .hasNearTie())
      rows.push_back(reference.rows[r]);
  return rows;
}
