//===- Memory.h - The memories of an emulated GPU ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every access is checked: it lies in one object, is aligned to its size, and
// what is read was written before, or is of floats and poison: kernels load
// ahead of a condition, and NaN shows where they take what they should not.
// What is wrong comes back as a text, which is empty where nothing is.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_MEMORY_H
#define MOE_MLIR_TESTING_CUDA_MEMORY_H

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moe::codegen::cuda::test {

/// Device memory: buffers, each at a number of its own in the high bits of the
/// addresses, so that no index leads from one to another.
class GlobalMemory {
public:
  /// A buffer that nobody wrote yet, full of `poison`; its address.
  uint64_t allocate(int64_t bytes, llvm::StringRef name, char poison);

  std::string load(uint64_t address, unsigned bytes, char *to) const;
  /// The same of what nobody may have written yet.
  std::string loadAny(uint64_t address, unsigned bytes, char *to) const;
  std::string store(uint64_t address, unsigned bytes, const char *from);

  /// The bytes of a buffer, from `address` to its end, for the host; `written`
  /// is one flag per byte.
  char *data(uint64_t address) {
    return get(address).bytes.data() + offset(address);
  }
  uint8_t *written(uint64_t address) {
    return get(address).written.data() + offset(address);
  }
  llvm::StringRef name(uint64_t address) { return get(address).name; }
  /// Whether kernels may write the buffer.
  void setWritable(uint64_t address, bool isWritable) {
    get(address).isWritable = isWritable;
  }
  void lockAll() {
    for (Buffer &buffer : buffers)
      buffer.isWritable = false;
  }

private:
  static constexpr unsigned kOffsetBits = 40;
  struct Buffer {
    std::string name;
    std::vector<char> bytes;
    std::vector<uint8_t> written;
    bool isWritable = true;
  };
  static uint64_t offset(uint64_t address) {
    return address & ((uint64_t(1) << kOffsetBits) - 1);
  }
  Buffer &get(uint64_t address) {
    return buffers[(address >> kOffsetBits) - 1];
  }
  const Buffer &get(uint64_t address) const {
    return buffers[(address >> kOffsetBits) - 1];
  }
  std::string check(uint64_t address, unsigned bytes,
                    llvm::StringRef what) const;

  std::vector<Buffer> buffers;
};

/// An mbarrier (PTX ISA, "Parallel Synchronization and Communication
/// Instructions: mbarrier"). A phase ends when all arrivals and all bytes that
/// were announced are there.
struct Mbarrier {
  int64_t expected = 0, pending = 0, bytes = 0;
  uint32_t phase = 0;

  std::string arrive(int64_t count);
  void complete(int64_t count);
  /// Whether the phase of this parity is over.
  bool isOver(uint32_t parity) const { return (phase & 1) != parity; }

private:
  void endPhase();
};

/// Shared memory of one block. Objects lie apart, so that an index that leaves
/// one is found; the part that a launch sizes is one object.
class SharedMemory {
public:
  struct Object {
    std::string name;
    uint32_t begin = 0, bytes = 0;
  };

  explicit SharedMemory(std::vector<Object> objects);

  /// Forgets everything, for the next block.
  void clear();
  std::string load(uint32_t address, unsigned bytes, char *to) const;
  /// The same of what nobody may have written yet, which is poison: NaN.
  std::string loadAny(uint32_t address, unsigned bytes, char *to) const;
  std::string store(uint32_t address, unsigned bytes, const char *from);

  std::string initBarrier(uint32_t address, int64_t count);
  /// Null and a text where there is none.
  Mbarrier *findBarrier(uint32_t address, std::string &fault);
  /// All barriers with their states, for messages.
  std::string describeBarriers() const;

  /// Bytes that products under way still read.
  struct Range {
    uint32_t begin, end;
  };
  /// For each warp of the block; nobody may write there.
  std::vector<std::vector<Range>> underWay;

private:
  std::string check(uint32_t address, unsigned bytes,
                    llvm::StringRef what) const;

  std::vector<Object> objects;
  std::vector<char> bytes;
  std::vector<uint8_t> isWritten;
  std::map<uint32_t, Mbarrier> barriers;
};

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_MEMORY_H
