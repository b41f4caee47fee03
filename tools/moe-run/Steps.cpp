//===- Steps.cpp - Steps with rebalancing of experts ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Steps.h"

#include "Report.h"
#include "Support/Progress.h"
#include "moe-mlir/Run/LoadBalancer.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cstdio>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

/// Checks a step; what passes is not printed.
static Status checkStep(const RunOptions &options, const RankSet &set,
                        const HostTensor &output, double &worst) {
  Progress progress("evaluating the reference in float64");
  Result<CheckReport> report = checkOutput(set.descriptor().layer, set.whole(),
                                           output, options.checkRows);
  if (!report)
    return report.failure();
  worst = std::max(worst, report->rows.relativeError);
  std::string complaint = report->complaint();
  if (complaint.empty())
    return {};
  printCheck(*report);
  return failed(complaint);
}

Status moe::tools::runSteps(const RunOptions &options, RankSet &set,
                            RankRun &run) {
  const LayerSpec &layer = set.descriptor().layer;
  LoadBalancer balancer(set, options.eplbWindowSize);
  MOE_TRY(balancer.prepare());
  double worst = 0;
  for (int64_t step = 1; step <= options.repeat; ++step) {
    if (step > 1) {
      if (options.input.empty())
        MOE_TRY(set.replaceRows(
            makeRandomRows(options.inputs, layer, set.whole().T,
                           options.inputs.seed + uint64_t(step) - 1)));
      MOE_TRY(run.run());
    }
    if (options.check && set.isLead())
      MOE_TRY(checkStep(options, set, run.output(), worst)
                  .withPrefix("step " + std::to_string(step) + ": "));
    balancer.record(run);
    const bool isLast = step == options.repeat;
    const bool isDue = step % *options.eplbStepInterval == 0 && !isLast;
    if (!isDue && !isLast)
      continue;
    BalanceReport report;
    MOE_TRY(isDue ? balancer.rebalance(report) : balancer.measure(report));
    printBalance(report, step, isDue);
  }
  if (options.check)
    std::fputs(formatField("check",
                           "passed in " + count(options.repeat, "step") +
                               format("; at most %.2e relative, tolerance %.0e",
                                      worst, reference::tolerance(layer.dtype)))
                   .c_str(),
               stdout);
  return {};
}
