//===- Phases.h - What a phase costs a rank ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_SIMULATE_PHASES_H
#define MOE_MLIR_LIB_SIMULATE_PHASES_H

#include "Sizes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Simulate/Simulate.h"

namespace moe::simulate {

/// Groups of ranks that meet, as they are met.
class Groups {
public:
  /// The number of the group of `communicator` that `rank` is in.
  size_t get(schedule::CommunicatorAttr communicator, size_t rank);

  std::vector<std::vector<int64_t>> list;

private:
  std::map<std::pair<std::string, int64_t>, size_t> numbers;
};

/// Makes the parts of one rank's tasks, op by op in the order of issue.
class PhaseParts {
public:
  PhaseParts(const Call &call, std::vector<Sizes> &sizes, Groups &groups,
             size_t rank)
      : call(call), sizes(sizes), groups(groups), rank(rank) {}

  /// Appends what `op` costs this rank.
  mlir::LogicalResult append(mlir::Operation *op, std::vector<Part> &parts);

private:
  /// What a dispatch brought to this rank.
  struct Received {
    double rows = 0;
    double pairs = 0;
    double expertsHit = 0;
  };

  mlir::LogicalResult appendDispatch(DispatchOp op, std::vector<Part> &parts);
  mlir::LogicalResult appendExperts(ExpertsOp op, std::vector<Part> &parts);
  mlir::LogicalResult appendCombine(CombineOp op, std::vector<Part> &parts);
  mlir::LogicalResult appendCollective(schedule::CollectiveOp op,
                                       std::vector<Part> &parts);
  void appendShare(schedule::CommunicatorAttr communicator,
                   policy::ShareOfCollective share, std::vector<Part> &parts);
  void appendCost(const policy::PhaseCost &cost, std::vector<Part> &parts);
  void appendPhase(policy::Phase phase, const policy::LayerShape &shape,
                   double rows, std::vector<Part> &parts);
  mlir::FailureOr<double> getRows(mlir::Operation *op, mlir::Value buffer,
                                  size_t ofRank);
  mlir::FailureOr<double> getRows(mlir::Operation *op, mlir::Value buffer) {
    return getRows(op, buffer, rank);
  }
  /// The place of this rank among those that share out the experts.
  size_t getExpertRank() const {
    return call.loads.getNumRanks() > 1 ? rank : 0;
  }

  const Call &call;
  std::vector<Sizes> &sizes; ///< By rank.
  Groups &groups;
  size_t rank;
  /// By the offsets, and by the positions of pairs, that a dispatch wrote.
  llvm::DenseMap<mlir::Value, Received> received;
};

} // namespace moe::simulate

#endif // MOE_MLIR_LIB_SIMULATE_PHASES_H
