//===- TensorCore.h - Products of a warpgroup on tensor cores ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_TENSORCORE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_TENSORCORE_H

#include "FragmentLayout.h"
#include "GemmStage.h"

#include <memory>

namespace moe::codegen::cuda {

/// The sums of a warpgroup that multiplies, as its threads hold them between
/// products. What is in it only the tensor core knows.
struct Fragment {
  Exprs sums;
  auto fields() { return std::tie(sums); }
};

/// What multiplies the stages of a tile, for one consumer warpgroup. Products
/// are asynchronous: their operands must stay in place and their sums untouched
/// until they were waited for.
class TensorCore {
public:
  virtual ~TensorCore() = default;

  /// Sums before their first product, which starts from zero.
  virtual Fragment begin() = 0;
  /// Issues the products of one stage, as one group; hands back the sums with
  /// them. The first products of sums do not look at what was in them.
  virtual Fragment issue(const GemmStage &stage, const Fragment &sums,
                         bool isFirst) = 0;
  /// Waits until at most `left` groups of products are under way.
  virtual void wait(int64_t left) = 0;

  /// Where the elements of `fragment` are, for the thread with this number in
  /// the warpgroup.
  virtual FragmentLayout getLayout(Expr thread) = 0;
  /// Element (h, b) of block j of the box number `box` of the weights; see
  /// FragmentLayout.
  virtual Expr getElement(const Fragment &fragment, int64_t box, int64_t j,
                          int64_t h, int64_t b) = 0;
};

/// The number of the thread's warpgroup among those that multiply: the first of
/// a block is the producer.
inline Expr consumerWarpgroup(KernelBuilder &k) {
  return k.thread() / kWarpgroup - 1;
}

/// The tensor cores of `target`, for tiles of which `height` rows are computed
/// and operands of `element`, bf16 or f16.
std::unique_ptr<TensorCore>
createTensorCore(KernelBuilder &k, const Target &target, const GemmTile &tile,
                 int64_t height, mlir::Type element);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_TENSORCORE_H
