//===- ProgramTest.cpp - Programs from artefacts --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CallFixture.h"

#include <string>

using namespace moert::test;

namespace {

/// Expects that `path` cannot be loaded; returns the message.
std::string refusal(const std::string &path, moert_status status) {
  auto *program = reinterpret_cast<moert_program *>(&status);
  EXPECT_EQ(moert_program_load(path.c_str(), &program), status);
  EXPECT_EQ(program, nullptr);
  return moert_last_error(nullptr);
}

class ProgramTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(moert_program_load(AFFINE_ARTEFACT, &program), MOERT_SUCCESS)
        << moert_last_error(nullptr);
  }
  void TearDown() override { moert_program_unload(program); }

  moert_call makeCallFor(OwnedTensor &input, OwnedTensor &output) {
    inputs[0] = &input.tensor;
    outputs[0] = &output.tensor;
    moert_call call = makeCall(context.get());
    call.inputs = inputs;
    call.outputs = outputs;
    call.num_inputs = call.num_outputs = 1;
    call.workspace = workspace;
    call.workspace_bytes =
        moert_program_workspace_size(program, input.shape[0], input.shape[0]);
    return call;
  }

  ContextPointer context = makeContext(2);
  moert_program *program = nullptr;
  const DLTensor *inputs[1];
  DLTensor *outputs[1];
  alignas(256) unsigned char workspace[1024];
};

TEST_F(ProgramTest, Runs) {
  EXPECT_STREQ(moert_program_descriptor(program), "{\"name\": \"affine\"}");
  EXPECT_EQ(moert_program_workspace_size(program, 3, 3), 48u);
  for (int64_t tokens : {0, 1, 5, 64}) {
    OwnedTensor input({tokens, 4}, float32), output({tokens, 4}, float32);
    auto *values = reinterpret_cast<float *>(input.memory.data());
    for (int64_t i = 0; i < tokens * 4; ++i)
      values[i] = float(i) - 3;
    moert_call call = makeCallFor(input, output);
    // Calls may follow each other without synchronization.
    for (int i = 0; i < 3; ++i)
      ASSERT_EQ(moert_program_run(program, &call), MOERT_SUCCESS)
          << moert_last_error(context.get());
    ASSERT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
    const auto *results = reinterpret_cast<float *>(output.memory.data());
    for (int64_t i = 0; i < tokens * 4; ++i)
      ASSERT_EQ(results[i], 2 * (float(i) - 3) + 1);
  }
}

TEST_F(ProgramTest, RefusesCalls) {
  OwnedTensor input({5, 3}, float32), output({5, 4}, float32);
  moert_call call = makeCallFor(input, output);
  EXPECT_EQ(moert_program_run(program, &call), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(context.get()),
               "affine: input 'input' has shape [5, 3], expected [T, 4]");
  call.abi = 0;
  EXPECT_EQ(moert_program_run(program, &call), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr),
               "the call has ABI version 0, expected 7");
  EXPECT_EQ(moert_program_run(program, nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the call is null");
  EXPECT_EQ(moert_program_run(nullptr, &call), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the program is null");
}

TEST_F(ProgramTest, TracesUnderItsLabels) {
  OwnedTensor input({8, 4}, float32), output({8, 4}, float32);
  moert_call call = makeCallFor(input, output);
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  ASSERT_EQ(moert_program_run(program, &call), MOERT_SUCCESS);
  ASSERT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
  const moert_trace_span *spans = nullptr;
  int64_t count = 0;
  ASSERT_EQ(moert_trace_spans(context.get(), &spans, &count), MOERT_SUCCESS);
  ASSERT_EQ(count, 2);
  EXPECT_STREQ(spans[0].label, "twice");
  EXPECT_EQ(spans[0].stream, MOERT_STREAM_AUX);
  EXPECT_STREQ(spans[1].label, "add_one");
  EXPECT_EQ(spans[1].stream, MOERT_STREAM_COMPUTE);
  EXPECT_GE(spans[1].begin_ns, spans[0].end_ns);
}

TEST(ProgramLoadTest, RefusesWhatIsNoArtefact) {
  TemporaryDirectory directory;
  std::string missing = directory.file("missing.moe.so");
  EXPECT_EQ(refusal(missing, MOERT_IO_ERROR),
            "cannot read '" + missing + "': No such file or directory");
  // A bare name is a file here, not one on the loader's path.
  EXPECT_EQ(refusal("libmoert.so.0", MOERT_IO_ERROR),
            "cannot read 'libmoert.so.0': No such file or directory");
  std::string text = directory.write("text.moe.so", "not a shared object");
  EXPECT_EQ(
      refusal(text, MOERT_IO_ERROR).rfind("cannot load '" + text + "': ", 0),
      0u);
  EXPECT_EQ(refusal(NO_ARTEFACT, MOERT_IO_ERROR),
            "'" NO_ARTEFACT "' is not a compiled layer: it has no symbol "
            "'moert_artefact'");
  EXPECT_EQ(refusal(NULL_FIELD_ARTEFACT, MOERT_IO_ERROR),
            "'" NULL_FIELD_ARTEFACT "' is not a compiled layer: a field of its "
            "symbol 'moert_artefact' is null");
}

TEST(ProgramLoadTest, RefusesAnotherABI) {
  EXPECT_EQ(refusal(OTHER_ABI_ARTEFACT, MOERT_UNSUPPORTED),
            "'" OTHER_ABI_ARTEFACT "' has ABI version 48, expected 7");
}

TEST(ProgramLoadTest, RefusesCodeForAnotherCPU) {
  EXPECT_EQ(refusal(OTHER_CPU_ARTEFACT, MOERT_UNSUPPORTED),
            "'" OTHER_CPU_ARTEFACT "' needs a CPU with avx1024, which this CPU "
            "lacks; compile the layer on this machine, or with --cpu for a CPU "
            "that both have");
}

TEST(ProgramLoadTest, RefusesNull) {
  EXPECT_EQ(moert_program_load("x", nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the place for the program is null");
  moert_program *program = nullptr;
  EXPECT_EQ(moert_program_load(nullptr, &program), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the path is null");
  moert_program_unload(nullptr);
  EXPECT_EQ(moert_program_workspace_size(nullptr, 1, 1), 0u);
  EXPECT_STREQ(moert_program_descriptor(nullptr), "");
}

} // namespace
