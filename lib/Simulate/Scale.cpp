//===- Scale.cpp - A layer on many ranks, predicted -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Simulate/Scale.h"

#include "Sizes.h"

using namespace mlir;
using namespace moe;
using namespace moe::simulate;

static FailureOr<Timeline> runProgram(FunctionOpInterface function,
                                      const Program &program,
                                      const policy::ClusterModel &cluster) {
  std::string error;
  std::optional<Timeline> timeline = run(program, cluster, error);
  if (!timeline)
    return function.emitError(error);
  return std::move(*timeline);
}

static void merge(policy::PairBytes &pairs, const policy::PairBytes &other) {
  if (other.pairs == 0)
    return;
  double total = pairs.getTotal() + other.getTotal();
  pairs.smallest =
      pairs.pairs ? std::min(pairs.smallest, other.smallest) : other.smallest;
  pairs.largest = std::max(pairs.largest, other.largest);
  pairs.pairs += other.pairs;
  pairs.mean = total / double(pairs.pairs);
}

/// One entry for each collective that a rank issues; groups that meet for the
/// same one are taken together.
static std::vector<CollectiveReport>
reportCollectives(const Program &program, const Timeline &timeline,
                  const policy::ClusterModel &cluster) {
  std::vector<CollectiveReport> reports;
  std::map<size_t, size_t> met; // By group: how many meetings it had.
  std::map<std::tuple<size_t, size_t, size_t>, size_t> places;
  for (const Meeting &meeting : timeline.meetings) {
    // Groups of one communicator issue equal sequences.
    size_t ordinal = met[meeting.group]++;
    size_t size = program.groups[meeting.group].size();
    auto [it, isNew] =
        places.try_emplace({meeting.label, ordinal, size}, reports.size());
    policy::Traffic traffic = policy::getTraffic(meeting.collective, cluster);
    if (isNew) {
      reports.push_back({program.labels[meeting.label], meeting.collective.kind,
                         traffic, meeting.getSeconds()});
      continue;
    }
    CollectiveReport &report = reports[it->second];
    merge(report.traffic.intra, traffic.intra);
    merge(report.traffic.inter, traffic.inter);
    report.traffic.mostSent =
        std::max(report.traffic.mostSent, traffic.mostSent);
    report.traffic.mostReceived =
        std::max(report.traffic.mostReceived, traffic.mostReceived);
    report.seconds = std::max(report.seconds, meeting.getSeconds());
  }
  return reports;
}

/// In the order in which the first rank issues them.
static std::vector<PhaseReport> reportPhases(const Program &program,
                                             const Timeline &timeline) {
  std::vector<PhaseReport> reports;
  std::map<size_t, size_t> places;
  const double numRanks = double(program.tasks.size());
  for (const std::vector<Task> &tasks : program.tasks) {
    std::map<size_t, double> seconds;
    for (const Task &task : tasks) {
      if (task.parts.empty())
        continue;
      if (places.try_emplace(task.label, reports.size()).second)
        reports.push_back({program.labels[task.label], 0, 0, 0, {}});
      for (const Part &part : task.parts)
        seconds[task.label] +=
            part.kind == Part::Kind::Collective ? 0 : part.seconds;
    }
    for (auto [label, time] : seconds) {
      PhaseReport &report = reports[places[label]];
      report.mean += time / numRanks;
      report.largest = std::max(report.largest, time);
    }
  }
  // Of groups that meet side by side the slowest counts.
  std::map<std::pair<size_t, size_t>, double> links;
  for (const Meeting &meeting : timeline.meetings)
    links[{meeting.label, meeting.group}] += meeting.getSeconds();
  for (auto [key, seconds] : links) {
    PhaseReport &report = reports[places[key.first]];
    report.links = std::max(report.links, seconds);
  }
  for (auto [label, time] : timeline.criticalPath)
    reports[places[label]].onCriticalPath = time;
  return reports;
}

FailureOr<RoutingReport>
simulate::reportRouting(StringRef name, ArrayRef<ScheduledLayer> layers,
                        const Call &call, const policy::RankLoads &balanced) {
  RoutingReport report;
  report.name = name.str();
  report.balance = call.loads.getBalance();
  Call balancedCall = call;
  balancedCall.loads = balanced;
  for (const ScheduledLayer &layer : layers) {
    FailureOr<Program> program = buildProgram(layer.function, call);
    FailureOr<Program> even = buildProgram(layer.function, balancedCall);
    if (failed(program) || failed(even))
      return failure();
    FailureOr<Timeline> timeline =
        runProgram(layer.function, *program, call.cluster);
    FailureOr<Timeline> evenTimeline =
        runProgram(layer.function, *even, call.cluster);
    if (failed(timeline) || failed(evenTimeline))
      return failure();
    report.steps.push_back({layer.ruleSet, layer.order, timeline->time,
                            timeline->getIdleShare(), evenTimeline->time});
    report.program = std::move(*program);
    report.timeline = std::move(*timeline);
  }
  report.collectives =
      reportCollectives(report.program, report.timeline, call.cluster);
  report.phases = reportPhases(report.program, report.timeline);
  return report;
}

FailureOr<MemoryReport> simulate::reportMemory(FunctionOpInterface function,
                                               int64_t tokens,
                                               int64_t localExperts) {
  MemoryReport report;
  for (BlockArgument argument : function.getArguments()) {
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (!type)
      continue;
    const bool isInput = hasRowPerToken(function, argument);
    double bytes = type.getElementType().getIntOrFloatBitWidth() / 8.0;
    for (auto [dim, size] : llvm::enumerate(type.getShape())) {
      if (ShapedType::isDynamic(size) && dim != 0)
        return function.emitError("expected argument ")
               << argument.getArgNumber() << " of a known size but got "
               << type;
      bytes *= double(!ShapedType::isDynamic(size) ? size
                      : isInput                    ? tokens
                                                   : localExperts);
    }
    (isInput ? report.inputsAndOutput : report.weights) += bytes;
  }
  return report;
}
