//===- EnvironmentTest.cpp - What launchers tell a process ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "gmock/gmock.h"

#include <cstdlib>
#include <map>
#include <string>

using namespace moert::test;
using ::testing::HasSubstr;

namespace {

/// The variables that launchers set; the others are taken away.
class Environment {
public:
  explicit Environment(const std::map<std::string, std::string> &variables) {
    for (const char *name : known)
      unsetenv(name);
    for (auto &[name, value] : variables)
      setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const char *name : known)
      unsetenv(name);
  }

private:
  static constexpr const char *known[] = {"RANK",
                                          "WORLD_SIZE",
                                          "LOCAL_RANK",
                                          "MASTER_ADDR",
                                          "MASTER_PORT",
                                          "OMPI_COMM_WORLD_RANK",
                                          "OMPI_COMM_WORLD_SIZE",
                                          "OMPI_COMM_WORLD_LOCAL_RANK",
                                          "OMPI_COMM_WORLD_LOCAL_SIZE",
                                          "PMIX_NAMESPACE",
                                          "SLURM_PROCID",
                                          "SLURM_NTASKS",
                                          "SLURM_LOCALID",
                                          "SLURM_STEP_NODELIST",
                                          "SLURM_JOB_ID",
                                          "SLURM_STEP_ID",
                                          "MOERT_RENDEZVOUS"};
};

/// "rank of ranks, local rank, rendezvous", or the message.
std::string read(const std::map<std::string, std::string> &variables) {
  Environment environment(variables);
  moert_process_options options;
  if (moert_process_options_from_environment(&options) != MOERT_SUCCESS)
    return moert_last_error(nullptr);
  return std::to_string(options.rank) + " of " +
         std::to_string(options.num_ranks) + ", " +
         std::to_string(options.local_rank) + ", " + options.rendezvous;
}

TEST(EnvironmentTest, ReadsTorchrun) {
  EXPECT_EQ(read({{"RANK", "9"},
                  {"WORLD_SIZE", "16"},
                  {"LOCAL_RANK", "1"},
                  {"MASTER_ADDR", "node0"},
                  {"MASTER_PORT", "29500"}}),
            "9 of 16, 1, node0:29501");
}

TEST(EnvironmentTest, ReadsMpirunOnOneMachine) {
  std::map<std::string, std::string> variables = {
      {"OMPI_COMM_WORLD_RANK", "2"},
      {"OMPI_COMM_WORLD_SIZE", "4"},
      {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
      {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
      {"PMIX_NAMESPACE", "1234.1"}};
  const std::string first = read(variables);
  EXPECT_THAT(first, HasSubstr("2 of 4, 2, 127.0.0.1:2"));
  // All ranks of the job find the same place, another job another one.
  variables["OMPI_COMM_WORLD_RANK"] = variables["OMPI_COMM_WORLD_LOCAL_RANK"] =
      "0";
  const std::string place = first.substr(first.rfind(' '));
  EXPECT_THAT(read(variables), HasSubstr(place));
  variables["PMIX_NAMESPACE"] = "1235.1";
  EXPECT_THAT(read(variables), ::testing::Not(HasSubstr(place)));
  // On several machines nothing says where rank 0 is.
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  EXPECT_EQ(read(variables),
            "mpirun has started 4 ranks, but nothing says where rank 0 "
            "listens: expected MOERT_RENDEZVOUS=host:port");
  variables["MOERT_RENDEZVOUS"] = "node0:4242";
  EXPECT_EQ(read(variables), "0 of 4, 0, node0:4242");
}

TEST(EnvironmentTest, ReadsSrun) {
  std::map<std::string, std::string> variables = {
      {"SLURM_PROCID", "3"},  {"SLURM_NTASKS", "4"},
      {"SLURM_LOCALID", "1"}, {"SLURM_STEP_NODELIST", "gpu[03-04,07]"},
      {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_ID", "0"}};
  EXPECT_THAT(read(variables), HasSubstr("3 of 4, 1, gpu03:2"));
  variables["SLURM_STEP_NODELIST"] = "gpu9,gpu10";
  EXPECT_THAT(read(variables), HasSubstr(", gpu9:2"));
  variables["SLURM_STEP_NODELIST"] = "gpu9";
  EXPECT_THAT(read(variables), HasSubstr(", gpu9:2"));
}

TEST(EnvironmentTest, SaysWhatIsWrong) {
  EXPECT_THAT(read({}), HasSubstr("no launcher has started this process"));
  EXPECT_EQ(read({{"RANK", "4"}, {"WORLD_SIZE", "4"}}),
            "RANK is '4', expected 0 to 3");
  EXPECT_EQ(read({{"RANK", "x"}, {"WORLD_SIZE", "4"}}),
            "RANK is 'x', expected 0 to 3");
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "-1"}}),
            "WORLD_SIZE is '-1', expected a number of ranks");
  EXPECT_EQ(read({{"RANK", "0"},
                  {"WORLD_SIZE", "2"},
                  {"MASTER_ADDR", "a"},
                  {"MASTER_PORT", "http"}}),
            "MASTER_PORT is 'http', expected a port of 1 to 65534");
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}),
            "0 of 1, 0, 127.0.0.1:1");
}

TEST(EnvironmentTest, ChecksOptions) {
  auto create = [](int32_t rank, int32_t size, const char *place,
                   int64_t timeout = 0) -> std::string {
    moert_process_options options;
    moert_process_options_init(&options);
    options.rank = rank;
    options.num_ranks = size;
    options.timeout_ms = timeout;
    std::snprintf(options.rendezvous, sizeof(options.rendezvous), "%s", place);
    moert_group *group = nullptr;
    if (moert_group_create_processes(&options, &group) == MOERT_SUCCESS) {
      moert_group_destroy(group);
      return "";
    }
    EXPECT_EQ(group, nullptr);
    return moert_last_error(nullptr);
  };
  EXPECT_EQ(create(2, 2, "localhost:4000"), "rank is 2, expected 0 to 1");
  EXPECT_EQ(create(0, 0, "localhost:4000"),
            "num_ranks is 0, expected 1 to 65536");
  EXPECT_THAT(create(0, 2, "localhost:4000", -1),
              HasSubstr("timeout_ms is -1, expected 0 to"));
  for (const char *place :
       {"", "localhost", ":80", "localhost:", "a:65536", "a:b", "a:0"})
    EXPECT_EQ(create(0, 2, place),
              std::string("the rendezvous is '") + place +
                  "', expected host:port with a port of 1 to 65535");
}

} // namespace
