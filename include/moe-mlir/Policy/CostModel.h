//===- CostModel.h - What an order of work costs ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A first cost model: bytes and FLOPs per phase, a machine's ceilings, and the
// time of a layer under each order. It exists to compare orders with each
// other; its absolute times leave out what all orders share.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_COSTMODEL_H
#define MOE_MLIR_POLICY_COSTMODEL_H

#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Policy/RuleSet.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moe::policy {

/// The part of a layer that one rank computes.
struct LayerShape {
  /// H
  int64_t hidden = 0;
  /// Width of one routed expert on this rank.
  int64_t inter = 0;
  /// Routed experts of the whole layer.
  int64_t experts = 0;
  /// Routed experts on this rank.
  int64_t expertsLocal = 0;
  int64_t topK = 0;
  /// Total width of the shared experts on this rank; 0 where there are none.
  int64_t sharedInter = 0;
  /// Bytes of one weight or activation.
  int64_t dtypeBytes = 2;
  /// Weight matrices per expert: 3 with a gate (SwiGLU), 2 without.
  int64_t matrices = 3;
};

/// The part of `layer` (a whole layer, where expertsLocal = experts) that one
/// rank computes under `properties`.
LayerShape shardLayer(const LayerShape &layer,
                      const ParallelProperties &properties);

/// A machine's measured ceilings. Times in seconds, rates per second.
struct MachineModel {
  std::string name;
  /// Bytes per second, reading.
  double memoryBandwidth = 0;
  /// Dense, in the layer's dtype.
  double flops = 0;
  /// From the start of a kernel that reads weights to its first data.
  double coldRead = 0;
  /// Between two kernels of one stream.
  double launchGap = 0;
  /// Recording an event on one stream and waiting for it on another.
  double eventCost = 0;
  /// The share of one stream's idle time (launches, first reads, waits for
  /// other ranks) that another stream's work fills, 0 to 1.
  double streamOverlap = 0;
  /// The share of what memory-bound work beside compute-bound work could gain
  /// that it does gain, 0 to 1.
  double mixOverlap = 0;
  /// The share of the common busy time that two streams cost each other when
  /// both would use the machine fully.
  double streamContention = 0;
  /// Bytes per second and direction between ranks.
  double linkBandwidth = 0;
  /// From the start of a message between ranks to its first byte.
  double linkLatency = 0;
};

/// One H200. The ceilings are measured except the link's, which are NVLink's
/// nominal rate and a typical latency.
MachineModel getH200Machine();
/// A host of a few cores whose streams are threads.
MachineModel getCpuMachine();
/// The built-in machine for a platform's name ("cpu", "cuda", "cuda:sm_90a").
MachineModel getDefaultMachine(std::string_view platform);

/// A machine as JSON, one key per member. Reading refuses missing, unknown and
/// impossible members: nothing is returned, and `error` says why. Of a
/// description of many GPUs (Cluster.h) it takes one.
std::string writeMachine(const MachineModel &machine);
std::optional<MachineModel> readMachine(std::string_view json,
                                        std::string &error);
/// The same from and to a file.
bool saveMachine(const MachineModel &machine, const std::string &path,
                 std::string &error);
std::optional<MachineModel> loadMachine(const std::string &path,
                                        std::string &error);

enum class Phase { Gate, Route, Dispatch, Experts, Combine, Shared, Merge };
constexpr size_t numPhases = size_t(Phase::Merge) + 1;
std::string_view stringify(Phase phase);

struct PhaseCost {
  /// Moved to and from memory.
  double bytes = 0;
  double flops = 0;
  int64_t kernels = 0;
  /// Of these, the ones that begin by reading weights from memory.
  int64_t coldKernels = 0;
  /// Moved between ranks.
  double linkBytes = 0;
  int64_t collectives = 0;
};

/// What one rank has to do in one call.
struct RankLoad {
  /// Rows of its own.
  double tokens = 0;
  /// Rows that it packs to be sent, those to itself too.
  double sentRows = 0;
  /// Rows whose choices it looks at: those that it got, or its own.
  double rows = 0;
  /// Choices that are one of its experts, and those of its experts that have
  /// any.
  double pairs = 0;
  double expertsHit = 0;
};

/// What a phase moves to and from memory and computes on a rank. What goes over
/// links is not in it.
PhaseCost getPhaseCost(Phase phase, const LayerShape &shape,
                       Transport transport, const RankLoad &load);

/// A dense product of [rows, in] and [in, out].
PhaseCost getProjectionCost(double rows, int64_t in, int64_t out,
                            int64_t dtypeBytes);

/// Seconds that the cost keeps the machine busy, and those in which it waits
/// for launches and first reads.
double getBusyTime(const PhaseCost &cost, const MachineModel &machine);
double getIdleTime(const PhaseCost &cost, const MachineModel &machine);

/// What each phase moves and computes on a rank with `tokens` rows of its own,
/// all ranks being taken to hold as many and routing to be uniform: a rank's
/// U(T) = E_local * (1 - (1 - k/E)^T) experts are hit by T tokens.
std::vector<PhaseCost> getPhaseCosts(const LayerShape &shape,
                                     const ParallelProperties &properties,
                                     int64_t tokens);

/// Estimated seconds of the layer under `order`.
double estimateTime(Order order, const LayerShape &shape,
                    const ParallelProperties &properties,
                    const MachineModel &machine, int64_t tokens);

/// A run of T, both ends included, for which one order is cheapest.
struct OrderInterval {
  int64_t first;
  int64_t last;
  Order order;
};

/// T past this is one interval with it.
constexpr int64_t maxCostedTokens = int64_t(1) << 17;

/// The cheapest of `orders` for every T from 0 to maxCostedTokens. `orders` is
/// not empty; of equally cheap orders the first wins.
std::vector<OrderInterval>
findCheapestOrders(const std::vector<Order> &orders, const LayerShape &shape,
                   const ParallelProperties &properties,
                   const MachineModel &machine);

/// At most one threshold: `below` up to it, `above` past it.
struct ThresholdChoice {
  Order below;
  Order above;
  std::optional<int64_t> threshold;
  /// How much slower than the cheapest order the choice is, as a mean and at
  /// worst over T = 1, 2, 4, ... (0.01 is one per cent).
  double meanLoss = 0;
  double worstLoss = 0;
  /// Intervals before they were collapsed to two.
  size_t numIntervals = 1;
};

/// The two orders, and the border of intervals between them, that lose least
/// against the cheapest order at each of T = 1, 2, 4, ..., every octave
/// counting alike.
ThresholdChoice chooseThreshold(const std::vector<Order> &orders,
                                const LayerShape &shape,
                                const ParallelProperties &properties,
                                const MachineModel &machine);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_COSTMODEL_H
