/*===- affine.c - An artefact for tests -------------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/

/* A compiled layer in small, written by hand: output = 2 * input + 1. The first
 * half runs on aux into the workspace, so the program has a fork and a join. */
#include "moert/GeneratedCode.h"

enum { COLUMNS = 4 };

static size_t workspace_size(int64_t tokens, int64_t tokens_all_ranks) {
  (void)tokens_all_ranks;
  return (size_t)tokens * COLUMNS * sizeof(float);
}

static const int64_t dims[] = {MOERT_DIM_TOKENS, COLUMNS};
static const moert_tensor_signature input = {"input", kDLFloat, 32, 1, 2, dims};
static const moert_tensor_signature output = {"output", kDLFloat, 32,
                                              1,        2,        dims};
static const moert_signature signature = {
    MOERT_ABI_VERSION, kDLCPU, "affine", 1, &input, 1, &output, -1, 1,
    workspace_size,    0,      0,        0};

typedef struct {
  const float *from;
  float *to;
} arguments;

static void twice(const void *given, int64_t row) {
  const arguments *a = given;
  for (int64_t i = row * COLUMNS; i < (row + 1) * COLUMNS; ++i)
    a->to[i] = 2 * a->from[i];
}

static void add_one(const void *given, int64_t row) {
  const arguments *a = given;
  for (int64_t i = row * COLUMNS; i < (row + 1) * COLUMNS; ++i)
    a->to[i] = a->from[i] + 1;
}

static void *data_of(const DLTensor *tensor) {
  return (char *)tensor->data + tensor->byte_offset;
}

static moert_status run(const moert_call *call) {
  moert_status status = moert_call_begin(call, &signature);
  if (status != MOERT_SUCCESS)
    return status;
  int64_t tokens = call->inputs[0]->shape[0];
  arguments first = {data_of(call->inputs[0]), call->workspace};
  arguments second = {call->workspace, data_of(call->outputs[0])};
  int64_t fork = moert_event_record(call, MOERT_STREAM_COMPUTE);
  moert_stream_wait(call, MOERT_STREAM_AUX, fork);
  moert_launch(call, MOERT_STREAM_AUX, (const void *)twice, "twice", &first,
               sizeof(first), tokens);
  int64_t join = moert_event_record(call, MOERT_STREAM_AUX);
  moert_stream_wait(call, MOERT_STREAM_COMPUTE, join);
  moert_launch(call, MOERT_STREAM_COMPUTE, (const void *)add_one, "add_one",
               &second, sizeof(second), tokens);
  return moert_call_end(call);
}

MOERT_API const moert_artefact moert_artefact_symbol __asm__(
    "moert_artefact") = {MOERT_ABI_VERSION, "affine", "{\"name\": \"affine\"}",
                         run, workspace_size};
