//===- CallCheck.h - Checks of a call ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_CALLCHECK_H
#define MOERT_LIB_CALLCHECK_H

#include "moert/moert.h"

#include <string>

namespace moert {

/// What the tensors of a call say about its size.
struct CallSizes {
  int64_t tokens = 0;      // Rows on this rank.
  int64_t totalTokens = 0; // Rows over all ranks.
  int64_t maxTokens = 0;   // Rows of the rank that has most.
};

/// Checks all of `call` but its ABI and context, which runs on `device`, and
/// finds its sizes. On failure `error` names the layer, the argument, what was
/// found and what was expected. Allocates nothing unless it fails.
moert_status checkCall(const moert_call &call, const moert_signature &signature,
                       DLDevice device, int32_t rank, int32_t numRanks,
                       CallSizes &sizes, std::string &error);

} // namespace moert

#endif // MOERT_LIB_CALLCHECK_H
