//===- Print.cpp - Schedules as pictures and data -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/Print.h"

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/GraphWriter.h"
#include <map>

using namespace mlir;
using namespace moe::schedule;

namespace {
/// A run or a mark.
struct Step {
  Operation *op;
  std::string stream;
  std::string label;
  SmallVector<std::string> path;
  SmallVector<unsigned> follows;
  SmallVector<unsigned> waits;
};

/// The steps of a function in program order, and how they are ordered.
class Steps {
public:
  explicit Steps(FunctionOpInterface function) {
    if (!function.isExternal())
      for (Block &block : function.getFunctionBody())
        visit(block);
  }

  SmallVector<Step> steps;
  SmallVector<std::string> streams; ///< As they are met.

private:
  /// The last steps of each stream on the paths that lead here.
  using Frontier = std::map<std::string, SmallVector<unsigned>>;

  void visit(Block &block);
  void visitRegions(Operation *op);
  void add(Operation *op, StreamAttr stream, StringRef label, Value event);

  Frontier frontier;
  SmallVector<std::string> path;
  llvm::DenseMap<Value, unsigned> events;
};
} // namespace

void Steps::add(Operation *op, StreamAttr stream, StringRef label,
                Value event) {
  unsigned id = steps.size();
  std::string name = stream.getDisplayName();
  if (!llvm::is_contained(streams, name))
    streams.push_back(name);
  Step step{op, name, label.str(), path, frontier[name], {}};
  for (Value operand : op->getOperands())
    if (auto it = events.find(operand); it != events.end())
      step.waits.push_back(it->second);
  steps.push_back(std::move(step));
  frontier[name] = {id};
  if (event)
    events[event] = id;
}

void Steps::visit(Block &block) {
  for (Operation &op : block) {
    if (auto run = dyn_cast<RunOp>(op))
      add(run, run.getStream(), run.getLabel().value_or(""), run.getDone());
    else if (auto mark = dyn_cast<MarkOp>(op))
      add(mark, mark.getStream(), "", mark.getEvent());
    else
      visitRegions(&op);
  }
}

/// What the region of a branch or loop is called.
static std::string getRegionName(Operation *op, unsigned region) {
  if (isa<scf::IfOp>(op))
    return region == 0 ? "then" : "else";
  if (auto branch = dyn_cast<scf::IndexSwitchOp>(op))
    return region == 0
               ? "default"
               : "case " + std::to_string(branch.getCases()[region - 1]);
  return isa<LoopLikeOpInterface>(op) ? "loop"
                                      : op->getName().getStringRef().str();
}

void Steps::visitRegions(Operation *op) {
  if (op->getNumRegions() == 0)
    return;
  // What may be skipped leaves what came before as the last step, too.
  bool isBranch = isa<scf::IfOp, scf::IndexSwitchOp>(op);
  Frontier before = frontier, after;
  auto leave = [&](const Frontier &arm) {
    for (const auto &[stream, last] : arm)
      for (unsigned id : last)
        if (!llvm::is_contained(after[stream], id))
          after[stream].push_back(id);
  };
  if (isa<LoopLikeOpInterface>(op))
    leave(before);
  for (Region &region : op->getRegions()) {
    if (isBranch)
      frontier = before;
    path.push_back(getRegionName(op, region.getRegionNumber()));
    for (Block &block : region)
      visit(block);
    path.pop_back();
    if (isBranch)
      leave(frontier);
  }
  if (!isBranch)
    leave(frontier);
  for (auto &[stream, last] : after)
    llvm::sort(last);
  frontier = std::move(after);
}

/// The names of the ops in the body of a run; none for a mark.
static SmallVector<std::string> getOps(Operation *op) {
  SmallVector<std::string> names;
  if (auto run = dyn_cast<RunOp>(op))
    for (Operation &inner : run.getBody().front())
      names.push_back(inner.getName().getStringRef().str());
  return names;
}

void moe::schedule::printDot(FunctionOpInterface function,
                             llvm::raw_ostream &os) {
  Steps graph(function);
  os << "digraph \"" << llvm::DOT::EscapeString(function.getName().str())
     << "\" {\n  node [shape=box];\n";
  for (auto [number, stream] : llvm::enumerate(graph.streams)) {
    os << "  subgraph cluster_" << number << " {\n    label=\""
       << llvm::DOT::EscapeString(stream) << "\";\n";
    for (auto [id, step] : llvm::enumerate(graph.steps)) {
      if (step.stream != stream)
        continue;
      std::string label = step.label;
      if (isa<MarkOp>(step.op))
        label = "mark";
      else if (label.empty())
        label = llvm::join(getOps(step.op), "\n");
      for (const std::string &name : llvm::reverse(step.path))
        label = name + ": " + label;
      os << "    s" << id << " [label=\"" << llvm::DOT::EscapeString(label)
         << "\"" << (isa<MarkOp>(step.op) ? ", shape=point, xlabel=mark" : "")
         << "];\n";
    }
    os << "  }\n";
  }
  for (auto [id, step] : llvm::enumerate(graph.steps)) {
    for (unsigned earlier : step.follows)
      os << "  s" << earlier << " -> s" << id << ";\n";
    for (unsigned event : step.waits)
      os << "  s" << event << " -> s" << id << " [style=dashed];\n";
  }
  os << "}\n";
}

static StringRef getKindName(Buffer::Origin origin) {
  switch (origin) {
  case Buffer::Origin::Unknown:
    return "unknown";
  case Buffer::Origin::Input:
    return "input";
  case Buffer::Origin::Inout:
    return "inout";
  case Buffer::Origin::Output:
    return "output";
  case Buffer::Origin::Workspace:
    return "workspace";
  case Buffer::Origin::Allocation:
    return "allocation";
  case Buffer::Origin::Stack:
    return "stack";
  case Buffer::Origin::Global:
    return "global";
  case Buffer::Origin::Constant:
    return "constant";
  case Buffer::Origin::Slot:
    return "slot";
  }
  llvm_unreachable("all origins are listed");
}

namespace {
/// The buffers that steps touch, numbered as they are met.
class StepBuffers {
public:
  explicit StepBuffers(FunctionOpInterface function)
      : order(function),
        names(function, OpPrintingFlags().printNameLocAsPrefix()) {
    for (const Work &work : order.getWork()) {
      if (!work.run)
        continue;
      for (const Access &access : work.accesses) {
        ids.insert(access.view.buffer);
        if (access.reads)
          reads[work.run].insert(access.view.buffer);
        if (access.writes)
          writes[work.run].insert(access.view.buffer);
      }
    }
  }

  llvm::json::Array list() {
    llvm::json::Array list;
    for (auto [id, index] : llvm::enumerate(ids)) {
      const Buffer &buffer = order.getBuffers()[index];
      llvm::json::Value type = nullptr;
      if (buffer.root) {
        std::string text;
        llvm::raw_string_ostream(text) << buffer.root.getType();
        type = text;
      }
      list.push_back(llvm::json::Object{{"id", int64_t(id)},
                                        {"kind", getKindName(buffer.origin)},
                                        {"name", getName(buffer)},
                                        {"type", std::move(type)}});
    }
    return list;
  }

  llvm::json::Array listReads(Operation *step) { return list(reads[step]); }
  llvm::json::Array listWrites(Operation *step) { return list(writes[step]); }

private:
  using BufferSet = llvm::SetVector<BufferId>;

  llvm::json::Array list(const BufferSet &touched) {
    llvm::json::Array list;
    for (auto [id, index] : llvm::enumerate(ids))
      if (touched.contains(index))
        list.push_back(int64_t(id));
    return list;
  }

  std::string getName(const Buffer &buffer) {
    if (buffer.slot)
      return buffer.slot.getName().str();
    if (buffer.symbol)
      return buffer.symbol.str();
    if (!buffer.root)
      return buffer.getDisplayName();
    std::string name;
    llvm::raw_string_ostream os(name);
    buffer.root.printAsOperand(os, names);
    return name.substr(1);
  }

  HappensBefore order;
  AsmState names;
  BufferSet ids;
  llvm::DenseMap<Operation *, BufferSet> reads, writes;
};
} // namespace

llvm::json::Value moe::schedule::toJson(FunctionOpInterface function) {
  Steps graph(function);
  StepBuffers buffers(function);
  llvm::json::Array steps;
  for (auto [id, step] : llvm::enumerate(graph.steps)) {
    llvm::json::Value label = nullptr;
    if (!step.label.empty())
      label = step.label;
    steps.push_back(
        llvm::json::Object{{"id", int64_t(id)},
                           {"kind", isa<MarkOp>(step.op) ? "mark" : "run"},
                           {"stream", step.stream},
                           {"label", std::move(label)},
                           {"ops", llvm::json::Array(getOps(step.op))},
                           {"path", llvm::json::Array(step.path)},
                           {"follows", llvm::json::Array(step.follows)},
                           {"waits", llvm::json::Array(step.waits)},
                           {"reads", buffers.listReads(step.op)},
                           {"writes", buffers.listWrites(step.op)}});
  }
  return llvm::json::Object{{"function", function.getName().str()},
                            {"streams", llvm::json::Array(graph.streams)},
                            {"buffers", buffers.list()},
                            {"steps", std::move(steps)}};
}
