//===- Bufferize.cpp - From phases on tensors to phases on buffers --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
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
  // What both arms of a branch write is the function's result only once it is
  // no result of the branch.
  pm.addPass(createCanonicalizerPass());
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
  // Rows that were written where they belong are not copied there.
  pm.addPass(createCanonicalizerPass());
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
    Block &entry = getOperation().getBody().front();
    SmallVector<memref::SubViewOp> views;
    getOperation().walk([&](memref::SubViewOp view) { views.push_back(view); });
    for (memref::SubViewOp view : views)
      replaceRows(view);
    // All rows are the buffer itself.
    getOperation().walk([](memref::CastOp cast) {
      auto from = dyn_cast<MemRefType>(cast.getSource().getType());
      auto to = dyn_cast<MemRefType>(cast.getType());
      if (!from || !to || from.getShape() != to.getShape() ||
          !from.getLayout().isIdentity() || to.getLayout().isIdentity())
        return;
      cast.replaceAllUsesWith(cast.getSource());
      cast.erase();
    });
    hoist(entry);
    nameArguments();
  }

  /// Makes a view of whole rows row-major.
  static void replaceRows(memref::SubViewOp view) {
    MemRefType from = view.getSourceType(), to = view.getType();
    SmallVector<OpFoldResult> offsets = view.getMixedOffsets();
    SmallVector<OpFoldResult> sizes = view.getMixedSizes();
    bool isWhole =
        from.getLayout().isIdentity() && from.getRank() == to.getRank();
    for (int64_t i = 0, rank = from.getRank(); i < rank; ++i)
      isWhole &= isConstantIntValue(view.getMixedStrides()[i], 1) &&
                 (i == 0 ||
                  (isConstantIntValue(offsets[i], 0) && !from.isDynamicDim(i) &&
                   isConstantIntValue(sizes[i], from.getDimSize(i))));
    if (!isWhole)
      return;
    OpBuilder b(view);
    Location loc = view.getLoc();
    auto type =
        MemRefType::get(to.getShape(), to.getElementType(),
                        MemRefLayoutAttrInterface(), to.getMemorySpace());
    Value first = getValueOrCreateConstantIndexOp(b, loc, offsets[0]);
    Value size = type.isDynamicDim(0)
                     ? getValueOrCreateConstantIndexOp(b, loc, sizes[0])
                     : Value();
    view.replaceAllUsesWith(moe::schedule::RowsOp::create(
                                b, loc, type, view.getSource(), first, size)
                                .getResult());
    view.erase();
  }

  /// Moves allocations, and the pure ops that make their sizes, before all
  /// other ops of the entry block, in their order.
  void hoist(Block &entry) {
    Operation *firstOther = nullptr;
    for (Operation &op : llvm::make_early_inc_range(entry)) {
      if (canHoist(&op, firstOther)) {
        if (firstOther)
          op.moveBefore(firstOther);
        continue;
      }
      if (!firstOther)
        firstOther = &op;
      if (auto branch = dyn_cast<scf::IfOp>(op))
        for (Region &arm : branch->getRegions())
          for (Operation &inner : llvm::make_early_inc_range(arm.getOps()))
            if (canHoist(&inner, firstOther))
              inner.moveBefore(firstOther);
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
      return !definition || (definition->getBlock() == firstOther->getBlock() &&
                             definition->isBeforeInBlock(firstOther));
    });
  }

  /// Gives arguments the names that users know them by, for IR that is printed
  /// with names of locations.
  void nameArguments() {
    func::FuncOp function = getOperation();
    for (BlockArgument argument : function.getArguments())
      if (auto name = function.getArgAttrOfType<StringAttr>(
              argument.getArgNumber(), moe::kNameAttrName))
        argument.setLoc(NameLoc::get(name, argument.getLoc()));
  }
};
} // namespace
