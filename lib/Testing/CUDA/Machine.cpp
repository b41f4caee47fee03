//===- Machine.cpp - An emulated GPU --------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "Kernel.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace moe::codegen::cuda::test;

Machine::Machine(EventOrder order) : order(order) {}

Machine::~Machine() = default;

/// An op on one line, without what it holds.
static std::string describe(Operation *op) {
  std::string text;
  llvm::raw_string_ostream(text) << '\'' << op->getName() << '\'';
  return text;
}

static std::string whereIs(const Warp &warp) {
  return llvm::formatv("warp {0} of block {1}", warp.number,
                       warp.block->number);
}

Step Warp::fail(const Instruction &instruction, int lane,
                const std::string &what) {
  std::string &error = block->cluster->error;
  if (!error.empty())
    return Step::Fault;
  std::string who =
      lane < 0 ? whereIs(*this)
               : llvm::formatv("lane {0} of {1}", lane, whereIs(*this));
  error = describe(instruction.op) + ", " + who + ": " + what;
  // The text of the op, which may be long, at the end.
  error += "\n  ";
  llvm::raw_string_ostream stream(error);
  if (instruction.op->getNumRegions() == 0)
    instruction.op->print(stream);
  return Step::Fault;
}

namespace {
/// Runs the clusters of one launch.
class Run {
public:
  Run(Machine &machine, const Kernel &kernel, const LaunchShape &shape,
      ArrayRef<uint64_t> arguments, ArrayRef<TensorMap> maps);

  std::string runAll();

private:
  void makeBlocks();
  void begin(int64_t firstBlock);
  void runCluster();
  /// Whether the warp has done anything.
  bool advance(Warp &warp);
  bool copyOne();
  void explainDeadlock();

  Machine &machine;
  ArrayRef<uint64_t> arguments;
  Cluster cluster;
  /// What one warp may do before another takes its turn.
  int64_t turn;
  int64_t steps = 0;
};
} // namespace

Run::Run(Machine &machine, const Kernel &kernel, const LaunchShape &shape,
         ArrayRef<uint64_t> arguments, ArrayRef<TensorMap> maps)
    : machine(machine), arguments(arguments),
      turn(machine.getOrder() == EventOrder::Eager ? INT64_MAX : 7) {
  cluster.kernel = &kernel;
  cluster.shape = shape;
  cluster.maps = maps;
  cluster.memory = &machine.memory;
  makeBlocks();
}

void Run::makeBlocks() {
  const Kernel &kernel = *cluster.kernel;
  std::vector<SharedMemory::Object> objects = kernel.shared;
  for (SharedMemory::Object &object : objects)
    if (object.bytes == 0)
      object.bytes = cluster.shape.sharedBytes;
  cluster.blocks.resize(cluster.shape.cluster);
  for (auto [rank, block] : llvm::enumerate(cluster.blocks)) {
    block.cluster = &cluster;
    block.rank = rank;
    block.shared = std::make_unique<SharedMemory>(objects);
    block.warps.resize(cluster.shape.threads / kLanes);
    block.shared->underWay.resize(block.warps.size());
    for (auto [number, warp] : llvm::enumerate(block.warps)) {
      warp.block = &block;
      warp.number = number;
      warp.registers.resize(size_t(kernel.rows) * kLanes);
      for (auto [row, value] : kernel.constants)
        std::fill_n(warp.row(row), kLanes, value);
      for (auto [slot, value] : llvm::zip_equal(kernel.arguments, arguments))
        std::fill_n(warp.row(slot), kLanes, value);
    }
  }
}

void Run::begin(int64_t firstBlock) {
  for (ThreadBlock &block : cluster.blocks) {
    block.number = firstBlock + block.rank;
    block.shared->clear();
    block.barriers.clear();
    for (Warp &warp : block.warps) {
      Warp fresh;
      fresh.block = &block;
      fresh.number = warp.number;
      fresh.registers = std::move(warp.registers);
      warp = std::move(fresh);
    }
  }
  cluster.copies.clear();
  cluster.arrived = 0;
}

bool Run::advance(Warp &warp) {
  // More than any kernel of a test takes.
  constexpr int64_t kMostSteps = 20'000'000;
  const std::vector<Instruction> &code = cluster.kernel->code;
  bool hasMoved = false;
  for (int64_t left = turn; left > 0 && !warp.isAtEnd; --left) {
    const Instruction &instruction = code[warp.place];
    bool hadArrived = warp.hasArrived;
    switch (instruction.run(warp, instruction)) {
    case Step::Next:
      ++warp.place;
      break;
    case Step::Jump:
      break;
    case Step::Wait:
      return hasMoved || warp.hasArrived != hadArrived;
    case Step::End:
      warp.isAtEnd = true;
      break;
    case Step::Fault:
      return false;
    }
    hasMoved = true;
    if (++steps > kMostSteps) {
      warp.fail(instruction, -1, "is executed without end");
      return false;
    }
    // Copies start at once, so that what happens first is known.
    while (machine.getOrder() == EventOrder::Eager && copyOne())
      ;
    if (!cluster.error.empty())
      return false;
  }
  return hasMoved;
}

bool Run::copyOne() {
  if (cluster.copies.empty() || !cluster.error.empty())
    return false;
  auto copy = std::move(cluster.copies.front());
  cluster.copies.pop_front();
  copy();
  return true;
}

void Run::runCluster() {
  SmallVector<Warp *> warps;
  for (ThreadBlock &block : cluster.blocks)
    for (Warp &warp : block.warps)
      warps.push_back(&warp);
  if (machine.getOrder() == EventOrder::Late)
    std::reverse(warps.begin(), warps.end());
  while (true) {
    bool hasMoved = false;
    for (Warp *warp : warps) {
      hasMoved |= advance(*warp);
      if (!cluster.error.empty())
        return;
    }
    if (hasMoved || copyOne())
      continue;
    if (!llvm::all_of(warps, [](Warp *warp) { return warp->isAtEnd; }))
      explainDeadlock();
    return;
  }
}

void Run::explainDeadlock() {
  cluster.error = "all warps wait:";
  for (ThreadBlock &block : cluster.blocks) {
    for (Warp &warp : block.warps) {
      std::string at = "the end";
      if (!warp.isAtEnd)
        at = describe(cluster.kernel->code[warp.place].op);
      cluster.error += llvm::formatv("\n  {0} is at {1}", whereIs(warp), at);
    }
    cluster.error += block.shared->describeBarriers();
  }
}

std::string Run::runAll() {
  int64_t width = cluster.shape.cluster;
  int64_t clusters = cluster.shape.blocks / width;
  for (int64_t i = 0; i < clusters && cluster.error.empty(); ++i) {
    int64_t number =
        machine.getOrder() == EventOrder::Eager ? i : clusters - 1 - i;
    begin(number * width);
    runCluster();
  }
  return cluster.error;
}

std::string Machine::launch(LLVM::LLVMFuncOp function, const LaunchShape &shape,
                            ArrayRef<uint64_t> arguments,
                            ArrayRef<TensorMap> maps) {
  std::unique_ptr<Kernel> &kernel = kernels[function];
  if (!kernel)
    kernel = Kernel::create(function);
  std::string where = "kernel '" + function.getName().str() + "': ";
  if (!kernel->error.empty())
    return where + kernel->error;
  if (shape.threads % kLanes != 0 || shape.blocks % shape.cluster != 0)
    return llvm::formatv("{0}{1} blocks of {2} threads are not whole clusters "
                         "of {3} blocks and whole warps",
                         where, shape.blocks, shape.threads, shape.cluster);
  std::string error = Run(*this, *kernel, shape, arguments, maps).runAll();
  return error.empty() ? error : where + error;
}
