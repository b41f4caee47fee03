//===- Artefact.h - A compiled layer ----------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_ARTEFACT_H
#define MOE_MLIR_RUN_ARTEFACT_H

#include "moe-mlir/Run/Descriptor.h"
#include "moert/moert.h"

namespace moe::run {

/// A loaded artefact.
class Artefact {
public:
  Artefact() = default;
  Artefact(Artefact &&other);
  ~Artefact();

  /// Loads the file; `shownAs` is what messages call it.
  Status load(const std::string &path, const std::string &shownAs);

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

} // namespace moe::run

#endif // MOE_MLIR_RUN_ARTEFACT_H
