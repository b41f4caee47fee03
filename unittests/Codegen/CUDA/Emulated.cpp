//===- Emulated.cpp - Phases of a layer on an emulated GPU ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda::test;

Phase::Phase(const Operands &operands, const std::string &text,
             const std::string &attributes) {
  DialectRegistry registry;
  codegen::cuda::registerDialects(registry);
  registry.insert<func::FuncDialect, schedule::ScheduleDialect, MoEDialect>();
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
  std::string aliases, parameters;
  for (const auto &[name, type] : operands) {
    aliases += "!" + name + " = " + type + "\n";
    parameters += (parameters.empty() ? "%" : ", %") + name + ": !" + name;
  }
  bool isSchedule = StringRef(text).contains("schedule.run");
  std::string body =
      isSchedule ? text : "schedule.run on(compute) {\n" + text + "\n}";
  std::string source = aliases + "func.func @phase(" + parameters + ")" +
                       (attributes.empty() ? "" : " attributes " + attributes) +
                       " {\n" + body + "\nreturn\n}\n";
  module = parseSourceString<ModuleOp>(source, &context);
  EXPECT_TRUE(module) << source;
  if (!module)
    return;
  PassManager pm(&context);
  pm.addNestedPass<func::FuncOp>(createMoELowerExchanges());
  pm.addNestedPass<func::FuncOp>(createMoEFusePhases({/*target=*/"cuda"}));
  MoEGenerateKernelsOptions options;
  options.target = "cuda";
  pm.addPass(createMoEGenerateKernels(options));
  EXPECT_TRUE(succeeded(pm.run(*module))) << source;
}

void Phase::runOnRanks(const std::vector<std::vector<Tensor *>> &arguments) {
  ASSERT_TRUE(module);
  auto function = module->lookupSymbol<func::FuncOp>("phase");
  std::vector<std::vector<Tensor>> copies;
  std::vector<std::vector<Tensor *>> late(arguments.size());
  for (const std::vector<Tensor *> &tensors : arguments) {
    copies.emplace_back();
    for (const Tensor *tensor : tensors)
      copies.back().push_back(*tensor);
  }
  for (size_t rank = 0; rank < copies.size(); ++rank)
    for (Tensor &tensor : copies[rank])
      late[rank].push_back(&tensor);
  ASSERT_EQ(test::runOnRanks(function, arguments, EventOrder::Eager), "");
  ASSERT_EQ(test::runOnRanks(function, late, EventOrder::Late), "");
  for (size_t rank = 0; rank < copies.size(); ++rank)
    for (size_t i = 0; i < copies[rank].size(); ++i) {
      EXPECT_EQ(copies[rank][i].written, arguments[rank][i]->written)
          << "argument " << i << " of rank " << rank;
      EXPECT_TRUE(copies[rank][i].bytes == arguments[rank][i]->bytes)
          << "argument " << i << " of rank " << rank;
    }
}

std::vector<std::string> Phase::labels() {
  std::vector<std::string> all;
  module->walk([&](schedule::LaunchOp launch) {
    all.push_back(launch.getLabel().value_or("").str());
  });
  return all;
}

std::string Phase::text() {
  std::string text;
  llvm::raw_string_ostream(text) << *module;
  return text;
}

std::string moe::codegen::cuda::test::matrix(int64_t columns, Element element) {
  return "memref<?x" + std::to_string(columns) + "x" + nameOf(element) + ">";
}

std::string moe::codegen::cuda::test::vector(int64_t size) {
  return "memref<" + std::to_string(size) + "xi32>";
}

Tensor moe::codegen::cuda::test::exactTensor(std::mt19937 &random,
                                             Element element,
                                             std::vector<int64_t> shape) {
  return Tensor(element, std::move(shape), [&](int64_t) {
    return (static_cast<int>(random() % 17) - 8) / 8.0;
  });
}

Tensor moe::codegen::cuda::test::normalTensor(std::mt19937 &random,
                                              Element element,
                                              std::vector<int64_t> shape,
                                              double deviation) {
  std::normal_distribution<double> normal(0.0, deviation);
  return Tensor(element, std::move(shape),
                [&](int64_t) { return normal(random); });
}

void moe::codegen::cuda::test::expectValues(
    const Tensor &tensor, double tolerance,
    const std::function<double(int64_t, int64_t)> &value) {
  for (int64_t i = 0; i < tensor.size(); ++i) {
    int64_t row = i / tensor.columns(), column = i % tensor.columns();
    ASSERT_TRUE(tensor.isSet(i))
        << "row " << row << ", column " << column << " was not written";
    double expected = rounded(value(row, column), tensor.element);
    double bound = tolerance * (1 + std::abs(expected));
    // Written so that NaN is no match, unless it is expected.
    if (std::isnan(expected))
      ASSERT_TRUE(std::isnan(tensor.get(i)))
          << "row " << row << ", column " << column;
    else
      ASSERT_TRUE(std::abs(tensor.get(i) - expected) <= bound)
          << "row " << row << ", column " << column << ": expected " << expected
          << " but got " << tensor.get(i);
  }
}

void moe::codegen::cuda::test::expectNumbers(
    const Tensor &tensor, const std::vector<int64_t> &numbers) {
  ASSERT_EQ(tensor.size(), static_cast<int64_t>(numbers.size()));
  expectValues(tensor, 0, [&](int64_t row, int64_t column) {
    return static_cast<double>(numbers[row * tensor.columns() + column]);
  });
}
