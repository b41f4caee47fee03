//===- LoadBalancer.cpp - Experts move to where loads want them -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/LoadBalancer.h"

#include "moe-mlir/Policy/LoadBalance.h"

#include <algorithm>
#include <chrono>
#include <deque>

using namespace moe;
using namespace moe::run;

namespace moe::run {
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

  Status prepare();

  /// Notes the load of a step.
  void record(const HostTensor &load);
  /// The balance since the placement was made.
  Status measure(BalanceReport &report);
  /// Moves experts to where the window's loads want them.
  Status rebalance(BalanceReport &report);

private:
  int64_t numSlots() const { return int64_t(placement.size()); }
  int64_t perRank() const { return numSlots() / numRanks; }

  /// Sums of the window's loads [E], and of the slots' [P], over all ranks.
  Status exchangeLoads(std::vector<double> &window,
                       std::vector<int64_t> &slots);
  Status transferWeights(const std::vector<policy::SlotTransfer> &transfers,
                         BalanceReport &report);
  Status replaceMaps();

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
} // namespace moe::run

/// Weights that have a slot for each expert of a rank.
static std::vector<const HostTensor *> findExpertWeights(const Inputs &inputs) {
  std::vector<const HostTensor *> weights;
  for (const HostTensor &tensor : inputs.tensors)
    if (const TensorInfo *info = findTensor(tensor.name());
        info && info->isPerExpert())
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

Status RankBalancer::prepare() {
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

Status RankBalancer::exchangeLoads(std::vector<double> &windowLoads,
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
  MOE_TRY(
      context.copy(device + number * bytes, own, bytes, MOERT_COPY_TO_DEVICE));
  std::vector<moert_transfer> transfers;
  for (int64_t from = 0; from < numRanks; ++from)
    for (int64_t to = 0; to < numRanks; ++to)
      if (from != to)
        transfers.push_back({int32_t(from), int32_t(to), device + from * bytes,
                             device + from * bytes, size_t(bytes)});
  MOE_TRY(context.transfer(transfers));
  MOE_TRY(
      context.copy(all.data(), device, bytes * numRanks, MOERT_COPY_TO_HOST));
  MOE_TRY(context.synchronize());

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

Status RankBalancer::measure(BalanceReport &report) {
  std::vector<double> windowLoads;
  std::vector<int64_t> slots;
  MOE_TRY(exchangeLoads(windowLoads, slots));
  report.measured = measureBalance(slots, numRanks);
  report.numSteps = numSteps;
  return {};
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

Status RankBalancer::rebalance(BalanceReport &report) {
  const auto begin = std::chrono::steady_clock::now();
  policy::BalanceInput input;
  std::vector<int64_t> slots;
  MOE_TRY(exchangeLoads(input.loads, slots));
  input.current = placement;
  input.numRanks = numRanks;
  input.numGroups = numGroups;
  std::string error;
  std::optional<policy::Placement> next = policy::balanceExperts(input, error);
  if (!next)
    return failed("balance: " + error);
  report.measured = measureBalance(slots, numRanks);
  report.expected = policy::getBalancedness(
      policy::getRankLoads(*next, input.loads, numRanks));
  report.numSteps = numSteps;
  MOE_TRY(transferWeights(policy::planTransfers(placement, *next, numRanks),
                          report));
  placement = std::move(*next);
  std::fill(slotLoads.begin(), slotLoads.end(), 0);
  numSteps = 0;
  MOE_TRY(replaceMaps());
  report.nanoseconds = std::chrono::duration<double, std::nano>(
                           std::chrono::steady_clock::now() - begin)
                           .count();
  return {};
}

/// A slot may be both sent and overwritten, so what arrives is kept apart until
/// all is sent; a stream's order sees to it.
Status RankBalancer::transferWeights(
    const std::vector<policy::SlotTransfer> &transfers, BalanceReport &report) {
  const std::vector<const HostTensor *> weights =
      findExpertWeights(*rank.inputs);
  int64_t expertBytes = 0, numArrivals = 0;
  for (const HostTensor *weight : weights)
    expertBytes += weight->numBytes() / perRank();
  for (const policy::SlotTransfer &transfer : transfers)
    numArrivals += transfer.to / perRank() == number;
  Buffer staging;
  MOE_TRY(staging.allocate(rank.context, numArrivals * expertBytes));

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
  MOE_TRY(rank.context.transfer(list));
  for (const auto &[slot, entry] : arrivals)
    MOE_TRY(rank.context.copy(slot, entry.receive, int64_t(entry.bytes),
                              MOERT_COPY_ON_DEVICE));
  // The staging memory goes with this function.
  return rank.context.synchronize();
}

Status RankBalancer::replaceMaps() {
  const policy::EplbMaps maps = policy::makeEplbMaps(placement, numExperts);
  const std::pair<const char *, const std::vector<int64_t> *> changed[] = {
      {getName(TensorId::LogicalToPhysical), &maps.logicalToPhysical},
      {getName(TensorId::ReplicaCount), &maps.logicalReplicaCount}};
  for (auto [name, values] : changed)
    MOE_TRY(replaceMap(rank, name, *values));
  return {};
}

//===----------------------------------------------------------------------===//
// All ranks
//===----------------------------------------------------------------------===//

LoadBalancer::LoadBalancer(RankSet &set, int64_t windowSize) : set(set) {
  for (int64_t index = 0; index < set.numHere(); ++index)
    balancers.push_back(std::make_unique<RankBalancer>(
        set[index], set.layout(), set.descriptor().layer, windowSize));
}

LoadBalancer::~LoadBalancer() = default;

Status LoadBalancer::prepare() {
  for (std::unique_ptr<RankBalancer> &balancer : balancers)
    MOE_TRY(balancer->prepare());
  return {};
}

void LoadBalancer::record(const RankRun &run) {
  for (size_t index = 0; index < balancers.size(); ++index)
    balancers[index]->record(*run.expertLoad(int64_t(index)));
}

Status LoadBalancer::onAll(Status (RankBalancer::*function)(BalanceReport &),
                           BalanceReport &report) {
  std::vector<BalanceReport> reports(balancers.size());
  MOE_TRY(set.forEach([&](int64_t index) {
    return (balancers[size_t(index)].get()->*function)(reports[size_t(index)]);
  }));
  // All ranks report the same.
  report = reports.front();
  return {};
}

Status LoadBalancer::measure(BalanceReport &report) {
  return onAll(&RankBalancer::measure, report);
}

Status LoadBalancer::rebalance(BalanceReport &report) {
  return onAll(&RankBalancer::rebalance, report);
}

Status moe::run::checkBalanceable(const Descriptor &descriptor,
                                  const RankLayout &layout) {
  if (!layout.hasEplb)
    return badInput("expected an artefact of --enable-eplb but '" +
                    descriptor.name + "' has fixed experts");
  for (const TensorSpec &output : descriptor.outputs)
    if (output.name == getName(TensorId::ExpertLoad))
      return {};
  return badInput("expected an artefact of --record-expert-load but '" +
                  descriptor.name + "' has no output 'expert_load'");
}
