//===- All2All.cpp - Exchange backends and their properties ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/All2All.h"

using namespace moe;
using namespace moe::policy;

const std::vector<BackendInfo> &moe::policy::getBackendTable() {
  using B = All2AllBackend;
  using T = Transport;
  using F = ActivationFormat;
  using C = HostCounts;
  // backend, transport, format, async, host counts, sequence parallel
  static const std::vector<BackendInfo> table = {
      {B::allgather_reducescatter, T::all_gather, F::Standard, false,
       C::TokensGiven, true},
      {B::deepep_high_throughput, T::send_receive, F::Standard, true,
       C::Exchanged, true},
      {B::deepep_low_latency, T::batched, F::Batched, true, C::None, true},
      {B::mori, T::send_receive, F::Standard, false, C::Exchanged, true},
      {B::nixl_ep, T::batched, F::Batched, true, C::None, true},
      {B::flashinfer_nvlink_two_sided, T::send_receive, F::Standard, false,
       C::Exchanged, false},
      {B::flashinfer_nvlink_one_sided, T::send_receive, F::Standard, false,
       C::Exchanged, false},
      {B::deepep_v2, T::send_receive, F::Standard, true, C::Exchanged, false},
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
    text.append("| ").append(name(info.backend));
    text.append(" | ").append(name(info.transport));
    text.append(" | ").append(stringify(info.format));
    text.append(" | ").append(flag(info.async));
    text.append(" | ").append(stringify(info.hostCounts));
    text.append(" | ").append(flag(info.capturable()));
    text.append(" | ").append(flag(info.sequenceParallel)).append(" |\n");
  }
  return text;
}

namespace {
/// Another name of a backend; a retired one is not meant to be used.
struct Alias {
  std::string_view name;
  All2AllBackend backend;
  bool retired;
};
} // namespace

static constexpr Alias aliases[] = {
    {"flashinfer_all2allv", All2AllBackend::flashinfer_nvlink_two_sided, false},
    {"naive", All2AllBackend::allgather_reducescatter, true},
    {"pplx", All2AllBackend::allgather_reducescatter, true},
};

std::optional<ParsedBackend>
moe::policy::parseAll2AllBackend(std::string_view text, std::string &error) {
  if (std::optional<All2AllBackend> backend = parseName<All2AllBackend>(text))
    return ParsedBackend{*backend, ""};
  for (const Alias &alias : aliases) {
    if (alias.name != text)
      continue;
    ParsedBackend parsed{alias.backend, ""};
    if (alias.retired)
      parsed.warning = "all2all backend '" + std::string(text) +
                       "' is no longer supported, using '" +
                       name(alias.backend) + "'";
    return parsed;
  }
  error = "expected --all2all-backend to be one of ";
  for (const BackendInfo &info : getBackendTable())
    error.append(name(info.backend)).append(", ");
  for (const Alias &alias : aliases)
    error.append(&alias == aliases ? "" : ", ").append(alias.name);
  error += " but got '" + std::string(text) + "'";
  return std::nullopt;
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
