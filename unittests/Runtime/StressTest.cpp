//===- StressTest.cpp - Random schedules against a replay -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <array>
#include <random>
#include <vector>

using namespace moert::test;

namespace {

constexpr int numBuffers = 6;
constexpr int numStreams = 3;
constexpr int64_t bufferSize = 48;

using Buffer = std::array<uint64_t, bufferSize>;
using Memory = std::array<Buffer, numBuffers>;

/// `memory[target][b] = mix(memory[target][b], memory[source][other b])` for
/// the first `grid` blocks b.
struct Operation {
  uint64_t salt;
  int32_t stream;
  int source;
  int target;
  int64_t grid;

  bool conflictsWith(const Operation &other) const {
    return target == other.target || target == other.source ||
           source == other.target;
  }

  void runBlock(Memory &memory, int64_t block) const {
    uint64_t &out = memory[target][block];
    uint64_t in = memory[source][(block + salt) % bufferSize];
    out = (out ^ (in + salt)) * 0x9e3779b97f4a7c15u + (out >> 29);
  }
};

struct Arguments {
  Memory *memory;
  Operation operation;
};

void runBlock(const void *given, int64_t block) {
  const auto *arguments = static_cast<const Arguments *>(given);
  arguments->operation.runBlock(*arguments->memory, block);
}

std::vector<Operation> makeOperations(std::mt19937_64 &random, int count) {
  std::vector<Operation> operations(count);
  for (Operation &operation : operations) {
    operation.salt = random();
    operation.stream = int32_t(random() % numStreams);
    operation.source = int(random() % numBuffers);
    // Blocks of one launch are unordered, so none reads what another writes.
    operation.target =
        (operation.source + 1 + int(random() % (numBuffers - 1))) % numBuffers;
    operation.grid = random() % 4 == 0 ? int64_t(random() % 2)
                                       : int64_t(random() % (bufferSize + 1));
  }
  return operations;
}

/// Enqueues the operations, each after all earlier ones that it conflicts with.
void enqueue(const moert_call &call, const std::vector<Operation> &operations,
             Memory &memory) {
  std::vector<int64_t> events;
  for (size_t i = 0; i < operations.size(); ++i) {
    const Operation &operation = operations[i];
    for (size_t j = 0; j < i; ++j)
      if (operations[j].stream != operation.stream &&
          operation.conflictsWith(operations[j]))
        moert_stream_wait(&call, operation.stream, events[j]);
    Arguments arguments{&memory, operation};
    moert_launch(&call, operation.stream,
                 reinterpret_cast<const void *>(&runBlock), "stress",
                 &arguments, sizeof(arguments), operation.grid);
    events.push_back(moert_event_record(&call, operation.stream));
  }
  for (int32_t stream = 1; stream < numStreams; ++stream)
    moert_stream_wait(&call, MOERT_STREAM_COMPUTE,
                      moert_event_record(&call, stream));
}

void stress(uint64_t seed, int rounds, int32_t numThreads) {
  std::mt19937_64 random(seed);
  ContextPointer context = makeContext(numThreads);
  moert_call call = makeCall(context.get());
  for (int round = 0; round < rounds; ++round) {
    std::vector<Operation> operations = makeOperations(random, 120);
    Memory initial;
    for (Buffer &buffer : initial)
      for (uint64_t &element : buffer)
        element = random();
    Memory expected = initial;
    for (const Operation &operation : operations)
      for (int64_t block = 0; block < operation.grid; ++block)
        operation.runBlock(expected, block);

    Memory memory = initial;
    enqueue(call, operations, memory);
    ASSERT_EQ(moert_call_end(&call), MOERT_SUCCESS);
    ASSERT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
    ASSERT_EQ(memory, expected) << "seed " << seed << ", round " << round;
  }
}

TEST(StressTest, RandomSchedules) {
  for (int32_t numThreads : {1, 2, 4, 8})
    stress(1000 + uint64_t(numThreads), 50, numThreads);
}

TEST(StressTest, IndependentContexts) {
  std::vector<std::thread> callers;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    callers.emplace_back([seed] { stress(seed, 25, 2); });
  for (std::thread &caller : callers)
    caller.join();
}

} // namespace
