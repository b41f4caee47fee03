//===- All2All.cpp - Exchange backends and their properties ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/All2All.h"

using namespace moe::policy;

const std::vector<BackendInfo> &moe::policy::getBackendTable() {
  using B = All2AllBackend;
  using T = Transport;
  using F = ActivationFormat;
  using C = HostCounts;
  // backend, name, transport, format, async, host counts, sequence parallel
  static const std::vector<BackendInfo> table = {
      {B::AllGatherReduceScatter, "allgather_reducescatter",
       T::AllGatherReduceScatter, F::Standard, false, C::TokensGiven, true},
      {B::DeepEPHighThroughput, "deepep_high_throughput", T::CountedSendReceive,
       F::Standard, true, C::Exchanged, true},
      {B::DeepEPLowLatency, "deepep_low_latency", T::FixedCapacityAllToAll,
       F::Batched, true, C::None, true},
      {B::Mori, "mori", T::CountedSendReceive, F::Standard, false, C::Exchanged,
       true},
      {B::NixlEP, "nixl_ep", T::FixedCapacityAllToAll, F::Batched, true,
       C::None, true},
      {B::FlashInferNVLinkTwoSided, "flashinfer_nvlink_two_sided",
       T::CountedSendReceive, F::Standard, false, C::Exchanged, false},
      {B::FlashInferNVLinkOneSided, "flashinfer_nvlink_one_sided",
       T::CountedSendReceive, F::Standard, false, C::Exchanged, false},
      {B::DeepEPV2, "deepep_v2", T::CountedSendReceive, F::Standard, true,
       C::Exchanged, false},
  };
  return table;
}

const BackendInfo &moe::policy::getBackendInfo(All2AllBackend backend) {
  return getBackendTable()[size_t(backend)];
}

std::string moe::policy::printBackendTable() {
  std::string text =
      "| backend | transport | format | async | host counts | capturable | "
      "sequence parallel |\n|---|---|---|---|---|---|---|\n";
  auto flag = [](bool value) { return value ? "yes" : "no"; };
  for (const BackendInfo &info : getBackendTable()) {
    text.append("| ").append(info.name);
    text.append(" | ").append(stringify(info.transport));
    text.append(" | ").append(stringify(info.format));
    text.append(" | ").append(flag(info.async));
    text.append(" | ").append(stringify(info.hostCounts));
    text.append(" | ").append(flag(info.capturable()));
    text.append(" | ").append(flag(info.sequenceParallel)).append(" |\n");
  }
  return text;
}

namespace {
/// Another name of a backend. A retired one is replaced by the backend's own
/// name; an alias stays as it was written.
struct Alias {
  std::string_view name;
  All2AllBackend backend;
  bool retired;
};
} // namespace

static constexpr Alias aliases[] = {
    {"flashinfer_all2allv", All2AllBackend::FlashInferNVLinkTwoSided, false},
    {"naive", All2AllBackend::AllGatherReduceScatter, true},
    {"pplx", All2AllBackend::AllGatherReduceScatter, true},
};

std::optional<ParsedBackend>
moe::policy::parseAll2AllBackend(std::string_view name, std::string &error) {
  for (const BackendInfo &info : getBackendTable())
    if (info.name == name)
      return ParsedBackend{info.backend, std::string(name), ""};
  for (const Alias &alias : aliases) {
    if (alias.name != name)
      continue;
    if (!alias.retired)
      return ParsedBackend{alias.backend, std::string(name), ""};
    std::string canonical(getBackendInfo(alias.backend).name);
    return ParsedBackend{alias.backend, canonical,
                         "all2all backend '" + std::string(name) +
                             "' is no longer supported, using '" + canonical +
                             "'"};
  }
  error = "expected --all2all-backend to be one of ";
  for (const BackendInfo &info : getBackendTable())
    error.append(info.name).append(", ");
  for (const Alias &alias : aliases)
    error.append(&alias == aliases ? "" : ", ").append(alias.name);
  error += " but got '" + std::string(name) + "'";
  return std::nullopt;
}

std::string_view moe::policy::stringify(All2AllBackend backend) {
  return getBackendInfo(backend).name;
}

std::string_view moe::policy::stringify(Transport transport) {
  switch (transport) {
  case Transport::None:
    return "none";
  case Transport::AllGatherReduceScatter:
    return "all_gather_reduce_scatter";
  case Transport::CountedSendReceive:
    return "counted_send_receive";
  case Transport::FixedCapacityAllToAll:
    return "fixed_capacity_all_to_all";
  }
  return "";
}

std::string_view moe::policy::stringify(ActivationFormat format) {
  return format == ActivationFormat::Standard ? "standard" : "batched";
}

std::string_view moe::policy::stringify(HostCounts hostCounts) {
  switch (hostCounts) {
  case HostCounts::None:
    return "none";
  case HostCounts::TokensGiven:
    return "tokens_given";
  case HostCounts::Exchanged:
    return "exchanged";
  }
  return "";
}
