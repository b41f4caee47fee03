//===- CPUFeaturesTest.cpp - Instructions that this CPU has ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/CPUFeatures.h"

#include "gtest/gtest.h"
#include <fstream>
#include <set>
#include <sstream>
#include <string>

using namespace moert;

namespace {

std::string findLacking(const std::string &features) {
  return findLackingFeatures(
      ("{\"name\": \"x\", \"cpu_features\": " + features + "}").c_str());
}

/// What the kernel says that the CPU has, by the kernel's names.
std::set<std::string> readFlags() {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> flags;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags", 0) != 0)
      continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;)
      flags.insert(word);
    break;
  }
  return flags;
}

TEST(CPUFeaturesTest, AgreesWithTheKernel) {
  const std::set<std::string> flags = readFlags();
  if (!flags.count("lm"))
    GTEST_SKIP() << "needs /proc/cpuinfo of an x86-64 CPU";
  // LLVM's names and the kernel's.
  const std::pair<const char *, const char *> names[] = {
      {"sse3", "pni"},
      {"ssse3", "ssse3"},
      {"sse4.1", "sse4_1"},
      {"sse4.2", "sse4_2"},
      {"movbe", "movbe"},
      {"popcnt", "popcnt"},
      {"lzcnt", "abm"},
      {"bmi", "bmi1"},
      {"bmi2", "bmi2"},
      {"gfni", "gfni"},
      {"avx", "avx"},
      {"fma", "fma"},
      {"f16c", "f16c"},
      {"avx2", "avx2"},
      {"avxvnni", "avx_vnni"},
      {"fma4", "fma4"},
      {"xop", "xop"},
      {"tbm", "tbm"},
      {"avx512f", "avx512f"},
      {"avx512dq", "avx512dq"},
      {"avx512ifma", "avx512ifma"},
      {"avx512cd", "avx512cd"},
      {"avx512bw", "avx512bw"},
      {"avx512vl", "avx512vl"},
      {"avx512vbmi", "avx512vbmi"},
      {"avx512vbmi2", "avx512_vbmi2"},
      {"avx512vnni", "avx512_vnni"},
      {"avx512bitalg", "avx512_bitalg"},
      {"avx512vpopcntdq", "avx512_vpopcntdq"},
      {"avx512fp16", "avx512_fp16"},
      {"avx512bf16", "avx512_bf16"}};
  for (auto [ours, kernels] : names)
    EXPECT_EQ(findLacking("[\"" + std::string(ours) + "\"]").empty(),
              flags.count(kernels) == 1)
        << ours;
}

TEST(CPUFeaturesTest, NamesAllThatIsLacking) {
  EXPECT_EQ(findLacking("[]"), "");
  EXPECT_EQ(findLacking("[\"one\", \"two\"]"), "one, two");
  // What is no name cannot be vouched for.
  EXPECT_EQ(findLacking("[7]"), "7");
}

TEST(CPUFeaturesTest, TakesDescriptorsThatSayNothing) {
  for (const char *descriptor : {"", "{}", "{\"cpu_features\": null}", "[1]"})
    EXPECT_EQ(findLackingFeatures(descriptor), "") << descriptor;
}

} // namespace
