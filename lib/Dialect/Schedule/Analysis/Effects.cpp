//===- Effects.cpp - What one op does to buffers --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Effects.h"

#include "mlir/Interfaces/DestinationStyleOpInterface.h"

using namespace mlir;
using namespace moe::schedule;

/// True if a write effect on the operand covers all of it.
static bool coversOperand(Operation *op,
                          const MemoryEffects::EffectInstance &effect) {
  if (effect.getEffectOnFullRegion())
    return true;
  // By counts, a collective writes only the rows that come.
  if (isa<CollectiveOp>(op))
    return false;
  // A destination is written as a whole, as its tensor would be.
  auto destinations = dyn_cast<DestinationStyleOpInterface>(op);
  auto *operand = effect.getEffectValue<OpOperand *>();
  return destinations && operand && destinations.isDpsInit(operand);
}

bool moe::schedule::hasEffectsOfRegions(Operation *op) {
  return op->hasTrait<OpTrait::HasRecursiveMemoryEffects>();
}

SmallVector<Access, 4> moe::schedule::getAccesses(Operation *op,
                                                  BufferTable &buffers) {
  SmallVector<Access, 4> accesses;
  auto accessOf = [&](const View &view) -> Access & {
    for (Access &access : accesses)
      if (access.view.buffer == view.buffer &&
          access.view.whole == view.whole &&
          access.view.certain == view.certain &&
          access.view.boxType == view.boxType && access.view.box == view.box)
        return access;
    accesses.emplace_back();
    accesses.back().view = view;
    return accesses.back();
  };
  auto accessUnknown = [&]() -> Access & {
    return accessOf(View(BufferTable::unknown, /*whole=*/false));
  };

  auto interface = dyn_cast<MemoryEffectOpInterface>(op);
  if (!interface) {
    // Unknown is unknown, whatever the op takes: it may reach memory by a
    // symbol, by an address in a number, or by what its regions capture.
    if (!hasEffectsOfRegions(op) && !op->hasTrait<OpTrait::IsTerminator>()) {
      Access &access = accessUnknown();
      access.reads = access.writes = true;
    }
    return accesses;
  }

  SmallVector<MemoryEffects::EffectInstance> effects;
  interface.getEffects(effects);
  for (const MemoryEffects::EffectInstance &effect : effects) {
    // Effects on other resources order ops in the program, not in memory.
    if (!isa<SideEffects::DefaultResource>(effect.getResource()) ||
        isa<MemoryEffects::Allocate>(effect.getEffect()))
      continue;
    Value value = effect.getValue();
    SmallVector<View, 1> views;
    if (value && isa<BaseMemRefType>(value.getType()))
      views = buffers.trace(value);
    else // On a symbol, a pointer, or something that it does not name.
      views.push_back(View(BufferTable::unknown, /*whole=*/false));
    for (const View &view : views) {
      Access &access = accessOf(view);
      if (isa<MemoryEffects::Read>(effect.getEffect()))
        access.reads = true;
      if (isa<MemoryEffects::Free>(effect.getEffect()))
        access.frees = true;
      if (!isa<MemoryEffects::Write>(effect.getEffect()))
        continue;
      access.writes = true;
      access.writesAll |= value && coversOperand(op, effect);
    }
  }
  return accesses;
}
