//===- Lowering.cpp - From CPU kernels to machine code --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "../Optimize.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

void moe::codegen::cpu::registerDialects(DialectRegistry &registry) {
  registry
      .insert<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect,
              linalg::LinalgDialect, LLVM::LLVMDialect, math::MathDialect,
              memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

void moe::codegen::cpu::buildKernelEntryPipeline(OpPassManager &pm,
                                                 StringRef cpu) {
  // GEMMs to vector code while the contractions are whole.
  LowerRowContractionsOptions contractions;
  contractions.cpu = cpu.str();
  pm.addNestedPass<func::FuncOp>(createLowerRowContractions(contractions));
  // Before vectors are taken apart, since the polynomials are on vectors.
  pm.addNestedPass<func::FuncOp>(createApproximateMath());
  // Views become address arithmetic, and equal arithmetic one op.
  pm.addNestedPass<func::FuncOp>(memref::createExpandStridedMetadataPass());
  pm.addNestedPass<func::FuncOp>(createLowerAffinePass());
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
  // Entries need the memref types, which the conversions below take away.
  AddKernelEntriesOptions entries;
  entries.cpu = cpu.str();
  pm.addPass(createAddKernelEntries(entries));
}

void moe::codegen::cpu::buildToLLVMPipeline(OpPassManager &pm) {
  // Views of other shapes become views with offsets and strides.
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

void moe::codegen::cpu::buildKernelLoweringPipeline(OpPassManager &pm,
                                                    StringRef cpu) {
  buildKernelEntryPipeline(pm, cpu);
  buildToLLVMPipeline(pm);
}

/// Kernels are vectorized already; LLVM's vectorizers only cost time.
static llvm::PipelineTuningOptions getTuning() {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopUnrolling = false;
  return tuning;
}

LogicalResult moe::codegen::cpu::compile(ModuleOp module, const Target &target,
                                         CodeForm form,
                                         SmallVectorImpl<char> &code) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      target.createMachine();
  if (!machine)
    return module.emitError(llvm::toString(machine.takeError()));
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated =
      translateModuleToLLVMIR(module, context);
  if (!translated)
    return module.emitError("cannot be translated to LLVM IR");
  translated->setTargetTriple((*machine)->getTargetTriple());
  translated->setDataLayout((*machine)->createDataLayout());
  moe::codegen::optimize(*translated, **machine, getTuning());

  llvm::raw_svector_ostream stream(code);
  if (form == CodeForm::LLVMIR) {
    translated->print(stream, nullptr);
    return success();
  }
  llvm::legacy::PassManager emitter;
  auto type = form == CodeForm::Object ? llvm::CodeGenFileType::ObjectFile
                                       : llvm::CodeGenFileType::AssemblyFile;
  if ((*machine)->addPassesToEmitFile(emitter, stream, nullptr, type))
    return module.emitError("no code generator for ") << target.triple;
  emitter.run(*translated);
  return success();
}
