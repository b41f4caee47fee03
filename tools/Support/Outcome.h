//===- Outcome.h - How a step of a tool ended -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_OUTCOME_H
#define MOE_MLIR_TOOLS_SUPPORT_OUTCOME_H

#include "Support/CompileFlags.h"

#include <string>
#include <utility>

namespace moe::tools {

/// Success, or a message with the exit code that the tool ends with. Messages
/// are lower case, without a final period, and say what was expected and found.
class [[nodiscard]] Outcome {
public:
  Outcome() = default;

  /// The work failed or disagreed. An empty message: what is wrong has been
  /// printed already.
  static Outcome failed(std::string message) { return {Failed, message}; }
  /// A flag or an input cannot be used.
  static Outcome badInput(std::string message) { return {BadUsage, message}; }
  /// Ends with another program's exit code, which has said why.
  static Outcome passedOn(int exitCode) { return {exitCode, ""}; }

  /// The same, said of something.
  Outcome withPrefix(const std::string &prefix) const {
    return {code, text.empty() ? text : prefix + text};
  }

  explicit operator bool() const { return code == Done; }
  int exitCode() const { return code; }
  const std::string &message() const { return text; }

private:
  Outcome(int code, std::string text) : code(code), text(std::move(text)) {}

  int code = Done;
  std::string text;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_OUTCOME_H
