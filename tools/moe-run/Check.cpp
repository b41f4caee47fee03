//===- Check.cpp - An output against the reference ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Check.h"

#include "Support/Format.h"
#include "Support/Progress.h"
#include "moe-mlir/Reference/Compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace moe;
using namespace moe::tools;

/// How much more a single row may be off than all rows together.
static constexpr double rowFactor = 10;

/// `count` of T rows, evenly spaced.
static std::vector<int64_t> spreadRows(int64_t T, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min(T, count); ++i)
    rows.push_back(count >= T ? i : i * T / count);
  return rows;
}

static Result<reference::Evaluation>
evaluateReference(const RunOptions &options, const LayerSpec &layer,
                  const Inputs &inputs) {
  reference::EvaluateOptions evaluateOptions;
  if (options.checkRows)
    evaluateOptions.rows = spreadRows(inputs.T, *options.checkRows);
  Progress progress("evaluating the reference in float64");
  return reference::evaluate(layer, inputs.views(), inputs.T, evaluateOptions);
}

/// Every evaluated row that is not in `rows`.
static std::vector<int64_t> allBut(const std::vector<int64_t> &rows,
                                   const reference::Evaluation &evaluation) {
  std::vector<int64_t> others;
  for (int64_t row : evaluation.rows)
    if (std::find(rows.begin(), rows.end(), row) == rows.end())
      others.push_back(row);
  return others;
}

namespace {
struct Verdict {
  reference::Comparison rows; // whose choice is certain
  reference::Comparison ties; // the others
  std::vector<int64_t> tieRows;
  int64_t numEvaluated;
  double tolerance;

  bool tiesAgree() const {
    return ties.relativeError <= tolerance &&
           ties.worstRowError <= rowFactor * tolerance;
  }
  /// Why the check fails; "" if it does not.
  std::string complaint() const;
};
} // namespace

std::string Verdict::complaint() const {
  if (int64_t wrong = rows.nonFiniteMismatches + ties.nonFiniteMismatches)
    return "'output' disagrees with the reference: " + count(wrong, "value") +
           " not finite, or finite where the reference "
           "is not";
  if (!(rows.relativeError <= tolerance))
    return format("'output' disagrees with the reference: expected a relative "
                  "error of at most %.0e but got %.2e",
                  tolerance, rows.relativeError);
  if (!(rows.worstRowError <= rowFactor * tolerance))
    return format("'output' disagrees with the reference in row %lld: expected "
                  "a relative error of at most %.0e in one row but got %.2e",
                  static_cast<long long>(rows.worstRow), rowFactor * tolerance,
                  rows.worstRowError);
  if (rows.rowsCompared == 0 && !tieRows.empty() && !tiesAgree())
    return "'output' could not be checked: the choice of experts is a near tie "
           "in every row, and they differ; another --seed helps";
  return "";
}

static void printVerdict(const Verdict &verdict, int64_t T, DType dtype,
                         bool passed) {
  std::string text = formatField("check", passed ? "passed" : "FAILED");
  text += formatField("  error",
                      format("%.2e relative, tolerance %.0e for %s; largest "
                             "difference %.2e",
                             verdict.rows.relativeError, verdict.tolerance,
                             longName(dtype), verdict.rows.maxAbsolute));
  std::string rows = format("%lld of %lld compared",
                            static_cast<long long>(verdict.rows.rowsCompared),
                            static_cast<long long>(T));
  if (verdict.numEvaluated < T)
    rows += format(", %lld evaluated",
                   static_cast<long long>(verdict.numEvaluated));
  if (verdict.rows.worstRow >= 0)
    rows += format("; worst is row %lld with %.2e",
                   static_cast<long long>(verdict.rows.worstRow),
                   verdict.rows.worstRowError);
  text += formatField("  rows", rows);
  std::string ties = "none";
  if (!verdict.tieRows.empty()) {
    ties = count(int64_t(verdict.tieRows.size()), "row") + " (" +
           listNumbers(verdict.tieRows) +
           ") whose experts' scores are equal "
           "in float32: ";
    ties +=
        verdict.tiesAgree()
            ? "they agree"
            : format("%.2e relative; experts may have been chosen otherwise",
                     verdict.ties.relativeError);
  }
  text += formatField("  near ties", ties);
  std::fputs(text.c_str(), stdout);
}

static Outcome judge(const RunOptions &options, const LayerSpec &layer,
                     const Inputs &inputs, const HostTensor &output,
                     Verdict &verdict) {
  Result<reference::Evaluation> evaluation =
      evaluateReference(options, layer, inputs);
  if (!evaluation)
    return Outcome::failed("reference: " + evaluation.error());
  verdict.tolerance = reference::tolerance(layer.dtype);
  verdict.numEvaluated = int64_t(evaluation->rows.size());
  if (layer.routing.source == RoutingSource::router)
    verdict.tieRows =
        reference::rowsWithNearTies(layer, *evaluation, DType::F32);
  Result<reference::Comparison> rows =
      reference::compare(output.view(), *evaluation, verdict.tieRows);
  Result<reference::Comparison> ties = reference::compare(
      output.view(), *evaluation, allBut(verdict.tieRows, *evaluation));
  if (!rows || !ties)
    return Outcome::failed(rows ? ties.error() : rows.error());
  verdict.rows = *rows;
  verdict.ties = *ties;
  return {};
}

Outcome moe::tools::checkOutput(const RunOptions &options,
                                const LayerSpec &layer, const Inputs &inputs,
                                const HostTensor &output) {
  Verdict verdict;
  if (Outcome outcome = judge(options, layer, inputs, output, verdict);
      !outcome)
    return outcome;
  std::string complaint = verdict.complaint();
  printVerdict(verdict, inputs.T, layer.dtype, complaint.empty());
  return complaint.empty() ? Outcome() : Outcome::failed(complaint);
}

Outcome moe::tools::checkQuietly(const RunOptions &options,
                                 const LayerSpec &layer, const Inputs &inputs,
                                 const HostTensor &output, double &error) {
  Verdict verdict;
  if (Outcome outcome = judge(options, layer, inputs, output, verdict);
      !outcome)
    return outcome;
  error = verdict.rows.relativeError;
  std::string complaint = verdict.complaint();
  if (complaint.empty())
    return {};
  printVerdict(verdict, inputs.T, layer.dtype, false);
  return Outcome::failed(complaint);
}

bool moe::tools::isBitwiseEqual(const HostTensor &first,
                                const HostTensor &second,
                                std::string &difference) {
  const int64_t size = dtypeBytes(first.dtype());
  const int64_t width = first.shape().back();
  int64_t different = 0, firstRow = -1;
  double largest = 0;
  for (int64_t i = 0; i < first.numElements(); ++i) {
    if (std::memcmp(first.as<char>() + i * size, second.as<char>() + i * size,
                    static_cast<size_t>(size)) == 0)
      continue;
    if (different++ == 0)
      firstRow = i / width;
    double a = 0, b = 0;
    readAsDouble(first.dtype(), first.data(), i, 1, &a);
    readAsDouble(second.dtype(), second.data(), i, 1, &b);
    // NaN differences stay out of the largest one.
    largest = std::max(largest, std::fabs(a - b));
  }
  if (!different)
    return true;
  difference = format("%lld of %lld values differ, by up to %.2e, from row "
                      "%lld on",
                      static_cast<long long>(different),
                      static_cast<long long>(first.numElements()), largest,
                      static_cast<long long>(firstRow));
  return false;
}

Outcome moe::tools::checkRepeats(const std::function<Outcome()> &run,
                                 const HostTensor &output, int64_t times) {
  HostTensor first(output.name(), output.dtype(), output.shape());
  std::memcpy(first.data(), output.data(),
              static_cast<size_t>(output.numBytes()));
  Progress progress("running " + count(times, "more time"));
  for (int64_t i = 0; i < times; ++i) {
    if (Outcome outcome = run(); !outcome)
      return outcome;
    std::string difference;
    if (!isBitwiseEqual(first, output, difference))
      return Outcome::failed(format("run %lld differs from the first: expected "
                                    "bitwise equal outputs but %s",
                                    static_cast<long long>(i + 2),
                                    difference.c_str()));
  }
  std::printf("%s", formatField("repeat", std::to_string(times + 1) +
                                              " runs, bitwise equal outputs")
                        .c_str());
  return {};
}
