//===- ImageVersion.cpp - The driver that an image needs ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImageVersion.h"

#include "../common/Error.h"

#include <cstdio>
#include <string_view>

using namespace moert;

namespace {
struct Version {
  int major = 0, minor = 0;
};
} // namespace

/// The numbers behind the first `mark` of a text, or zeros.
static Version findVersion(std::string_view text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == text.npos)
    return {};
  // The text may end without a zero.
  const std::string numbers(text.substr(at + mark.size(), 8));
  Version version;
  if (std::sscanf(numbers.c_str(), "%d.%d", &version.major, &version.minor) !=
      2)
    return {};
  return version;
}

/// The first CUDA version whose driver compiles a version of the PTX ISA
/// ("Parallel Thread Execution ISA", release notes).
static int getDriverForPTX(Version isa) {
  constexpr struct {
    int major, minor, driver;
  } rows[] = {{8, 0, 12000}, {8, 1, 12010}, {8, 2, 12020}, {8, 3, 12030},
              {8, 4, 12040}, {8, 5, 12050}, {8, 6, 12070}, {8, 7, 12080},
              {8, 8, 12090}, {9, 0, 13000}};
  for (const auto &row : rows)
    if (row.major == isa.major && row.minor == isa.minor)
      return row.driver;
  return 0;
}

int moert::findNeededDriver(const moert_gpu_module &module) {
  const std::string_view image(static_cast<const char *>(module.image),
                               size_t(module.image_bytes));
  if (image.substr(0, 4) == "\177ELF")
    // What ptxas says of itself in a note.
    return findVersion(image, "Cuda compilation tools, release ").major * 1000;
  return getDriverForPTX(findVersion(image, ".version "));
}

std::string moert::driverVersionText(int version) {
  return format("%d.%d", version / 1000, version % 1000 / 10);
}
