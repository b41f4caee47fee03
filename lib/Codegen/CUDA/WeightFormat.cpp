//===- WeightFormat.cpp - How weights meet tensor cores -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightFormat.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
/// Weights that are multiplied as they are stored.
class PlainWeights : public WeightFormat {
public:
  WeightKind getKind() const override { return WeightKind::Plain; }
  Fragment accumulate(TensorCore &core, const GemmStage &stage,
                      const Fragment &sums, bool isFirst) const override {
    return core.issue(stage, sums, isFirst);
  }
};
} // namespace

const WeightFormat *WeightFormat::find(Type activations, Type weights) {
  static const PlainWeights plain;
  if (isa<BFloat16Type, Float16Type>(activations) && weights == activations)
    return &plain;
  return nullptr;
}

} // namespace moe::codegen::cuda
