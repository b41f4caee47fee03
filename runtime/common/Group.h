//===- Group.h - Ranks that run programs together ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_GROUP_H
#define MOERT_COMMON_GROUP_H

#include <cstdint>
#include <memory>

namespace moert {
class LocalGroup;
class ProcessGroup;
} // namespace moert

/// The handle of the C ABI; contexts share the group itself. One of the two is
/// there.
struct moert_group {
  std::shared_ptr<moert::LocalGroup> local;
  std::shared_ptr<moert::ProcessGroup> processes;

  /// Of a group of processes: whether it has this process' context.
  bool isTaken = false;

  int32_t size() const;
};

#endif // MOERT_COMMON_GROUP_H
