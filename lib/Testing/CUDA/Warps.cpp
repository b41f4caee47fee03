//===- Warps.cpp - Threads together on an emulated GPU --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include <algorithm>

using namespace mlir;
using namespace moe::codegen::cuda::test;

//===----------------------------------------------------------------------===//
// Where a thread is
//===----------------------------------------------------------------------===//

template <typename F>
static Step perLane(Warp &warp, const Instruction &i, F value) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    warp.row(i.out[0])[lane] = value(lane);
  return Step::Next;
}

static Step readThread(Warp &warp, const Instruction &i) {
  return perLane(warp, i,
                 [&](unsigned lane) { return warp.number * kLanes + lane; });
}

static Step readBlock(Warp &warp, const Instruction &i) {
  return perLane(warp, i, [&](unsigned) { return warp.block->number; });
}

static Step readNumBlocks(Warp &warp, const Instruction &i) {
  return perLane(warp, i,
                 [&](unsigned) { return warp.block->cluster->shape.blocks; });
}

static Step readLanesBefore(Warp &warp, const Instruction &i) {
  return perLane(warp, i,
                 [](unsigned lane) { return (uint64_t(1) << lane) - 1; });
}

static Step copyFirst(Warp &warp, const Instruction &i) {
  return perLane(warp, i,
                 [&](unsigned lane) { return warp.row(i.in[0])[lane]; });
}

//===----------------------------------------------------------------------===//
// Exchanges of lanes
//===----------------------------------------------------------------------===//

/// Checks that the lanes that an instruction names are those that execute it.
static std::string checkMembers(Warp &warp, const Slot &members) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (warp.mask >> lane & 1)
      if (uint32_t named = warp.row(members)[lane]; named != warp.mask)
        return llvm::formatv("names lanes {0:x} but is executed by {1:x}",
                             named, warp.mask);
  return {};
}

/// Runs `body` of the lanes' values if the lanes are those that are named.
template <typename Body>
static Step together(Warp &warp, const Instruction &i, const Slot &members,
                     Body body) {
  if (std::string fault = checkMembers(warp, members); !fault.empty())
    return warp.fail(i, -1, fault);
  uint64_t results[kLanes] = {};
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (warp.mask >> lane & 1)
      results[lane] = body(lane);
  if (!i.out.empty())
    std::copy(results, results + kLanes, warp.row(i.out[0]));
  return Step::Next;
}

/// PTX ISA, "shfl.sync".
static Step shuffle(Warp &warp, const Instruction &i) {
  auto kind = static_cast<NVVM::ShflKind>(i.detail);
  const uint64_t *values = warp.row(i.in[1]);
  unsigned missing = kLanes;
  Step step = together(warp, i, i.in[0], [&](unsigned lane) {
    unsigned by = warp.row(i.in[2])[lane] & 31, clamp = warp.row(i.in[3])[lane];
    unsigned segment = clamp >> 8 & 31;
    unsigned least = lane & segment, most = least | (clamp & 31 & ~segment);
    int from = 0;
    bool isInside = false;
    switch (kind) {
    case NVVM::ShflKind::up:
      from = int(lane) - int(by);
      isInside = from >= int(most);
      break;
    case NVVM::ShflKind::down:
      from = lane + by;
      isInside = from <= int(most);
      break;
    case NVVM::ShflKind::bfly:
      from = lane ^ by;
      isInside = from <= int(most);
      break;
    case NVVM::ShflKind::idx:
      from = least | (by & ~segment);
      isInside = from <= int(most);
      break;
    }
    unsigned source = isInside ? from : lane;
    if (!(warp.mask >> source & 1))
      missing = lane;
    return values[source];
  });
  if (missing < kLanes)
    return warp.fail(i, missing, "takes the value of a lane that is elsewhere");
  return step;
}

static Step reduce(Warp &warp, const Instruction &i) {
  auto kind = static_cast<NVVM::ReduxKind>(i.detail);
  auto combine = [&](uint32_t a, uint32_t b) -> uint32_t {
    switch (kind) {
    case NVVM::ReduxKind::ADD:
      return a + b;
    case NVVM::ReduxKind::MAX:
      return std::max(int32_t(a), int32_t(b));
    case NVVM::ReduxKind::MIN:
      return std::min(int32_t(a), int32_t(b));
    case NVVM::ReduxKind::UMAX:
      return std::max(a, b);
    case NVVM::ReduxKind::UMIN:
      return std::min(a, b);
    case NVVM::ReduxKind::AND:
      return a & b;
    case NVVM::ReduxKind::OR:
      return a | b;
    default:
      return a ^ b;
    }
  };
  return together(warp, i, i.in[1], [&](unsigned self) {
    uint32_t result = warp.row(i.in[0])[self];
    for (unsigned lane = 0; lane < kLanes; ++lane)
      if ((warp.mask >> lane & 1) && lane != self)
        result = combine(result, warp.row(i.in[0])[lane]);
    return result;
  });
}

static Step vote(Warp &warp, const Instruction &i) {
  uint32_t yes = 0;
  forEachLane(warp.mask, [&](unsigned lane) {
    yes |= uint32_t(warp.row(i.in[1])[lane] & 1) << lane;
  });
  auto kind = static_cast<NVVM::VoteSyncKind>(i.detail);
  return together(warp, i, i.in[0], [&](unsigned) -> uint64_t {
    switch (kind) {
    case NVVM::VoteSyncKind::any:
      return yes != 0;
    case NVVM::VoteSyncKind::all:
      return yes == warp.mask;
    case NVVM::VoteSyncKind::uni:
      return yes == 0 || yes == warp.mask;
    case NVVM::VoteSyncKind::ballot:
      return yes;
    }
    return yes;
  });
}

static Step matchAny(Warp &warp, const Instruction &i) {
  const uint64_t *values = warp.row(i.in[1]);
  return together(warp, i, i.in[0], [&](unsigned self) {
    uint64_t same = 0;
    forEachLane(warp.mask, [&](unsigned lane) {
      same |= uint64_t(values[lane] == values[self]) << lane;
    });
    return same;
  });
}

static Step syncWarp(Warp &warp, const Instruction &i) {
  return together(warp, i, i.in[0], [](unsigned) { return 0; });
}

Handler moe::codegen::cuda::test::findWarpOperation(Operation *op,
                                                    Instruction &i) {
  return llvm::TypeSwitch<Operation *, Handler>(op)
      .Case([](NVVM::ThreadIdXOp) { return readThread; })
      .Case([](NVVM::BlockIdXOp) { return readBlock; })
      .Case([](NVVM::GridDimXOp) { return readNumBlocks; })
      .Case([](NVVM::LaneMaskLtOp) { return readLanesBefore; })
      // Text that hides from the compiler what it would draw conclusions from.
      .Case([](LLVM::InlineAsmOp text) -> Handler {
        if (text.getAsmString() == "mov.u32 $0, %tid.x;" &&
            text.getConstraints() == "=r")
          return readThread;
        if (text.getAsmString() == "mov.u32 $0, $1;" &&
            text.getConstraints() == "=r,r")
          return copyFirst;
        return nullptr;
      })
      .Case([&](NVVM::ShflOp op) -> Handler {
        i.detail = static_cast<int64_t>(op.getKind());
        return op.getReturnValueAndIsValid() ||
                       getElementBits(op.getType()) != 32
                   ? nullptr
                   : shuffle;
      })
      .Case([&](NVVM::ReduxOp op) -> Handler {
        i.detail = static_cast<int64_t>(op.getKind());
        return op.getType().isInteger(32) ? reduce : nullptr;
      })
      .Case([&](NVVM::VoteSyncOp op) {
        i.detail = static_cast<int64_t>(op.getKind());
        return vote;
      })
      .Case([&](NVVM::MatchSyncOp op) -> Handler {
        return op.getKind() == NVVM::MatchSyncKind::any ? matchAny : nullptr;
      })
      .Case([](NVVM::SyncWarpOp) { return syncWarp; })
      .Default([](Operation *) { return nullptr; });
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

/// Arrives at a barrier of the block's threads once, then waits for the others.
static Step meet(Warp &warp, const Instruction &i, uint64_t id, int64_t count) {
  if (!warp.isWhole())
    return warp.fail(
        i, -1, llvm::formatv("is executed by lanes {0:x} alone", warp.mask));
  ThreadBlock::Barrier &barrier = warp.block->barriers[id];
  if (warp.hasArrived) {
    if (barrier.generation == warp.generation)
      return Step::Wait;
    warp.hasArrived = false;
    return Step::Next;
  }
  if (barrier.arrived == 0)
    barrier.expected = count;
  if (barrier.expected != count)
    return warp.fail(
        i, -1,
        llvm::formatv("waits at barrier {0} for {1} threads, others for {2}",
                      id, count, barrier.expected));
  barrier.arrived += kLanes;
  if (barrier.arrived >= count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return Step::Next;
  }
  warp.generation = barrier.generation;
  warp.hasArrived = true;
  return Step::Wait;
}

static Step meetBlock(Warp &warp, const Instruction &i) {
  return meet(warp, i, 0, warp.block->cluster->shape.threads);
}

static Step meetSome(Warp &warp, const Instruction &i) {
  uint64_t id = warp.row(i.in[0])[0], count = warp.row(i.in[1])[0];
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (warp.row(i.in[0])[lane] != id || id >= 16 ||
        warp.row(i.in[1])[lane] != count || count % kLanes != 0)
      return warp.fail(i, lane, "names another barrier than the warp, or none");
  return meet(warp, i, id, count);
}

static Step arriveAtCluster(Warp &warp, const Instruction &i) {
  if (!warp.isWhole())
    return warp.fail(
        i, -1, llvm::formatv("is executed by lanes {0:x} alone", warp.mask));
  Cluster &cluster = *warp.block->cluster;
  warp.clusterGeneration = cluster.generation;
  cluster.arrived += kLanes;
  if (cluster.arrived ==
      cluster.shape.threads * static_cast<int64_t>(cluster.blocks.size())) {
    cluster.arrived = 0;
    ++cluster.generation;
  }
  return Step::Next;
}

static Step awaitCluster(Warp &warp, const Instruction &) {
  return warp.block->cluster->generation == warp.clusterGeneration ? Step::Wait
                                                                   : Step::Next;
}

static Step awaitPrevious(Warp &warp, const Instruction &) {
  warp.hasAwaitedPrevious = true;
  return Step::Next;
}

/// What orders memory, or shares registers, has nothing to do: accesses happen
/// one after the other here.
static Step nothing(Warp &, const Instruction &) { return Step::Next; }

Handler moe::codegen::cuda::test::findSynchronization(Operation *op,
                                                      Instruction &i) {
  return llvm::TypeSwitch<Operation *, Handler>(op)
      .Case([](NVVM::Barrier0Op) { return meetBlock; })
      .Case([](NVVM::BarrierOp op) -> Handler {
        bool isPlain = op.getBarrierId() && op.getNumberOfThreads() &&
                       !op.getReductionOp();
        return isPlain ? meetSome : nullptr;
      })
      .Case([](NVVM::ClusterArriveOp) { return arriveAtCluster; })
      .Case([](NVVM::ClusterWaitOp) { return awaitCluster; })
      .Case([](NVVM::GriddepcontrolOp op) {
        return op.getKind() == NVVM::GridDepActionKind::wait ? awaitPrevious
                                                             : nothing;
      })
      .Case<NVVM::FenceMbarrierInitOp, NVVM::FenceProxyOp,
            NVVM::SetMaxRegisterOp>([](Operation *) { return nothing; })
      .Default([](Operation *) { return nullptr; });
}
