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

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moe::policy {

enum class All2AllBackend {
  AllGatherReduceScatter,
  DeepEPHighThroughput,
  DeepEPLowLatency,
  Mori,
  NixlEP,
  FlashInferNVLinkTwoSided,
  FlashInferNVLinkOneSided,
  /// Known to rule sets from `vllm-2026-09` on.
  DeepEPV2,
};

/// How rows move between the ranks of the exchange.
enum class Transport {
  /// Nothing moves: tokens are replicated or there is one rank.
  None,
  /// All-gather of tokens, reduce-scatter of results. Ranks may hold different
  /// numbers of tokens.
  AllGatherReduceScatter,
  /// Exchange of counts, then send and receive of the rows that each rank
  /// needs; a token goes once to each rank that needs it.
  CountedSendReceive,
  /// All-to-all of a fixed capacity per (source rank, local expert), so that
  /// nothing can overflow and no count is needed on the host.
  FixedCapacityAllToAll,
};

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
  std::string_view name;
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

/// A backend as a configuration names it.
struct ParsedBackend {
  All2AllBackend backend;
  /// The name that rules read and explanations show: as written, except that
  /// names which only mean another backend are replaced by that backend's.
  std::string name;
  /// Not empty where the name is accepted but no longer meant to be used.
  std::string warning;
};

/// Understands canonical names, aliases (`flashinfer_all2allv`) and retired
/// names (`naive`, `pplx`: accepted with a warning, meaning
/// `allgather_reducescatter`). An unknown name gives nothing, and the message
/// that lists the known ones in `error`.
std::optional<ParsedBackend> parseAll2AllBackend(std::string_view name,
                                                 std::string &error);

std::string_view stringify(All2AllBackend backend);
std::string_view stringify(Transport transport);
std::string_view stringify(ActivationFormat format);
std::string_view stringify(HostCounts hostCounts);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_ALL2ALL_H
