//===- Artefact.h - A compiled layer and what it says of itself -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_ARTEFACT_H
#define MOE_MLIR_TOOLS_MOERUN_ARTEFACT_H

#include "Options.h"
#include "Support/Process.h"
#include "moe-mlir/Import/WeightSource.h"
#include "moert/moert.h"

#include <nlohmann/json.hpp>

namespace moe::tools {

/// The descriptor of an artefact; docs/artefact.md lists its fields.
struct Descriptor {
  std::string name;
  std::string target;
  std::string instructionSet;
  LayerSpec layer;
  std::optional<WeightMap> weights;
  /// In the order of the call; -1 stands for T.
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  int64_t numRanks = 1;
  std::optional<int64_t> maxNumTokens;
  std::optional<int64_t> staticNumTokens;
  /// The object of --explain=json, its keys in their order.
  nlohmann::ordered_json decision;
};

/// Reads a descriptor; `path` is the artefact's, for messages.
Outcome readDescriptor(const std::string &text, const std::string &path,
                       Descriptor &descriptor);

/// Whether the artefact takes T rows; `where` says what gave them.
Outcome checkTokens(const Descriptor &descriptor, int64_t T,
                    const std::string &where);

/// A loaded artefact.
class Artefact {
public:
  Artefact() = default;
  Artefact(Artefact &&other);
  ~Artefact();

  /// Loads the file; `shownAs` is what messages call it.
  Outcome load(const std::string &path, const std::string &shownAs);

  const moert_program *program() const { return handle; }
  const Descriptor &descriptor() const { return description; }
  /// The order of the shared experts in a run with T rows.
  std::string orderAt(int64_t T) const;
  /// Of a call with T rows on this rank and `allRows` on all of them.
  int64_t workspaceBytes(int64_t T, int64_t allRows) const;

private:
  moert_program *handle = nullptr;
  Descriptor description;
};

/// Compiles the source of `options` with the rules `schedule` and loads the
/// result, whose file goes at once.
Outcome compileArtefact(const RunOptions &options, const std::string &schedule,
                        Artefact &artefact);

/// Runs moe-compile for --explain or --emit; it prints, and its exit code is
/// passed on.
Outcome passThrough(const RunOptions &options);

/// Whether this program can run the artefact, with these options.
Outcome checkRunnable(const RunOptions &options, const Descriptor &descriptor);

/// Prints why the artefact runs the shared experts when it does, for a number
/// of tokens that it takes.
Outcome explain(const Artefact &artefact, const RunOptions &options);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_ARTEFACT_H
