//===- run.cpp - Runs and checks a compiled layer -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Checker.h"
#include "moe-mlir/Run/RankSet.h"

#include <cstdio>

using namespace moe;
using namespace moe::run;

/// Runs the artefact on random inputs with 8 tokens on each of its ranks, which
/// are threads of this process, and compares with the reference.
static Status runLayer(const char *path) {
  Artefact artefact;
  MOE_TRY(artefact.load(path, path));
  const Descriptor &descriptor = artefact.descriptor();
  Result<RankLayout> layout = readLayout(descriptor);
  if (!layout)
    return layout.failure();

  const std::vector<int64_t> tokens(size_t(layout->numRanks()), 8);
  Inputs inputs;
  MOE_TRY(makeInputs(descriptor, countRows(*layout, tokens), tokens,
                     InputOptions(), /*rows=*/nullptr, inputs));
  RankSet ranks;
  MOE_TRY(ranks.create(descriptor, *layout, RankOptions()));
  MOE_TRY(ranks.start(std::move(inputs)));

  RankRun run(ranks, artefact);
  MOE_TRY(run.prepare());
  MOE_TRY(run.run());
  Result<CheckReport> report =
      checkOutput(descriptor.layer, ranks.whole(), run.output());
  if (!report)
    return report.failure();
  if (std::string complaint = report->complaint(); !complaint.empty())
    return failed(complaint);
  std::printf("%s on %d rank%s: %d rows as in the reference\n",
              descriptor.name.c_str(), int(layout->numRanks()),
              layout->numRanks() == 1 ? "" : "s",
              int(report->rows.rowsCompared));
  return {};
}

int main(int argc, char **argv) {
  Status status = argc == 2 ? runLayer(argv[1])
                            : badInput("expected the path of an artefact");
  if (!status)
    std::fprintf(stderr, "run: %s\n", status.error().c_str());
  return status ? 0 : 1;
}
