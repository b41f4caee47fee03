//===- Program.cpp - From a schedule to what ranks issue ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Phases.h"
#include "moe-mlir/Transforms/Parallel.h"
#include "moe-mlir/Transforms/Schedule.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moe;
using namespace moe::simulate;
using namespace moe::schedule;

FailureOr<policy::ParallelProperties>
simulate::getProperties(FunctionOpInterface function) {
  if (LayerInfoAttr layer = getLayerInfo(function))
    return moe::getProperties(layer);
  return function.emitError("expected a function that --moe-schedule has "
                            "scheduled");
}

FailureOr<Routing> simulate::getRouting(FunctionOpInterface function) {
  FailureOr<policy::ParallelProperties> properties =
      simulate::getProperties(function);
  if (failed(properties))
    return failure();
  DispatchOp dispatch;
  RouteOp route;
  function.walk([&](Operation *op) {
    if (!dispatch)
      dispatch = dyn_cast<DispatchOp>(op);
    if (!route)
      route = dyn_cast<RouteOp>(op);
  });
  if (!dispatch)
    return function.emitError("expected a function with a 'moe.dispatch' to "
                              "simulate");
  const int64_t numLogical =
      int64_t(dispatch.getNumExperts()) - properties->numRedundantExperts;
  Routing routing;
  // Zero experts are chosen like others, and nobody owns them.
  int64_t numChoices = numLogical;
  routing.router.topK =
      cast<ShapedType>(dispatch.getIds().getType()).getDimSize(1);
  if (route) {
    RoutingAttr attr = route.getRouting();
    numChoices = cast<ShapedType>(route.getLogits().getType()).getDimSize(1);
    routing.router.numGroups = attr.getNGroup();
    routing.router.topKGroups = attr.getTopkGroup();
    routing.router.groupScore = attr.getGroupScore();
  }
  routing.router.weights = policy::getUniformWeights(numChoices);
  routing.slots = policy::getInitialSlots(*properties, numLogical);
  return routing;
}

namespace {
/// Walks the function as one rank does.
class ProgramBuilder {
public:
  ProgramBuilder(const Call &call, std::vector<Sizes> &sizes, Groups &groups,
                 Program &program, size_t rank)
      : call(call), sizes(sizes[rank]), program(program), rank(rank),
        parts(call, sizes, groups, rank) {}

  LogicalResult visit(Block &block);

private:
  LogicalResult visitRun(RunOp run);
  LogicalResult visitBranch(scf::IfOp branch);
  size_t getStream(StreamAttr stream) {
    return number(program.streams, stream.getDisplayName());
  }
  size_t number(std::vector<std::string> &names, const std::string &name);

  const Call &call;
  Sizes &sizes;
  Program &program;
  size_t rank;
  PhaseParts parts;
  llvm::DenseMap<Value, size_t> events;
};
} // namespace

size_t ProgramBuilder::number(std::vector<std::string> &names,
                              const std::string &name) {
  auto it = llvm::find(names, name);
  if (it == names.end())
    it = names.insert(names.end(), name);
  return size_t(it - names.begin());
}

LogicalResult ProgramBuilder::visit(Block &block) {
  for (Operation &op : block) {
    LogicalResult result = success();
    if (auto run = dyn_cast<RunOp>(op)) {
      result = visitRun(run);
    } else if (auto mark = dyn_cast<MarkOp>(op)) {
      Task task;
      task.label = number(program.labels, "mark");
      task.stream = getStream(mark.getStream());
      events[mark.getEvent()] = program.tasks[rank].size();
      program.tasks[rank].push_back(task);
    } else if (auto branch = dyn_cast<scf::IfOp>(op)) {
      result = visitBranch(branch);
    } else if (op.getNumRegions() != 0) {
      result = op.emitOpError("expected runs in straight-line code and in "
                              "'scf.if' to simulate");
    }
    if (failed(result))
      return failure();
  }
  return success();
}

LogicalResult ProgramBuilder::visitBranch(scf::IfOp branch) {
  std::optional<int64_t> condition = sizes.get(branch.getCondition());
  if (!condition)
    return branch.emitOpError("expected a condition that follows from the "
                              "tokens to simulate");
  Block *arm = *condition ? branch.thenBlock() : branch.elseBlock();
  return arm ? visit(*arm) : success();
}

LogicalResult ProgramBuilder::visitRun(RunOp run) {
  Task task;
  task.stream = getStream(run.getStream());
  std::string label = run.getLabel().value_or("").str();
  for (Value event : run.getAfter()) {
    auto it = events.find(event);
    if (it == events.end())
      return run.emitOpError("expected to wait for events of runs and marks on "
                             "the same path");
    task.after.push_back(it->second);
  }
  if (!task.after.empty()) {
    Part wait;
    wait.seconds = call.cluster.gpu.eventCost * double(task.after.size());
    task.parts.push_back(wait);
  }
  for (Operation &op : run.getBody().front()) {
    if (isPure(&op) || isa<memref::DimOp>(op))
      continue;
    if (label.empty())
      label = op.getName().getStringRef().str();
    if (failed(parts.append(&op, task.parts)))
      return failure();
  }
  task.label = number(program.labels, label);
  if (run.getDone())
    events[run.getDone()] = program.tasks[rank].size();
  program.tasks[rank].push_back(std::move(task));
  return success();
}

FailureOr<Program> simulate::buildProgram(FunctionOpInterface function,
                                          const Call &call) {
  const size_t numRanks = call.tokens.size();
  const policy::ParallelProperties &p = call.properties;
  const size_t expected = size_t(p.outerTp.size * p.pcp.size * p.dp.size);
  if (numRanks != expected)
    return function.emitError("expected the tokens of ")
           << expected << " ranks but got those of " << numRanks;
  if (function.isExternal() || !function.getFunctionBody().hasOneBlock())
    return function.emitError("expected a function of one block to simulate");
  std::vector<Sizes> sizes;
  for (size_t rank = 0; rank < numRanks; ++rank)
    sizes.emplace_back(function, call.tokens, rank);

  Program program;
  program.tasks.resize(numRanks);
  Groups groups;
  for (size_t rank = 0; rank < numRanks; ++rank) {
    ProgramBuilder builder(call, sizes, groups, program, rank);
    if (failed(builder.visit(function.getFunctionBody().front())))
      return failure();
  }
  program.groups = std::move(groups.list);
  if (program.labels.empty())
    return function.emitError("expected a function with a schedule to simulate "
                              "but it issues nothing");
  return program;
}
