//===- KernelKey.cpp - What tells kernels apart ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelKey.h"

using namespace moe;

std::string moe::codegen::describe(RoutingAttr routing) {
  return describeParameters(
      static_cast<int>(routing.getScore()), routing.getNGroup(),
      routing.getTopkGroup(), static_cast<int>(routing.getGroupScore()),
      static_cast<int>(routing.getWeight()), routing.getRenormalize(),
      routing.getRenormalizeEpsilon().getValueAsDouble(),
      routing.getRenormalizeMinimum().getValueAsDouble());
}

std::string moe::codegen::describe(ActivationAttr activation) {
  return describeParameters(static_cast<int>(activation.getKind()),
                            activation.getAlpha().getValueAsDouble(),
                            activation.getLimit().getValueAsDouble());
}

std::string moe::codegen::describe(PlacementAttr placement) {
  return describeParameters(placement.getExperts(), placement.getRanks(),
                            placement.isRoundRobin());
}
