//===- LoadBalance.cpp - Steps with rebalancing between them --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoadBalance.h"

#include "Check.h"
#include "Support/Format.h"
#include "moe-mlir/Policy/LoadBalance.h"
#include "moe-mlir/Reference/Compare.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>

using namespace moe;
using namespace moe::tools;

namespace {
/// What happened between two steps, as all ranks see it alike.
struct Report {
  /// Mean over maximum of the ranks' loads: counted since the placement was
  /// made, and expected of the new one.
  double measured = 1, expected = 1;
  int64_t numSteps = 0;
  int64_t movedSlots = 0, movedBetweenRanks = 0, movedBytes = 0;
  double nanoseconds = 0;
};

/// What one rank does for balance. Ranks share nothing but what they transfer,
/// so all of them call the functions that exchange something together.
class RankBalancer {
public:
  RankBalancer(Rank &rank, const RankLayout &layout, const LayerSpec &layer,
               int64_t windowSize)
      : rank(rank), number(rank.number), numRanks(layout.numRanks()),
        numExperts(layer.numExperts), numGroups(layer.routing.nGroup),
        windowSize(windowSize),
        placement(
            policy::getInitialEplbMaps(numExperts, layout.redundantExperts)
                .physicalToLogical),
        slotLoads(placement.size(), 0) {}

  Outcome prepare();

  /// Notes the load of a step.
  void record(const HostTensor &load);
  /// The balance since the placement was made.
  Outcome measure(Report &report);
  /// Moves experts to where the window's loads want them.
  Outcome rebalance(Report &report);

private:
  int64_t numSlots() const { return int64_t(placement.size()); }
  int64_t perRank() const { return numSlots() / numRanks; }

  /// Sums of the window's loads [E], and of the slots' [P], over all ranks.
  Outcome exchangeLoads(std::vector<double> &window,
                        std::vector<int64_t> &slots);
  Outcome transferWeights(const std::vector<policy::SlotTransfer> &transfers,
                          Report &report);
  Outcome replaceMaps();

  Rank &rank;
  const int64_t number, numRanks, numExperts, numGroups, windowSize;
  policy::Placement placement;
  /// Loads of logical experts, by steps; placements may have changed between
  /// them.
  std::deque<std::vector<double>> window;
  /// Counted under this placement.
  std::vector<int64_t> slotLoads;
  int64_t numSteps = 0;
  Buffer loads;
};
} // namespace

/// Weights that have a slot for each expert of a rank.
static std::vector<const HostTensor *> findExpertWeights(const Inputs &inputs) {
  std::vector<const HostTensor *> weights;
  for (const HostTensor &tensor : inputs.tensors)
    for (const char *name : {"w13", "w1", "b13", "b1", "w2", "b2"})
      if (tensor.name() == name)
        weights.push_back(&tensor);
  return weights;
}

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

/// Loads of the window and of the slots, as they are exchanged.
static int64_t countLoads(int64_t numExperts, int64_t numSlots) {
  return numExperts + numSlots;
}

Outcome RankBalancer::prepare() {
  return loads.allocate(rank.context, numRanks *
                                          countLoads(numExperts, numSlots()) *
                                          int64_t(sizeof(double)));
}

void RankBalancer::record(const HostTensor &load) {
  const int32_t *counts = load.as<int32_t>();
  const std::vector<int64_t> step(counts, counts + numSlots());
  window.push_back(policy::getLogicalLoads(placement, step, numExperts));
  if (int64_t(window.size()) > windowSize)
    window.pop_front();
  for (int64_t slot = 0; slot < numSlots(); ++slot)
    slotLoads[slot] += step[slot];
  ++numSteps;
}

Outcome RankBalancer::exchangeLoads(std::vector<double> &windowLoads,
                                    std::vector<int64_t> &slots) {
  const int64_t count = countLoads(numExperts, numSlots());
  const int64_t bytes = count * int64_t(sizeof(double));
  // Counts are whole numbers, which float64 adds exactly.
  std::vector<double> all(count * numRanks);
  double *own = all.data() + number * count;
  for (const std::vector<double> &step : window)
    for (int64_t expert = 0; expert < numExperts; ++expert)
      own[expert] += step[expert];
  std::copy(slotLoads.begin(), slotLoads.end(), own + numExperts);

  Context &context = rank.context;
  char *const device = static_cast<char *>(loads.data());
  if (Outcome outcome = context.copy(device + number * bytes, own, bytes,
                                     MOERT_COPY_TO_DEVICE);
      !outcome)
    return outcome;
  std::vector<moert_transfer> transfers;
  for (int64_t from = 0; from < numRanks; ++from)
    for (int64_t to = 0; to < numRanks; ++to)
      if (from != to)
        transfers.push_back({int32_t(from), int32_t(to), device + from * bytes,
                             device + from * bytes, size_t(bytes)});
  if (Outcome outcome = context.transfer(transfers); !outcome)
    return outcome;
  if (Outcome outcome = context.copy(all.data(), device, bytes * numRanks,
                                     MOERT_COPY_TO_HOST);
      !outcome)
    return outcome;
  if (Outcome outcome = context.synchronize(); !outcome)
    return outcome;

  windowLoads.assign(numExperts, 0);
  slots.assign(numSlots(), 0);
  for (int64_t other = 0; other < numRanks; ++other) {
    const double *part = all.data() + other * count;
    for (int64_t expert = 0; expert < numExperts; ++expert)
      windowLoads[expert] += part[expert];
    for (int64_t slot = 0; slot < numSlots(); ++slot)
      slots[slot] += int64_t(part[numExperts + slot]);
  }
  return {};
}

static double measureBalance(const std::vector<int64_t> &slotLoads,
                             int64_t numRanks) {
  std::vector<double> rankLoads(numRanks, 0.0);
  for (size_t slot = 0; slot < slotLoads.size(); ++slot)
    rankLoads[slot / (slotLoads.size() / numRanks)] += double(slotLoads[slot]);
  return policy::getBalancedness(rankLoads);
}

Outcome RankBalancer::measure(Report &report) {
  std::vector<double> windowLoads;
  std::vector<int64_t> slots;
  if (Outcome outcome = exchangeLoads(windowLoads, slots); !outcome)
    return outcome;
  report.measured = measureBalance(slots, numRanks);
  report.numSteps = numSteps;
  return {};
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

Outcome RankBalancer::rebalance(Report &report) {
  const auto begin = std::chrono::steady_clock::now();
  policy::BalanceInput input;
  std::vector<int64_t> slots;
  if (Outcome outcome = exchangeLoads(input.loads, slots); !outcome)
    return outcome;
  input.current = placement;
  input.numRanks = numRanks;
  input.numGroups = numGroups;
  std::string error;
  std::optional<policy::Placement> next = policy::balanceExperts(input, error);
  if (!next)
    return Outcome::failed("balance: " + error);
  report.measured = measureBalance(slots, numRanks);
  report.expected = policy::getBalancedness(
      policy::getRankLoads(*next, input.loads, numRanks));
  report.numSteps = numSteps;
  if (Outcome outcome = transferWeights(
          policy::planTransfers(placement, *next, numRanks), report);
      !outcome)
    return outcome;
  placement = std::move(*next);
  std::fill(slotLoads.begin(), slotLoads.end(), 0);
  numSteps = 0;
  if (Outcome outcome = replaceMaps(); !outcome)
    return outcome;
  report.nanoseconds = std::chrono::duration<double, std::nano>(
                           std::chrono::steady_clock::now() - begin)
                           .count();
  return {};
}

/// A slot may be both sent and overwritten, so what arrives is kept apart until
/// all is sent; a stream's order sees to it.
Outcome RankBalancer::transferWeights(
    const std::vector<policy::SlotTransfer> &transfers, Report &report) {
  const std::vector<const HostTensor *> weights =
      findExpertWeights(rank.inputs);
  int64_t expertBytes = 0, numArrivals = 0;
  for (const HostTensor *weight : weights)
    expertBytes += weight->numBytes() / perRank();
  for (const policy::SlotTransfer &transfer : transfers)
    numArrivals += transfer.to / perRank() == number;
  Buffer staging;
  if (Outcome outcome =
          staging.allocate(rank.context, numArrivals * expertBytes);
      !outcome)
    return outcome;

  std::vector<moert_transfer> list;
  /// Where what arrives goes at last.
  std::vector<std::pair<void *, moert_transfer>> arrivals;
  char *next = static_cast<char *>(staging.data());
  for (const policy::SlotTransfer &transfer : transfers) {
    const int64_t from = transfer.from / perRank(),
                  to = transfer.to / perRank();
    for (const HostTensor *weight : weights) {
      const int64_t bytes = weight->numBytes() / perRank();
      char *const slots =
          static_cast<char *>(rank.deviceInputs.data(weight->name()));
      moert_transfer entry = {};
      entry.from_rank = int32_t(from);
      entry.to_rank = int32_t(to);
      entry.bytes = size_t(bytes);
      if (from == number)
        entry.send = slots + transfer.from % perRank() * bytes;
      if (to == number) {
        entry.receive = next;
        arrivals.push_back({slots + transfer.to % perRank() * bytes, entry});
        next += bytes;
      }
      list.push_back(entry);
    }
    ++report.movedSlots;
    if (from == to)
      continue;
    ++report.movedBetweenRanks;
    report.movedBytes += expertBytes;
  }
  if (Outcome outcome = rank.context.transfer(list); !outcome)
    return outcome;
  for (const auto &[slot, entry] : arrivals)
    if (Outcome outcome = rank.context.copy(
            slot, entry.receive, int64_t(entry.bytes), MOERT_COPY_ON_DEVICE);
        !outcome)
      return outcome;
  // The staging memory goes with this function.
  return rank.context.synchronize();
}

Outcome RankBalancer::replaceMaps() {
  const policy::EplbMaps maps = policy::makeEplbMaps(placement, numExperts);
  const std::pair<const char *, const std::vector<int64_t> *> changed[] = {
      {"logical_to_physical", &maps.logicalToPhysical},
      {"replica_count", &maps.logicalReplicaCount}};
  for (auto [name, values] : changed)
    if (Outcome outcome = replaceMap(rank, name, *values); !outcome)
      return outcome;
  return {};
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

Outcome moe::tools::checkBalanceable(const Artefact &artefact,
                                     const RankLayout &layout) {
  const Descriptor &descriptor = artefact.descriptor();
  if (!layout.hasEplb)
    return Outcome::badInput("--eplb-step-interval: expected an artefact of "
                             "--enable-eplb but '" +
                             descriptor.name + "' has fixed experts");
  for (const TensorSpec &output : descriptor.outputs)
    if (output.name == "expert_load")
      return {};
  return Outcome::badInput("--eplb-step-interval: expected an artefact of "
                           "--record-expert-load but '" +
                           descriptor.name + "' has no output 'expert_load'");
}

static void print(const Report &report, int64_t step, bool hasMoved) {
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

Outcome moe::tools::runBalanced(const RunOptions &options,
                                const Artefact &artefact, RankSet &set,
                                RankRun &run) {
  const LayerSpec &layer = artefact.descriptor().layer;
  std::vector<std::unique_ptr<RankBalancer>> balancers;
  for (int64_t index = 0; index < set.numHere(); ++index) {
    balancers.push_back(std::make_unique<RankBalancer>(
        set[index], set.layout(), layer, options.eplbWindowSize));
    if (Outcome outcome = balancers.back()->prepare(); !outcome)
      return outcome;
  }
  // All ranks report the same.
  std::vector<Report> reports;
  auto onAll = [&](Outcome (RankBalancer::*function)(Report &)) {
    reports.assign(size_t(set.numHere()), Report());
    return set.forEach([&](int64_t index) {
      return (balancers[index].get()->*function)(reports[index]);
    });
  };
  double worst = 0;
  for (int64_t step = 1; step <= options.repeat; ++step) {
    if (step > 1) {
      if (options.input.empty())
        if (Outcome outcome = set.replaceRows(makeRandomRows(
                options, layer, set.whole().T, options.seed + step - 1));
            !outcome)
          return outcome;
      if (Outcome outcome = run.run(); !outcome)
        return outcome;
    }
    if (options.check && set.isLead()) {
      double error = 0;
      if (Outcome outcome =
              checkQuietly(options, layer, set.whole(), run.output(), error);
          !outcome)
        return Outcome::failed("step " + std::to_string(step) + ": " +
                               outcome.message());
      worst = std::max(worst, error);
    }
    for (int64_t index = 0; index < set.numHere(); ++index)
      balancers[index]->record(*run.expertLoad(index));
    const bool isLast = step == options.repeat;
    const bool isDue = step % *options.eplbStepInterval == 0 && !isLast;
    if (!isDue && !isLast)
      continue;
    if (Outcome outcome =
            onAll(isDue ? &RankBalancer::rebalance : &RankBalancer::measure);
        !outcome)
      return outcome;
    print(reports.front(), step, isDue);
  }
  if (options.check)
    std::printf(
        "%s", formatField("check",
                          "passed in " + count(options.repeat, "step") +
                              format("; at most %.2e relative, "
                                     "tolerance %.0e",
                                     worst, reference::tolerance(layer.dtype)))
                  .c_str());
  return {};
}
