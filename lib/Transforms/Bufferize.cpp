//===- Bufferize.cpp - From phases on tensors to phases on buffers --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace moe {
#define GEN_PASS_DEF_MOEHOISTBUFFERS
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;

void moe::buildBufferizePipeline(OpPassManager &pm) {
  // Functions take and give row-major buffers: that is the artefact's ABI.
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // The caller gives the results' buffers, and the last phases write into them.
  bufferization::BufferResultsToOutParamsPassOptions outParams;
  outParams.addResultAttribute = true;
  outParams.hoistDynamicAllocs = true;
  outParams.hoistStaticAllocs = true;
  outParams.modifyPublicFunctions = true;
  pm.addPass(bufferization::createBufferResultsToOutParamsPass(outParams));
  // Sizes of buffers become the sizes that they were made of. Neither pass
  // merges buffers: an allocation is an effect.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Nothing frees buffers: they become slots of the caller's workspace, since
  // the time of issue is not the time of completion.
  pm.addNestedPass<func::FuncOp>(createMoEHoistBuffers());
}

void moe::registerTransformsPipelines() {
  PassPipelineRegistration<>(
      "moe-bufferize",
      "bufferize phases: one buffer each, results as out parameters",
      buildBufferizePipeline);
}

namespace {
struct MoEHoistBuffers : moe::impl::MoEHoistBuffersBase<MoEHoistBuffers> {
  void runOnOperation() override {
    if (getOperation().isExternal())
      return;
    hoist(getOperation().getBody().front());
    nameArguments();
  }

  /// Moves allocations, and the pure ops that make their sizes, before all
  /// other ops of the entry block, in their order.
  void hoist(Block &entry) {
    Operation *firstOther = nullptr;
    for (Operation &op : llvm::make_early_inc_range(entry)) {
      if (canHoist(&op, firstOther)) {
        if (firstOther)
          op.moveBefore(firstOther);
      } else if (!firstOther) {
        firstOther = &op;
      }
    }
  }

  static bool canHoist(Operation *op, Operation *firstOther) {
    if (op->hasTrait<OpTrait::IsTerminator>() || op->getNumRegions() != 0)
      return false;
    if (!isPure(op) && !isa<memref::AllocOp>(op))
      return false;
    if (!firstOther)
      return true;
    return llvm::all_of(op->getOperands(), [&](Value operand) {
      Operation *definition = operand.getDefiningOp();
      return !definition || definition->isBeforeInBlock(firstOther);
    });
  }

  /// Gives arguments the names that users know them by, for IR that is printed
  /// with names of locations.
  void nameArguments() {
    func::FuncOp function = getOperation();
    for (BlockArgument argument : function.getArguments())
      if (auto name = function.getArgAttrOfType<StringAttr>(
              argument.getArgNumber(), "moe.name"))
        argument.setLoc(NameLoc::get(name, argument.getLoc()));
  }
};
} // namespace
