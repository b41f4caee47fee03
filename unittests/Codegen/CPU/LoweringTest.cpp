//===- LoweringTest.cpp - Tests of targets, kernel sharing and errors -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Testing/CPU/Program.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

TEST(CPUTarget, VectorWidthFollowsTheInstructionSet) {
  if (!llvm::StringRef(Target::host().triple).starts_with("x86_64"))
    GTEST_SKIP() << "CPUs of x86-64";
  EXPECT_EQ(llvm::cantFail(Target::parse("x86-64-v4")).vectorBits, 512u);
  EXPECT_EQ(llvm::cantFail(Target::parse("x86-64-v4,-avx512bw")).vectorBits,
            256u);
  EXPECT_EQ(llvm::cantFail(Target::parse("x86-64-v3")).vectorBits, 256u);
  EXPECT_EQ(llvm::cantFail(Target::parse("x86-64-v2")).vectorBits, 128u);
}

TEST(CPUTarget, UnknownNamesAreErrors) {
  auto message = [](llvm::StringRef spec) {
    llvm::Expected<Target> target = Target::parse(spec);
    return target ? "" : llvm::toString(target.takeError());
  };
  EXPECT_EQ(message("host"), "");
  EXPECT_NE(message("x86-65").find("but got 'x86-65'"), std::string::npos);
  EXPECT_NE(message("host,+avx3").find("but got '+avx3'"), std::string::npos);
  EXPECT_NE(message("host,avx2").find("but got 'avx2'"), std::string::npos);
}

// Two projections of one shape share a kernel; another shape has its own. The
// three are in one module that runs them all.
TEST(CPUKernels, EqualOnesAreEmittedOnce) {
  Program program(
      Target::host(),
      {{Element::F32, {-1, 32}},
       {Element::F32, {32, 32}},
       {Element::F32, {16, 32}},
       {Element::F32, {-1, 32}},
       {Element::F32, {-1, 32}},
       {Element::F32, {-1, 16}}},
      [](const Emission &emission, mlir::ValueRange all) {
        return mlir::failure(
            failed(emit<ProjectOp>(emission, all[0], all[1], all[3])) ||
            failed(emit<ProjectOp>(emission, all[3], all[1], all[4])) ||
            failed(emit<ProjectOp>(emission, all[4], all[2], all[5])));
      });
  ASSERT_TRUE(program.valid());
  EXPECT_EQ(program.getNumKernels(), 2);
  Tensor x(Element::F32, {3, 32}), w(Element::F32, {32, 32});
  Tensor v(Element::F32, {16, 32}), a(x), b(x), y(Element::F32, {3, 16});
  // The identity, twice, and then its first 16 rows times 2.
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t j = 0; j < 32; ++j) {
      w.set(i * 32 + j, i == j);
      if (i < 16)
        v.set(i * 32 + j, 2 * (i == j));
    }
  for (int64_t i = 0; i < x.size(); ++i)
    x.set(i, i);
  program.run({&x, &w, &v, &a, &b, &y});
  for (int64_t t = 0; t < 3; ++t)
    for (int64_t i = 0; i < 16; ++i)
      EXPECT_EQ(y.get(t, i), 2 * x.get(t, i));
}

/// The first error of a phase that cannot be emitted.
static std::string firstError(std::vector<Program::Operand> operands,
                              const Program::Phases &phases) {
  std::string message;
  Program program(Target::host(), std::move(operands),
                  [&](const Emission &emission, mlir::ValueRange all) {
                    mlir::ModuleOp module = emission.module;
                    mlir::ScopedDiagnosticHandler handler(
                        module.getContext(), [&](mlir::Diagnostic &diagnostic) {
                          if (message.empty())
                            message = diagnostic.str();
                          return mlir::success();
                        });
                    return phases(emission, all);
                  });
  EXPECT_FALSE(program.valid());
  return message;
}

TEST(CPUKernels, ErrorsNameTheOperand) {
  auto project = [](const Emission &emission, mlir::ValueRange all) {
    return emit<ProjectOp>(emission, all[0], all[1], all[2]);
  };
  EXPECT_EQ(firstError({{Element::F32, {-1, 32}},
                        {Element::F32, {8, 16}},
                        {Element::F32, {-1, 8}}},
                       project),
            "'moe.project' op expected 'weight' of shape [?, 32] but got "
            "[8, 16]");
  EXPECT_EQ(firstError({{Element::F32, {-1, -1}},
                        {Element::F32, {8, 32}},
                        {Element::F32, {-1, 8}}},
                       project),
            "'moe.project' op expected 'x' with a static dimension 1 but got "
            "'memref<?x?xf32>'");
}

TEST(CPUCode, TextForms) {
  // The same kernel as text: assembly with the target's registers, LLVM IR
  // without calls of libm.
  mlir::DialectRegistry registry;
  registerDialects(registry);
  registry.insert<MoEDialect>();
  mlir::MLIRContext context(registry);
  context.loadAllAvailableDialects();
  mlir::OpBuilder b(&context);
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(b.getUnknownLoc());
  b.setInsertionPointToStart(module->getBody());
  auto f32 = b.getF32Type();
  auto rows = mlir::MemRefType::get({mlir::ShapedType::kDynamic, 64}, f32);
  auto function = mlir::func::FuncOp::create(
      b, b.getUnknownLoc(), "layer",
      b.getFunctionType({rows, mlir::MemRefType::get({128, 64}, f32),
                         mlir::MemRefType::get({64, 64}, f32), rows},
                        {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  Target target = Target::host();
  Emission emission{*module, target, b.getUnknownLoc(), b, b};
  auto all = function.getArguments();
  ASSERT_TRUE(mlir::succeeded(emit<SharedExpertsOp>(
      emission, all[0], all[1], all[2], mlir::Value(), all[3],
      ActivationAttr::get(&context, ActivationKind::swiglu))));
  // What launches the kernels is another's business.
  for (auto launch : llvm::make_early_inc_range(
           function.getBody().getOps<schedule::LaunchOp>()))
    launch.erase();
  mlir::func::ReturnOp::create(b, b.getUnknownLoc());
  mlir::PassManager pm(&context);
  buildKernelLoweringPipeline(pm, target.getSpec());
  ASSERT_TRUE(mlir::succeeded(pm.run(*module)));
  for (CodeForm form : {CodeForm::Assembly, CodeForm::LLVMIR}) {
    llvm::SmallVector<char> code;
    ASSERT_TRUE(mlir::succeeded(compile(*module, target, form, code)));
    llvm::StringRef text(code.data(), code.size());
    EXPECT_TRUE(text.contains("moe_shared_up"));
    EXPECT_FALSE(text.contains("expf"));
    EXPECT_EQ(text.contains("define"), form == CodeForm::LLVMIR);
  }
}
