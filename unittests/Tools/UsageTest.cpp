//===- UsageTest.cpp - Bad command lines and artefacts --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunFixture.h"

using namespace moe;
using namespace moe::test;

namespace {

class UsageTest : public RunTest {
protected:
  void expect(int code, const std::string &arguments,
              const std::string &message) {
    Finished run = this->run(arguments);
    EXPECT_EQ(run.code, code) << arguments;
    EXPECT_PRED2(contains, run.err, "moe-run: " + message) << arguments;
    EXPECT_EQ(run.out, "") << arguments;
  }
};

TEST_F(UsageTest, Help) {
  Finished run = this->run("--help");
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err, "");
  for (const char *flag : {"--num-tokens", "--seed",
                           "--weights",    "--input",
                           "--output",     "--check",
                           "--bench",      "-n ",
                           "--trace",      "--timeline",
                           "--ranks",      "--calibrate",
                           "--threads",    "--poison",
                           "--repeat",     "--compare-schedules",
                           "--explain",    "--emit",
                           "--schedule",   "--tensor-parallel-size",
                           "--dtype",      "--tokens-per-rank"})
    EXPECT_PRED2(contains, run.out, flag);
}

TEST_F(UsageTest, BadFlags) {
  const std::string tiny = artefact("tiny");
  expect(2, "", "source is required");
  expect(2, tiny + " --no-such-flag",
         "The following argument was not expected: "
         "--no-such-flag");
  expect(2, tiny + " " + tiny, "The following argument was not expected");
  expect(2, tiny + " --num-tokens -1", "--num-tokens: Value -1 not in range");
  expect(2, tiny + " --num-tokens x", "");
  expect(2, tiny + " --seed x", "");
  expect(2, tiny + " --threads 0", "--threads: Value 0 not in range");
  expect(2, tiny + " --repeat 0", "--repeat: Value 0 not in range");
  expect(2, tiny + " --ranks 0", "--ranks: Value 0 not in range");
  expect(2, tiny + " --bench -n 0", "-n: Value 0 not in range");
  expect(2, tiny + " -n 3", "-n: expected --bench too");
  expect(2, tiny + " --check-rows 3", "--check-rows: expected --check too");
  expect(2, tiny + " --explain=xml", "--explain: xml not in {text,json}");
  expect(2, tiny + " --bench --bench=maybe", "");
}

TEST_F(UsageTest, BadSources) {
  expect(2, "none.moe.so", "cannot read 'none.moe.so': No such file");
  expect(2, ".", "cannot read '.': Is a directory");
  write("notes.txt", "text");
  expect(2, "notes.txt",
         "expected an artefact (.so), a model's config (.json) "
         "or a layer (.mlir) but got 'notes.txt'");
  write("empty", "");
  expect(2, "empty", "expected an artefact (.so)");
  write("text.so", "text");
  expect(2, "text.so", "cannot load 'text.so'");
  // A program is ELF too, but no artefact.
  expect(2, "/bin/sh", "cannot load '/bin/sh'");
}

/// What was decided by compiling cannot be decided again, and the message names
/// the flag, even where the value is the default.
TEST_F(UsageTest, CompileFlagsNeedASource) {
  for (const char *flag :
       {"--schedule vllm", "--layer 1", "--target cpu", "--dtype float32",
        "--experts 4", "--tensor-parallel-size 1", "--enable-eplb",
        "--record-expert-load", "--cpu host", "--max-num-tokens 8",
        "--static-num-tokens 8", "--rank 0", "--emit llvm",
        "--compare-schedules vllm,serial"}) {
    const std::string text = flag;
    expect(2, artefact("tiny") + " " + text,
           text.substr(0, text.find(' ')) + ": '" + artefact("tiny") +
               "' is compiled already; give the config.json or layer.mlir to "
               "compile it otherwise");
  }
}

TEST_F(UsageTest, BadCompileFlags) {
  write("config.json", "{}");
  expect(2, "config.json --schedule best", "--schedule: ");
  expect(2, "config.json --target tpu",
         "--target: expected cpu, cuda or cuda:sm_90a but got 'tpu'");
  expect(2, "config.json --compare-schedules vllm",
         "--compare-schedules: expected at least two rule sets, separated by "
         "commas, but got 'vllm'");
  expect(2, "config.json --compare-schedules vllm,best",
         "--compare-schedules: ");
  expect(2, "config.json --compare-schedules vllm,serial --schedule vllm",
         "expected --schedule or --compare-schedules but got both");
  expect(2, "config.json --explain --emit llvm",
         "expected --explain or --emit but got both");
}

TEST_F(UsageTest, BadDescriptors) {
  auto expectDescriptor = [&](const std::string &name,
                              const std::string &before,
                              const std::string &after) {
    expect(2, artefact(name), before + "'" + artefact(name) + "'" + after);
  };
  expectDescriptor("no_layer", "descriptor of ", " lacks 'layer'");
  expectDescriptor("bad_ranks", "descriptor of ",
                   ": expected 'num_ranks' to be a positive number but got 0");
}

/// A descriptor that does not fit the code is found before the code runs.
TEST_F(UsageTest, DescriptorAndCodeDisagree) {
  expect(1, artefact("other_experts"),
         "tiny: input 'router_weight' has shape [9, 16], expected [8, 16]");
}

TEST_F(UsageTest, TokensBeyondTheArtefact) {
  expect(2, artefact("tiny_max_8") + " --num-tokens 9",
         "--num-tokens: expected at most 8 rows, which 'tiny' was compiled "
         "for, but got 9");
  expect(2, artefact("tiny_static_4") + " --num-tokens 5",
         "--num-tokens: expected 4 rows, which 'tiny' was compiled for, but "
         "got 5");
  // Without a flag, the default is what the artefact can do.
  Finished run = this->run(artefact("tiny_max_8"));
  EXPECT_PRED2(contains, run.out, "8 tokens") << run.err;
  run = this->run(artefact("tiny_static_4"));
  EXPECT_PRED2(contains, run.out, "4 tokens") << run.err;
}

TEST_F(UsageTest, NeedsOtherMachines) {
  expect(1, artefact("other_device"),
         "'" + artefact("other_device") +
             "' was compiled for target 'rocm': it needs a device");
  expect(2, artefact("four_ranks") + " --ranks 2",
         "--ranks: expected 4, which '" + artefact("four_ranks") +
             "' was compiled for, but got 2");
  expect(2, artefact("tiny") + " --ranks 2", "--ranks: expected 1, which");
  expect(2, artefact("tiny") + " --tokens-per-rank 1,2",
         "--tokens-per-rank: expected an artefact for several ranks");
  write("config.json", "{}");
  expect(2, "config.json --data-parallel-size 2 --ranks 4",
         "--ranks: expected tensor-parallel, data-parallel and "
         "prefill-context-parallel sizes whose product is 4 but it is 2");
  expect(1, artefact("more_inputs"),
         "'tiny' needs an input 'eplb_map', which moe-run cannot make");
}

/// Terabytes of weights: said before anything is allocated.
TEST_F(UsageTest, NeedsMoreMemory) {
  expect(1, artefact("huge"),
         "expected 2.4 TB of memory for 16 rows of 'tiny' "
         "(2.4 TB of them weights) but ");
  Finished run = this->run(artefact("huge"));
  EXPECT_PRED2(
      contains, run.err,
      " can be used (95 % of what is available); compile a smaller layer with "
      "--experts N");
}

TEST_F(UsageTest, CalibrationNeedsAPlace) {
  Finished run = this->run(artefact("tiny") + " --calibrate",
                           "env -u HOME -u XDG_CACHE_HOME -u MOE_CACHE_DIR "
                           "-u MOE_MLIR_CACHE " MOE_RUN);
  EXPECT_EQ(run.code, 2);
  EXPECT_PRED2(contains, run.err, "--calibrate: expected =FILE, or one of");
}

} // namespace
