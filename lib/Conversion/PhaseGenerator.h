//===- PhaseGenerator.h - Phases to a target's kernels -------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_PHASEGENERATOR_H
#define MOE_MLIR_LIB_CONVERSION_PHASEGENERATOR_H

#include "moe-mlir/Codegen/Phases.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <memory>

namespace moe {

/// A target's kernel generator: replaces one phase by `schedule.launch`es.
class PhaseGenerator {
public:
  /// Where a phase is emitted. `builder` stands where the phase stood, in the
  /// `schedule.run`; `scratch` at the function's entry.
  struct Place {
    mlir::Location loc;
    mlir::OpBuilder &builder;
    mlir::OpBuilder &scratch;
    /// The phase's or else the function's `moe.gemm_tiles`; may be null.
    mlir::DictionaryAttr gemmTiles = {};
  };

  virtual ~PhaseGenerator() = default;

  virtual llvm::LogicalResult gate(const Place &place,
                                   const codegen::GateOperands &operands) = 0;
  virtual llvm::LogicalResult route(const Place &place,
                                    const codegen::RouteOperands &operands,
                                    const codegen::RoutingParams &params) = 0;
  virtual llvm::LogicalResult
  expertLoad(const Place &place,
             const codegen::ExpertLoadOperands &operands) = 0;
  virtual llvm::LogicalResult
  dispatchPlan(const Place &place,
               const codegen::DispatchPlanOperands &operands) = 0;
  virtual llvm::LogicalResult
  expertMap(const Place &place, const codegen::ExpertMapOperands &operands,
            const codegen::PlacementParams &params) = 0;
  virtual llvm::LogicalResult
  sendPlan(const Place &place, const codegen::SendPlanOperands &operands,
           const codegen::PlacementParams &params) = 0;
  virtual llvm::LogicalResult
  batchedSendPlan(const Place &place,
                  const codegen::BatchedSendPlanOperands &operands,
                  const codegen::PlacementParams &params, int64_t capacity) = 0;
  virtual llvm::LogicalResult
  batchedPlan(const Place &place, const codegen::BatchedPlanOperands &operands,
              int64_t ranks, int64_t capacity) = 0;
  virtual llvm::LogicalResult
  gatherRows(const Place &place,
             const codegen::GatherRowsOperands &operands) = 0;
  /// Ids [R, k] that are of no expert.
  virtual llvm::LogicalResult clearIds(const Place &place, mlir::Value ids) = 0;
  virtual llvm::LogicalResult
  experts(const Place &place, const codegen::ExpertsOperands &operands,
          const codegen::ActivationParams &params) = 0;
  virtual llvm::LogicalResult combine(const Place &place,
                                      const codegen::CombineOperands &operands,
                                      double scale) = 0;
  virtual llvm::LogicalResult
  sharedExperts(const Place &place,
                const codegen::SharedExpertsOperands &operands,
                const codegen::ActivationParams &params) = 0;
  virtual llvm::LogicalResult
  project(const Place &place, const codegen::ProjectOperands &operands) = 0;
  virtual llvm::LogicalResult merge(const Place &place,
                                    const codegen::MergeOperands &operands) = 0;

  /// True if `merge` takes a combine in place of its sums.
  virtual bool canFuseCombine() const { return false; }
};

/// Kernels for LLVM's instruction set `cpu` ("host" or a name).
llvm::Expected<std::unique_ptr<PhaseGenerator>>
createCPUGenerator(mlir::ModuleOp module, llvm::StringRef cpu);

/// Kernels for the GPU architecture `chip`, such as "sm_90a".
llvm::Expected<std::unique_ptr<PhaseGenerator>>
createCUDAGenerator(mlir::ModuleOp module, llvm::StringRef chip);

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_PHASEGENERATOR_H
