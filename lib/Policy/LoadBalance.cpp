//===- LoadBalance.cpp - Which rank holds which replica, by load ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/LoadBalance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>
#include <tuple>

using namespace moe::policy;

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

std::vector<double>
moe::policy::getLogicalLoads(const Placement &placement,
                             const std::vector<int64_t> &physicalLoads,
                             int64_t numExperts) {
  std::vector<double> loads(numExperts, 0.0);
  for (size_t slot = 0; slot < placement.size(); ++slot)
    loads[placement[slot]] += double(physicalLoads[slot]);
  return loads;
}

static std::vector<int64_t> countReplicas(const Placement &placement,
                                          int64_t numExperts) {
  std::vector<int64_t> counts(numExperts, 0);
  for (int64_t expert : placement)
    ++counts[expert];
  return counts;
}

std::vector<double> moe::policy::getRankLoads(const Placement &placement,
                                              const std::vector<double> &loads,
                                              int64_t numRanks) {
  const std::vector<int64_t> counts = countReplicas(placement, loads.size());
  const int64_t perRank = int64_t(placement.size()) / numRanks;
  std::vector<double> rankLoads(numRanks, 0.0);
  for (int64_t rank = 0; rank < numRanks; ++rank) {
    // In an order that does not depend on the slots, so that equal sets of
    // experts have equal loads to the last bit.
    std::vector<double> slotLoads;
    for (int64_t slot = rank * perRank; slot < (rank + 1) * perRank; ++slot)
      slotLoads.push_back(loads[placement[slot]] /
                          double(counts[placement[slot]]));
    std::sort(slotLoads.begin(), slotLoads.end());
    rankLoads[rank] = std::accumulate(slotLoads.begin(), slotLoads.end(), 0.0);
  }
  return rankLoads;
}

double moe::policy::getBalancedness(const std::vector<double> &rankLoads) {
  const double max = *std::max_element(rankLoads.begin(), rankLoads.end());
  if (max == 0)
    return 1;
  return std::accumulate(rankLoads.begin(), rankLoads.end(), 0.0) /
         double(rankLoads.size()) / max;
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

using Pack = std::vector<int64_t>;

static double getWeight(const Pack &pack, const std::vector<double> &weights) {
  double sum = 0;
  for (int64_t item : pack)
    sum += weights[item];
  return sum;
}

/// Swaps an item of the heaviest pack for one of another pack such that both
/// are lighter than it was, by the most that one swap can do; false if none
/// does.
static bool swapBest(std::vector<Pack> &packs,
                     const std::vector<double> &weights) {
  std::vector<double> sums;
  for (const Pack &pack : packs)
    sums.push_back(getWeight(pack, weights));
  const size_t heaviest =
      std::max_element(sums.begin(), sums.end()) - sums.begin();
  // Less than rounding is no improvement.
  double best = sums[heaviest] * (1 - 1e-9);
  int64_t *given = nullptr, *taken = nullptr;
  for (size_t other = 0; other < packs.size(); ++other)
    for (int64_t &item : packs[heaviest])
      for (int64_t &otherItem : packs[other]) {
        const double moved = weights[item] - weights[otherItem];
        const double largest =
            std::max(sums[heaviest] - moved, sums[other] + moved);
        if (other == heaviest || largest >= best)
          continue;
        best = largest;
        given = &item;
        taken = &otherItem;
      }
  if (!given)
    return false;
  std::swap(*given, *taken);
  return true;
}

/// Deals items out to packs of equal size: the heaviest first, each to the
/// lightest pack that has room. What comes last finds room only where it is
/// left, so swaps follow.
static std::vector<Pack> packEvenly(const std::vector<double> &weights,
                                    int64_t numPacks) {
  const size_t size = weights.size() / numPacks;
  std::vector<int64_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return weights[a] > weights[b];
  });
  std::vector<Pack> packs(numPacks);
  // The lightest on top, and of equal ones the first.
  using Entry = std::pair<double, int64_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> open;
  for (int64_t pack = 0; pack < numPacks; ++pack)
    open.push({0.0, pack});
  for (int64_t item : order) {
    auto [weight, pack] = open.top();
    open.pop();
    packs[pack].push_back(item);
    if (packs[pack].size() < size)
      open.push({weight + weights[item], pack});
  }
  while (swapBest(packs, weights)) {
  }
  return packs;
}

/// One slot for each of `experts`, and the others one by one for the expert
/// with the largest load per replica.
static Pack replicate(const Pack &experts, const std::vector<double> &loads,
                      int64_t numSlots) {
  std::vector<int64_t> counts(experts.size(), 1);
  // Of equal loads the expert with fewer replicas, or else the first.
  using Entry = std::tuple<double, int64_t, int64_t>;
  std::priority_queue<Entry> queue;
  for (size_t i = 0; i < experts.size(); ++i)
    queue.push({loads[experts[i]], -1, -int64_t(i)});
  for (int64_t slot = experts.size(); slot < numSlots; ++slot) {
    const int64_t i = -std::get<2>(queue.top());
    queue.pop();
    ++counts[i];
    queue.push({loads[experts[i]] / double(counts[i]), -counts[i], -i});
  }
  Pack replicas;
  for (size_t i = 0; i < experts.size(); ++i)
    replicas.insert(replicas.end(), counts[i], experts[i]);
  return replicas;
}

namespace {
/// Experts of each node's ranks.
using NodePacks = std::vector<std::vector<Pack>>;
} // namespace

/// The experts of every rank, without a decision on which rank is which.
static NodePacks packToRanks(const BalanceInput &input, int64_t numNodes,
                             int64_t numGroups) {
  const int64_t numExperts = input.loads.size();
  const int64_t perGroup = numExperts / numGroups;
  std::vector<double> groupLoads(numGroups, 0.0);
  for (int64_t expert = 0; expert < numExperts; ++expert)
    groupLoads[expert / perGroup] += input.loads[expert];
  NodePacks nodes;
  for (Pack &groups : packEvenly(groupLoads, numNodes)) {
    std::sort(groups.begin(), groups.end());
    Pack experts;
    for (int64_t group : groups)
      for (int64_t i = 0; i < perGroup; ++i)
        experts.push_back(group * perGroup + i);
    const Pack replicas =
        replicate(experts, input.loads, input.current.size() / numNodes);
    std::vector<int64_t> counts(numExperts, 0);
    for (int64_t expert : replicas)
      ++counts[expert];
    std::vector<double> weights;
    for (int64_t expert : replicas)
      weights.push_back(input.loads[expert] / double(counts[expert]));
    std::vector<Pack> &ranks = nodes.emplace_back();
    for (const Pack &pack : packEvenly(weights, input.numRanks / numNodes)) {
      Pack &rank = ranks.emplace_back();
      for (int64_t item : pack)
        rank.push_back(replicas[item]);
      std::sort(rank.begin(), rank.end());
    }
  }
  return nodes;
}

//===----------------------------------------------------------------------===//
// Staying
//===----------------------------------------------------------------------===//

/// Elements that two sorted lists have in common.
static int64_t countCommon(const Pack &a, const Pack &b) {
  Pack common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                        std::back_inserter(common));
  return common.size();
}

/// For each place, which of the packs goes there: pairs with the most in common
/// find each other first. All are sorted.
static std::vector<int64_t> matchPacks(const std::vector<Pack> &packs,
                                       const std::vector<Pack> &places) {
  std::vector<std::tuple<int64_t, int64_t, int64_t>> pairs;
  for (int64_t place = 0; place < int64_t(places.size()); ++place)
    for (int64_t pack = 0; pack < int64_t(packs.size()); ++pack)
      pairs.push_back({-countCommon(packs[pack], places[place]), place, pack});
  std::sort(pairs.begin(), pairs.end());
  std::vector<int64_t> chosen(places.size(), -1);
  std::vector<bool> isTaken(packs.size(), false);
  for (auto [common, place, pack] : pairs)
    if (chosen[place] < 0 && !isTaken[pack]) {
      chosen[place] = pack;
      isTaken[pack] = true;
    }
  return chosen;
}

/// What the places from `first` on hold, `size` of them, sorted.
static Pack getSorted(const Placement &placement, int64_t first, int64_t size) {
  Pack pack(placement.begin() + first, placement.begin() + first + size);
  std::sort(pack.begin(), pack.end());
  return pack;
}

/// Puts `pack` into the slots from `first` on; experts that are there already
/// keep their slots.
static void fillSlots(Pack pack, const Placement &current, int64_t first,
                      Placement &placement) {
  std::vector<int64_t> open;
  const int64_t end = first + int64_t(pack.size());
  for (int64_t slot = first; slot < end; ++slot) {
    auto stays = std::find(pack.begin(), pack.end(), current[slot]);
    if (stays == pack.end()) {
      open.push_back(slot);
      continue;
    }
    placement[slot] = current[slot];
    pack.erase(stays);
  }
  for (size_t i = 0; i < open.size(); ++i)
    placement[open[i]] = pack[i];
}

/// Chooses the node and the rank of every pack such that much stays.
static Placement settle(const NodePacks &nodes, const Placement &current) {
  const int64_t perNode = int64_t(current.size() / nodes.size());
  std::vector<Pack> packs, places;
  for (size_t node = 0; node < nodes.size(); ++node) {
    Pack &pack = packs.emplace_back();
    for (const Pack &rank : nodes[node])
      pack.insert(pack.end(), rank.begin(), rank.end());
    std::sort(pack.begin(), pack.end());
    places.push_back(getSorted(current, node * perNode, perNode));
  }
  const std::vector<int64_t> nodeAt = matchPacks(packs, places);
  Placement placement(current.size());
  for (size_t node = 0; node < nodes.size(); ++node) {
    const std::vector<Pack> &ranks = nodes[nodeAt[node]];
    const int64_t perRank = perNode / int64_t(ranks.size());
    auto firstOf = [&](size_t rank) { return node * perNode + rank * perRank; };
    std::vector<Pack> before;
    for (size_t rank = 0; rank < ranks.size(); ++rank)
      before.push_back(getSorted(current, firstOf(rank), perRank));
    const std::vector<int64_t> rankAt = matchPacks(ranks, before);
    for (size_t rank = 0; rank < ranks.size(); ++rank)
      fillSlots(ranks[rankAt[rank]], current, firstOf(rank), placement);
  }
  return placement;
}

/// Whether every expert has a replica, and all replicas of a group are on one
/// node, which has its share of the groups.
static bool isProper(const Placement &placement, int64_t numExperts,
                     int64_t numNodes, int64_t numGroups) {
  const std::vector<int64_t> counts = countReplicas(placement, numExperts);
  if (std::find(counts.begin(), counts.end(), 0) != counts.end())
    return false;
  const int64_t perNode = int64_t(placement.size()) / numNodes;
  const int64_t perGroup = numExperts / numGroups;
  std::vector<int64_t> nodeOf(numGroups, -1), groupsOn(numNodes, 0);
  for (int64_t slot = 0; slot < int64_t(placement.size()); ++slot) {
    const int64_t node = slot / perNode;
    int64_t &known = nodeOf[placement[slot] / perGroup];
    if (known < 0) {
      known = node;
      ++groupsOn[node];
    }
    if (known != node)
      return false;
  }
  return std::all_of(groupsOn.begin(), groupsOn.end(), [&](int64_t groups) {
    return groups == numGroups / numNodes;
  });
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

/// What is wrong with the input; "" if nothing is.
static std::string findFault(const BalanceInput &input) {
  const int64_t numExperts = input.loads.size();
  const int64_t numSlots = input.current.size();
  auto text = [](int64_t value) { return std::to_string(value); };
  if (numExperts < 1)
    return "expected the load of at least 1 expert but got none";
  for (int64_t expert = 0; expert < numExperts; ++expert)
    if (!std::isfinite(input.loads[expert]) || input.loads[expert] < 0)
      return "expected loads of at least 0 but expert " + text(expert) +
             " has " + std::to_string(input.loads[expert]);
  if (numSlots < numExperts)
    return "expected at least " + text(numExperts) +
           " slots, one for each expert, but got " + text(numSlots);
  if (input.numRanks < 1 || numSlots % input.numRanks != 0)
    return "expected ranks that divide the " + text(numSlots) +
           " slots but got " + text(input.numRanks);
  if (input.numNodes < 1 || input.numRanks % input.numNodes != 0)
    return "expected nodes that divide the " + text(input.numRanks) +
           " ranks but got " + text(input.numNodes);
  if (input.numGroups < 1 || numExperts % input.numGroups != 0)
    return "expected groups that divide the " + text(numExperts) +
           " experts but got " + text(input.numGroups);
  for (int64_t slot = 0; slot < numSlots; ++slot)
    if (input.current[slot] < 0 || input.current[slot] >= numExperts)
      return "expected experts from 0 to " + text(numExperts - 1) +
             " but slot " + text(slot) + " has " + text(input.current[slot]);
  return "";
}

static double getLargest(const Placement &placement,
                         const BalanceInput &input) {
  const std::vector<double> loads =
      getRankLoads(placement, input.loads, input.numRanks);
  return *std::max_element(loads.begin(), loads.end());
}

std::optional<Placement> moe::policy::balanceExperts(const BalanceInput &input,
                                                     std::string &error) {
  error = findFault(input);
  if (!error.empty())
    return std::nullopt;
  int64_t numNodes = input.numNodes, numGroups = input.numGroups;
  if (numGroups % numNodes != 0)
    numNodes = numGroups = 1;
  const Placement placement =
      settle(packToRanks(input, numNodes, numGroups), input.current);
  if (isProper(input.current, input.loads.size(), numNodes, numGroups) &&
      getLargest(input.current, input) <= getLargest(placement, input))
    return input.current;
  return placement;
}

//===----------------------------------------------------------------------===//
// Between placements
//===----------------------------------------------------------------------===//

std::vector<SlotTransfer> moe::policy::planTransfers(const Placement &before,
                                                     const Placement &after,
                                                     int64_t numRanks) {
  const int64_t perRank = int64_t(before.size()) / numRanks;
  std::vector<std::vector<int64_t>> slotsOf;
  for (int64_t slot = 0; slot < int64_t(before.size()); ++slot) {
    slotsOf.resize(std::max<size_t>(slotsOf.size(), before[slot] + 1));
    slotsOf[before[slot]].push_back(slot);
  }
  std::vector<int64_t> sent(numRanks, 0);
  std::vector<SlotTransfer> transfers;
  for (int64_t to = 0; to < int64_t(after.size()); ++to) {
    if (after[to] == before[to])
      continue;
    int64_t from = -1;
    if (after[to] < int64_t(slotsOf.size()))
      for (int64_t slot : slotsOf[after[to]]) {
        if (slot / perRank == to / perRank) {
          from = slot;
          break;
        }
        if (from < 0 || sent[slot / perRank] < sent[from / perRank])
          from = slot;
      }
    if (from >= 0 && from / perRank != to / perRank)
      ++sent[from / perRank];
    transfers.push_back({from, to});
  }
  return transfers;
}

SurvivorMaps
moe::policy::getSurvivorMaps(const Placement &placement, int64_t numExperts,
                             int64_t numRanks,
                             const std::vector<int64_t> &survivors) {
  std::vector<bool> isAlive(numRanks, false);
  for (int64_t rank : survivors)
    isAlive[rank] = true;
  const int64_t perRank = int64_t(placement.size()) / numRanks;
  SurvivorMaps result;
  result.maps = makeEplbMaps(placement, numExperts, [&](int64_t slot) {
    return isAlive[slot / perRank];
  });
  for (int64_t expert = 0; expert < numExperts; ++expert)
    if (result.maps.logicalReplicaCount[expert] == 0)
      result.lostExperts.push_back(expert);
  return result;
}
