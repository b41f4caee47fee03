//===- RunTest.cpp - Runs, checks and measurements ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunFixture.h"

#include "moe-mlir/Policy/CostModel.h"

#include <nlohmann/json.hpp>

using namespace moe;
using namespace moe::test;

namespace {

TEST_F(RunTest, RunsAnArtefact) {
  Finished run = this->run(artefact("tiny"));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_PRED2(contains, run.out, "16 tokens, random, seed 0");
  EXPECT_PRED2(contains, run.out, "tiny, f32, target cpu (generic)");
  EXPECT_PRED2(contains, run.out, "MULTI_STREAM_OVERLAPPED");
}

TEST_F(RunTest, OrderFollowsTheNumberOfTokens) {
  Finished run = this->run(artefact("tiny") + " --num-tokens 257");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "NO_OVERLAP");
}

/// Every dtype and routing that the artefacts have, with no rows, one, few and
/// more than a launch takes at once, agree with the reference.
TEST_F(RunTest, ChecksAgainstTheReference) {
  for (const char *name : {"tiny", "tiny_bf16", "tiny_given"})
    for (int64_t T : {0, 1, 16, 300}) {
      Finished run = this->run(artefact(name) + " --check --threads 2 " +
                               "--num-tokens " + std::to_string(T));
      EXPECT_EQ(run.code, 0) << name << " " << T << ": " << run.err << run.out;
      EXPECT_PRED2(contains, run.out, "check       passed");
      EXPECT_PRED2(contains, run.out,
                   std::to_string(T) + " of " + std::to_string(T) +
                       " compared");
    }
}

TEST_F(RunTest, ChecksSomeRows) {
  Finished run =
      this->run(artefact("tiny") + " --check --check-rows 5 --num-tokens 100");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "5 of 100 compared, 5 evaluated");
}

/// One value of one row is off by far more than the tolerance.
TEST_F(RunTest, FindsAWrongValue) {
  Finished run = this->run(artefact("wrong_value") + " --check");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: 'output' disagrees with the reference: expected a "
               "relative error of at most 1e-05 but got ");
  EXPECT_PRED2(contains, run.out, "check       FAILED");
  EXPECT_PRED2(contains, run.out, "worst is row 3 ");
}

/// In a sum over very many rows the wrong value is lost; its row tells.
TEST_F(RunTest, FindsAWrongRowAmongMany) {
  Finished run =
      this->run(artefact("slightly_wrong") + " --check --num-tokens 20000");
  EXPECT_EQ(run.code, 1) << run.out;
  EXPECT_PRED2(contains, run.err,
               "disagrees with the reference in row 3: expected a relative "
               "error of at most 1e-04 in one row but got ");
}

/// Memory that happens to hold the right value must not hide what is unwritten.
TEST_F(RunTest, FindsAnUnwrittenValue) {
  Finished run = this->run(artefact("unwritten_value") + " --check");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err, "1 value not finite");
}

TEST_F(RunTest, RepeatsBitwise) {
  Finished run = this->run(artefact("tiny") + " --check --repeat 5");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "5 runs, bitwise equal outputs");

  run = this->run(artefact("unstable") + " --check --repeat 5");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: run 2 differs from the first: expected bitwise equal "
               "outputs but 1 of 256 values differ, by up to ");
}

TEST_F(RunTest, Measures) {
  Finished run = this->run(artefact("tiny") + " --bench -n 5");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "5 runs after 3 warm-ups");
  EXPECT_PRED2(contains, run.out, " ms median, ");
  EXPECT_PRED2(contains, run.out, "of 8 experts are hit");
  for (const char *launch : {"compute  route", "compute  experts",
                             "aux      shared experts", "compute  merge"})
    EXPECT_PRED2(contains, run.out, launch);
}

/// The numbers of the layer's work, by hand: one row hits exactly the two
/// distinct experts that it chooses.
TEST_F(RunTest, CountsUsefulWork) {
  Finished run = this->run(artefact("tiny") + " --bench -n 1 --num-tokens 1");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "2 of 8 experts are hit");
  // 4 * (8 * 16 + 3 * 16 * 20 + 2 * 3 * 16 * 12) bytes.
  EXPECT_PRED2(contains, run.out, "of 9.0 kB read");
  // 2 * the same products = 4480.
  EXPECT_PRED2(contains, run.out, "of 4.48e-06 GFLOP useful");
}

TEST_F(RunTest, WritesATraceAndATimeline) {
  Finished run = this->run(artefact("tiny") + " --trace t.json");
  EXPECT_EQ(run.code, 0) << run.err;
  for (const char *part : {"timeline ", "  compute  |", "  aux      |",
                           "  overlap ", "trace       t.json"})
    EXPECT_PRED2(contains, run.out, part);
  auto trace = nlohmann::json::parse(read(file("t.json")), nullptr, false);
  ASSERT_TRUE(trace.is_object());
  std::vector<std::string> launches;
  for (const auto &event : trace["traceEvents"])
    if (event["ph"] == "X")
      launches.push_back(event["name"].get<std::string>());
  std::sort(launches.begin(), launches.end());
  EXPECT_EQ(launches, (std::vector<std::string>{"experts", "merge", "route",
                                                "shared experts"}));
}

TEST_F(RunTest, TraceGoesWholeOrNotAtAll) {
  Finished run = this->run(artefact("tiny") + " --trace no/folder/t.json");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err, "no/folder/t.json");
}

TEST_F(RunTest, TimelineAlone) {
  Finished run = this->run(artefact("tiny") + " --timeline");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "  aux      |");
  // Without a terminal, 100 columns.
  const size_t lane = run.out.find("  compute  |");
  ASSERT_NE(lane, std::string::npos);
  EXPECT_EQ(run.out.find('\n', lane) - lane, 100u);
}

TEST_F(RunTest, Explains) {
  Finished run = this->run(artefact("tiny") + " --explain");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out,
               "MULTI_STREAM_OVERLAPPED where T <= 256, NO_OVERLAP above");
  EXPECT_PRED2(contains, run.out, "few tokens");
  EXPECT_PRED2(contains, run.out, "depends on T");

  run = this->run(artefact("tiny") + " --explain=text --num-tokens 300");
  EXPECT_PRED2(contains, run.out, "NO_OVERLAP at T = 300");
  EXPECT_PRED2(contains, run.out, "43200 bytes");
}

TEST_F(RunTest, ExplainsAsJSON) {
  Finished run = this->run(artefact("tiny") + " --explain=json");
  auto explained = nlohmann::json::parse(run.out, nullptr, false);
  ASSERT_TRUE(explained.is_object()) << run.out;
  EXPECT_FALSE(explained.contains("order"));
  EXPECT_EQ(explained["threshold"], 256);

  run = this->run(artefact("tiny") + " --explain=json --num-tokens 256");
  explained = nlohmann::json::parse(run.out, nullptr, false);
  ASSERT_TRUE(explained.is_object()) << run.out;
  EXPECT_EQ(explained["order"], "MULTI_STREAM_OVERLAPPED");
  EXPECT_EQ(explained["workspace_bytes"], 256 * 144);
}

TEST_F(RunTest, ExplainsOnlyForTokensThatItTakes) {
  EXPECT_EQ(run(artefact("tiny_static_4") + " --explain --num-tokens 4").code,
            0);
  EXPECT_EQ(run(artefact("tiny_max_8") + " --explain --num-tokens 8").code, 0);
  Finished run =
      this->run(artefact("tiny_static_4") + " --explain --num-tokens 5");
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, "moe-run: --num-tokens: expected 4 rows, which 'tiny' was "
                     "compiled for, but got 5\n");
  run = this->run(artefact("tiny_max_8") + " --explain=json --num-tokens 9");
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err, "moe-run: --num-tokens: expected at most 8 rows, which "
                     "'tiny' was compiled for, but got 9\n");
}

/// An artefact that cannot run here can still say what it is.
TEST_F(RunTest, ExplainsForOtherMachines) {
  EXPECT_EQ(run(artefact("other_device") + " --explain").code, 0);
  EXPECT_EQ(run(artefact("four_ranks") + " --explain").code, 0);
}

TEST_F(RunTest, Calibrates) {
  Finished run = this->run(artefact("tiny") + " --calibrate=machine.json");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "512 tokens");
  EXPECT_PRED2(contains, run.out, "calibrated  machine.json");
  std::string error;
  std::optional<policy::MachineModel> machine =
      policy::loadMachine(file("machine.json"), error);
  ASSERT_TRUE(machine) << error;
  EXPECT_GT(machine->memoryBandwidth, 1e8);
  EXPECT_GT(machine->flops, 0);
  EXPECT_EQ(machine->linkBandwidth, policy::getCpuMachine().linkBandwidth);
}

TEST_F(RunTest, CalibratesIntoTheCache) {
  Finished run = this->run(artefact("tiny") + " --calibrate",
                           "MOE_CACHE_DIR=cache " MOE_RUN);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(std::filesystem::exists(file("cache/cpu.json")));
}

} // namespace
