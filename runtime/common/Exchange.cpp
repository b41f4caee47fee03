//===- Exchange.cpp - What a program exchanges ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Exchange.h"

#include "Error.h"
#include "TensorText.h"

#include <algorithm>
#include <cstring>
#include <sstream>

using namespace moert;

//===----------------------------------------------------------------------===//
// Communicators
//===----------------------------------------------------------------------===//

static bool findMembership(const moert_exchange &exchange, const char *name,
                           int32_t rank, Membership &members) {
  int32_t tp = int32_t(exchange.tp_size), pcp = int32_t(exchange.pcp_size),
          dp = int32_t(exchange.dp_size);
  auto along = [&](int32_t stride, int32_t size) {
    int32_t member = rank / stride % size;
    members = {rank - member * stride, stride, size, member};
    return true;
  };
  if (std::strcmp(name, "ep") == 0)
    return along(1, tp * pcp * dp);
  if (std::strcmp(name, "tp") == 0)
    return along(1, tp);
  if (std::strcmp(name, "pcp") == 0)
    return along(tp, pcp);
  if (std::strcmp(name, "dp") == 0)
    return along(tp * pcp, dp);
  return false;
}

std::string moert::findMemberships(const moert_signature &signature,
                                   int32_t rank, int32_t numRanks,
                                   std::vector<Membership> &members) {
  const moert_exchange &exchange = *signature.exchange;
  if (exchange.tp_size * exchange.pcp_size * exchange.dp_size != numRanks)
    return format("%s: has tp %lld, pcp %lld and dp %lld, expected the %d "
                  "ranks of the group",
                  signature.name, static_cast<long long>(exchange.tp_size),
                  static_cast<long long>(exchange.pcp_size),
                  static_cast<long long>(exchange.dp_size), numRanks);
  for (int64_t i = 0; i < exchange.num_communicators; ++i)
    if (!findMembership(exchange, exchange.communicators[i], rank,
                        members.emplace_back()))
      return format("%s: there is no communicator '%s', expected 'tp', 'pcp', "
                    "'dp' or 'ep'",
                    signature.name, exchange.communicators[i]);
  return "";
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

static const char *collectiveKindName(int32_t kind) {
  switch (kind) {
  case MOERT_ALL_GATHER:
    return "all_gather";
  case MOERT_REDUCE_SCATTER:
    return "reduce_scatter";
  case MOERT_ALL_REDUCE:
    return "all_reduce";
  case MOERT_ALL_TO_ALL:
    return "all_to_all";
  }
  return "unknown collective";
}

std::string moert::describe(const moert_exchange &exchange, const char *layer,
                            int32_t step) {
  const moert_collective &collective = exchange.collectives[step];
  return format("'%s' (%s, step %d of '%s') on communicator '%s'",
                collective.label ? collective.label : "",
                collectiveKindName(collective.kind), step, layer,
                exchange.communicators[collective.communicator]);
}

bool moert::hasCounts(const moert_collective &collective) {
  return collective.flags & MOERT_COLLECTIVE_COUNTS;
}

int64_t moert::countOwnRows(const moert_collective &collective,
                            int64_t tokens) {
  if (collective.flags & MOERT_COLLECTIVE_FIRST_HALF)
    tokens -= tokens / 2;
  else if (collective.flags & MOERT_COLLECTIVE_SECOND_HALF)
    tokens /= 2;
  return tokens * collective.rows_per_token;
}

static std::string stepText(const moert_exchange &exchange,
                            const moert_collective &collective) {
  std::string text = collectiveKindName(collective.kind);
  for (int32_t i = 0; i < collective.num_buffers; ++i)
    text += format(
        "%s rows of %lld %s", i ? "," : " of",
        static_cast<long long>(collective.columns[i]),
        dtypeName(collective.dtypes[i] >> 8, collective.dtypes[i] & 0xff, 1)
            .c_str());
  if (hasCounts(collective))
    text += " by counts";
  if (collective.flags & MOERT_COLLECTIVE_FIRST_HALF)
    text += " of the first half";
  if (collective.flags & MOERT_COLLECTIVE_SECOND_HALF)
    text += " of the second half";
  return text + " on '" + exchange.communicators[collective.communicator] + "'";
}

ProgramText::ProgramText(const moert_exchange &exchange)
    : hash(exchange.hash),
      sizes(format("tp %lld, pcp %lld, dp %lld",
                   static_cast<long long>(exchange.tp_size),
                   static_cast<long long>(exchange.pcp_size),
                   static_cast<long long>(exchange.dp_size))) {
  for (int64_t i = 0; i < exchange.num_collectives; ++i)
    steps.push_back(stepText(exchange, exchange.collectives[i]));
}

ProgramText::ProgramText(const std::string &text) {
  std::istringstream lines(text);
  lines >> hash >> std::ws;
  std::getline(lines, sizes);
  for (std::string step; std::getline(lines, step);)
    steps.push_back(step);
}

std::string ProgramText::write() const {
  std::string text = std::to_string(hash) + "\n" + sizes;
  for (const std::string &step : steps)
    text += "\n" + step;
  return text;
}

std::string moert::explainDifference(const ProgramText &here, int32_t rankHere,
                                     const ProgramText &there,
                                     int32_t rankThere) {
  std::string text = format(
      "rank %d runs another program than rank %d (their collectives hash to "
      "%016llx and %016llx)",
      rankThere, rankHere, static_cast<unsigned long long>(there.hash),
      static_cast<unsigned long long>(here.hash));
  if (here.sizes != there.sizes)
    return text + ": " + there.sizes + ", expected " + here.sizes;
  auto stepOf = [](const ProgramText &program, size_t step) {
    return step < program.steps.size() ? program.steps[step]
                                       : "no more collective";
  };
  for (size_t step = 0; step < std::max(here.steps.size(), there.steps.size());
       ++step)
    if (stepOf(here, step) != stepOf(there, step))
      return text + format(": its step %zu is ", step) + stepOf(there, step) +
             ", expected " + stepOf(here, step);
  return text;
}
