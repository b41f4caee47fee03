//===- Version.cpp - What the tools say of themselves ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/Version.h"

#include "moe-mlir/Support/Format.h"
#include "moert/moert.h"

// MOE_GIT_DESCRIPTION: the commit, or "".
#include "GitDescription.inc"

std::string moe::tools::describeVersion(
    const std::string &tool,
    const std::vector<std::pair<std::string, std::string>> &parts) {
  std::string text = tool + " " MOE_VERSION "\n";
  if (*MOE_GIT_DESCRIPTION)
    text += formatField("commit", MOE_GIT_DESCRIPTION);
  text += formatField("runtime ABI", std::to_string(MOERT_ABI_VERSION));
  for (const auto &[name, version] : parts)
    text += formatField(name, version);
  text.pop_back();
  return text;
}
