//===- Checker.cpp - An output against the reference ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Checker.h"

#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace moe;
using namespace moe::run;

/// `count` of T rows, evenly spaced.
static std::vector<int64_t> spreadRows(int64_t T, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min(T, count); ++i)
    rows.push_back(count >= T ? i : i * T / count);
  return rows;
}

static Result<reference::Evaluation>
evaluateReference(const LayerSpec &layer, const Inputs &inputs,
                  std::optional<int64_t> numRows) {
  reference::EvaluateOptions options;
  if (numRows)
    options.rows = spreadRows(inputs.T, *numRows);
  return reference::evaluate(layer, inputs.views(), inputs.T, options);
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

bool CheckReport::tiesAgree() const {
  return ties.relativeError <= tolerance &&
         ties.worstRowError <= rowFactor * tolerance;
}

std::string CheckReport::complaint() const {
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

Result<CheckReport> moe::run::checkOutput(const LayerSpec &layer,
                                          const Inputs &inputs,
                                          const HostTensor &output,
                                          std::optional<int64_t> numRows) {
  Result<reference::Evaluation> evaluation =
      evaluateReference(layer, inputs, numRows);
  if (!evaluation)
    return failed("reference: " + evaluation.error());
  CheckReport report;
  report.dtype = layer.dtype;
  report.T = inputs.T;
  report.tolerance = reference::tolerance(layer.dtype);
  report.numEvaluated = int64_t(evaluation->rows.size());
  if (layer.routing.source == RoutingSource::router)
    report.tieRows =
        reference::rowsWithNearTies(layer, *evaluation, DType::F32);
  Result<reference::Comparison> rows =
      reference::compare(output.view(), *evaluation, report.tieRows);
  Result<reference::Comparison> ties = reference::compare(
      output.view(), *evaluation, allBut(report.tieRows, *evaluation));
  if (!rows || !ties)
    return failed(rows ? ties.error() : rows.error());
  report.rows = *rows;
  report.ties = *ties;
  return report;
}

bool moe::run::isBitwiseEqual(const HostTensor &first, const HostTensor &second,
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

Status moe::run::checkRepeats(const std::function<Status()> &run,
                              const HostTensor &output, int64_t times) {
  HostTensor first(output.name(), output.dtype(), output.shape());
  std::memcpy(first.data(), output.data(),
              static_cast<size_t>(output.numBytes()));
  for (int64_t i = 0; i < times; ++i) {
    MOE_TRY(run());
    std::string difference;
    if (!isBitwiseEqual(first, output, difference))
      return failed(format("run %lld differs from the first: expected "
                           "bitwise equal outputs but %s",
                           static_cast<long long>(i + 2), difference.c_str()));
  }
  return {};
}
