//===- GroupFixture.h - Ranks that run collectives --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_GROUPFIXTURE_H
#define MOERT_UNITTESTS_GROUPFIXTURE_H

#include "Support.h"

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace moert::test {

inline constexpr int32_t f32 = kDLFloat << 8 | 32, bf16 = kDLBfloat << 8 | 16,
                         i32 = kDLInt << 8 | 32;

/// The ranks of a grid dp x pcp x tp that differ along one axis, or "ep": all.
inline moert_communicator makeCommunicator(const char *name, int64_t tp,
                                           int64_t pcp, int64_t dp) {
  const std::string axis = name;
  if (axis == "tp")
    return {name, 1, tp};
  if (axis == "pcp")
    return {name, tp, pcp};
  if (axis == "dp")
    return {name, tp * pcp, dp};
  return {name, 1, tp * pcp * dp};
}

/// A program of collectives with two columns of one dtype.
struct Program {
  Program(std::vector<int32_t> kinds, int32_t dtype, int64_t tp, int64_t pcp,
          int64_t dp, const char *communicator = "ep", uint64_t hash = 1)
      : dtype(dtype), communicator(makeCommunicator(communicator, tp, pcp, dp)),
        grid("dp = " + std::to_string(dp) + ", pcp = " + std::to_string(pcp) +
             ", tp = " + std::to_string(tp)) {
    for (int32_t kind : kinds) {
      moert_collective collective = {};
      collective.kind = kind;
      collective.label = "step";
      collective.num_buffers = 1;
      collective.dtypes = &this->dtype;
      collective.columns = &columns;
      collective.rows_per_token = 1;
      collective.num_parts = 1;
      collectives.push_back(collective);
    }
    exchange = {grid.c_str(),        1,
                &this->communicator, int64_t(kinds.size()),
                collectives.data(),  hash};
    signature.abi = MOERT_ABI_VERSION;
    signature.device_type = kDLCPU;
    signature.name = "layer";
    signature.max_tokens = -1;
    signature.num_ranks = tp * pcp * dp;
    signature.exchange = &exchange;
  }
  Program(const Program &) = delete;

  int32_t dtype;
  int64_t columns = 2;
  moert_communicator communicator;
  std::string grid;
  std::vector<moert_collective> collectives;
  moert_exchange exchange;
  moert_signature signature{};
};

/// A rank's call of a program, with as many rows as the rank has tokens.
struct RankCall {
  RankCall(const Program &program, int32_t deviceType, moert_context *context,
           void *stream, const std::vector<int64_t> &tokens, size_t rank)
      : signature(program.signature), shape{tokens[rank], 2},
        call(makeCall(context)) {
    alignas(64) static float memory[64];
    signature.device_type = deviceType;
    signature.num_inputs = 1;
    signature.inputs = &rowsSignature;
    rows.data = memory;
    rows.device = {DLDeviceType(deviceType), 0};
    rows.ndim = 2;
    rows.dtype = {kDLFloat, 32, 1};
    rows.shape = shape;
    call.stream = stream;
    call.inputs = inputs;
    call.num_inputs = 1;
    call.tokens_per_rank = tokens.data();
  }
  RankCall(const RankCall &) = delete;

  moert_status begin() { return moert_call_begin(&call, &signature); }

  static constexpr int64_t dims[] = {MOERT_DIM_TOKENS, 2};
  static constexpr moert_tensor_signature rowsSignature{"rows", kDLFloat, 32,
                                                        1,      2,        dims};
  moert_signature signature;
  int64_t shape[2];
  DLTensor rows{};
  const DLTensor *inputs[1] = {&rows};
  moert_call call;
};

/// Contexts that have joined a group, each with a thread in `run`.
class Ranks {
public:
  /// Runs a call of `program(rank)` on all ranks at once; `body(call, rank)`
  /// enqueues, and `after(rank)` comes when the rank's work is done. Returns
  /// each rank's status.
  template <typename Find, typename Body>
  std::vector<moert_status> run(
      Find program, Body body,
      const std::function<void(int32_t)> &after = [](int32_t) {}) {
    std::vector<moert_status> statuses(contexts.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < contexts.size(); ++rank)
      threads.emplace_back([&, rank] {
        moert_context *context = contexts[rank].get();
        if (!context)
          return;
        RankCall given(program(int32_t(rank)), deviceType(), context,
                       streamOf(rank), tokens, rank);
        moert_call &call = given.call;
        statuses[rank] = given.begin();
        if (statuses[rank] != MOERT_SUCCESS)
          return;
        body(call, int32_t(rank));
        statuses[rank] = moert_call_end(&call);
        if (statuses[rank] == MOERT_SUCCESS)
          statuses[rank] = moert_context_synchronize(context);
        after(int32_t(rank));
      });
    for (std::thread &thread : threads)
      thread.join();
    return statuses;
  }
  template <typename Body>
  std::vector<moert_status> run(const Program &program, Body body) {
    return run([&](int32_t) -> const Program & { return program; }, body);
  }

  std::string error(size_t rank) {
    return moert_last_error(contexts[rank].get());
  }

  std::vector<ContextPointer> contexts;
  std::vector<int64_t> tokens;

protected:
  ~Ranks() = default;
  virtual int32_t deviceType() const { return kDLCPU; }
  virtual void *streamOf(size_t) { return nullptr; }
};

template <typename T>
void enqueue(const moert_call &call, int32_t step, const std::vector<T> &send,
             std::vector<T> &receive, const int32_t *sendCounts = nullptr,
             const int32_t *receiveCounts = nullptr) {
  moert_collective_data data = {send.data(), receive.data(),
                                int64_t(send.size() / 2),
                                int64_t(receive.size() / 2)};
  moert_collective_enqueue(&call, MOERT_STREAM_COMM, step, &data, sendCounts,
                           receiveCounts);
  moert_stream_wait(&call, MOERT_STREAM_COMPUTE,
                    moert_event_record(&call, MOERT_STREAM_COMM));
}

} // namespace moert::test

#endif // MOERT_UNITTESTS_GROUPFIXTURE_H
