//===- Explain.h - A decision for people and programs -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Renders a decision as text for people and as JSON for programs.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_EXPLAIN_H
#define MOE_MLIR_POLICY_EXPLAIN_H

#include "moe-mlir/Policy/Decision.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moe::policy {

struct Explanation {
  /// The layer's name, such as "model.layers.3.mlp".
  std::string layer;
  Decision decision;
  /// Where the user asks for two batches.
  std::optional<BatchDecision> batches;
  ParallelProperties properties;
  /// The streams that the schedule uses, such as "compute" and "aux".
  std::vector<std::string> streams;
  /// Events that the schedule waits for, in the arm that has more of them.
  int64_t events = 0;
  /// For `tokens`, or else for the most tokens that the artefact serves;
  /// nothing where there is no such bound.
  std::optional<int64_t> workspaceBytes;
  /// The call can be captured in a graph.
  bool capturable = true;
  /// The T that is explained, where one was given.
  std::optional<int64_t> tokens;
  std::vector<std::string> warnings;
};

/// Several lines that end in a newline: what was decided, by which rule and
/// why, what would change it, and the table of derived properties.
std::string explainText(const Explanation &explanation);

/// One JSON object in one line, without a newline at its end. Keys: "layer",
/// "order" (where T does not decide, or `tokens` is given),
/// "order_at_or_below_threshold", "order_above_threshold" and "threshold"
/// (where T decides), "rule", "reason", "batches" (where asked for),
/// "parallel", "streams", "events", "workspace_bytes" (null where not known)
/// and "capturable".
///
/// "batches" is an object: "two" (false: never), "decode_token_threshold" and
/// "prefill_token_threshold" (where "two"), "rule" and "reason".
std::string explainJson(const Explanation &explanation);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_EXPLAIN_H
