//===- Memory.cpp - The memories of an emulated GPU -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Memory.h"

#include "llvm/Support/FormatVariadic.h"
#include <algorithm>
#include <cstring>

using namespace moe::codegen::cuda::test;
using llvm::formatv;
using llvm::StringRef;

/// The text of an access that is not aligned, or nothing.
static std::string checkAligned(uint64_t offset, unsigned bytes, StringRef what,
                                StringRef name) {
  if (offset % bytes == 0)
    return {};
  return formatv("{0} {1} bytes at byte {2} of {3}, which is not aligned", what,
                 bytes, offset, name);
}

static std::string describeOutside(uint64_t offset, unsigned bytes,
                                   StringRef what, StringRef name,
                                   uint64_t size) {
  return formatv("{0} {1} bytes at byte {2} of {3}, which has {4}", what, bytes,
                 static_cast<int64_t>(offset), name, size);
}

static std::string describeUnwritten(uint64_t offset, unsigned bytes,
                                     StringRef name) {
  return formatv("reads {0} bytes at byte {1} of {2}, which nobody wrote",
                 bytes, offset, name);
}

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

uint64_t GlobalMemory::allocate(int64_t bytes, StringRef name, char poison) {
  buffers.push_back({name.str(), std::vector<char>(bytes, poison),
                     std::vector<uint8_t>(bytes, 0)});
  return static_cast<uint64_t>(buffers.size()) << kOffsetBits;
}

std::string GlobalMemory::check(uint64_t address, unsigned bytes,
                                StringRef what) const {
  uint64_t number = address >> kOffsetBits, at = offset(address);
  // An index below zero borrows from the number of the buffer.
  constexpr uint64_t kHalf = uint64_t(1) << (kOffsetBits - 1);
  if (at >= kHalf) {
    ++number;
    at -= 2 * kHalf;
  }
  if (number == 0 || number > buffers.size())
    return formatv("{0} {1} bytes at address {2:x}, where no buffer is", what,
                   bytes, address);
  const Buffer &buffer = buffers[number - 1];
  if (at + bytes > buffer.bytes.size() || at > buffer.bytes.size())
    return describeOutside(at, bytes, what, buffer.name, buffer.bytes.size());
  return checkAligned(at, bytes, what, buffer.name);
}

std::string GlobalMemory::loadAny(uint64_t address, unsigned bytes,
                                  char *to) const {
  if (std::string fault = check(address, bytes, "reads"); !fault.empty())
    return fault;
  std::memcpy(to, get(address).bytes.data() + offset(address), bytes);
  return {};
}

std::string GlobalMemory::load(uint64_t address, unsigned bytes,
                               char *to) const {
  std::string fault = loadAny(address, bytes, to);
  if (!fault.empty())
    return fault;
  const Buffer &buffer = get(address);
  if (std::memchr(buffer.written.data() + offset(address), 0, bytes))
    return describeUnwritten(offset(address), bytes, buffer.name);
  return {};
}

std::string GlobalMemory::store(uint64_t address, unsigned bytes,
                                const char *from) {
  if (std::string fault = check(address, bytes, "writes"); !fault.empty())
    return fault;
  Buffer &buffer = get(address);
  if (!buffer.isWritable)
    return formatv("writes {0}, which the launch does not write", buffer.name);
  std::memcpy(buffer.bytes.data() + offset(address), from, bytes);
  std::memset(buffer.written.data() + offset(address), 1, bytes);
  return {};
}

//===----------------------------------------------------------------------===//
// Mbarriers
//===----------------------------------------------------------------------===//

std::string Mbarrier::arrive(int64_t count) {
  pending -= count;
  if (pending < 0)
    return formatv("arrives at an mbarrier that expects no more than {0} "
                   "arrivals",
                   expected);
  endPhase();
  return {};
}

void Mbarrier::complete(int64_t count) {
  bytes -= count;
  endPhase();
}

void Mbarrier::endPhase() {
  if (pending != 0 || bytes != 0)
    return;
  ++phase;
  pending = expected;
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

SharedMemory::SharedMemory(std::vector<Object> all) : objects(std::move(all)) {
  uint32_t end = 0;
  for (const Object &object : objects)
    end = std::max(end, object.begin + object.bytes);
  bytes.resize(end);
  isWritten.resize(end);
}

void SharedMemory::clear() {
  std::fill(bytes.begin(), bytes.end(), char(0xFF));
  std::fill(isWritten.begin(), isWritten.end(), 0);
  barriers.clear();
  for (std::vector<Range> &ranges : underWay)
    ranges.clear();
}

std::string SharedMemory::check(uint32_t address, unsigned size,
                                StringRef what) const {
  // The object that begins last before the address.
  const Object *nearest = nullptr;
  for (const Object &object : objects)
    if (object.begin <= address && (!nearest || nearest->begin < object.begin))
      nearest = &object;
  if (!nearest)
    return formatv("{0} {1} bytes at shared address {2:x}, where nothing is",
                   what, size, address);
  uint32_t at = address - nearest->begin;
  if (uint64_t(at) + size > nearest->bytes)
    return describeOutside(at, size, what, nearest->name, nearest->bytes);
  if (std::string fault = checkAligned(at, size, what, nearest->name);
      !fault.empty())
    return fault;
  auto after = barriers.lower_bound(address);
  if (after != barriers.begin() && std::prev(after)->first + 8 > address)
    --after;
  if (after != barriers.end() && after->first < address + size)
    return formatv("{0} {1} bytes at byte {2} of {3}, where an mbarrier is",
                   what, size, at, nearest->name);
  return {};
}

std::string SharedMemory::loadAny(uint32_t address, unsigned size,
                                  char *to) const {
  if (std::string fault = check(address, size, "reads"); !fault.empty())
    return fault;
  std::memcpy(to, bytes.data() + address, size);
  return {};
}

std::string SharedMemory::load(uint32_t address, unsigned size,
                               char *to) const {
  std::string fault = loadAny(address, size, to);
  if (fault.empty() && std::memchr(isWritten.data() + address, 0, size))
    return describeUnwritten(address, size, "shared memory");
  return fault;
}

std::string SharedMemory::store(uint32_t address, unsigned size,
                                const char *from) {
  if (std::string fault = check(address, size, "writes"); !fault.empty())
    return fault;
  for (const auto &[warp, ranges] : llvm::enumerate(underWay))
    for (const Range &range : ranges)
      if (address < range.end && range.begin < address + size)
        return formatv("writes {0} bytes at shared address {1:x}, which a "
                       "product of warp {2} still reads",
                       size, address, warp);
  std::memcpy(bytes.data() + address, from, size);
  std::memset(isWritten.data() + address, 1, size);
  return {};
}

std::string SharedMemory::initBarrier(uint32_t address, int64_t count) {
  if (std::string fault = check(address, 8, "makes an mbarrier of");
      !fault.empty())
    return fault;
  barriers[address] = {count, count, 0, 0};
  return {};
}

Mbarrier *SharedMemory::findBarrier(uint32_t address, std::string &fault) {
  auto found = barriers.find(address);
  if (found != barriers.end())
    return &found->second;
  fault = formatv("there is no mbarrier at shared address {0:x}", address);
  return nullptr;
}

std::string SharedMemory::describeBarriers() const {
  std::string text;
  for (const auto &[address, barrier] : barriers)
    text += formatv("\n  mbarrier at {0:x}: phase {1}, {2} of {3} arrivals "
                    "and {4} bytes to come",
                    address, barrier.phase, barrier.pending, barrier.expected,
                    barrier.bytes);
  return text;
}
