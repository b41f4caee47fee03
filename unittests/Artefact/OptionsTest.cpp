//===- OptionsTest.cpp - Options reach what they are for ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every row of CompileOptions.def: a value that is not the default changes what
// the passes are given, and the key of the cache.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Cache.h"
#include "moe-mlir/Pipelines/Pipelines.h"
#include "moe-mlir/Pipelines/Register.h"

#include "mlir/Pass/PassRegistry.h"

#include "gtest/gtest.h"

#include <functional>

using namespace moe;

namespace {

struct Row {
  std::string name;
  bool isOfPasses;
  std::function<void(CompileOptions &)> change;
};

/// Another value than the default one, which every option of the type may have.
void change(bool &value) { value = !value; }
void change(int64_t &value) { ++value; }
void change(std::optional<int64_t> &value) { value = 7; }
void change(std::vector<std::string> &value) { value.push_back("a"); }
void change(std::string &value) {
  // What must be a name of something is the one other name.
  value = value == "cpu"    ? "cuda"
          : value == "host" ? "x86-64-v2"
          : value.empty()   ? "/proc/self/exe"
                            : "another";
}

std::vector<Row> getRows() {
  std::vector<Row> rows;
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  rows.push_back({#NAME, true, [](CompileOptions &o) { change(o.NAME); }});
#define MOE_DRIVER_OPTION(NAME, TYPE, DEFAULT, FLAG, GROUP, VALUES, HELP)      \
  rows.push_back({#NAME, false, [](CompileOptions &o) { change(o.NAME); }});
#include "moe-mlir/Support/CompileOptions.def"
  return rows;
}

class OptionsTest : public testing::Test {
protected:
  OptionsTest() : context(mlir::MLIRContext::Threading::DISABLED) {
    prepareContext(context);
    module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  }

  std::string printPipeline(const CompileOptions &options) {
    mlir::PassManager pm(&context);
    buildCompilePipeline(pm, options);
    std::string text;
    llvm::raw_string_ostream stream(text);
    pm.printAsTextualPipeline(stream);
    return text;
  }

  std::string getKey(const CompileOptions &options) {
    return llvm::cantFail(
        makeCacheKey(*module, Form::Shared, ArtefactOptions{options}, ""));
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

TEST_F(OptionsTest, ReachPassesAndKey) {
  // The chip matters to passes of target cuda alone.
  for (const char *target : {"cpu", "cuda"})
    for (const Row &row : getRows()) {
      CompileOptions given, changed;
      given.target = changed.target = target;
      row.change(changed);
      if (row.name == "target")
        given = CompileOptions();
      SCOPED_TRACE(row.name + " of target " + target);
      EXPECT_NE(getKey(given), getKey(changed));
      if (row.isOfPasses) {
        EXPECT_NE(printPipeline(given), printPipeline(changed));
      }
    }
}

// A pass that is asked for by itself does what the pipeline's does.
TEST_F(OptionsTest, PassesHaveTheSameDefaults) {
  registerPasses();
  const std::string built = printPipeline({});
  for (const char *pass :
       {"moe-fix-num-tokens", "moe-expand-layer", "moe-schedule"}) {
    mlir::FailureOr<mlir::OpPassManager> parsed =
        mlir::parsePassPipeline("func.func(" + std::string(pass) + ")");
    ASSERT_TRUE(mlir::succeeded(parsed));
    std::string alone;
    llvm::raw_string_ostream stream(alone);
    parsed->printAsTextualPipeline(stream);
    const size_t begin = alone.find(pass), end = alone.find('}', begin);
    ASSERT_NE(end, std::string::npos) << alone;
    const std::string text = alone.substr(begin, end - begin + 1);
    EXPECT_NE(built.find(text), std::string::npos) << text << "\n" << built;
  }
}

TEST_F(OptionsTest, PipelinesHaveTheSameDefaults) {
  const CompileOptions options = CompilePipelineOptions().get(), defaults;
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  EXPECT_EQ(options.NAME, defaults.NAME);
#include "moe-mlir/Support/CompileOptions.def"
}

} // namespace
