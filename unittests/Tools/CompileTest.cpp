//===- CompileTest.cpp - Sources that moe-run has compiled ----------------===//
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

/// moe-run beside a moe-compile of the test's own: a script that notes its
/// arguments and hands out a prepared artefact.
class CompileTest : public RunTest {
protected:
  void SetUp() override {
    RunTest::SetUp();
    std::filesystem::create_directory(file("bin"));
    std::filesystem::copy_file(MOE_RUN, file("bin/moe-run"));
    // The copy looks for libmoert as the original does, beside its folder.
    std::filesystem::create_directory_symlink(
        std::filesystem::path(MOE_RUN).parent_path().parent_path() / "lib",
        file("lib"));
    std::filesystem::create_directory(file("tmp"));
    write("config.json", "{}");
    write("layer.mlir", "");
  }

  void writeCompiler(const std::string &script,
                     const std::string &name = "bin/moe-compile") {
    write(name, "#!/bin/sh\n" + script);
    std::filesystem::permissions(file(name), std::filesystem::perms::owner_all);
  }

  /// A compiler that gives `artefact` with every schedule but serial, which
  /// gives `serial`.
  void writeCopier(const std::string &artefact, const std::string &serial) {
    writeCompiler("echo \"$*\" >>" + file("arguments") +
                  "\n"
                  "echo compiling\n"
                  "case \"$*\" in *serial*) from=" +
                  this->artefact(serial) +
                  ";; *) from=" + this->artefact(artefact) +
                  ";; esac\n"
                  "while [ $# != 0 ]; do\n"
                  "  if [ \"$1\" = -o ]; then cp $from \"$2\"; fi\n"
                  "  shift\n"
                  "done\n");
  }

  Finished runCompiled(const std::string &arguments) {
    return run(arguments, "TMPDIR=" + file("tmp") + " PATH=/usr/bin:/bin " +
                              file("bin/moe-run"));
  }

  bool isEmpty(const std::string &folder) const {
    return std::filesystem::is_empty(file(folder));
  }
};

TEST_F(CompileTest, CompilesAndRuns) {
  writeCopier("tiny", "tiny");
  for (const char *source : {"config.json", "layer.mlir"}) {
    Finished run = runCompiled(std::string(source) + " --check");
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_PRED2(contains, run.out, "check       passed");
    // What the compiler prints is not moe-run's output.
    EXPECT_EQ(run.err, "compiling\n");
    EXPECT_FALSE(contains(run.out, "compiling"));
    EXPECT_TRUE(isEmpty("tmp"));
  }
}

TEST_F(CompileTest, HandsOnTheCompileFlags) {
  writeCopier("tiny", "tiny");
  Finished run = runCompiled(
      "config.json --num-tokens 3 --layer 2 --dtype float32 --experts 8 "
      "--target cpu --schedule vllm-2026-09 --max-num-tokens 64 "
      "--enable-expert-parallel --shared-experts-stream-token-threshold 9");
  EXPECT_EQ(run.code, 0) << run.err;
  std::string arguments = read(file("arguments"));
  EXPECT_EQ(
      arguments.find("config.json --quiet -o " + file("tmp") + "/moe-run-"), 0u)
      << arguments;
  for (const char *flag : {"--layer 2", "--dtype float32", "--experts 8",
                           "--target cpu", "--schedule vllm-2026-09",
                           "--max-num-tokens 64", "--enable-expert-parallel",
                           "--shared-experts-stream-token-threshold 9"})
    EXPECT_PRED2(contains, arguments, flag);
  // The size of a run does not specialise the artefact.
  EXPECT_FALSE(contains(arguments, "num-tokens 3"));
}

TEST_F(CompileTest, PassesExplainAndEmitThrough) {
  writeCompiler("echo \"$*\"\n");
  Finished run = runCompiled("config.json --explain --num-tokens 9");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "config.json --num-tokens 9 --explain=text\n");
  run = runCompiled("config.json --explain=json --tensor-parallel-size 4");
  EXPECT_EQ(run.out, "config.json --tensor-parallel-size 4 --explain=json\n");
  run = runCompiled("layer.mlir --emit schedule --schedule serial");
  EXPECT_EQ(run.out, "layer.mlir --schedule serial --emit schedule\n");
}

TEST_F(CompileTest, CompilerFails) {
  for (int code : {1, 2, 3}) {
    writeCompiler("echo 'moe-compile: no such model' >&2; exit " +
                  std::to_string(code));
    Finished run = runCompiled("config.json");
    EXPECT_EQ(run.code, code == 2 ? 2 : 1);
    EXPECT_EQ(run.err, "moe-compile: no such model\n");
    EXPECT_EQ(run.out, "");
    run = runCompiled("config.json --explain");
    EXPECT_EQ(run.code, code == 2 ? 2 : 1);
    EXPECT_TRUE(isEmpty("tmp"));
  }
}

TEST_F(CompileTest, CompilerDies) {
  writeCompiler("kill -9 $$\n");
  Finished run = runCompiled("config.json");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: '" + file("bin/moe-compile") +
                   "' was ended by signal 9");
  EXPECT_TRUE(isEmpty("tmp"));
}

TEST_F(CompileTest, CompilerWritesNothing) {
  writeCompiler("exit 0\n");
  Finished run = runCompiled("config.json");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err, "wrote no artefact for 'config.json'");
}

TEST_F(CompileTest, NoCompiler) {
  for (const char *flags : {"", " --explain", " --emit llvm"}) {
    Finished run = runCompiled(std::string("config.json") + flags);
    EXPECT_EQ(run.code, 1);
    EXPECT_PRED2(contains, run.err,
                 "moe-run: expected moe-compile in '" + file("bin") +
                     "' or on the PATH, to compile 'config.json'");
  }
}

TEST_F(CompileTest, CompilerOnThePath) {
  std::filesystem::create_directory(file("elsewhere"));
  writeCompiler("echo found\n", "elsewhere/moe-compile");
  Finished run = this->run("config.json --explain",
                           "PATH=" + file("elsewhere") + ":/usr/bin:/bin " +
                               file("bin/moe-run"));
  EXPECT_EQ(run.out, "found\n") << run.err;
}

TEST_F(CompileTest, NoTemporaryFolder) {
  writeCopier("tiny", "tiny");
  Finished run = this->run("config.json", "TMPDIR=/no/such/folder PATH=/bin " +
                                              file("bin/moe-run"));
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: cannot make a temporary folder '/no/such/folder/");
}

TEST_F(CompileTest, ComparesSchedules) {
  writeCopier("tiny", "tiny");
  Finished run = runCompiled(
      "config.json --check --compare-schedules vllm,serial,overlap");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out,
               "  schedule  order                    output\n"
               "  vllm      MULTI_STREAM_OVERLAPPED  first\n"
               "  serial    MULTI_STREAM_OVERLAPPED  bitwise equal\n"
               "  overlap   MULTI_STREAM_OVERLAPPED  bitwise equal\n");
  EXPECT_TRUE(isEmpty("tmp"));

  writeCopier("tiny", "slightly_wrong");
  run = runCompiled("config.json --compare-schedules vllm,serial,overlap");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.out,
               "1 of 256 values differ, by up to 1.00e-03, from row 3 on");
  EXPECT_PRED2(contains, run.err,
               "moe-run: expected bitwise equal outputs of all schedules but "
               "'serial' differ from 'vllm'");
}

/// The compiler chose a device that this machine runs nothing on.
TEST_F(CompileTest, CompiledForAnotherDevice) {
  writeCopier("other_device", "tiny");
  Finished run = runCompiled("config.json");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "'config.json' was compiled for target 'rocm'");
}

TEST_F(CompileTest, TooLargeForTheMachine) {
  writeCopier("huge", "tiny");
  Finished run = runCompiled("config.json");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               " can be used (95 % of what is available); --experts N makes a "
               "smaller layer");
}

} // namespace
