//===- GenerateKernels.cpp - Phases to launches of kernels ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Codegen/CUDA/CUDA.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/SetUp.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace moe {
#define GEN_PASS_DEF_MOEGENERATEKERNELS
#include "moe-mlir/Conversion/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using namespace moe::codegen;

/// The tiles of matrix products that the phase, or else the function, asks for;
/// null where neither does.
static DictionaryAttr getGemmTiles(Operation *phase) {
  if (auto tiles = phase->getAttrOfType<DictionaryAttr>(kGemmTilesAttrName))
    return tiles;
  return phase->getParentOfType<FunctionOpInterface>()
      ->getAttrOfType<DictionaryAttr>(kGemmTilesAttrName);
}

/// What may stand in a run beside phases: sizes, views, and work that needs no
/// kernel of the target's.
static bool staysInRun(Operation *op) {
  return isPure(op) ||
         isa<schedule::LaunchOp, schedule::CollectiveOp, memref::DimOp>(op);
}

/// Replaces the phases of all runs by launches. `emit` emits those of one
/// phase; its first builder stands before the phase, the second at the
/// function's entry: what is there is set up before any work is issued.
static LogicalResult replacePhases(
    ModuleOp module,
    function_ref<LogicalResult(Operation *, OpBuilder &, OpBuilder &)> emit) {
  SmallVector<Operation *> phases;
  module.walk([&](schedule::RunOp run) {
    for (Operation &op : run.getBody().front())
      if (!staysInRun(&op))
        phases.push_back(&op);
  });
  for (Operation *phase : phases) {
    OpBuilder builder(phase);
    OpBuilder scratch =
        schedule::atEndOfSetUp(phase->getParentOfType<FunctionOpInterface>());
    if (failed(emit(phase, builder, scratch)))
      return failure();
    phase->erase();
  }
  return success();
}

namespace {
struct MoEGenerateKernels
    : moe::impl::MoEGenerateKernelsBase<MoEGenerateKernels> {
  using MoEGenerateKernelsBase::MoEGenerateKernelsBase;

  void runOnOperation() override {
    if (failed(generate(getOperation())))
      signalPassFailure();
  }

  LogicalResult generate(ModuleOp module) {
    if (target == codegen::cpu::kTargetName)
      return generateForCPU(module);
    if (target == codegen::cuda::kTargetName)
      return generateForCUDA(module);
    return module.emitError("expected target 'cpu' or 'cuda' but got '")
           << target << "'";
  }

  LogicalResult generateForCPU(ModuleOp module) {
    llvm::Expected<codegen::cpu::Target> machine =
        codegen::cpu::Target::parse(cpu);
    if (!machine)
      return module.emitError(llvm::toString(machine.takeError()));
    return replacePhases(
        module, [&](Operation *phase, OpBuilder &builder, OpBuilder &scratch) {
          return codegen::cpu::getKernels().emit(
              phase, {module, *machine, phase->getLoc(), builder, scratch});
        });
  }

  LogicalResult generateForCUDA(ModuleOp module) {
    llvm::Expected<cuda::Target> gpu = cuda::Target::parse(chip);
    if (!gpu)
      return module.emitError(llvm::toString(gpu.takeError()));
    return replacePhases(module, [&](Operation *phase, OpBuilder &builder,
                                     OpBuilder &scratch) {
      return cuda::getKernels().emit(phase,
                                     {module, *gpu, phase->getLoc(), builder,
                                      scratch, getGemmTiles(phase)});
    });
  }
};
} // namespace
