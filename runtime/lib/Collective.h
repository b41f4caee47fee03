//===- Collective.h - What ranks hand to each other -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_COLLECTIVE_H
#define MOERT_LIB_COLLECTIVE_H

#include "../common/Exchange.h"
#include "../common/Traffic.h"

#include "moert/moert.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moert {

struct TransferList;

/// What one rank brings to a collective, and where it takes the result.
struct Contribution {
  /// Of a round of transfers, for which the rest is of no meaning; or null.
  const TransferList *transfers;
  const moert_exchange *exchange;
  const char *layer;
  int32_t step;
  moert_collective_data data[MOERT_MAX_COLLECTIVE_BUFFERS];
  const int32_t *sendCounts;
  const int32_t *receiveCounts;
  /// Counts what is taken; or null.
  Traffic *traffic;

  const moert_collective &collective() const {
    return exchange->collectives[step];
  }
};

/// Which collective it is, for messages.
std::string describe(const Contribution &contribution);

/// Takes the rows of `member` from the contributions of all of a communicator's
/// ranks, which lie in memory of this process, after checking that these fit
/// each other. `ranks` are their numbers, for messages. Returns "", or what is
/// wrong; nothing was written then.
std::string takeRows(const std::vector<const Contribution *> &all,
                     const std::vector<int32_t> &ranks, int32_t member);

} // namespace moert

#endif // MOERT_LIB_COLLECTIVE_H
