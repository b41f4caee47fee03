//===- Access.cpp - Loads, stores and copies of an emulated GPU -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Addresses: of global memory as GlobalMemory gives them; of shared memory
// (address space 3) as offsets in the block's; of the cluster's (space 7) with
// the block's rank above.
//
//===----------------------------------------------------------------------===//

#include "Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>
#include <numeric>

using namespace mlir;
using namespace moe::codegen::cuda::test;

static constexpr unsigned kRankBit = 24;

static unsigned spaceOf(Value pointer) {
  return cast<LLVM::LLVMPointerType>(pointer.getType()).getAddressSpace();
}

//===----------------------------------------------------------------------===//
// Threads' own accesses
//===----------------------------------------------------------------------===//

/// Whether global memory may still belong to the launch before.
static bool isTooEarly(const Warp &warp) {
  return warp.block->cluster->shape.startsEarly && !warp.hasAwaitedPrevious;
}
static constexpr char kTooEarly[] =
    "touches memory before the launch before this one is over";

template <bool isShared>
static std::string loadBytes(Warp &warp, uint64_t address, unsigned bytes,
                             char *to, bool mayBePoison = false) {
  if constexpr (isShared)
    return warp.shared().load(address, bytes, to);
  if (isTooEarly(warp))
    return kTooEarly;
  return mayBePoison ? warp.global().loadAny(address, bytes, to)
                     : warp.global().load(address, bytes, to);
}

template <bool isShared>
static std::string storeBytes(Warp &warp, uint64_t address, unsigned bytes,
                              const char *from) {
  if constexpr (isShared)
    return warp.shared().store(address, bytes, from);
  if (isTooEarly(warp))
    return kTooEarly;
  return warp.global().store(address, bytes, from);
}

/// Bytes of the widest access of a lane.
static constexpr unsigned kMaxBytes = 64;

/// `detail` tells whether floats are loaded.
template <bool isShared> static Step load(Warp &warp, const Instruction &i) {
  unsigned size = i.outBits / 8, count = i.out[0].count;
  std::string fault;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    char bytes[kMaxBytes];
    fault = loadBytes<isShared>(warp, warp.row(i.in[0])[lane], size * count,
                                bytes, i.detail);
    if (!fault.empty())
      return warp.fail(i, lane, fault);
    for (unsigned e = 0; e < count; ++e) {
      uint64_t value = 0;
      std::memcpy(&value, bytes + e * size, size);
      warp.row(i.out[0], e)[lane] = value;
    }
  }
  return Step::Next;
}

template <bool isShared> static Step store(Warp &warp, const Instruction &i) {
  unsigned size = i.inBits / 8, count = i.in[0].count;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    char bytes[kMaxBytes];
    for (unsigned e = 0; e < count; ++e)
      std::memcpy(bytes + e * size, &warp.row(i.in[0], e)[lane], size);
    std::string fault = storeBytes<isShared>(warp, warp.row(i.in[1])[lane],
                                             size * count, bytes);
    if (!fault.empty())
      return warp.fail(i, lane, fault);
  }
  return Step::Next;
}

/// Adds an i32; lanes one after the other.
template <bool isShared>
static Step atomicAdd(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    uint64_t address = warp.row(i.in[0])[lane];
    uint32_t before = 0;
    std::string fault = loadBytes<isShared>(warp, address, 4,
                                            reinterpret_cast<char *>(&before));
    uint32_t after = before + static_cast<uint32_t>(warp.row(i.in[1])[lane]);
    if (fault.empty())
      fault = storeBytes<isShared>(warp, address, 4,
                                   reinterpret_cast<char *>(&after));
    if (!fault.empty())
      return warp.fail(i, lane, fault);
    warp.row(i.out[0])[lane] = before;
  }
  return Step::Next;
}

/// base + detail + index * more, the index sign-extended from inBits.
static Step addressOf(Warp &warp, const Instruction &i) {
  // Shared addresses have 32 bits.
  uint64_t mask = i.outBits == 32 ? 0xFFFFFFFF : ~uint64_t(0);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    int64_t index = i.in.size() > 1
                        ? llvm::SignExtend64(warp.row(i.in[1])[lane], i.inBits)
                        : 0;
    warp.row(i.out[0])[lane] =
        (warp.row(i.in[0])[lane] + i.detail + index * i.more) & mask;
  }
  return Step::Next;
}

static Step copyAddress(Warp &warp, const Instruction &i) {
  const uint64_t *from = warp.row(i.in[0]);
  std::copy(from, from + kLanes, warp.row(i.out[0]));
  return Step::Next;
}

static Step toCluster(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    warp.row(i.out[0])[lane] =
        warp.row(i.in[0])[lane] | uint64_t(warp.block->rank) << kRankBit;
  return Step::Next;
}

/// The same place in the shared memory of another block.
static Step mapToBlock(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    uint64_t rank = warp.row(i.in[1])[lane];
    if (rank >= warp.block->cluster->blocks.size() && (warp.mask >> lane & 1))
      return warp.fail(i, lane,
                       llvm::formatv("means block {0} of a cluster of {1}",
                                     rank, warp.block->cluster->blocks.size()));
    warp.row(i.out[0])[lane] = warp.row(i.in[0])[lane] | rank << kRankBit;
  }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Asynchronous copies
//===----------------------------------------------------------------------===//

/// Queues what happens later, or does it at once; see EventOrder.
static void startCopy(Warp &warp, const Instruction &i, int lane,
                      std::function<std::string()> copy) {
  Warp *starter = &warp;
  const Instruction *instruction = &i;
  warp.block->cluster->copies.push_back([=]() -> std::string {
    std::string fault = copy();
    if (!fault.empty())
      starter->fail(*instruction, lane, fault);
    return fault;
  });
}

/// Copies `detail` bytes, or with a third operand as many, and zeros behind.
static Step copyAsync(Warp &warp, const Instruction &i) {
  if (isTooEarly(warp))
    return warp.fail(i, -1, kTooEarly);
  forEachLane(warp.mask, [&](unsigned lane) {
    uint64_t to = warp.row(i.in[0])[lane], from = warp.row(i.in[1])[lane];
    unsigned size = i.detail;
    unsigned count = i.in.size() > 2 ? warp.row(i.in[2])[lane] : size;
    ThreadBlock *block = warp.block;
    startCopy(warp, i, lane, [=]() -> std::string {
      char bytes[kMaxBytes] = {};
      std::string fault;
      // Where nothing is copied the address is not looked at.
      if (count == size)
        fault = block->cluster->memory->load(from, size, bytes);
      else if (count != 0)
        fault = llvm::formatv("copies {0} of {1} bytes", count, size);
      return fault.empty() ? block->shared->store(to, size, bytes) : fault;
    });
  });
  return Step::Next;
}

/// Arrives for each lane once its copies so far are done: they are before it in
/// the queue.
static Step arriveAfterCopies(Warp &warp, const Instruction &i) {
  forEachLane(warp.mask, [&](unsigned lane) {
    uint64_t address = warp.row(i.in[0])[lane];
    ThreadBlock *block = warp.block;
    startCopy(warp, i, lane, [=] {
      std::string fault;
      Mbarrier *barrier = block->shared->findBarrier(address, fault);
      return barrier ? barrier->arrive(1) : fault;
    });
  });
  return Step::Next;
}

/// Copies a box to a block; rows that are out of bounds, or in part, get zeros.
static std::string copyBox(GlobalMemory &memory, const TensorMap &map,
                           ArrayRef<int64_t> first, SharedMemory &shared,
                           uint32_t to) {
  constexpr unsigned kChunk = 16;
  if (to % 128 != 0)
    return llvm::formatv("copies a box to shared address {0:x}, which is not "
                         "aligned to 128 bytes",
                         to);
  if (map.swizzle != 0 &&
      (map.swizzle != 128 || map.box.back() * map.elementBytes != 128))
    return llvm::formatv("copies rows of {0} bytes with a swizzle of {1}",
                         map.box.back() * map.elementBytes, map.swizzle);
  int64_t rowBytes = map.box.back() * map.elementBytes;
  int64_t rows = std::accumulate(map.box.begin(), map.box.end() - 1, int64_t(1),
                                 std::multiplies<>());
  std::vector<char> row(rowBytes);
  for (int64_t number = 0; number < rows; ++number) {
    std::fill(row.begin(), row.end(), 0);
    // The place of the row, outermost last in the loop.
    int64_t rest = number, offset = 0, stride = 1;
    bool isInside = true;
    stride = map.shape.back();
    for (int64_t dim = map.shape.size() - 2; dim >= 0; --dim) {
      int64_t at = first[dim] + rest % map.box[dim];
      rest /= map.box[dim];
      isInside &= at >= 0 && at < map.shape[dim];
      offset += at * stride;
      stride *= map.shape[dim];
    }
    int64_t begin = std::max<int64_t>(0, -first.back());
    int64_t end =
        std::min<int64_t>(map.box.back(), map.shape.back() - first.back());
    if (isInside && begin < end) {
      uint64_t from =
          map.address + (offset + first.back() + begin) * map.elementBytes;
      // Rows that nobody wrote are copied as they are: boxes are larger than
      // what is asked for.
      std::memcpy(row.data() + begin * map.elementBytes, memory.data(from),
                  (end - begin) * map.elementBytes);
    }
    for (int64_t byte = 0; byte < rowBytes; byte += kChunk) {
      uint32_t target = to + number * rowBytes + byte;
      if (map.swizzle == 128)
        target ^= (target >> 7 & 7) << 4;
      if (std::string fault = shared.store(target, kChunk, row.data() + byte);
          !fault.empty())
        return fault;
    }
  }
  return {};
}

/// TMA. `detail` is the number of coordinates, `more` whether blocks are named
/// that all get the box.
static Step copyTile(Warp &warp, const Instruction &i) {
  if (isTooEarly(warp))
    return warp.fail(i, -1, kTooEarly);
  Cluster *cluster = warp.block->cluster;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    uint64_t to = warp.row(i.in[0])[lane], number = warp.row(i.in[1])[lane];
    if (number >= cluster->maps.size())
      return warp.fail(i, lane, "takes a tensor map that is none");
    const TensorMap *map = &cluster->maps[number];
    if (static_cast<int64_t>(map->shape.size()) != i.detail)
      return warp.fail(
          i, lane,
          llvm::formatv("has {0} coordinates for a tensor of {1} dimensions",
                        i.detail, map->shape.size()));
    SmallVector<int64_t> first;
    for (int64_t dim = i.detail - 1; dim >= 0; --dim)
      first.push_back(static_cast<int32_t>(warp.row(i.in[2 + dim])[lane]));
    uint64_t barrier = warp.row(i.in[2 + i.detail])[lane];
    uint64_t receivers = i.more ? warp.row(i.in[3 + i.detail])[lane]
                                : uint64_t(1) << (to >> kRankBit);
    uint32_t place = to & ((1 << kRankBit) - 1);
    startCopy(warp, i, lane, [=]() -> std::string {
      int64_t bytes = map->elementBytes;
      for (int64_t extent : map->box)
        bytes *= extent;
      for (unsigned rank = 0; rank < 16; ++rank) {
        if (!(receivers >> rank & 1))
          continue;
        if (rank >= cluster->blocks.size())
          return llvm::formatv("sends to block {0} of a cluster of {1}", rank,
                               cluster->blocks.size());
        SharedMemory &shared = *cluster->blocks[rank].shared;
        std::string fault =
            copyBox(*cluster->memory, *map, first, shared, place);
        Mbarrier *target =
            fault.empty() ? shared.findBarrier(barrier, fault) : nullptr;
        if (!target)
          return fault;
        target->complete(bytes);
      }
      return {};
    });
  }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Mbarriers
//===----------------------------------------------------------------------===//

/// Calls `body` with the barrier that each active lane means.
template <typename Body>
static Step forEachBarrier(Warp &warp, const Instruction &i, Body body) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    uint64_t address = warp.row(i.in[0])[lane];
    // Of the cluster's memory if it is an address there.
    ThreadBlock &block = i.detail
                             ? warp.block->cluster->blocks[address >> kRankBit]
                             : *warp.block;
    std::string fault;
    Mbarrier *barrier =
        block.shared->findBarrier(address & ((1 << kRankBit) - 1), fault);
    if (barrier)
      fault = body(lane, *barrier);
    if (!fault.empty())
      return warp.fail(i, lane, fault);
  }
  return Step::Next;
}

static Step initBarrier(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (warp.mask >> lane & 1) {
      std::string fault = warp.shared().initBarrier(warp.row(i.in[0])[lane],
                                                    warp.row(i.in[1])[lane]);
      if (!fault.empty())
        return warp.fail(i, lane, fault);
    }
  return Step::Next;
}

static Step arrive(Warp &warp, const Instruction &i) {
  return forEachBarrier(
      warp, i, [](unsigned, Mbarrier &barrier) { return barrier.arrive(1); });
}

static Step arriveExpecting(Warp &warp, const Instruction &i) {
  return forEachBarrier(warp, i, [&](unsigned lane, Mbarrier &barrier) {
    barrier.bytes += static_cast<int32_t>(warp.row(i.in[1])[lane]);
    return barrier.arrive(1);
  });
}

static Step awaitBarrier(Warp &warp, const Instruction &i) {
  bool isOver = true;
  Step step = forEachBarrier(warp, i, [&](unsigned lane, Mbarrier &barrier) {
    isOver &= barrier.isOver(warp.row(i.in[1])[lane] & 1);
    return std::string();
  });
  return step == Step::Fault || isOver ? step : Step::Wait;
}

//===----------------------------------------------------------------------===//
// Which op is which
//===----------------------------------------------------------------------===//

template <Handler global, Handler shared>
static Handler inSpace(Value pointer, int64_t bytes) {
  if (bytes > kMaxBytes)
    return nullptr;
  unsigned space = spaceOf(pointer);
  return space == 1 ? global : space == 3 ? shared : nullptr;
}

static int64_t bytesOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return (vector ? vector.getNumElements() : 1) * getElementBits(type) / 8;
}

static Handler findAddress(LLVM::GEPOp op, Instruction &i) {
  int64_t size = bytesOf(op.getElemType());
  if (op.getIndices().size() != 1 ||
      isa<LLVM::LLVMArrayType, LLVM::LLVMStructType>(op.getElemType()))
    return nullptr;
  i.outBits = spaceOf(op.getBase()) == 3 ? 32 : 64;
  if (auto number = dyn_cast<IntegerAttr>(op.getIndices()[0])) {
    i.detail = number.getValue().getSExtValue() * size;
    return addressOf;
  }
  i.more = size;
  i.inBits = getElementBits(cast<Value>(op.getIndices()[0]).getType());
  return addressOf;
}

Handler moe::codegen::cuda::test::findMemoryAccess(Operation *op,
                                                   Instruction &i) {
  auto isCluster = [](Value pointer) { return spaceOf(pointer) == 7; };
  return llvm::TypeSwitch<Operation *, Handler>(op)
      .Case([&](LLVM::LoadOp load_) {
        i.detail = isa<FloatType>(getElementTypeOrSelf(load_.getType()));
        return inSpace<load<false>, load<true>>(load_.getAddr(),
                                                bytesOf(load_.getType()));
      })
      .Case([](LLVM::StoreOp store_) {
        return inSpace<store<false>, store<true>>(
            store_.getAddr(), bytesOf(store_.getValue().getType()));
      })
      .Case([](LLVM::AtomicRMWOp add) -> Handler {
        if (add.getBinOp() != LLVM::AtomicBinOp::add ||
            !add.getType().isInteger(32))
          return nullptr;
        return inSpace<atomicAdd<false>, atomicAdd<true>>(add.getPtr(), 4);
      })
      .Case([&](LLVM::GEPOp address) { return findAddress(address, i); })
      .Case([](LLVM::AddrSpaceCastOp cast) -> Handler {
        unsigned from = spaceOf(cast.getArg()), to = spaceOf(cast.getRes());
        return from == 3 && to == 7 ? toCluster
               : from == to         ? copyAddress
                                    : nullptr;
      })
      .Case([](NVVM::MapaOp) { return mapToBlock; })
      .Case([&](NVVM::CpAsyncOp copy) -> Handler {
        i.detail = copy.getSize();
        return i.detail <= kMaxBytes ? copyAsync : nullptr;
      })
      .Case([](NVVM::CpAsyncMBarrierArriveOp arrive) -> Handler {
        return arrive.getNoinc() ? arriveAfterCopies : nullptr;
      })
      .Case(
          [&](NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp copy) -> Handler {
            if (copy.getMode() != NVVM::TMALoadMode::TILE ||
                copy.getPredicate() || copy.getL2CacheHint() ||
                copy.getIsCTAOnly())
              return nullptr;
            i.detail = copy.getCoordinates().size();
            i.more = copy.getMulticastMask() ? 1 : 0;
            return copyTile;
          })
      .Case([&](NVVM::MBarrierInitOp init) -> Handler {
        return init.getPredicate() ? nullptr : initBarrier;
      })
      .Case([&](NVVM::MBarrierArriveOp op) -> Handler {
        i.detail = isCluster(op.getAddr());
        return op.getCount() ? nullptr : arrive;
      })
      .Case([&](NVVM::MBarrierArriveExpectTxOp op) -> Handler {
        i.detail = isCluster(op.getAddr());
        return op.getPredicate() ? nullptr : arriveExpecting;
      })
      .Case([](NVVM::MBarrierTryWaitParityOp) { return awaitBarrier; })
      .Default([](Operation *) { return nullptr; });
}
