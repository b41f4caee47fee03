//===- Route.cpp - Which experts a token goes to, and with what weights ---===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <limits>

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

/// Tokens of one block.
static constexpr int64_t kBlockTokens = 8;
static constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Marks a place in the choice buffer that cannot be chosen. Scores that are
/// NaN become -infinity before they get there.
static constexpr double kTaken = std::numeric_limits<double>::quiet_NaN();

namespace {
/// The kernel: one token at a time, in buffers of E floats that are padded to
/// whole vectors.
class RouteKernel {
public:
  RouteKernel(KernelBuilder &k, RoutingAttr routing, Value logits, Value bias,
              Value replicas, Value replicaCount, Value firstRow, Value ids,
              Value weights)
      : k(k), routing(routing), logits(logits), bias(bias), replicas(replicas),
        replicaCount(replicaCount), firstRow(firstRow), ids(ids),
        weights(weights), lanes(k.getLanes()), numExperts(k.dim(logits, 1)),
        numPadded(k.mul(k.ceilDiv(numExperts, lanes), k.index(lanes))),
        numChosen(getMemRefType(ids).getDimSize(1)),
        scores(k.blockLocal(numPadded, k.getF32Type())),
        choice(k.blockLocal(numPadded, k.getF32Type())) {}

  void emit(Value token);

private:
  void emitScores(Value token);
  void emitSoftmax();
  void emitChoiceScores();
  void emitGroups();
  Value emitGroupScore(Value group, Value size);
  void emitChoice(Value token);
  Value emitArgMax();
  Value emitReplica(Value token, Value expert);
  void emitWeights(Value token);

  /// Replaces the weights of the token by `function` of them.
  void mapWeights(Value token, function_ref<Value(Value)> function);
  /// Combines the weights of the token by `function`, in order.
  Value foldWeights(Value token, double init,
                    function_ref<Value(Value, Value)> function);
  /// A loop over whole vectors of the padded buffers that carries `init`.
  SmallVector<Value>
  foldVectors(ValueRange init,
              function_ref<SmallVector<Value>(Value, ValueRange)> body);
  Value lastVector() { return k.sub(numPadded, k.index(lanes)); }

  KernelBuilder &k;
  RoutingAttr routing;
  Value logits, bias, replicas, replicaCount, firstRow, ids, weights;
  int64_t lanes;
  Value numExperts, numPadded;
  int64_t numChosen;
  Value scores, choice;
};
} // namespace

void RouteKernel::emit(Value token) {
  emitScores(token);
  emitChoiceScores();
  if (routing.getNGroup() > 1)
    emitGroups();
  emitChoice(token);
  emitWeights(token);
}

SmallVector<Value> RouteKernel::foldVectors(
    ValueRange init, function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop =
      scf::ForOp::create(k, k.index(0), numPadded, k.index(lanes), init);
  OpBuilder::InsertionGuard guard(k);
  k.setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(k,
                       body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return loop.getResults();
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

void RouteKernel::emitScores(Value token) {
  // Padding is -infinity, which adds nothing to a softmax.
  k.storeVector(k.constant(-kInfinity, lanes), scores, lastVector());
  k.forEachChunk(numExperts, [&](Value e, unsigned width) {
    Value x = k.loadVector(logits, {token, e}, width);
    if (routing.getScore() == ScoreFunction::sigmoid) {
      x = k.sigmoid(x);
    } else if (routing.getScore() == ScoreFunction::sqrt_softplus) {
      // log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) does not overflow.
      Value magnitude = math::AbsFOp::create(k, x);
      Value negated = arith::NegFOp::create(k, magnitude);
      Value rest = math::Log1pOp::create(k, k.exp(negated));
      Value positive = arith::MaximumFOp::create(k, x, k.constantLike(0.0, x));
      x = math::SqrtOp::create(k, k.addf(positive, rest));
    }
    k.storeVector(x, scores, e);
  });
  if (routing.getScore() == ScoreFunction::softmax)
    emitSoftmax();
}

void RouteKernel::emitSoftmax() {
  auto max = foldVectors(k.constant(-kInfinity, lanes),
                         [&](Value e, ValueRange max) -> SmallVector<Value> {
                           return {arith::MaximumFOp::create(
                               k, max[0], k.loadVector(scores, e, lanes))};
                         });
  Value largest = k.splat(
      vector::ReductionOp::create(k, vector::CombiningKind::MAXIMUMF, max[0]),
      lanes);
  auto sum = foldVectors(k.constant(0.0, lanes),
                         [&](Value e, ValueRange sum) -> SmallVector<Value> {
                           Value x = k.loadVector(scores, e, lanes);
                           Value power = k.exp(k.subf(x, largest));
                           k.storeVector(power, scores, e);
                           return {k.addf(sum[0], power)};
                         });
  Value total = k.splat(
      vector::ReductionOp::create(k, vector::CombiningKind::ADD, sum[0]),
      lanes);
  k.forEach(k.index(0), numPadded, lanes, [&](Value e) {
    k.storeVector(k.divf(k.loadVector(scores, e, lanes), total), scores, e);
  });
}

void RouteKernel::emitChoiceScores() {
  k.storeVector(k.constant(kTaken, lanes), choice, lastVector());
  k.forEachChunk(numExperts, [&](Value e, unsigned width) {
    Value score = k.loadVector(scores, e, width);
    if (bias)
      score = k.addf(score, k.loadVector(bias, e, width));
    Value isNaN = k.comparef(arith::CmpFPredicate::UNO, score, score);
    score = k.select(isNaN, k.constant(-kInfinity, width), score);
    k.storeVector(score, choice, e);
  });
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

Value RouteKernel::emitGroupScore(Value group, Value size) {
  Value begin = k.mul(group, size);
  Value lowest = k.constant(-kInfinity, 1);
  auto loop = scf::ForOp::create(k, begin, k.add(begin, size), k.index(1),
                                 ValueRange{lowest, lowest});
  {
    OpBuilder::InsertionGuard guard(k);
    k.setInsertionPointToStart(loop.getBody());
    Value largest = loop.getRegionIterArg(0);
    Value second = loop.getRegionIterArg(1);
    Value score = k.loadVector(choice, loop.getInductionVar(), 1);
    Value smaller = arith::MinimumFOp::create(k, largest, score);
    scf::YieldOp::create(
        k, ValueRange{arith::MaximumFOp::create(k, largest, score),
                      arith::MaximumFOp::create(k, second, smaller)});
  }
  if (routing.getGroupScore() == GroupScore::max)
    return loop.getResult(0);
  // Infinities of both signs make NaN.
  Value sum = k.addf(loop.getResult(0), loop.getResult(1));
  Value isNaN = k.comparef(arith::CmpFPredicate::UNO, sum, sum);
  return k.select(isNaN, lowest, sum);
}

/// Takes the experts of all groups but the best out of the choice.
void RouteKernel::emitGroups() {
  Value numGroups = k.index(routing.getNGroup());
  Value size = k.div(numExperts, numGroups);
  Value groupScores = k.blockLocal({routing.getNGroup()}, k.getF32Type());
  k.forEach(k.index(0), numGroups, 1, [&](Value group) {
    k.storeVector(emitGroupScore(group, size), groupScores, group);
  });
  k.forEach(k.index(0), numGroups, 1, [&](Value group) {
    // A group's place is the number of groups before it.
    Value score = k.load(groupScores, group);
    auto place =
        scf::ForOp::create(k, k.index(0), numGroups, k.index(1), k.index(0));
    {
      OpBuilder::InsertionGuard guard(k);
      k.setInsertionPointToStart(place.getBody());
      Value other = place.getInductionVar();
      Value otherScore = k.load(groupScores, other);
      using Predicate = arith::CmpFPredicate;
      Value isBetter = k.comparef(Predicate::OGT, otherScore, score);
      Value isEqual = k.comparef(Predicate::OEQ, otherScore, score);
      Value isEarlier = k.compare(arith::CmpIPredicate::ult, other, group);
      Value isBefore = arith::OrIOp::create(
          k, isBetter, arith::AndIOp::create(k, isEqual, isEarlier));
      Value count = place.getRegionIterArg(0);
      scf::YieldOp::create(k,
                           k.select(isBefore, k.add(count, k.index(1)), count));
    }
    Value isOut = k.compare(arith::CmpIPredicate::uge, place.getResult(0),
                            k.index(routing.getTopkGroup()));
    k.ifThen(isOut, [&] {
      Value begin = k.mul(group, size);
      k.forEach(begin, k.add(begin, size), 1, [&](Value e) {
        k.storeVector(k.constant(kTaken, 1), choice, e);
      });
    });
  });
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

static constexpr int32_t kNoExpert = std::numeric_limits<int32_t>::max();

/// The i32 id of the largest choice score, the smallest such id; kNoExpert if
/// every place is taken.
Value RouteKernel::emitArgMax() {
  auto idsType = VectorType::get(lanes, k.getI32Type());
  auto splat = [&](int32_t id) -> Value {
    return arith::ConstantOp::create(k, DenseElementsAttr::get(idsType, id));
  };
  SmallVector<int32_t> iota = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
  Value first = arith::ConstantOp::create(
      k, DenseElementsAttr::get(idsType, ArrayRef<int32_t>(iota)));
  // In every lane the best score so far and its id. The first score that is
  // not taken enters even if it is -infinity; an equal score does not.
  auto best =
      foldVectors({k.constant(-kInfinity, lanes), splat(kNoExpert), first},
                  [&](Value e, ValueRange best) -> SmallVector<Value> {
                    using Predicate = arith::CmpFPredicate;
                    Value score = k.loadVector(choice, e, lanes);
                    Value isLarger = k.comparef(Predicate::OGT, score, best[0]);
                    Value isFirst = arith::AndIOp::create(
                        k,
                        arith::CmpIOp::create(k, arith::CmpIPredicate::eq,
                                              best[1], splat(kNoExpert)),
                        k.comparef(Predicate::ORD, score, score));
                    Value enters = arith::OrIOp::create(k, isLarger, isFirst);
                    return {k.select(enters, score, best[0]),
                            k.select(enters, best[2], best[1]),
                            arith::AddIOp::create(k, best[2], splat(lanes))};
                  });
  Value largest =
      vector::ReductionOp::create(k, vector::CombiningKind::MAXIMUMF, best[0]);
  Value isLargest =
      k.comparef(arith::CmpFPredicate::OEQ, best[0], k.splat(largest, lanes));
  // Lanes without a score hold kNoExpert already, the largest id of all.
  Value candidates = k.select(isLargest, best[1], splat(kNoExpert));
  return vector::ReductionOp::create(k, vector::CombiningKind::MINSI,
                                     candidates);
}

void RouteKernel::emitChoice(Value token) {
  // What the absent weights of k > E become: nothing.
  double absent =
      routing.getWeight() == WeightFunction::score ? 0.0 : -kInfinity;
  k.forEach(k.index(0), k.index(numChosen), 1, [&](Value j) {
    Value id = emitArgMax();
    Value none = arith::ConstantOp::create(k, k.getI32IntegerAttr(kNoExpert));
    k.ifThen(k.compare(arith::CmpIPredicate::ne, id, none), [&] {
      Value e = arith::IndexCastOp::create(k, k.getIndexType(), id);
      k.store(replicas ? emitReplica(token, e) : id, ids, {token, j});
      // Functions of the chosen experts are on their logits.
      Value weight = routing.getWeight() == WeightFunction::score
                         ? k.load(scores, e)
                         : k.load(logits, {token, e});
      k.store(weight, weights, {token, j});
      k.storeVector(k.constant(kTaken, 1), choice, e);
    });
    k.ifThen(k.compare(arith::CmpIPredicate::eq, id, none), [&] {
      k.storeIndex(k.index(-1), ids, {token, j});
      k.storeVector(k.constant(absent, 1), weights, {token, j});
    });
  });
}

/// The physical expert, an i32, that stands for `expert` in row `token`. A
/// multiplicative hash of the row spreads tokens over the replicas.
Value RouteKernel::emitReplica(Value token, Value expert) {
  auto word = [&](uint32_t value) -> Value {
    return arith::ConstantOp::create(
        k, k.getI32IntegerAttr(static_cast<int32_t>(value)));
  };
  if (firstRow)
    token = k.add(token, firstRow);
  Value row = arith::IndexCastOp::create(k, k.getI32Type(), token);
  Value hash = arith::MulIOp::create(k, row, word(2654435769u));
  // A count out of range must neither divide by zero nor lead out of the map.
  Value limit =
      arith::IndexCastOp::create(k, k.getI32Type(), k.dim(replicas, 1));
  Value count = arith::MinUIOp::create(k, k.load(replicaCount, expert), limit);
  count = arith::MaxUIOp::create(k, count, word(1));
  Value replica = arith::IndexCastUIOp::create(
      k, k.getIndexType(), arith::RemUIOp::create(k, hash, count));
  return k.load(replicas, {expert, replica});
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

void RouteKernel::mapWeights(Value token, function_ref<Value(Value)> function) {
  k.forEach(k.index(0), k.index(numChosen), 1, [&](Value j) {
    Value weight = k.loadVector(weights, {token, j}, 1);
    k.storeVector(function(weight), weights, {token, j});
  });
}

Value RouteKernel::foldWeights(Value token, double init,
                               function_ref<Value(Value, Value)> function) {
  auto loop = scf::ForOp::create(k, k.index(0), k.index(numChosen), k.index(1),
                                 k.constant(init, 1));
  OpBuilder::InsertionGuard guard(k);
  k.setInsertionPointToStart(loop.getBody());
  Value weight = k.loadVector(weights, {token, loop.getInductionVar()}, 1);
  scf::YieldOp::create(k, function(loop.getRegionIterArg(0), weight));
  return loop.getResult(0);
}

void RouteKernel::emitWeights(Value token) {
  auto add = [&](Value sum, Value weight) { return k.addf(sum, weight); };
  switch (routing.getWeight()) {
  case WeightFunction::score:
    break;
  case WeightFunction::sigmoid_of_chosen:
    mapWeights(token, [&](Value weight) { return k.sigmoid(weight); });
    break;
  case WeightFunction::softmax_of_chosen: {
    Value largest =
        foldWeights(token, -kInfinity, [&](Value max, Value weight) {
          return arith::MaximumFOp::create(k, max, weight);
        });
    mapWeights(token,
               [&](Value weight) { return k.exp(k.subf(weight, largest)); });
    Value sum = foldWeights(token, 0.0, add);
    mapWeights(token, [&](Value weight) { return k.divf(weight, sum); });
    break;
  }
  }
  if (routing.getRenormalize()) {
    double epsilon = routing.getRenormalizeEpsilon().getValueAsDouble();
    double minimum = routing.getRenormalizeMinimum().getValueAsDouble();
    Value sum = foldWeights(token, 0.0, add);
    sum = k.addf(sum, k.constant(epsilon, 1));
    sum = arith::MaximumFOp::create(k, sum, k.constant(minimum, 1));
    mapWeights(token, [&](Value weight) { return k.divf(weight, sum); });
  }
}

//===----------------------------------------------------------------------===//
// The phase
//===----------------------------------------------------------------------===//

LogicalResult moe::codegen::cpu::emitRoute(RouteOp op,
                                           const Emission &emission) {
  RoutingAttr routing = op.getRouting();
  SmallVector<Value> reads{op.getLogits()};
  bool hasBias = op.getCorrectionBias() != nullptr;
  bool hasReplicas = op.getReplicaCount() != nullptr;
  if (hasBias)
    reads.push_back(op.getCorrectionBias());
  if (hasReplicas)
    reads.append({op.getLogicalToPhysical(), op.getReplicaCount()});
  SmallVector<Value> writes{op.getIdsInit(), op.getWeightsInit()};
  SmallVector<Value> scalars;
  if (op.getFirstRow())
    scalars.push_back(op.getFirstRow());
  std::string key = describeParameters(hasBias, hasReplicas, scalars.size()) +
                    describe(routing);
  func::FuncOp kernel = getOrEmitKernel(
      emission, "route", reads, writes, scalars, key,
      [&](KernelBuilder &k, Value block, ValueRange reads, ValueRange writes,
          ValueRange scalars) {
        Value bias = hasBias ? reads[1] : Value();
        ValueRange maps = reads.drop_front(1 + hasBias);
        RouteKernel route(
            k, routing, reads[0], bias, hasReplicas ? maps[0] : Value(),
            hasReplicas ? maps[1] : Value(),
            scalars.empty() ? Value() : scalars[0], writes[0], writes[1]);
        Value begin = k.mul(block, k.index(kBlockTokens));
        Value end =
            k.minimum(k.add(begin, k.index(kBlockTokens)), k.dim(reads[0], 0));
        k.forEach(begin, end, 1, [&](Value token) { route.emit(token); });
      });
  KernelBuilder grid = gridBuilder(emission);
  Value blocks = grid.ceilDiv(grid.dim(op.getLogits(), 0), kBlockTokens);
  emitLaunches(emission, {{kernel, "route", reads, writes, blocks, scalars}});
  return success();
}
