//===- FakeWorld.h - What the fake driver is made of ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_FAKEWORLD_H
#define MOERT_UNITTESTS_FAKEWORLD_H

#include "FakeDriver.h"

#include <algorithm>
#include <memory>

using moert::test::FakeClock;
using moert::test::FakeLaunch;

// The driver's handles point to these. Streams and events are never freed, so
// that a use after their end is found.
struct CUstream_st {
  int number = 0;
  bool isAlive = true;
  int capture = 0; // 0: none.
  FakeClock clock{};
  double time = 0;
};
struct CUevent_st {
  bool isAlive = true;
  bool hasTime = true;
  bool isRecorded = false;
  int capture = 0;
  FakeClock clock{};
  double time = 0;
};
struct CUfunc_st {
  std::string name;
  int sharedBytes = 48 << 10;
  bool takesLargeClusters = false;
  void (*code)(const void *, int64_t) = nullptr;
  uint64_t argumentBytes = 0;
};
struct CUmod_st {
  const moert::test::FakeImage *image = nullptr; // Null: kernels do nothing.
  std::vector<std::unique_ptr<CUfunc_st>> functions;
};
struct CUgraph_st {
  std::vector<FakeLaunch> launches;
};
struct CUgraphExec_st {
  std::vector<FakeLaunch> launches;
};
struct CUctx_st {
  int references = 0;
};

namespace moert::test {
struct Capture {
  CUstream origin;
  CUgraph graph;
  bool isValid = true;
};

struct World {
  FakeDriver driver;
  CUctx_st primary;
  CUstream_st legacy;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::map<int, Capture> captures;
  int numCaptures = 0;

  CUstream_st &streamOf(CUstream stream) { return stream ? *stream : legacy; }
};

World &world();

/// Of this thread, the innermost last.
std::vector<CUcontext> &currentContexts();
CUstreamCaptureMode &captureMode();

/// One call of the driver: locked, counted, and failed where a test wants it.
struct Entered {
  explicit Entered(const char *name, bool needsContext = true);

  /// Fails what a capture forbids to threads that are not relaxed.
  void refuseInCaptures();

  /// Fails what a stream that is being captured cannot do.
  void refuseCaptured(CUstream stream);

  void check(CUstream stream) {
    if (!world().streamOf(stream).isAlive)
      result = CUDA_ERROR_INVALID_HANDLE;
  }
  void check(CUevent event) {
    if (!event || !event->isAlive)
      result = CUDA_ERROR_INVALID_HANDLE;
  }

  std::lock_guard<std::mutex> lock;
  CUresult result = CUDA_SUCCESS;
};
} // namespace moert::test

/// Declares `entered` and returns what a test wants to see fail.
#define ENTER(...)                                                             \
  Entered entered(__VA_ARGS__);                                                \
  if (entered.result != CUDA_SUCCESS)                                          \
  return entered.result

#define RETURN_IF_REFUSED()                                                    \
  if (entered.result != CUDA_SUCCESS)                                          \
  return entered.result

#endif // MOERT_UNITTESTS_FAKEWORLD_H
