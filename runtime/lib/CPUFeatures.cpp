//===- CPUFeatures.cpp - Instructions that this CPU has -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CPUFeatures.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#ifdef __x86_64__
#include <cpuid.h>
#endif

using namespace moert;

#ifdef __x86_64__
namespace {
/// The registers of one leaf; zeros where the CPU has no such leaf.
struct Leaf {
  Leaf(unsigned leaf, unsigned subleaf) {
    if (!__get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx))
      eax = ebx = ecx = edx = 0;
  }
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};
} // namespace

/// XCR0: the registers that the operating system keeps.
static uint64_t getKeptState() {
  constexpr unsigned osxsave = 1u << 27;
  if (!(Leaf(1, 0).ecx & osxsave))
    return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

static bool hasFeature(const std::string &feature) {
#define MOERT_X86_FEATURE(name, leaf, subleaf, register, bit, state)           \
  if (feature == name)                                                         \
    return (Leaf(leaf, subleaf).register >> (bit) & 1) != 0 &&                 \
           (getKeptState() & (state)) == (state);
#include "moert/CPUFeatures.def"
  return false;
}
#else
static bool hasFeature(const std::string &) { return false; }
#endif

std::string moert::findLackingFeatures(const char *descriptor) {
  const auto parsed = nlohmann::json::parse(descriptor, nullptr,
                                            /*allow_exceptions=*/false);
  if (!parsed.is_object())
    return "";
  const auto features = parsed.find("cpu_features");
  if (features == parsed.end() || !features->is_array())
    return "";
  std::string lacking;
  for (const auto &feature : *features)
    if (!feature.is_string() || !hasFeature(feature.get<std::string>()))
      lacking +=
          (lacking.empty() ? "" : ", ") +
          (feature.is_string() ? feature.get<std::string>() : feature.dump());
  return lacking;
}
