//===- CUDARunTest.cpp - Runs on a GPU, and on what looks like one --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunFixture.h"

#include <dlfcn.h>
#include <nlohmann/json.hpp>

using namespace moe;
using namespace moe::test;

namespace {

/// Runs on a driver that executes kernels of the host.
class CUDARunTest : public RunTest {
protected:
  Finished runFake(const std::string &arguments) {
    return run(artefact("fake_gpu") + " " + arguments,
               "LD_LIBRARY_PATH=" FAKE_DRIVER_FOLDER " " MOE_RUN);
  }
};

// Inputs go to the device and the output comes back, which was poisoned there.
TEST_F(CUDARunTest, ChecksAgainstTheReference) {
  for (int64_t T : {0, 1, 16, 300}) {
    Finished run = runFake("--check --num-tokens " + std::to_string(T));
    EXPECT_EQ(run.code, 0) << T << ": " << run.err << run.out;
    EXPECT_PRED2(contains, run.out, "check       passed");
    EXPECT_PRED2(contains, run.out, "target cuda:sm_90a");
  }
}

TEST_F(CUDARunTest, RepeatsBitwise) {
  Finished run = runFake("--repeat 3");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "3 runs, bitwise equal outputs");
}

TEST_F(CUDARunTest, WritesTheOutput) {
  Finished run = runFake("--output y.safetensors");
  EXPECT_EQ(run.code, 0) << run.err;
  Finished onCPU = this->run(artefact("tiny") + " --output cpu.safetensors");
  EXPECT_EQ(onCPU.code, 0) << onCPU.err;
  EXPECT_EQ(readOutput(file("y.safetensors"), 16),
            readOutput(file("cpu.safetensors"), 16));
}

// Every launch takes a millisecond there, and shared experts run beside route.
TEST_F(CUDARunTest, Measures) {
  Finished run = runFake("--bench -n 1200");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "1200 runs after 3 warm-ups");
  EXPECT_PRED2(contains, run.out, "on the device, replaying a graph");
  EXPECT_PRED2(contains, run.out, "8 copies in turn");
  // In a graph there they run one after the other.
  EXPECT_PRED2(contains, run.out,
               "time      4.0000 ms median, 4.0000 min, 4.0000 max");
  EXPECT_PRED2(contains, run.out,
               "enqueued  3.0000 ms median, 3.0000 min, 3.0000 max");
  EXPECT_PRED2(contains, run.out, " us to enqueue a call");
  EXPECT_PRED2(contains, run.out, "overlap            1.0000");
}

TEST_F(CUDARunTest, WritesATraceAndATimeline) {
  Finished run = runFake("--trace t.json");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "timeline    3.0000 ms");
  EXPECT_PRED2(contains, run.out, "  aux      |");
  auto trace = nlohmann::json::parse(read(file("t.json")), nullptr, false);
  ASSERT_TRUE(trace.is_object());
  int64_t launches = 0;
  for (const auto &event : trace["traceEvents"])
    launches += event["ph"] == "X";
  EXPECT_EQ(launches, 4);
}

TEST_F(CUDARunTest, CalibratesTheCPUOnly) {
  Finished run = runFake("--calibrate");
  EXPECT_EQ(run.code, 2);
  EXPECT_PRED2(contains, run.err,
               "--calibrate: expected an artefact for target 'cpu' but got one "
               "for 'cuda:sm_90a'");
}

bool hasDriver() {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (driver)
    dlclose(driver);
  return driver;
}

TEST_F(CUDARunTest, NeedsADriver) {
  if (hasDriver())
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  Finished run = this->run(artefact("fake_gpu"));
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: device cuda:0 needs an NVIDIA driver: libcuda.so.1: ");
}

TEST_F(CUDARunTest, RunsOnAGPU) {
  if (!hasDriver() || !std::filesystem::exists(artefact("gpu")))
    GTEST_SKIP() << "needs a GPU, and nvcc when the tests were built";
  for (const char *flags : {"--num-tokens 0", "--num-tokens 1", "--repeat 20",
                            "--num-tokens 5000 --repeat 3"}) {
    Finished run =
        this->run(artefact("gpu") + " --check " + std::string(flags));
    EXPECT_EQ(run.code, 0) << flags << ": " << run.err << run.out;
  }
  Finished run = this->run(artefact("gpu") + " --bench --trace t.json");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "on the device, replaying a graph");
  EXPECT_PRED2(contains, run.out, "aux      shared experts");
}

} // namespace
