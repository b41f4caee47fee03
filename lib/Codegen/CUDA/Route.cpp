//===- Route.cpp - Which experts a token goes to, and with what weights ---===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "Launch.h"
#include "Math.h"

#include <limits>

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

/// Tokens of a block: a warp has one.
static constexpr int64_t kBlockTokens = 4;
/// Shared memory for choice scores, in bytes. More experts, or an unknown
/// number, have theirs in scratch memory.
static constexpr int64_t kMaxSharedBytes = 64 * 1024;
static constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// In the place of a choice score: cannot be chosen. Less than the rank of any
/// score.
static constexpr int32_t kTaken = std::numeric_limits<int32_t>::min();
static constexpr int32_t kNoExpert = std::numeric_limits<int32_t>::max();

namespace {
struct RouteBuffers {
  Buffer logits, bias, replicas, replicaCount, ids, weights;
  std::optional<Scalar> firstRow;
};

/// What a lane holds of its token's choice: slot number `lane`.
struct Chosen {
  Expr isThere, id, logit;
};

/// The two highest ranks of some experts.
struct TopTwo {
  Expr first, second;
  auto fields() { return std::tie(first, second); }
};

/// The best of some experts, the first of them if they are equal.
struct RankedExpert {
  Expr rank, id;
  auto fields() { return std::tie(rank, id); }
};

/// The kernel for one token in one warp.
class RouteKernel {
public:
  /// `choice` is an array of rows of E i32, of which `choiceRow` is the warp's
  /// own.
  RouteKernel(KernelBuilder &k, RoutingAttr routing,
              const RouteBuffers &buffers, Expr token, Array choice,
              Expr choiceRow)
      : k(k), routing(routing), buffers(buffers), token(token), choice(choice),
        choiceRow(choiceRow), numExperts(k.dim(buffers.logits, 1)),
        numSlots(buffers.ids.type.getDimSize(1)) {}

  void emit();

private:
  void forEachExpert(Expr begin, Expr end, function_ref<void(Expr)> body);
  /// Every lane takes every 32nd expert, and carries a state over its own.
  template <typename State, typename Body>
  State foldExperts(Expr begin, Expr end, State init, const Body &body) {
    return k.forEach(begin + k.lane(), end, k.i32(kWarpSize), init, body);
  }
  Expr logit(Expr expert) { return k.load(buffers.logits, {token, expert}); }
  void emitSoftmaxScale();
  Expr emitScore(Expr logit);
  void emitChoiceScores();
  void emitGroups();
  Expr emitGroupScore(Expr begin, Expr end);
  Chosen emitChoice();
  Expr emitBest();
  Expr emitReplica(Expr expert);
  Expr emitWeight(const Chosen &chosen);

  KernelBuilder &k;
  RoutingAttr routing;
  const RouteBuffers &buffers;
  Expr token;
  Array choice;
  Expr choiceRow, numExperts;
  int64_t numSlots;
  Expr largest, sum; ///< Of a softmax over all logits.
};
} // namespace

void RouteKernel::emit() {
  if (routing.getScore() == ScoreFunction::softmax)
    emitSoftmaxScale();
  emitChoiceScores();
  if (routing.getTopkGroup() < routing.getNGroup())
    emitGroups();
  Chosen chosen = emitChoice();
  Expr weight = emitWeight(chosen);
  k.ifThen(k.lane() < numSlots, [&] {
    Expr place[] = {token, k.lane()};
    Expr id = k.ifElse(
        chosen.isThere,
        [&] { return buffers.replicas ? emitReplica(chosen.id) : chosen.id; },
        [&] { return k.i32(-1); });
    k.store(id, buffers.ids, place);
    k.store(k.select(chosen.isThere, weight, k.f32(0.0)), buffers.weights,
            place);
  });
}

void RouteKernel::forEachExpert(Expr begin, Expr end,
                                function_ref<void(Expr)> body) {
  k.forEach(begin + k.lane(), end, k.i32(kWarpSize), body);
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

void RouteKernel::emitSoftmaxScale() {
  Expr zero = k.i32(0);
  largest = foldExperts(
      zero, numExperts, k.f32(-kInfinity),
      [&](Expr expert, Expr largest) { return max(largest, logit(expert)); });
  largest = k.maxLanes(largest);
  sum = foldExperts(zero, numExperts, k.f32(0.0), [&](Expr expert, Expr sum) {
    return sum + exp(logit(expert) - largest);
  });
  sum = k.sumLanes(sum);
}

Expr RouteKernel::emitScore(Expr logit) {
  switch (routing.getScore()) {
  case ScoreFunction::softmax:
    return exp(logit - largest) / sum;
  case ScoreFunction::sigmoid:
    return sigmoid(logit);
  case ScoreFunction::sqrt_softplus:
    return sqrt(softplus(logit));
  case ScoreFunction::logits:
    return logit;
  }
  llvm_unreachable("unknown scores");
}

/// An i32 that is ordered as the float is, NaN as -infinity. Both zeros are the
/// same.
static Expr emitRank(KernelBuilder &k, Expr score) {
  score = k.select(isNaN(score), k.f32(-kInfinity), score + 0.0);
  Expr bits = k.bitcast(score, k.getI32Type());
  return k.select(bits < 0, bits ^ std::numeric_limits<int32_t>::max(), bits);
}

void RouteKernel::emitChoiceScores() {
  forEachExpert(k.i32(0), numExperts, [&](Expr expert) {
    Expr score = emitScore(logit(expert));
    if (buffers.bias)
      score = score + k.load(buffers.bias, expert);
    k.store(emitRank(k, score), choice, {choiceRow, expert});
  });
  k.syncWarp();
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// The float that has this rank.
static Expr emitUnrank(KernelBuilder &k, Expr rank) {
  Expr bits =
      k.select(rank < 0, rank ^ std::numeric_limits<int32_t>::max(), rank);
  return k.bitcast(bits, k.getF32Type());
}

/// The rank of the score of a group, in all lanes.
Expr RouteKernel::emitGroupScore(Expr begin, Expr end) {
  // The rank of -infinity, which a group of one expert has as its second.
  Expr lowest = emitRank(k, k.f32(-kInfinity));
  auto insert = [](TopTwo best, Expr other) -> TopTwo {
    return {max(best.first, other), max(best.second, min(best.first, other))};
  };
  TopTwo best = foldExperts(
      begin, end, TopTwo{lowest, lowest}, [&](Expr expert, TopTwo best) {
        return insert(best, k.load(choice, {choiceRow, expert}));
      });
  for (int64_t distance = kWarpSize / 2; distance > 0; distance /= 2) {
    Expr first = k.shuffleXor(best.first, distance);
    Expr second = k.shuffleXor(best.second, distance);
    best = insert({best.first, max(best.second, second)}, first);
  }
  if (routing.getGroupScore() == GroupScore::max)
    return best.first;
  return emitRank(k, emitUnrank(k, best.first) + emitUnrank(k, best.second));
}

/// Takes the experts of all groups but the best out of the choice.
void RouteKernel::emitGroups() {
  Expr size = numExperts / routing.getNGroup();
  Array scores = k.shared("group_scores", {kBlockTokens, routing.getNGroup()},
                          k.getI32Type());
  Expr numGroups = k.i32(routing.getNGroup());
  k.forEach(k.i32(0), numGroups, k.i32(1), [&](Expr group) {
    Expr score = emitGroupScore(group * size, (group + 1) * size);
    k.ifThen(k.lane() == 0, [&] { k.store(score, scores, {k.warp(), group}); });
  });
  k.syncWarp();
  k.forEach(k.i32(0), numGroups, k.i32(1), [&](Expr group) {
    // A group's place is the number of groups before it.
    Expr score = k.load(scores, {k.warp(), group});
    Expr place =
        k.forEach(k.lane(), numGroups, k.i32(kWarpSize), k.i32(0),
                  [&](Expr other, Expr count) {
                    Expr otherScore = k.load(scores, {k.warp(), other});
                    Expr isBefore = (otherScore > score) |
                                    ((otherScore == score) & (other < group));
                    return count + k.select(isBefore, k.i32(1), k.i32(0));
                  });
    k.ifThen(k.sumLanes(place) >= routing.getTopkGroup(), [&] {
      forEachExpert(group * size, (group + 1) * size, [&](Expr expert) {
        k.store(k.i32(kTaken), choice, {choiceRow, expert});
      });
    });
  });
  k.syncWarp();
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

/// The id of the largest choice score, the smallest such id, in all lanes;
/// kNoExpert if every place is taken.
Expr RouteKernel::emitBest() {
  RankedExpert best = foldExperts(
      k.i32(0), numExperts, RankedExpert{k.i32(kTaken), k.i32(kNoExpert)},
      [&](Expr expert, RankedExpert best) -> RankedExpert {
        Expr rank = k.load(choice, {choiceRow, expert});
        Expr isBetter = rank > best.rank;
        return {k.select(isBetter, rank, best.rank),
                k.select(isBetter, expert, best.id)};
      });
  Expr rank = k.maxLanes(best.rank);
  return k.minLanes(k.select(best.rank == rank, best.id, k.i32(kNoExpert)));
}

Chosen RouteKernel::emitChoice() {
  Expr id = k.forEach(k.i32(0), k.i32(numSlots), k.i32(1), k.i32(kNoExpert),
                      [&](Expr slot, Expr id) {
                        Expr best = emitBest();
                        // The lane that looks at this expert takes it out.
                        Expr isOwn = k.lane() == best % kWarpSize;
                        k.ifThen(isOwn & (best != kNoExpert), [&] {
                          k.store(k.i32(kTaken), choice, {choiceRow, best});
                        });
                        return k.select(k.lane() == slot, best, id);
                      });
  Expr isThere = id != kNoExpert;
  return {isThere, id,
          k.ifElse(
              isThere, [&] { return logit(id); },
              [&] { return k.f32(-kInfinity); })};
}

/// The physical expert that stands for `expert` in row `token`. A
/// multiplicative hash of the row spreads tokens over the replicas.
Expr RouteKernel::emitReplica(Expr expert) {
  constexpr int64_t kHash = 2654435769;
  // A count out of range must neither divide by zero nor lead out of the map.
  Expr count = k.load(buffers.replicaCount, expert);
  Expr limit = k.dim(buffers.replicas, 1);
  count = k.select(below(count, limit), count, limit);
  count = max(count, 1);
  Expr row = token;
  if (buffers.firstRow)
    row = row + k.scalar(*buffers.firstRow);
  return k.load(buffers.replicas, {expert, row * kHash % count});
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// The weight of the lane's slot.
Expr RouteKernel::emitWeight(const Chosen &chosen) {
  Expr weight;
  switch (routing.getWeight()) {
  case WeightFunction::score:
    weight = emitScore(chosen.logit);
    break;
  case WeightFunction::sigmoid_of_chosen:
    weight = sigmoid(chosen.logit);
    break;
  case WeightFunction::softmax_of_chosen:
    weight = exp(chosen.logit - k.maxLanes(chosen.logit));
    break;
  }
  // What lanes without a slot add to sums.
  weight = k.select(chosen.isThere, weight, k.f32(0.0));
  if (routing.getWeight() == WeightFunction::softmax_of_chosen)
    weight = weight / k.sumLanes(weight);
  if (!routing.getRenormalize())
    return weight;
  Expr sum =
      k.sumLanes(weight) + routing.getRenormalizeEpsilon().getValueAsDouble();
  return weight / max(sum, routing.getRenormalizeMinimum().getValueAsDouble());
}

//===----------------------------------------------------------------------===//
// The phase
//===----------------------------------------------------------------------===//

LogicalResult moe::codegen::cuda::emitRoute(RouteOp op,
                                            const Emission &emission) {
  RoutingAttr routing = op.getRouting();
  if (routing.getTopK() > kWarpSize)
    return op.emitOpError("expected at most ")
           << kWarpSize << " experts per token on target '" << kTargetName
           << "' but got " << routing.getTopK();
  Launch launch(emission, "route", "route");
  RouteBuffers buffers{launch.read(op.getLogits()),
                       launch.read(op.getCorrectionBias()),
                       launch.read(op.getLogicalToPhysical()),
                       launch.read(op.getReplicaCount()),
                       launch.write(op.getIdsInit()),
                       launch.write(op.getWeightsInit()),
                       {}};
  if (op.getFirstRow())
    buffers.firstRow = launch.take(op.getFirstRow());
  launch.setThreads(kBlockTokens * kWarpSize);
  launch.setKey(describe(routing), buffers.firstRow.has_value());

  int64_t numExperts = buffers.logits.type.getDimSize(1);
  int64_t sharedBytes = kBlockTokens * numExperts * sizeof(int32_t);
  bool isShared =
      !ShapedType::isDynamic(numExperts) && sharedBytes <= kMaxSharedBytes;
  Buffer scratch;
  if (isShared) {
    launch.setSharedBytes(sharedBytes);
  } else {
    ExprBuilder b = scratchBuilder(emission);
    scratch = launch.write(allocateScratch(
        {dimOf(b, op.getLogits(), 0), dimOf(b, op.getLogits(), 1)},
        b.getI32Type()));
  }

  ExprBuilder grid = gridBuilder(emission);
  Expr blocks = ceilDiv(dimOf(grid, op.getLogits(), 0), kBlockTokens);
  launch.emit(blocks, [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr token = k.block() * kBlockTokens + k.warp();
    k.ifThen(token < k.dim(buffers.logits, 0), [&] {
      Array choice = isShared ? k.dynamicShared(0, {kBlockTokens, numExperts},
                                                k.getI32Type())
                              : k.array(scratch);
      RouteKernel(k, routing, buffers, token, choice,
                  isShared ? k.warp() : token)
          .emit();
    });
  });
  return success();
}
