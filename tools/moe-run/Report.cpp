//===- Report.cpp - What moe-run prints of a run --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

#include "moe-mlir/Support/Format.h"

#include <cstdio>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

std::string moe::tools::listOrders(const Artefact &artefact,
                                   const std::vector<int64_t> &tokens) {
  std::string orders;
  for (int64_t T : tokens) {
    std::string order = artefact.orderAt(T);
    if (orders.find(order) == std::string::npos)
      orders += (orders.empty() ? "" : ", ") + order;
  }
  return orders;
}

/// The lines on the ranks, if there are several.
static std::string describeRanks(const RankLayout &layout,
                                 const std::string &place) {
  if (layout.numRanks() == 1)
    return "";
  return formatField(
             "ranks",
             format("%lld (tp %lld, pcp %lld, dp %lld",
                    static_cast<long long>(layout.numRanks()),
                    static_cast<long long>(layout.tp),
                    static_cast<long long>(layout.pcp),
                    static_cast<long long>(layout.dp)) +
                 (layout.usesExpertParallel ? ", expert parallel" : "") +
                 (layout.isSequenceParallel ? ", sequence parallel)" : ")")) +
         formatField("  place", place);
}

static std::string describeTokens(const std::vector<int64_t> &tokens) {
  if (tokens.size() == 1)
    return count(tokens.front(), "token");
  std::string text;
  for (int64_t count : tokens)
    text += (text.empty() ? "" : ", ") + std::to_string(count);
  return text + " tokens on the ranks";
}

void moe::tools::printHeader(const Artefact &artefact, const RankSet &set,
                             const std::string &place, const RankRun &run) {
  const Descriptor &descriptor = artefact.descriptor();
  const Inputs &inputs = set.whole();
  std::string text = formatField(
      "layer", descriptor.name + ", " + dtypeName(descriptor.layer.dtype) +
                   ", target " + descriptor.target + " (" +
                   descriptor.instructionSet + ")");
  text += describeRanks(set.layout(), place);
  text += formatField("rows",
                      describeTokens(set.tokens()) + ", " + inputs.rowsFrom);
  text += formatField("weights", inputs.weightsFrom);
  for (const std::string &note : inputs.notes)
    text += formatField("  note", note);
  text += formatField("order", listOrders(artefact, set.tokens()));
  text += formatField("workspace",
                      formatBytes(double(run.workspaceBytes())) +
                          (set.layout().numRanks() > 1 ? " on rank 0" : ""));
  text += formatField("run", formatMilliseconds(double(run.nanoseconds())) +
                                 " ms (first run)");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void moe::tools::printCheck(const CheckReport &report) {
  const bool passed = report.complaint().empty();
  std::string text = formatField("check", passed ? "passed" : "FAILED");
  text += formatField("  error",
                      format("%.2e relative, tolerance %.0e for %s; largest "
                             "difference %.2e",
                             report.rows.relativeError, report.tolerance,
                             longName(report.dtype), report.rows.maxAbsolute));
  std::string rows = format("%lld of %lld compared",
                            static_cast<long long>(report.rows.rowsCompared),
                            static_cast<long long>(report.T));
  if (report.numEvaluated < report.T)
    rows +=
        format(", %lld evaluated", static_cast<long long>(report.numEvaluated));
  if (report.rows.worstRow >= 0)
    rows += format("; worst is row %lld with %.2e",
                   static_cast<long long>(report.rows.worstRow),
                   report.rows.worstRowError);
  text += formatField("  rows", rows);
  std::string ties = "none";
  if (!report.tieRows.empty()) {
    ties = count(int64_t(report.tieRows.size()), "row") + " (" +
           listNumbers(report.tieRows) +
           ") whose experts' scores are equal "
           "in float32: ";
    ties +=
        report.tiesAgree()
            ? "they agree"
            : format("%.2e relative; experts may have been chosen otherwise",
                     report.ties.relativeError);
  }
  text += formatField("  near ties", ties);
  std::fputs(text.c_str(), stdout);
}

void moe::tools::printTraffic(const std::vector<int64_t> &bytes,
                              int64_t numRanks) {
  Table table("l" + std::string(size_t(numRanks), 'r'));
  std::vector<std::string> head = {"bytes to"};
  for (int64_t from = 0; from < numRanks; ++from)
    head.push_back("from " + std::to_string(from));
  table.add(head);
  for (int64_t to = 0; to < numRanks; ++to) {
    std::vector<std::string> row = {"rank " + std::to_string(to)};
    for (int64_t from = 0; from < numRanks; ++from)
      row.push_back(std::to_string(bytes[size_t(to * numRanks + from)]));
    table.add(row);
  }
  std::printf("\n%s\n", table.print(2).c_str());
}

void moe::tools::printBalance(const BalanceReport &report, int64_t step,
                              bool hasMoved) {
  auto number = [](int64_t value) { return static_cast<long long>(value); };
  std::string text =
      format("step %lld: %.3f, measured over ", number(step), report.measured) +
      count(report.numSteps, "step");
  if (hasMoved)
    text += format("; %.3f expected after %lld slots changed (%lld from "
                   "other ranks, ",
                   report.expected, number(report.movedSlots),
                   number(report.movedBetweenRanks)) +
            formatBytes(double(report.movedBytes)) + ", " +
            formatMilliseconds(report.nanoseconds) + " ms)";
  std::fputs(formatField("balance", text).c_str(), stdout);
  std::fflush(stdout);
}
