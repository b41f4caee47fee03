//===- Transfer.h - Weights that change their rank --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_TRANSFER_H
#define MOERT_LIB_TRANSFER_H

#include "Collective.h"

#include <string>
#include <vector>

namespace moert {

/// What one rank brings to a round of transfers.
struct TransferList {
  std::vector<moert_transfer> transfers;
};

/// "transfers (12)".
std::string describe(const TransferList &list);

/// What is wrong with the transfers that rank `rank` of `numRanks` gives, or
/// "".
std::string findTransferFault(const moert_transfer *transfers, int64_t count,
                              int32_t rank, int32_t numRanks);

/// As `takeRows`, for contributions that are transfers of ranks 0, 1, ...
std::string takeTransfers(const std::vector<const Contribution *> &all,
                          const std::vector<int32_t> &ranks, int32_t member);

} // namespace moert

#endif // MOERT_LIB_TRANSFER_H
