//===- ScheduleTest.h - Schedules from text ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_DIALECT_SCHEDULE_SCHEDULETEST_H
#define MOE_MLIR_UNITTESTS_DIALECT_SCHEDULE_SCHEDULETEST_H

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

namespace moe::schedule {

/// A `memref.copy` with `test.communicator` exchanges data.
struct CopyCollective
    : CollectiveOpInterface::ExternalModel<CopyCollective,
                                           mlir::memref::CopyOp> {
  std::string getCommunicatorName(mlir::Operation *op) const {
    auto name = op->getAttrOfType<mlir::StringAttr>("test.communicator");
    return name ? name.str() : "";
  }
  std::string getCollectiveName(mlir::Operation *op) const {
    auto name = op->getAttrOfType<mlir::StringAttr>("test.collective");
    return name ? name.str() : "exchange";
  }
};

class ScheduleTest : public ::testing::Test {
protected:
  ScheduleTest() {
    mlir::DialectRegistry registry;
    registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect,
                    mlir::linalg::LinalgDialect, mlir::memref::MemRefDialect,
                    mlir::scf::SCFDialect, ScheduleDialect>();
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    // The attributes of the test's collectives belong to no dialect.
    context.allowUnregisteredDialects();
    mlir::memref::CopyOp::attachInterface<CopyCollective>(context);
  }

  /// The first function of the text; null, and a failed test, if it does not
  /// parse.
  mlir::FunctionOpInterface parse(llvm::StringRef text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text.str();
    return module ? *module->getOps<mlir::FunctionOpInterface>().begin()
                  : mlir::FunctionOpInterface();
  }

  /// "kind label-of-op label-of-other" of all findings, in order. A label is
  /// that of the enclosing run, or the op's name.
  std::vector<std::string> check(llvm::StringRef text) {
    mlir::FunctionOpInterface function = parse(text);
    if (!function)
      return {"does not parse"};
    return list(HappensBefore(function));
  }

  static std::vector<std::string> list(const HappensBefore &order) {
    std::vector<std::string> found;
    for (const Finding &finding : order.getFindings()) {
      found.push_back(stringifyFindingKind(finding.kind).str() + " " +
                      getLabel(finding.op));
      if (finding.other)
        found.back() += " " + getLabel(finding.other);
    }
    return found;
  }

  static std::string getLabel(mlir::Operation *op) {
    auto run = mlir::isa<RunOp>(op) ? mlir::cast<RunOp>(op)
                                    : op->getParentOfType<RunOp>();
    if (run && run.getLabel())
      return run.getLabel()->str();
    return op->getName().getStringRef().str();
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace moe::schedule

#endif // MOE_MLIR_UNITTESTS_DIALECT_SCHEDULE_SCHEDULETEST_H
