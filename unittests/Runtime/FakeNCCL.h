//===- FakeNCCL.h - NCCL without a GPU --------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A library of the name libnccl.so.2 whose ranks are threads of one process. It
// is as NCCL with non-blocking communicators: a group of calls is in progress
// until all ranks have come to theirs. Then it checks that they fit each other,
// where NCCL would hang or write past a buffer, and moves the rows.
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_FAKENCCL_H
#define MOERT_UNITTESTS_FAKENCCL_H

#include <map>
#include <mutex>
#include <string>

namespace moert::test {

/// What tests see.
struct FakeNCCL {
  std::mutex mutex;
  /// By function, over all ranks.
  std::map<std::string, int> calls;
  /// Bytes that one rank has sent to another, by "0>1".
  std::map<std::string, size_t> sent;
  /// The first misuse.
  std::string fault;
  /// Communicators that were not given back.
  int numLive = 0;
};

} // namespace moert::test

/// The one of this process.
extern "C" moert::test::FakeNCCL *moertFakeNCCL();

#endif // MOERT_UNITTESTS_FAKENCCL_H
