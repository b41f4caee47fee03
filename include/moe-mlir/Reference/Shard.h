//===- Shard.h - A rank's part of a tensor --------------------- -*- C++
//-*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_REFERENCE_SHARD_H
#define MOE_MLIR_REFERENCE_SHARD_H

#include "moe-mlir/Reference/Tensor.h"

namespace moe {

/// What a rank has of a tensor of the whole layer `spec`, as the axes of the
/// tensor are shared (Tensors.def): of axes of experts the slices `experts`, in
/// this order and possibly several times, of widths the parts that `shares`
/// says, and all of the others. What ranks add up that share an expert's width
/// is zero on all but the first of them. Rows of tokens are all kept.
HostTensor takeShare(const HostTensor &whole, const LayerSpec &spec,
                     const RankShares &shares,
                     const std::vector<int64_t> &experts);

} // namespace moe

#endif // MOE_MLIR_REFERENCE_SHARD_H
