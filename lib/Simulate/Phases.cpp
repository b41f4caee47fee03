//===- Phases.cpp - What a phase costs a rank -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Phases.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moe;
using namespace moe::simulate;
using policy::CollectiveKind;
using policy::Phase;

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

size_t Groups::get(schedule::CommunicatorAttr communicator, size_t rank) {
  SmallVector<int64_t> ranks = communicator.getGroup(int64_t(rank));
  auto [it, isNew] =
      numbers.try_emplace({communicator.getName(), ranks.front()}, list.size());
  if (isNew)
    list.emplace_back(ranks.begin(), ranks.end());
  return it->second;
}

static MemRefType getType(Value buffer) {
  return cast<MemRefType>(buffer.getType());
}

static int64_t getElementBytes(Value buffer) {
  return getType(buffer).getElementType().getIntOrFloatBitWidth() / 8;
}

/// The bytes of a row of a buffer.
static double getRowBytes(Value buffer) {
  return double(getType(buffer).getDimSize(1) * getElementBytes(buffer));
}

static int64_t getMatrices(ActivationAttr activation) {
  return activation.isGated() ? 3 : 2;
}

static Transport getTransport(std::optional<ExchangeAttr> exchange) {
  return exchange ? exchange->getTransport() : Transport::none;
}

static FailureOr<int64_t> getCapacity(Operation *op, Transport transport) {
  if (transport != Transport::batched)
    return 0;
  auto function = op->getParentOfType<FunctionOpInterface>();
  if (auto attr =
          function->getAttrOfType<IntegerAttr>(schedule::kMaxNumTokensAttrName))
    return getMaxTokens(getPart(op), attr.getInt());
  return op->emitOpError("expected the function's attribute '")
         << schedule::kMaxNumTokensAttrName
         << "': the exchange has a fixed capacity";
}

FailureOr<double> PhaseParts::getRows(Operation *op, Value buffer,
                                      size_t ofRank) {
  if (std::optional<int64_t> rows = sizes[ofRank].getDim(buffer, 0))
    return double(*rows);
  return op->emitOpError("expected a number of rows that follows from the "
                         "tokens but got that of ")
         << buffer.getType();
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

void PhaseParts::appendCost(const policy::PhaseCost &cost,
                            std::vector<Part> &parts) {
  const policy::MachineModel &gpu = call.cluster.gpu;
  if (double idle = policy::getIdleTime(cost, gpu)) {
    Part part;
    part.seconds = idle;
    parts.push_back(part);
  }
  if (double busy = policy::getBusyTime(cost, gpu)) {
    Part part;
    part.kind = Part::Kind::Busy;
    part.seconds = busy;
    part.memoryShare = cost.bytes / gpu.memoryBandwidth / busy;
    part.flopsShare = cost.flops / gpu.flops / busy;
    parts.push_back(part);
  }
}

void PhaseParts::appendPhase(Phase phase, const policy::LayerShape &shape,
                             double rows, std::vector<Part> &parts) {
  policy::RankLoad load;
  load.tokens = rows;
  appendCost(policy::getPhaseCost(phase, shape, Transport::none, load), parts);
}

void PhaseParts::appendShare(schedule::CommunicatorAttr communicator,
                             policy::ShareOfCollective share,
                             std::vector<Part> &parts) {
  Part part;
  part.kind = Part::Kind::Collective;
  part.group = groups.get(communicator, rank);
  part.collective = share.kind;
  part.share = share.share;
  parts.push_back(part);
}

/// What packing adds to a cost, which comes before the exchange in a dispatch
/// and behind it in a combine.
static policy::PhaseCost subtract(policy::PhaseCost cost,
                                  const policy::PhaseCost &other) {
  cost.bytes -= other.bytes;
  cost.flops -= other.flops;
  cost.kernels -= other.kernels;
  cost.coldKernels -= other.coldKernels;
  return cost;
}

LogicalResult PhaseParts::appendDispatch(DispatchOp op,
                                         std::vector<Part> &parts) {
  FailureOr<double> own = getRows(op, op.getIds());
  if (failed(own))
    return failure();
  const Transport transport = getTransport(op.getExchange());
  const policy::RankLoads &loads = call.loads;
  const size_t expertRank = getExpertRank();
  // The tokens of all ranks that exchange.
  double tokens = *own;
  if (op.getExchange()) {
    tokens = 0;
    for (int64_t other :
         op.getExchange()->getCommunicator().getGroup(int64_t(rank))) {
      FailureOr<double> rows = getRows(op, op.getIds(), size_t(other));
      if (failed(rows))
        return failure();
      tokens += *rows;
    }
  }

  policy::LayerShape shape;
  shape.topK = getType(op.getIds()).getDimSize(1);
  policy::RankLoad load;
  load.tokens = *own;
  load.pairs = tokens * loads.choices[expertRank];
  load.expertsHit = loads.getExpertsHit(expertRank, tokens);
  load.rows = tokens;
  if (transport == Transport::send_receive) {
    load.rows = tokens * loads.rows[expertRank];
    for (double rows : loads.rows)
      load.sentRows += *own * rows;
  } else if (transport == Transport::batched) {
    load.rows = load.pairs;
    load.sentRows = *own * double(shape.topK);
  }
  Received &got = received[op.getOffsetsInit()];
  got = {load.rows, load.pairs, load.expertsHit};
  received[op.getPairRowsInit()] = got;

  if (op.getX()) {
    shape.hidden = getType(op.getX()).getDimSize(1);
    shape.dtypeBytes = getElementBytes(op.getX());
  }
  policy::PhaseCost plan =
      policy::getPhaseCost(Phase::Dispatch, shape, Transport::none, load);
  appendCost(
      subtract(policy::getPhaseCost(Phase::Dispatch, shape, transport, load),
               plan),
      parts);
  if (op.getExchange()) {
    FailureOr<int64_t> capacity = getCapacity(op, transport);
    if (failed(capacity))
      return failure();
    policy::RowSizes sizes{getRowBytes(op.getX()), shape.topK};
    for (const policy::ShareOfCollective &share : policy::getDispatchShares(
             transport, *own, loads, expertRank, sizes, *capacity))
      appendShare(op.getExchange()->getCommunicator(), share, parts);
  }
  appendCost(plan, parts);
  return success();
}

LogicalResult PhaseParts::appendExperts(ExpertsOp op,
                                        std::vector<Part> &parts) {
  auto got = received.find(op.getOffsets());
  if (got == received.end())
    return op.emitOpError("expected the dispatch of its plan before it");
  policy::LayerShape shape;
  shape.hidden = getType(op.getW2()).getDimSize(1);
  shape.inter = getType(op.getW2()).getDimSize(2);
  shape.matrices = getMatrices(op.getActivation());
  shape.dtypeBytes = getElementBytes(op.getW2());
  policy::RankLoad load;
  load.pairs = got->second.pairs;
  load.expertsHit = got->second.expertsHit;
  appendCost(policy::getPhaseCost(Phase::Experts, shape, Transport::none, load),
             parts);
  return success();
}

LogicalResult PhaseParts::appendCombine(CombineOp op,
                                        std::vector<Part> &parts) {
  auto got = received.find(op.getPairRows());
  if (got == received.end())
    return op.emitOpError("expected the dispatch of its plan before it");
  // What is kept in a fused op is no buffer that has a size.
  FailureOr<double> own =
      getRows(op, op.getExchange() ? op.getInit() : op.getPairRows());
  if (failed(own))
    return failure();
  const Transport transport = getTransport(op.getExchange());
  const policy::RankLoads &loads = call.loads;
  policy::LayerShape shape;
  shape.hidden = getType(op.getExpertOut()).getDimSize(1);
  shape.dtypeBytes = getElementBytes(op.getExpertOut());
  policy::RankLoad load;
  load.tokens = *own;
  load.rows = got->second.rows;
  load.pairs = got->second.pairs;
  // What comes back are the rows that went out.
  for (size_t r = 0; r < loads.getNumRanks(); ++r)
    load.sentRows += *own * (transport == Transport::batched ? loads.choices[r]
                                                             : loads.rows[r]);
  policy::PhaseCost here =
      policy::getPhaseCost(Phase::Combine, shape, Transport::none, load);
  appendCost(here, parts);
  if (!op.getExchange())
    return success();
  FailureOr<int64_t> capacity = getCapacity(op, transport);
  if (failed(capacity))
    return failure();
  policy::RowSizes sizes{getRowBytes(op.getInit()), 1};
  for (const policy::ShareOfCollective &share : policy::getCombineShares(
           transport, *own, loads, getExpertRank(), sizes, *capacity))
    appendShare(op.getExchange()->getCommunicator(), share, parts);
  appendCost(
      subtract(policy::getPhaseCost(Phase::Combine, shape, transport, load),
               here),
      parts);
  return success();
}

/// The share in an all-reduce of `bytes` over `ranks`.
static policy::ShareOfCollective getSum(double bytes, int64_t ranks) {
  return {CollectiveKind::AllReduce, {2 * bytes / double(ranks), 1}};
}

LogicalResult PhaseParts::appendCollective(schedule::CollectiveOp op,
                                           std::vector<Part> &parts) {
  for (auto [send, receive] :
       llvm::zip_equal(op.getSends(), op.getReceives())) {
    // What a rank brings, or takes, is said by the rows that are its own.
    bool scatters = op.getKind() == schedule::CollectiveKind::reduce_scatter;
    Value own = scatters ? receive : send;
    FailureOr<double> rows = getRows(op, own);
    if (failed(rows))
      return failure();
    double bytes = *rows * getRowBytes(own);
    policy::ShareOfCollective share;
    switch (op.getKind()) {
    case schedule::CollectiveKind::all_gather:
      share = {CollectiveKind::AllGather, {bytes, 1}};
      break;
    case schedule::CollectiveKind::reduce_scatter:
      share = {CollectiveKind::ReduceScatter, {1, bytes}};
      break;
    case schedule::CollectiveKind::all_reduce:
      share = getSum(bytes, op.getNumRanks());
      break;
    case schedule::CollectiveKind::all_to_all:
      return op.emitOpError("expected a collective whose rows follow from the "
                            "tokens to simulate but got 'all_to_all'");
    }
    appendShare(op.getCommunicator(), share, parts);
  }
  return success();
}

LogicalResult PhaseParts::append(Operation *op, std::vector<Part> &parts) {
  auto withRows = [&](Value buffer, function_ref<LogicalResult(double)> body) {
    FailureOr<double> rows = getRows(op, buffer);
    return failed(rows) ? failure() : body(*rows);
  };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<GateOp>([&](GateOp gate) {
        policy::LayerShape shape;
        shape.hidden = getType(gate.getWeight()).getDimSize(1);
        shape.experts = getType(gate.getWeight()).getDimSize(0);
        shape.dtypeBytes = getElementBytes(gate.getWeight());
        return withRows(gate.getX(), [&](double rows) {
          return appendPhase(Phase::Gate, shape, rows, parts), success();
        });
      })
      .Case<RouteOp>([&](RouteOp route) {
        policy::LayerShape shape;
        shape.experts = getType(route.getLogits()).getDimSize(1);
        shape.topK = route.getRouting().getTopK();
        return withRows(route.getLogits(), [&](double rows) {
          return appendPhase(Phase::Route, shape, rows, parts), success();
        });
      })
      .Case<ExpertLoadOp>([&](ExpertLoadOp load) {
        return withRows(load.getIds(), [&](double rows) {
          policy::PhaseCost cost;
          cost.bytes = rows * getRowBytes(load.getIds());
          cost.kernels = 1;
          return appendCost(cost, parts), success();
        });
      })
      .Case<FusedOp>([&](FusedOp fused) {
        return success(
            llvm::all_of(fused.getBody().front(), [&](Operation &phase) {
              return succeeded(append(&phase, parts));
            }));
      })
      .Case<DispatchOp>(
          [&](DispatchOp dispatch) { return appendDispatch(dispatch, parts); })
      .Case<ExpertsOp>(
          [&](ExpertsOp experts) { return appendExperts(experts, parts); })
      .Case<CombineOp>(
          [&](CombineOp combine) { return appendCombine(combine, parts); })
      .Case<SharedExpertsOp>([&](SharedExpertsOp shared) {
        policy::LayerShape shape;
        shape.hidden = getType(shared.getW2()).getDimSize(0);
        shape.sharedInter = getType(shared.getW2()).getDimSize(1);
        shape.matrices = getMatrices(shared.getActivation());
        shape.dtypeBytes = getElementBytes(shared.getW2());
        return withRows(shared.getX(), [&](double rows) {
          return appendPhase(Phase::Shared, shape, rows, parts), success();
        });
      })
      .Case<ProjectOp>([&](ProjectOp project) {
        MemRefType weight = getType(project.getWeight());
        return withRows(project.getX(), [&](double rows) {
          appendCost(policy::getProjectionCost(
                         rows, weight.getDimSize(1), weight.getDimSize(0),
                         getElementBytes(project.getWeight())),
                     parts);
          return success();
        });
      })
      .Case<MergeOp>([&](MergeOp merge) {
        policy::LayerShape shape;
        shape.hidden = getType(merge.getInit()).getDimSize(1);
        shape.sharedInter = merge.getShared() ? 1 : 0;
        shape.dtypeBytes = getElementBytes(merge.getInit());
        return withRows(merge.getInit(), [&](double rows) {
          appendPhase(Phase::Merge, shape, rows, parts);
          if (!merge.getCommunicator())
            return success();
          // The sum is one of float32.
          appendShare(*merge.getCommunicator(),
                      getSum(rows * double(shape.hidden) * 4,
                             merge.getCommunicator()->getNumRanks()),
                      parts);
          return success();
        });
      })
      .Case<schedule::CollectiveOp>([&](schedule::CollectiveOp collective) {
        return appendCollective(collective, parts);
      })
      .Default([](Operation *other) {
        return other->emitOpError("expected a phase of a layer to simulate; "
                                  "kernels have no cost on paper");
      });
}
