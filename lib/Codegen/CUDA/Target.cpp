//===- Target.cpp - The GPU that kernels are generated for ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CUDA/Target.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace moe::codegen::cuda {

static constexpr Chip kChips[] = {
    // Hopper, as H100 and H200 SXM. ptxas 13 refuses the default chip of the
    // NVVM target, and the `a` features need PTX 8.6. What ptxas needs of
    // registers is what the tests found that compile all kernels and let no
    // register spill. On which card the last three numbers were fitted is not
    // recorded.
    {"sm_90a", "+ptx86",
     /*multiprocessors=*/132,
     /*sharedBytes=*/227 * 1024,
     /*registers=*/64 * 1024, /*threadRegisters=*/240, /*registerUnit=*/8,
     TensorCoreKind::Wgmma, /*mmaColumns=*/256,
     /*hasTMA=*/true, /*hasClusters=*/true,
     /*tmaRegisters=*/40, /*copyingRegisters=*/56, /*consumerRegisters=*/32,
     /*productsPerCycle=*/2048, /*l2BytesPerCycle=*/45,
     /*cyclesPerTile=*/2000}};

ArrayRef<Chip> getChips() { return kChips; }

Target::Target()
    : Chip(*find_if(kChips, [](const Chip &chip) {
        return chip.chip == kDefaultChip;
      })) {}

Expected<Target> Target::parse(StringRef name) {
  std::string names;
  for (const Chip &chip : kChips) {
    if (chip.chip == name)
      return Target(chip);
    names += (names.empty() ? "'" : " or '") + chip.chip.str() + "'";
  }
  return createStringError("expected GPU architecture " + names + " but got '" +
                           name + "'");
}

} // namespace moe::codegen::cuda
