//===- CUDAGenerator.cpp - Phases to kernels of a GPU ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PhaseGenerator.h"
#include "moe-mlir/Codegen/CUDA/CUDA.h"

using namespace mlir;
using namespace moe;
namespace cuda = moe::codegen::cuda;

namespace {
class CUDAGenerator : public PhaseGenerator {
public:
  CUDAGenerator(ModuleOp module, cuda::Target target)
      : module(module), target(std::move(target)) {}

  LogicalResult gate(const Place &place,
                     const codegen::GateOperands &operands) override {
    return cuda::emitGate(at(place), operands);
  }
  LogicalResult route(const Place &place,
                      const codegen::RouteOperands &operands,
                      const codegen::RoutingParams &params) override {
    return cuda::emitRoute(at(place), operands, params);
  }
  LogicalResult
  expertLoad(const Place &place,
             const codegen::ExpertLoadOperands &operands) override {
    return cuda::emitExpertLoad(at(place), operands);
  }
  LogicalResult
  dispatchPlan(const Place &place,
               const codegen::DispatchPlanOperands &operands) override {
    return cuda::emitDispatchPlan(at(place), operands);
  }
  LogicalResult expertMap(const Place &place,
                          const codegen::ExpertMapOperands &operands,
                          const codegen::PlacementParams &params) override {
    return cuda::emitExpertMap(at(place), operands, params);
  }
  LogicalResult sendPlan(const Place &place,
                         const codegen::SendPlanOperands &operands,
                         const codegen::PlacementParams &params) override {
    return cuda::emitSendPlan(at(place), operands, params);
  }
  LogicalResult batchedSendPlan(
      const Place &place, const codegen::BatchedSendPlanOperands &operands,
      const codegen::PlacementParams &params, int64_t capacity) override {
    return cuda::emitBatchedSendPlan(at(place), operands, params, capacity);
  }
  LogicalResult batchedPlan(const Place &place,
                            const codegen::BatchedPlanOperands &operands,
                            int64_t ranks, int64_t capacity) override {
    return cuda::emitBatchedPlan(at(place), operands, ranks, capacity);
  }
  LogicalResult
  gatherRows(const Place &place,
             const codegen::GatherRowsOperands &operands) override {
    return cuda::emitGatherRows(at(place), operands);
  }
  LogicalResult clearIds(const Place &place, Value ids) override {
    return cuda::emitClearIds(at(place), ids);
  }
  LogicalResult experts(const Place &place,
                        const codegen::ExpertsOperands &operands,
                        const codegen::ActivationParams &params) override {
    return cuda::emitExperts(at(place), operands, params);
  }
  LogicalResult combine(const Place &place,
                        const codegen::CombineOperands &operands,
                        double scale) override {
    return cuda::emitCombine(at(place), operands, scale);
  }
  LogicalResult
  sharedExperts(const Place &place,
                const codegen::SharedExpertsOperands &operands,
                const codegen::ActivationParams &params) override {
    return cuda::emitSharedExperts(at(place), operands, params);
  }
  LogicalResult project(const Place &place,
                        const codegen::ProjectOperands &operands) override {
    return cuda::emitProject(at(place), operands);
  }
  LogicalResult merge(const Place &place,
                      const codegen::MergeOperands &operands) override {
    return cuda::emitMerge(at(place), operands);
  }
  bool canFuseCombine() const override { return true; }

private:
  cuda::Emission at(const Place &place) const {
    return {module,        target,        place.loc,
            place.builder, place.scratch, place.gemmTiles};
  }

  ModuleOp module;
  cuda::Target target;
};
} // namespace

llvm::Expected<std::unique_ptr<PhaseGenerator>>
moe::createCUDAGenerator(ModuleOp module, StringRef chip) {
  llvm::Expected<cuda::Target> target = cuda::Target::parse(chip);
  if (!target)
    return target.takeError();
  return std::make_unique<CUDAGenerator>(module, std::move(*target));
}
