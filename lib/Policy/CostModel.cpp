//===- CostModel.cpp - What an order of work costs ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/CostModel.h"

#include <algorithm>
#include <cmath>

using namespace moe;
using namespace moe::policy;

std::string_view moe::policy::stringify(Phase phase) {
  switch (phase) {
  case Phase::Gate:
    return "gate";
  case Phase::Route:
    return "route";
  case Phase::Dispatch:
    return "dispatch";
  case Phase::Experts:
    return "experts";
  case Phase::Combine:
    return "combine";
  case Phase::Shared:
    return "shared";
  case Phase::Merge:
    return "merge";
  }
  return "";
}

LayerShape moe::policy::shardLayer(const LayerShape &layer,
                                   const ParallelProperties &p) {
  LayerShape shape = layer;
  shape.inter = layer.inter / p.tp.size;
  shape.expertsLocal =
      p.numPhysicalExperts > 0 ? p.numLocalExperts : layer.experts / p.ep.size;
  // Sequence parallelism replicates the shared experts unless told to shard.
  if (!p.isSequenceParallel || p.sharedExpertsSharded)
    shape.sharedInter = layer.sharedInter / p.outerTp.size;
  return shape;
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

/// The probability that a token has an expert on one of `ranks` ranks that
/// share out the experts evenly: all but that all of its choices are elsewhere.
static double getHitProbability(const LayerShape &shape, double ranks) {
  const double experts = double(std::max<int64_t>(shape.experts, 1));
  double missed = 1;
  for (int64_t i = 0; i < shape.topK; ++i)
    missed *= std::max(0.0, 1 - experts / ranks / (experts - double(i)));
  return 1 - missed;
}

/// Rows that leave a rank in one direction of the exchange over dp and pcp.
static double getExchangedRows(const LayerShape &shape,
                               const ParallelProperties &p, double tokens) {
  double rows = p.gathersOverPcp ? tokens * double(p.pcp.size - 1) : 0;
  double ep = double(p.ep.size);
  switch (p.transport) {
  case Transport::none:
    return rows;
  case Transport::all_gather:
    return tokens * double(p.dp.size * p.pcp.size - 1);
  case Transport::send_receive:
    // A token goes once to each other rank that has one of its experts.
    return rows + tokens * (ep - 1) * getHitProbability(shape, ep);
  case Transport::batched:
    return rows + tokens * double(shape.topK) * (ep - 1) / ep;
  }
  return rows;
}

PhaseCost moe::policy::getPhaseCost(Phase phase, const LayerShape &shape,
                                    Transport transport, const RankLoad &load) {
  const double t = load.tokens, h = double(shape.hidden),
               i = double(shape.inter), is = double(shape.sharedInter),
               e = double(std::max<int64_t>(shape.experts, 1)),
               k = double(shape.topK), b = double(shape.dtypeBytes),
               m = double(shape.matrices);
  const double some = t > 0 ? 1 : 0;
  // What is packed is read and written.
  const bool packs =
      transport == Transport::send_receive || transport == Transport::batched;
  PhaseCost cost;
  switch (phase) {
  case Phase::Gate:
    // Router logits are float32, and so are the weights of the chosen experts;
    // their ids are 32-bit.
    cost.bytes = some * h * e * b + t * h * b + t * e * 4;
    cost.flops = 2 * t * h * e;
    cost.kernels = cost.coldKernels = 1;
    return cost;
  case Phase::Route:
    cost.bytes = t * e * 4 + t * k * 8;
    cost.kernels = 1;
    return cost;
  case Phase::Dispatch:
    // The plan of what was received, and before it that of what is sent, which
    // is packed.
    cost.bytes = load.rows * k * 8 + load.pairs * 8;
    cost.kernels = 1;
    if (packs) {
      cost.bytes += load.sentRows * 2 * h * b;
      cost.kernels += 2;
    }
    return cost;
  case Phase::Experts:
    cost.bytes = m * h * i * load.expertsHit * b + load.pairs * 2 * (h + i) * b;
    cost.flops = 2 * m * h * i * load.pairs;
    cost.kernels = cost.coldKernels = 2;
    return cost;
  case Phase::Combine:
    cost.bytes = load.pairs * h * b + load.rows * h * b;
    cost.kernels = 1;
    // What comes back is added up.
    if (packs) {
      cost.bytes += (load.sentRows + t) * h * b;
      cost.kernels += 1;
    }
    return cost;
  case Phase::Shared:
    if (shape.sharedInter == 0)
      return cost;
    cost.bytes = some * m * h * is * b + t * 2 * (h + is) * b;
    cost.flops = 2 * m * h * is * t;
    cost.kernels = cost.coldKernels = 2;
    return cost;
  case Phase::Merge:
    cost.bytes = t * h * b * (shape.sharedInter > 0 ? 3 : 2);
    cost.kernels = 1;
    return cost;
  }
  return cost;
}

PhaseCost moe::policy::getProjectionCost(double rows, int64_t in, int64_t out,
                                         int64_t dtypeBytes) {
  PhaseCost cost;
  cost.bytes =
      ((rows > 0 ? double(in) * double(out) : 0) + rows * double(in + out)) *
      double(dtypeBytes);
  cost.flops = 2 * rows * double(in) * double(out);
  cost.kernels = cost.coldKernels = 1;
  return cost;
}

std::vector<PhaseCost> moe::policy::getPhaseCosts(const LayerShape &shape,
                                                  const ParallelProperties &p,
                                                  int64_t tokens) {
  const double t = double(tokens), k = double(shape.topK),
               e = double(std::max<int64_t>(shape.experts, 1));
  const double linkRows = getExchangedRows(shape, p, t);
  // Tokens whose experts may be here: those of all ranks that hold other ones,
  // and of those that hold the same where all take part.
  const bool packs = p.transport == Transport::send_receive ||
                     p.transport == Transport::batched;
  const double tokensAll =
      t * double(packs ? p.ep.size : p.dp.size * p.pcp.size * p.spSize);
  RankLoad load;
  load.tokens = t;
  load.rows = tokensAll;
  load.pairs = tokensAll * k * double(shape.expertsLocal) / e;
  if (p.transport == Transport::send_receive) {
    // A rank's own rows are packed like the others.
    double hit = getHitProbability(shape, double(p.ep.size));
    load.rows = tokensAll * hit;
    load.sentRows = t * double(p.ep.size) * hit;
  } else if (p.transport == Transport::batched) {
    load.rows = load.pairs;
    load.sentRows = t * k;
  }
  load.expertsHit =
      double(shape.expertsLocal) * (1 - std::pow(1 - k / e, tokensAll));
  std::vector<PhaseCost> costs;
  for (size_t phase = 0; phase < numPhases; ++phase)
    costs.push_back(getPhaseCost(Phase(phase), shape, p.transport, load));

  // A rank without tokens takes part in every collective all the same.
  const double rowBytes = double(shape.hidden * shape.dtypeBytes);
  if (p.transport != Transport::none || p.gathersOverPcp)
    for (Phase phase : {Phase::Dispatch, Phase::Combine}) {
      costs[size_t(phase)].linkBytes = linkRows * rowBytes;
      costs[size_t(phase)].collectives = 1;
    }
  if (p.reduction != Reduction::None) {
    double tp = double(p.outerTp.size);
    PhaseCost &merge = costs[size_t(Phase::Merge)];
    merge.linkBytes = 2 * t * rowBytes * (tp - 1) / tp;
    merge.collectives = 1;
  }
  return costs;
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

namespace {
/// The work of one stream: time in which it leaves the machine idle, and the
/// work that keeps the machine busy.
struct Branch {
  double idle = 0;
  double busy = 0;
  double bytes = 0;
  double flops = 0;

  double time() const { return idle + busy; }
};
} // namespace

static double getLinkTime(const PhaseCost &cost, const MachineModel &machine) {
  return double(cost.collectives) * machine.linkLatency +
         cost.linkBytes / machine.linkBandwidth;
}

double moe::policy::getBusyTime(const PhaseCost &cost,
                                const MachineModel &machine) {
  return std::max(cost.bytes / machine.memoryBandwidth,
                  cost.flops / machine.flops);
}

double moe::policy::getIdleTime(const PhaseCost &cost,
                                const MachineModel &machine) {
  return double(cost.kernels) * machine.launchGap +
         double(cost.coldKernels) * machine.coldRead;
}

static void append(Branch &branch, const PhaseCost &cost,
                   const MachineModel &machine) {
  branch.idle += getIdleTime(cost, machine) + getLinkTime(cost, machine);
  branch.busy += getBusyTime(cost, machine);
  branch.bytes += cost.bytes;
  branch.flops += cost.flops;
}

double moe::policy::estimateTime(Order order, const LayerShape &shape,
                                 const ParallelProperties &properties,
                                 const MachineModel &machine, int64_t tokens) {
  std::vector<PhaseCost> costs = getPhaseCosts(shape, properties, tokens);
  Branch routed, shared, merge;
  for (Phase phase : {Phase::Gate, Phase::Route, Phase::Dispatch,
                      Phase::Experts, Phase::Combine})
    append(routed, costs[size_t(phase)], machine);
  append(shared, costs[size_t(Phase::Shared)], machine);
  append(merge, costs[size_t(Phase::Merge)], machine);
  double serial = routed.time() + shared.time() + merge.time();

  switch (order) {
  case Order::None:
  case Order::NoOverlap:
    return serial;
  case Order::MKInternalOverlapped: {
    // The shared experts hide behind what the combine moves between ranks.
    double link = getLinkTime(costs[size_t(Phase::Combine)], machine);
    return serial - machine.streamOverlap * std::min(link, shared.time()) +
           2 * machine.eventCost;
  }
  case Order::MultiStreamOverlapped: {
    // The longer branch bounds the two. Short of that, one branch's idle time
    // can be filled with the other's work until the machine is always busy;
    // beyond, memory-bound work may still run beside compute-bound work until
    // the machine's ceilings bound them.
    double longer = std::max(routed.time(), shared.time());
    double filled = std::max(longer, routed.busy + shared.busy);
    double ceiling =
        std::max((routed.bytes + shared.bytes) / machine.memoryBandwidth,
                 (routed.flops + shared.flops) / machine.flops);
    double mixed = std::max(longer, ceiling);
    double hidden =
        machine.streamOverlap * (routed.time() + shared.time() - filled) +
        machine.mixOverlap * (filled - mixed);
    return serial - hidden +
           machine.streamContention * std::min(routed.busy, shared.busy) +
           2 * machine.eventCost;
  }
  }
  return serial;
}

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

std::vector<OrderInterval> moe::policy::findCheapestOrders(
    const std::vector<Order> &orders, const LayerShape &shape,
    const ParallelProperties &properties, const MachineModel &machine) {
  auto cheapest = [&](int64_t tokens) {
    Order best = orders.front();
    double bestTime = HUGE_VAL;
    for (Order order : orders) {
      double time = estimateTime(order, shape, properties, machine, tokens);
      if (time < bestTime) {
        bestTime = time;
        best = order;
      }
    }
    return best;
  };
  std::vector<OrderInterval> intervals = {{0, 0, cheapest(0)}};
  while (intervals.back().last < maxCostedTokens) {
    // Look an eighth ahead; on a change, bisect for the border. Costs are
    // smooth in T, so intervals shorter than the look-ahead do not matter.
    int64_t from = intervals.back().last;
    int64_t to = std::min(from + 1 + from / 8, maxCostedTokens);
    Order order = intervals.back().order;
    if (cheapest(to) == order) {
      intervals.back().last = to;
      continue;
    }
    while (to - from > 1) {
      int64_t middle = from + (to - from) / 2;
      (cheapest(middle) == order ? from : to) = middle;
    }
    intervals.back().last = from;
    intervals.push_back({to, to, cheapest(to)});
  }
  return intervals;
}

ThresholdChoice moe::policy::chooseThreshold(
    const std::vector<Order> &orders, const LayerShape &shape,
    const ParallelProperties &properties, const MachineModel &machine) {
  std::vector<OrderInterval> intervals =
      findCheapestOrders(orders, shape, properties, machine);
  // losses[s][o]: how much slower than the cheapest order `o` is at T = 2^s.
  std::vector<std::vector<double>> losses;
  for (int64_t tokens = 1; tokens <= maxCostedTokens; tokens *= 2) {
    std::vector<double> row;
    for (Order order : orders)
      row.push_back(estimateTime(order, shape, properties, machine, tokens));
    double best = *std::min_element(row.begin(), row.end());
    for (double &time : row)
      time = time / best - 1;
    losses.push_back(std::move(row));
  }

  ThresholdChoice choice;
  choice.numIntervals = intervals.size();
  choice.meanLoss = HUGE_VAL;
  auto consider = [&](size_t below, size_t above,
                      std::optional<int64_t> threshold) {
    double total = 0, worst = 0;
    for (size_t s = 0; s < losses.size(); ++s) {
      bool isBelow = threshold && (int64_t(1) << s) <= *threshold;
      double loss = losses[s][isBelow ? below : above];
      total += loss;
      worst = std::max(worst, loss);
    }
    double mean = total / double(losses.size());
    if (mean >= choice.meanLoss)
      return;
    choice.below = orders[below];
    choice.above = orders[above];
    choice.threshold = threshold;
    choice.meanLoss = mean;
    choice.worstLoss = worst;
  };
  // Single orders first: a threshold must earn its branch.
  for (size_t o = 0; o < orders.size(); ++o)
    consider(o, o, std::nullopt);
  for (size_t n = 0; n + 1 < intervals.size(); ++n)
    for (size_t below = 0; below < orders.size(); ++below)
      for (size_t above = 0; above < orders.size(); ++above)
        if (below != above)
          consider(below, above, intervals[n].last);
  return choice;
}
