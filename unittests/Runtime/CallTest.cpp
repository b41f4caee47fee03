//===- CallTest.cpp - What moert_call_begin accepts -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CallFixture.h"

#include "gmock/gmock.h"

using namespace moert::test;

namespace {

class CallTest : public testing::Test {
protected:
  CallArguments arguments;

  static moert_status begin(CallArguments &arguments) {
    moert_call call = arguments.call();
    return moert_call_begin(&call, &arguments.signature);
  }

  static void expectRefusal(CallArguments &arguments, const char *message,
                            moert_status status = MOERT_INVALID_ARGUMENT) {
    EXPECT_EQ(begin(arguments), status);
    EXPECT_STREQ(moert_last_error(arguments.context.get()), message);
  }
  void expectRefusal(const char *message) { expectRefusal(arguments, message); }

  void expectSuccess() {
    EXPECT_EQ(begin(arguments), MOERT_SUCCESS)
        << moert_last_error(arguments.context.get());
  }
};

TEST_F(CallTest, AcceptsWhatIsRight) {
  expectSuccess();
  EXPECT_STREQ(moert_last_error(arguments.context.get()), "");
  moert_call call = arguments.call();
  EXPECT_EQ(moert_call_total_tokens(&call), 16);
  EXPECT_EQ(moert_call_rank(&call), 0);
  EXPECT_EQ(moert_call_end(&call), MOERT_SUCCESS);
}

// Sizes of axes are kept where nothing is allocated, so there is a limit.
TEST_F(CallTest, RefusesMoreAxesThanThereIsRoomFor) {
  arguments.signature.num_axes = MOERT_MAX_AXES + 1;
  EXPECT_EQ(begin(arguments), MOERT_INVALID_ARGUMENT);
  EXPECT_THAT(
      moert_last_error(arguments.context.get()),
      testing::HasSubstr("expected a signature of at most 8 axes but got 9"));
}

TEST_F(CallTest, AcceptsCompactStrides) {
  arguments.hidden.setStrides({8, 1});
  arguments.weights.setStrides({32, 4, 1});
  expectSuccess();
}

TEST_F(CallTest, AcceptsAnyStrideThatNoElementUses) {
  arguments.hidden.setShape({1, 8});
  arguments.hidden.setStrides({-7, 1});
  arguments.ids.setShape({1, 2});
  arguments.output.setShape({1, 8});
  expectSuccess();
}

TEST_F(CallTest, AcceptsNoTokens) {
  // Empty tensors need no memory, no strides and no place of their own.
  for (OwnedTensor *tensor : {&arguments.hidden, &arguments.output}) {
    tensor->setShape({0, 8});
    tensor->tensor.data = nullptr;
  }
  arguments.hidden.setStrides({3, 3});
  arguments.ids.setShape({0, 2});
  arguments.ids.tensor.data = arguments.weights.memory.data();
  arguments.workspace = nullptr;
  arguments.workspaceBytes = 0;
  expectSuccess();
  moert_call call = arguments.call();
  EXPECT_EQ(moert_call_total_tokens(&call), 0);
}

TEST_F(CallTest, HonoursByteOffsets) {
  arguments.hidden.tensor.byte_offset = 8;
  expectSuccess();
  arguments.hidden.tensor.byte_offset = 6;
  expectRefusal("deepseek_v2: input 'hidden_states' starts 2 bytes past an "
                "aligned address, expected alignment to 4 bytes");
  // The output begins inside the input only by its offset.
  arguments.hidden.tensor.byte_offset = 0;
  arguments.output.tensor.data =
      reinterpret_cast<char *>(arguments.hidden.memory.data()) - 4;
  arguments.output.tensor.byte_offset = 8;
  expectRefusal("deepseek_v2: output 'output' overlaps input 'hidden_states', "
                "expected memory of its own");
}

TEST_F(CallTest, SumsTokensOfRanks) {
  CallArguments ranks(4, 2);
  ranks.tokensPerRank = {0, 5, 16, 64};
  ranks.workspaceBytes = (16 + 85) * 16;
  moert_call call = ranks.call();
  EXPECT_EQ(moert_call_begin(&call, &ranks.signature), MOERT_SUCCESS)
      << moert_last_error(ranks.context.get());
  EXPECT_EQ(moert_call_total_tokens(&call), 85);
  EXPECT_EQ(moert_call_part_tokens(&call, 0, 2), 0 + 3 + 8 + 32);
  EXPECT_EQ(moert_call_part_tokens(&call, 1, 2), 0 + 2 + 8 + 32);
  EXPECT_EQ(moert_call_part_tokens(&call, 0, 3), 0 + 2 + 6 + 22);
  EXPECT_EQ(moert_call_part_tokens(&call, 1, 3), 0 + 2 + 5 + 21);
  EXPECT_EQ(moert_call_part_tokens(&call, 2, 3), 0 + 1 + 5 + 21);
  EXPECT_EQ(moert_call_max_tokens(&call), 64);
  EXPECT_EQ(moert_call_get_value(&call, "decodes"), 0);
  EXPECT_EQ(moert_call_rank(&call), 2);
}

TEST_F(CallTest, ValuesHaveNames) {
  moert_call_value values[] = {{"tide", 7}, {"decodes", 1}};
  moert_call call = arguments.call();
  call.num_values = 2;
  call.values = values;
  EXPECT_EQ(moert_call_begin(&call, &arguments.signature), MOERT_SUCCESS);
  EXPECT_EQ(moert_call_get_value(&call, "decodes"), 1);
  EXPECT_EQ(moert_call_get_value(&call, "tide"), 7);
  EXPECT_EQ(moert_call_get_value(&call, "moon"), 0);
  // One rank is all ranks.
  EXPECT_EQ(moert_call_max_tokens(&call), 16);
  EXPECT_EQ(moert_call_part_tokens(&call, 0, 2), 8);
  EXPECT_EQ(moert_call_part_tokens(&call, 1, 3), 5);
  auto expectError = [&](const char *error) {
    EXPECT_EQ(moert_call_begin(&call, &arguments.signature),
              MOERT_INVALID_ARGUMENT);
    EXPECT_STREQ(moert_last_error(arguments.context.get()), error);
  };
  values[1].name = nullptr;
  expectError("deepseek_v2: values[1] has no name");
  call.values = nullptr;
  expectError("deepseek_v2: values is null, expected 2 entries");
  call.num_values = -1;
  expectError("deepseek_v2: num_values is -1, expected 0 or more");
}

TEST_F(CallTest, FixedSizeIsTheBound) {
  // A program for exactly 16 rows names them in its dimensions.
  static constexpr int64_t hidden[] = {16, 8};
  static constexpr int64_t ids[] = {16, 2};
  arguments.inputSignatures[0].dims = hidden;
  arguments.inputSignatures[3].dims = ids;
  arguments.outputSignatures[0].dims = hidden;
  arguments.signature.max_tokens = 16;
  expectSuccess();
  moert_call call = arguments.call();
  EXPECT_EQ(moert_call_total_tokens(&call), 16);
}

TEST_F(CallTest, RefusesCallsWithoutAContext) {
  EXPECT_EQ(moert_call_begin(nullptr, &arguments.signature),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the call is null");
  moert_call call = arguments.call();
  call.context = nullptr;
  EXPECT_EQ(moert_call_begin(&call, &arguments.signature),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the call's context is null");
  call = arguments.call();
  call.abi = 8;
  EXPECT_EQ(moert_call_begin(&call, &arguments.signature),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr),
               "the call has ABI version 8, expected 7");
}

TEST_F(CallTest, RefusesSignatures) {
  moert_call call = arguments.call();
  EXPECT_EQ(moert_call_begin(&call, nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(call.context), "the signature is null");
  arguments.signature.abi = 1;
  expectRefusal("the signature has ABI version 1, expected 7");
}

TEST_F(CallTest, RefusesProgramsOfOtherDevices) {
  arguments.signature.device_type = kDLCUDA;
  expectRefusal(arguments,
                "deepseek_v2: was compiled for device cuda:0, expected cpu, "
                "where this context runs",
                MOERT_UNSUPPORTED);
}

TEST_F(CallTest, RefusesStreams) {
  moert_call call = arguments.call();
  call.stream = &call;
  EXPECT_EQ(moert_call_begin(&call, &arguments.signature),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(call.context),
               "deepseek_v2: the stream is not null, expected null on the cpu");
}

TEST_F(CallTest, RefusesNumbersOfRanks) {
  arguments.signature.num_ranks = 4;
  expectRefusal("deepseek_v2: the context has 1 ranks, expected 4");
}

TEST_F(CallTest, RefusesNumbersOfTensors) {
  arguments.inputs.pop_back();
  expectRefusal("deepseek_v2: got 3 inputs, expected 4");
  arguments.inputs.push_back(&arguments.ids.tensor);
  arguments.outputs.push_back(&arguments.ids.tensor);
  expectRefusal("deepseek_v2: got 3 outputs, expected 2");
}

TEST_F(CallTest, RefusesNullTensors) {
  moert_call call = arguments.call();
  call.outputs = nullptr;
  EXPECT_EQ(moert_call_begin(&call, &arguments.signature),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(call.context),
               "deepseek_v2: the list of outputs is null, expected 2 tensors");
  arguments.inputs[1] = nullptr;
  expectRefusal("deepseek_v2: input 'w13' is null, expected a tensor");
}

TEST_F(CallTest, RefusesDevices) {
  arguments.weights.tensor.device = {kDLCUDA, 3};
  expectRefusal("deepseek_v2: input 'w13' is on device cuda:3, expected cpu");
  arguments.weights.tensor.device = {kDLROCM, 0};
  expectRefusal("deepseek_v2: input 'w13' is on device of DLPack type 10, "
                "expected cpu");
}

TEST_F(CallTest, RefusesDTypes) {
  arguments.weights.tensor.dtype = {kDLFloat, 16, 1};
  expectRefusal("deepseek_v2: input 'w13' has dtype float16, expected "
                "bfloat16");
  arguments.weights.tensor.dtype = {kDLBfloat, 16, 2};
  expectRefusal("deepseek_v2: input 'w13' has dtype bfloat16x2, expected "
                "bfloat16");
  arguments.weights.tensor.dtype = {10, 8, 1};
  expectRefusal("deepseek_v2: input 'w13' has dtype float8_e4m3fn, expected "
                "bfloat16");
  arguments.weights.tensor.dtype = {99, 8, 1};
  expectRefusal("deepseek_v2: input 'w13' has dtype of DLPack code 99 with 8 "
                "bits, expected bfloat16");
}

TEST_F(CallTest, RefusesShapes) {
  arguments.hidden.setShape({16, 7});
  expectRefusal("deepseek_v2: input 'hidden_states' has shape [16, 7], "
                "expected [T, 8]");
  arguments.hidden.setShape({128});
  expectRefusal(
      "deepseek_v2: input 'hidden_states' has shape [128], expected [T, 8]");
  arguments.hidden.setShape({-1, 8});
  expectRefusal("deepseek_v2: input 'hidden_states' has shape [-1, 8], "
                "expected [T, 8]");
  arguments.hidden.tensor.shape = nullptr;
  expectRefusal(
      "deepseek_v2: input 'hidden_states' has shape [], expected [T, 8]");
}

TEST_F(CallTest, RefusesDifferentNumbersOfTokens) {
  arguments.ids.setShape({15, 2});
  expectRefusal("deepseek_v2: input 'topk_ids' has shape [15, 2], expected "
                "[T, 2] with T = 16");
  arguments.ids.setShape({16, 2});
  arguments.output.setShape({17, 8});
  expectRefusal("deepseek_v2: output 'output' has shape [17, 8], expected "
                "[T, 8] with T = 16");
}

TEST_F(CallTest, RefusesDifferentNumbersOfExperts) {
  arguments.bias.setShape({2});
  expectRefusal("deepseek_v2: input 'bias' has shape [2], expected [L] with L "
                "= 3");
}

TEST_F(CallTest, RefusesTooManyTokens) {
  arguments.signature.max_tokens = 15;
  expectRefusal("deepseek_v2: got 16 tokens on this rank, expected at most 15");
}

TEST_F(CallTest, RefusesStrides) {
  arguments.hidden.setStrides({1, 16});
  expectRefusal("deepseek_v2: input 'hidden_states' has strides [1, 16], "
                "expected [8, 1], the row-major contiguous ones");
}

TEST_F(CallTest, RefusesTensorsThatNoMemoryHolds) {
  arguments.signature.max_tokens = -1;
  arguments.hidden.setShape({INT64_MAX / 2, 8});
  expectRefusal("deepseek_v2: input 'hidden_states' has shape "
                "[4611686018427387903, 8] and byte offset 0, expected a tensor "
                "that the address space can hold");
  arguments.hidden.setShape({16, 8});
  arguments.hidden.tensor.byte_offset = UINT64_MAX;
  expectRefusal("deepseek_v2: input 'hidden_states' has shape [16, 8] and byte "
                "offset 18446744073709551615, expected a tensor that the "
                "address space can hold");
}

TEST_F(CallTest, RefusesNullData) {
  arguments.bias.tensor.data = nullptr;
  expectRefusal("deepseek_v2: input 'bias' has null data, expected 12 bytes");
}

TEST_F(CallTest, RefusesMisalignedData) {
  arguments.weights.tensor.data =
      reinterpret_cast<char *>(arguments.weights.memory.data()) + 1;
  expectRefusal("deepseek_v2: input 'w13' starts 1 bytes past an aligned "
                "address, expected alignment to 2 bytes");
}

TEST_F(CallTest, RefusesTokensPerRank) {
  CallArguments ranks(2, 1);
  ranks.workspaceBytes = 4096;
  expectRefusal(ranks,
                "deepseek_v2: tokens_per_rank is null, expected 2 entries");
  ranks.tokensPerRank = {4, 15};
  expectRefusal(ranks, "deepseek_v2: tokens_per_rank[1] is 15, expected 16, "
                       "the rows of this rank's tensors");
  ranks.tokensPerRank = {-4, 16};
  expectRefusal(ranks,
                "deepseek_v2: tokens_per_rank[0] is -4, expected 0 or more");
  ranks.tokensPerRank = {65, 16};
  expectRefusal(ranks,
                "deepseek_v2: tokens_per_rank[0] is 65, expected at most 64");
  ranks.signature.max_tokens = -1;
  ranks.tokensPerRank = {INT64_MAX, 16};
  expectRefusal(ranks, "deepseek_v2: the sum of tokens_per_rank overflows, "
                       "expected less than 2^63");
}

TEST_F(CallTest, RefusesWorkspaces) {
  arguments.workspaceBytes = 511;
  expectRefusal("deepseek_v2: the workspace has 511 bytes, expected at least "
                "512 for 16 tokens on this rank and 16 on all");
  arguments.workspaceBytes = 1024;
  arguments.workspace = nullptr;
  expectRefusal("deepseek_v2: the workspace is null, expected 512 bytes");
  arguments.workspace = arguments.workspaceMemory + 64;
  expectRefusal("deepseek_v2: the workspace starts 64 bytes past an aligned "
                "address, expected alignment to 256 bytes");
  arguments.workspace = arguments.workspaceMemory;
  arguments.workspaceBytes = SIZE_MAX;
  expectRefusal("deepseek_v2: the workspace has 18446744073709551615 bytes, "
                "expected a size that the address space can hold");
}

TEST_F(CallTest, RefusesOverlaps) {
  // By its last element alone.
  arguments.output.tensor.data = arguments.hidden.memory.data() + 63;
  expectRefusal("deepseek_v2: output 'output' overlaps input 'hidden_states', "
                "expected memory of its own");
  arguments.output.tensor.data = arguments.output.memory.data();
  arguments.load.tensor.data = arguments.output.memory.data() + 1;
  expectRefusal("deepseek_v2: output 'load' overlaps output 'output', expected "
                "memory of its own");
  arguments.load.tensor.data = arguments.load.memory.data();
  arguments.hidden.tensor.data = arguments.workspaceMemory + 1020;
  expectRefusal("deepseek_v2: the workspace overlaps input 'hidden_states', "
                "expected memory of its own");
  arguments.hidden.tensor.data = arguments.workspaceMemory + 1024;
  expectSuccess();
  arguments.output.tensor.data = arguments.workspaceMemory;
  expectRefusal("deepseek_v2: the workspace overlaps output 'output', expected "
                "memory of its own");
}

TEST_F(CallTest, InputsMayOverlap) {
  arguments.bias.tensor.data = arguments.hidden.memory.data();
  expectSuccess();
}

TEST_F(CallTest, NeighboursDoNotOverlap) {
  OwnedTensor both({32, 8}, float32);
  arguments.hidden.tensor.data = both.memory.data();
  arguments.output.tensor.data = both.memory.data() + 64;
  expectSuccess();
}

} // namespace
