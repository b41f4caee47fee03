//===- All2All.h - Exchange backends and their properties -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The all-to-all backends that a configuration can name, and how each maps to
// the transports of this compiler. All properties are one table.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_ALL2ALL_H
#define MOE_MLIR_POLICY_ALL2ALL_H

#include "moe-mlir/Layer/Enums.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moe::policy {

/// The layout of what the experts receive.
enum class ActivationFormat {
  /// [M, H], rows are tokens.
  Standard,
  /// [E_local, max_tokens, H] with a count of rows per expert.
  Batched,
};

/// What the host must know before it can launch the exchange.
enum class HostCounts {
  /// Nothing: all counts stay on the device.
  None,
  /// The tokens of every rank, which the caller gives with the call.
  TokensGiven,
  /// Rows per pair of ranks, found by an exchange that the host waits for.
  Exchanged,
};

struct BackendInfo {
  All2AllBackend backend;
  Transport transport;
  ActivationFormat format;
  /// Dispatch and combine can be launched and awaited separately.
  bool async;
  HostCounts hostCounts;
  /// Sequence-parallel MoE can run over this backend.
  bool sequenceParallel;

  /// An exchange that makes the host wait cannot be captured in a graph.
  bool capturable() const { return hostCounts != HostCounts::Exchanged; }
};

/// All backends, one row each, in the order of the enumeration.
const std::vector<BackendInfo> &getBackendTable();

const BackendInfo &getBackendInfo(All2AllBackend backend);

/// The table in Markdown, as the documentation shows it.
std::string printBackendTable();

/// A backend as a user names it.
struct ParsedBackend {
  All2AllBackend backend;
  /// Not empty where the name is accepted but no longer meant to be used.
  std::string warning;
};

/// Understands the backends' names, another name of one (`flashinfer_all2allv`)
/// and retired names (`naive`, `pplx`: accepted with a warning, meaning
/// `allgather_reducescatter`). An unknown name gives nothing, and the message
/// that lists the known ones in `error`.
std::optional<ParsedBackend> parseAll2AllBackend(std::string_view name,
                                                 std::string &error);

std::string_view stringify(ActivationFormat format);
std::string_view stringify(HostCounts hostCounts);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_ALL2ALL_H
