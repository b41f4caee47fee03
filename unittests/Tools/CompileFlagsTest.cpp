//===- CompileFlagsTest.cpp - What moe-run hands to moe-compile -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/CompileFlags.h"

#include "gtest/gtest.h"

#include <CLI/CLI.hpp>

using namespace moe::tools;

namespace {

std::vector<std::string> handOn(std::vector<std::string> arguments) {
  CLI::App app;
  CompileFlags flags;
  flags.add(app);
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  return flags.toArguments();
}

std::vector<std::string> listFlags() {
  CLI::App app;
  CompileFlags flags;
  flags.add(app);
  std::vector<std::string> names;
  for (const CLI::Option *option : app.get_options())
    if (option->get_name() != "--help")
      names.push_back(option->get_name());
  return names;
}

/// A value of a flag that is not its default; "": the flag takes none.
std::string getOtherValue(const std::string &flag) {
  CLI::App app;
  CompileFlags flags;
  flags.add(app);
  const CLI::Option *option = app.get_option(flag);
  if (option->get_expected_max() == 0)
    return "";
  for (const char *value : {"float16", "round_robin", "on", "9"}) {
    CLI::App other;
    CompileFlags parsed;
    parsed.add(other);
    try {
      other.parse(std::vector<std::string>{value, flag});
      return value;
    } catch (const CLI::ParseError &) {
    }
  }
  ADD_FAILURE() << flag << " takes none of the values";
  return "";
}

TEST(CompileFlagsTest, EveryFlagIsHandedOn) {
  std::vector<std::string> all;
  ASSERT_GT(listFlags().size(), 25u);
  for (const std::string &flag : listFlags()) {
    std::vector<std::string> arguments = {flag};
    if (std::string value = getOtherValue(flag); !value.empty())
      arguments.push_back(value);
    EXPECT_EQ(handOn(arguments), arguments);
    all.insert(all.end(), arguments.begin(), arguments.end());
  }
  EXPECT_EQ(handOn(all), all);
}

TEST(CompileFlagsTest, DefaultsAreNotHandedOn) {
  EXPECT_EQ(handOn({}), std::vector<std::string>());
  EXPECT_EQ(handOn({"--schedule", "vllm", "--cpu", "host"}),
            std::vector<std::string>());
}

TEST(CompileFlagsTest, ListsMayBeRepeated) {
  const std::vector<std::string> arguments = {"--gemm-tile", "a", "--gemm-tile",
                                              "b"};
  EXPECT_EQ(handOn(arguments), arguments);
}

TEST(CompileFlagsTest, ATargetNamesItsChip) {
  CompileFlags flags;
  flags.target = "cuda:sm_90a";
  EXPECT_EQ(flags.getCompileOptions().target, "cuda");
  EXPECT_EQ(flags.getCompileOptions().chip, "sm_90a");
  flags.target = "cpu";
  EXPECT_EQ(flags.getCompileOptions().target, "cpu");
}

} // namespace
