//===- CPUGenerator.cpp - Phases to kernels of the CPU --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PhaseGenerator.h"
#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

using namespace mlir;
using namespace moe;
namespace cpu = moe::codegen::cpu;

namespace {
class CPUGenerator : public PhaseGenerator {
public:
  CPUGenerator(ModuleOp module, cpu::Target target)
      : module(module), target(std::move(target)) {}

  LogicalResult gate(const Place &place,
                     const codegen::GateOperands &operands) override {
    return launch(place, cpu::lowerGate(at(place), operands));
  }
  LogicalResult route(const Place &place,
                      const codegen::RouteOperands &operands,
                      const codegen::RoutingParams &params) override {
    return launch(place, cpu::lowerRoute(at(place), operands, params));
  }
  LogicalResult
  expertLoad(const Place &place,
             const codegen::ExpertLoadOperands &operands) override {
    return launch(place, cpu::lowerExpertLoad(at(place), operands));
  }
  LogicalResult
  dispatchPlan(const Place &place,
               const codegen::DispatchPlanOperands &operands) override {
    return launch(place, cpu::lowerDispatchPlan(at(place), operands));
  }
  LogicalResult expertMap(const Place &place,
                          const codegen::ExpertMapOperands &operands,
                          const codegen::PlacementParams &params) override {
    return launch(place, cpu::lowerExpertMap(at(place), operands, params));
  }
  LogicalResult sendPlan(const Place &place,
                         const codegen::SendPlanOperands &operands,
                         const codegen::PlacementParams &params) override {
    return launch(place, cpu::lowerSendPlan(at(place), operands, params));
  }
  LogicalResult batchedSendPlan(
      const Place &place, const codegen::BatchedSendPlanOperands &operands,
      const codegen::PlacementParams &params, int64_t capacity) override {
    return launch(place, cpu::lowerBatchedSendPlan(at(place), operands, params,
                                                   capacity));
  }
  LogicalResult batchedPlan(const Place &place,
                            const codegen::BatchedPlanOperands &operands,
                            int64_t ranks, int64_t capacity) override {
    return launch(place,
                  cpu::lowerBatchedPlan(at(place), operands, ranks, capacity));
  }
  LogicalResult
  gatherRows(const Place &place,
             const codegen::GatherRowsOperands &operands) override {
    return launch(place, cpu::lowerGatherRows(at(place), operands));
  }
  LogicalResult clearIds(const Place &place, Value ids) override {
    return launch(place, cpu::lowerClearIds(at(place), ids));
  }
  LogicalResult experts(const Place &place,
                        const codegen::ExpertsOperands &operands,
                        const codegen::ActivationParams &params) override {
    return launch(place, cpu::lowerExperts(at(place), operands, params));
  }
  LogicalResult combine(const Place &place,
                        const codegen::CombineOperands &operands,
                        double scale) override {
    return launch(place, cpu::lowerCombine(at(place), operands, scale));
  }
  LogicalResult
  sharedExperts(const Place &place,
                const codegen::SharedExpertsOperands &operands,
                const codegen::ActivationParams &params) override {
    return launch(place, cpu::lowerSharedExperts(at(place), operands, params));
  }
  LogicalResult project(const Place &place,
                        const codegen::ProjectOperands &operands) override {
    return launch(place, cpu::lowerProject(at(place), operands));
  }
  LogicalResult merge(const Place &place,
                      const codegen::MergeOperands &operands) override {
    return launch(place, cpu::lowerMerge(at(place), operands));
  }

private:
  cpu::Emission at(const Place &place) const {
    return {module, target, place.loc, place.builder, place.scratch};
  }

  static LogicalResult launch(const Place &place,
                              const cpu::Launches &launches) {
    if (failed(launches))
      return failure();
    for (const cpu::Launch &launch : *launches)
      schedule::LaunchOp::create(
          place.builder, place.loc, SymbolRefAttr::get(launch.kernel),
          launch.grid, launch.reads, launch.writes, launch.scalars,
          place.builder.getStringAttr(launch.label), schedule::GPULaunchAttr());
    return success();
  }

  ModuleOp module;
  cpu::Target target;
};
} // namespace

llvm::Expected<std::unique_ptr<PhaseGenerator>>
moe::createCPUGenerator(ModuleOp module, StringRef name) {
  llvm::Expected<cpu::Target> target = cpu::Target::parse(name);
  if (!target)
    return target.takeError();
  return std::make_unique<CPUGenerator>(module, std::move(*target));
}
