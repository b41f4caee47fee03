//===- FakeDriver.h - A CUDA driver without a GPU ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A library of the name libcuda.so.1 that keeps to the driver's rules: which
// work is ordered after which, what a capture forbids and takes in, which
// context is current. Nothing is computed; tests look at what was asked for.
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_FAKEDRIVER_H
#define MOERT_UNITTESTS_FAKEDRIVER_H

#include <array>
#include <cstdint>
#include <cuda.h>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace moert::test {

/// By the number of a stream, in the order of creation (0: the legacy default
/// stream): how much of its work came before.
using FakeClock = std::array<int, 16>;

/// An image with code of this process: every launch calls the kernel for each
/// of its blocks with the launch's first parameter. Kernels are in the order in
/// which they are looked up.
struct FakeImage {
  char magic[8]; // "HOSTCODE"
  uint64_t argumentBytes;
  void (*kernels[1])(const void *arguments, int64_t block);
};

struct FakeLaunch {
  std::string kernel;
  int stream;
  unsigned grid, threads, sharedBytes, cluster;
  bool startsEarly;
  bool isCaptured;
  int64_t parameter; // The first one.
  FakeClock clock;   // With itself.
  void (*code)(const void *, int64_t) = nullptr;
  std::vector<char> arguments = {}; // Of the code.

  /// Whether `other` is complete when this starts.
  bool isAfter(const FakeLaunch &other) const {
    return clock[other.stream] >= other.clock[other.stream];
  }

  void run() const {
    for (unsigned block = 0; code && block < grid; ++block)
      code(arguments.data(), block);
  }
};

struct FakeTensorMap {
  CUtensorMapDataType dtype;
  void *address;
  std::vector<uint64_t> extents, strides;
  std::vector<uint32_t> box;
  CUtensorMapSwizzle swizzle;
};

/// What tests set and see.
struct FakeDriver {
  /// Guards all else where several threads are at work.
  std::mutex mutex;

  // What it does.
  std::set<std::string> missing;            // Functions that it lacks.
  std::map<std::string, CUresult> failures; // What functions return instead.
  int numDevices = 4;
  size_t freeBytes = 1 << 30;
  bool isBusy = false; // Whether nothing ever completes.
  double now = 0;      // In milliseconds; launches start no earlier.
  double launchTime = 1;

  // What was asked for.
  bool isRecording = true; // Off: what follows stays as it is.
  std::map<std::string, int> calls;
  std::vector<FakeLaunch> launches;
  std::vector<FakeTensorMap> tensorMaps;
  std::vector<int> streamPriorities; // By number.

  /// Objects and references that were not given back.
  int numLive = 0;

  /// Before a test; streams are numbered anew.
  void reset() {
    missing.clear();
    failures.clear();
    numDevices = 4;
    freeBytes = 1 << 30;
    isBusy = false;
    now = 0;
    launchTime = 1;
    isRecording = true;
    calls.clear();
    launches.clear();
    tensorMaps.clear();
    streamPriorities.clear();
  }

  const FakeLaunch *find(const std::string &kernel) const {
    for (const FakeLaunch &launch : launches)
      if (launch.kernel == kernel)
        return &launch;
    return nullptr;
  }
};

} // namespace moert::test

/// The one of this process.
extern "C" moert::test::FakeDriver *moertFakeDriver();

#endif // MOERT_UNITTESTS_FAKEDRIVER_H
