//===- ProcessGroup.cpp - Ranks that are processes ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProcessGroup.h"

#include "ProcessService.h"

#include <numeric>

using namespace moert;

ProcessGroup::ProcessGroup(const Options &options, std::vector<int32_t> ranks)
    : options(options), ranks(std::move(ranks)) {}

moert_status ProcessGroup::create(const Options &options,
                                  std::shared_ptr<ProcessGroup> &group,
                                  std::string &error) {
  std::vector<int32_t> ranks(static_cast<size_t>(options.size));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::shared_ptr<ProcessGroup> created(
      new ProcessGroup(options, std::move(ranks)));
  created->service = std::make_unique<Service>(*created, Service::Start());
  if (moert_status status = created->service->waitUntilReady(error))
    return status;
  group = std::move(created);
  return MOERT_SUCCESS;
}

ProcessGroup::~ProcessGroup() = default;

moert_status ProcessGroup::allGather(const std::string &what, std::string mine,
                                     std::vector<std::string> &all,
                                     std::string &error) {
  return service->allGather(what, std::move(mine), all, error);
}

void ProcessGroup::watch(Watched *watched) { service->watch(watched); }

void ProcessGroup::fail(std::string message, std::vector<int32_t> lost) {
  service->fail(std::move(message), std::move(lost));
}

bool ProcessGroup::hasFailed(std::string &error) const {
  if (!failed)
    return false;
  service->readFailure(error);
  return true;
}

std::string ProcessGroup::findLeft(const std::vector<int32_t> &ranks) const {
  return service->findLeft(ranks);
}

moert_status ProcessGroup::shrink(std::shared_ptr<ProcessGroup> &group,
                                  std::string &error) const {
  Options next = options;
  Service::Start start;
  std::vector<int32_t> survivors;
  if (moert_status status = service->prepareNext(next, survivors, start, error))
    return status;
  std::shared_ptr<ProcessGroup> created(
      new ProcessGroup(next, std::move(survivors)));
  created->service = std::make_unique<Service>(*created, start);
  if (moert_status status = created->service->waitUntilReady(error))
    return status;
  group = std::move(created);
  return MOERT_SUCCESS;
}
