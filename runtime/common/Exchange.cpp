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

std::string moert::findMemberships(const moert_signature &signature,
                                   int32_t rank, int32_t numRanks,
                                   std::vector<Membership> &members) {
  const moert_exchange &exchange = *signature.exchange;
  if (signature.num_ranks != numRanks)
    return format("%s: has the %lld ranks of %s, expected the %d of the group",
                  signature.name, static_cast<long long>(signature.num_ranks),
                  exchange.grid, numRanks);
  for (int64_t i = 0; i < exchange.num_communicators; ++i) {
    const moert_communicator &communicator = exchange.communicators[i];
    int64_t stride = communicator.stride, size = communicator.size;
    bool isWithin = stride >= 1 && size >= 1 && stride <= numRanks &&
                    size <= numRanks / stride &&
                    numRanks % (stride * size) == 0;
    if (!isWithin)
      return format(
          "%s: communicator '%s' has groups of %lld ranks %lld apart, "
          "expected groups that share out %d ranks",
          signature.name, communicator.name, static_cast<long long>(size),
          static_cast<long long>(stride), numRanks);
    int32_t member = int32_t(rank / stride % size);
    members.push_back({rank - member * int32_t(stride), int32_t(stride),
                       int32_t(size), member});
  }
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
                exchange.communicators[collective.communicator].name);
}

bool moert::hasCounts(const moert_collective &collective) {
  return collective.flags & MOERT_COLLECTIVE_COUNTS;
}

int64_t moert::countOwnRows(const moert_collective &collective,
                            int64_t tokens) {
  return countPart(tokens, collective.part, collective.num_parts) *
         collective.rows_per_token;
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
  if (collective.num_parts > 1)
    text += format(" of part %d of %d", collective.part, collective.num_parts);
  return text + " on '" + exchange.communicators[collective.communicator].name +
         "'";
}

ProgramText::ProgramText(const moert_exchange &exchange)
    : hash(exchange.hash), grid(exchange.grid) {
  for (int64_t i = 0; i < exchange.num_collectives; ++i)
    steps.push_back(stepText(exchange, exchange.collectives[i]));
}

ProgramText::ProgramText(const std::string &text) {
  std::istringstream lines(text);
  lines >> hash >> std::ws;
  std::getline(lines, grid);
  for (std::string step; std::getline(lines, step);)
    steps.push_back(step);
}

std::string ProgramText::write() const {
  std::string text = std::to_string(hash) + "\n" + grid;
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
  if (here.grid != there.grid)
    return text + ": " + there.grid + ", expected " + here.grid;
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
