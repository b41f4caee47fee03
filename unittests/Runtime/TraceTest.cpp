//===- TraceTest.cpp - Traces of launches ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

using namespace moert::test;

namespace {

class TraceTest : public testing::Test {
protected:
  ContextPointer context = makeContext(2);
  moert_call call = makeCall(context.get());

  static void sleep(int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  void (*nap)(int64_t) = sleep;

  void runOn(int32_t stream, const char *label, int64_t grid = 1) {
    launch(call, stream, grid, nap, label);
  }

  void synchronize() {
    for (int32_t stream : {MOERT_STREAM_AUX + 0, MOERT_STREAM_COMM + 1})
      moert_stream_wait(&call, MOERT_STREAM_COMPUTE,
                        moert_event_record(&call, stream));
    ASSERT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
  }

  std::vector<moert_trace_span> spans() {
    const moert_trace_span *first = nullptr;
    int64_t count = -1;
    EXPECT_EQ(moert_trace_spans(context.get(), &first, &count), MOERT_SUCCESS);
    return {first, first + count};
  }
};

TEST_F(TraceTest, RecordsBeginAndEnd) {
  runOn(MOERT_STREAM_COMPUTE, "before");
  synchronize();
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  runOn(MOERT_STREAM_COMPUTE, "gate", 3);
  runOn(MOERT_STREAM_COMPUTE, "route");
  runOn(MOERT_STREAM_AUX, "shared");
  synchronize();
  ASSERT_EQ(moert_trace_stop(context.get()), MOERT_SUCCESS);
  runOn(MOERT_STREAM_COMPUTE, "after");
  synchronize();

  std::map<std::string, moert_trace_span> byLabel;
  int64_t lastBegin = 0;
  for (const moert_trace_span &span : spans()) {
    byLabel[span.label] = span;
    EXPECT_GE(span.begin_ns, lastBegin) << "ordered by begin";
    lastBegin = span.begin_ns;
    EXPECT_GE(span.end_ns - span.begin_ns, 2'000'000);
    EXPECT_LT(span.end_ns, int64_t(60'000'000'000)) << "relative to the start";
  }
  ASSERT_EQ(byLabel.size(), 3u);
  EXPECT_EQ(byLabel.at("gate").stream, MOERT_STREAM_COMPUTE);
  EXPECT_EQ(byLabel.at("shared").stream, MOERT_STREAM_AUX);
  EXPECT_GE(byLabel.at("route").begin_ns, byLabel.at("gate").end_ns);
  EXPECT_EQ(moert_trace_dropped(context.get()), 0);
}

TEST_F(TraceTest, StartForgets) {
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  runOn(MOERT_STREAM_COMPUTE, "old");
  synchronize();
  EXPECT_EQ(spans().size(), 1u);
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  EXPECT_TRUE(spans().empty());
}

TEST_F(TraceTest, IsBounded) {
  constexpr int64_t most = 1 << 20;
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  for (int64_t i = 0; i < most + 5; ++i)
    launch(call, MOERT_STREAM_COMPUTE, 0, nap);
  synchronize();
  EXPECT_EQ(spans().size(), size_t(most));
  EXPECT_EQ(moert_trace_dropped(context.get()), 5);
}

TEST_F(TraceTest, WritesJSON) {
  TemporaryDirectory directory;
  std::string path = directory.file("trace.json");
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  runOn(MOERT_STREAM_COMPUTE, "gate \"1\"\\\n");
  runOn(MOERT_STREAM_AUX, "not UTF-8: \xff");
  runOn(MOERT_STREAM_COMM + 1, "");
  synchronize();
  ASSERT_EQ(moert_trace_write(context.get(), path.c_str()), MOERT_SUCCESS)
      << moert_last_error(context.get());
  EXPECT_EQ(directory.numFiles(), 1u) << "a temporary file is left";

  auto trace = nlohmann::json::parse(TemporaryDirectory::read(path), nullptr,
                                     /*allow_exceptions=*/false);
  ASSERT_FALSE(trace.is_discarded());
  EXPECT_EQ(trace["otherData"]["dropped_spans"], 0);
  std::map<int, std::string> threads;
  std::map<int, nlohmann::json> launches;
  std::string process;
  for (const nlohmann::json &event : trace["traceEvents"]) {
    EXPECT_EQ(event["pid"], 0);
    if (event["ph"] == "X")
      launches[event["tid"]] = event;
    else if (event["name"] == "thread_name")
      threads[event["tid"]] = event["args"]["name"];
    else
      process = event["args"]["name"];
  }
  EXPECT_EQ(process, "rank 0");
  EXPECT_EQ(threads, (std::map<int, std::string>{
                         {0, "compute"}, {1, "aux"}, {3, "comm 1"}}));
  ASSERT_EQ(launches.size(), 3u);
  EXPECT_EQ(launches[0]["name"], "gate \"1\"\\\n");
  EXPECT_EQ(launches[1]["name"], "not UTF-8: \xef\xbf\xbd");
  EXPECT_EQ(launches[3]["name"], "");

  std::vector<moert_trace_span> recorded = spans();
  ASSERT_EQ(recorded.size(), 3u);
  for (const moert_trace_span &span : recorded) {
    const nlohmann::json &event = launches[span.stream];
    EXPECT_NEAR(event["ts"].get<double>(), double(span.begin_ns) / 1000, 1e-3);
    EXPECT_NEAR(event["dur"].get<double>(),
                double(span.end_ns - span.begin_ns) / 1000, 1e-3);
  }
}

TEST_F(TraceTest, TellsWhyItCannotWrite) {
  TemporaryDirectory directory;
  std::string path = directory.file("missing/trace.json");
  EXPECT_EQ(moert_trace_write(context.get(), path.c_str()), MOERT_IO_ERROR);
  EXPECT_EQ(moert_last_error(context.get()),
            "cannot create '" + path + "': No such file or directory");
  EXPECT_EQ(moert_trace_write(context.get(), nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(context.get()),
               "the path of the trace is null");
  // A directory cannot be replaced, and no temporary file stays behind.
  std::filesystem::create_directory(directory.file("taken"));
  EXPECT_EQ(moert_trace_write(context.get(), directory.file("taken").c_str()),
            MOERT_IO_ERROR);
  EXPECT_EQ(directory.numFiles(), 1u);
}

TEST_F(TraceTest, MayBeReadWhileWorkRuns) {
  ASSERT_EQ(moert_trace_start(context.get()), MOERT_SUCCESS);
  for (int i = 0; i < 200; ++i) {
    runOn(MOERT_STREAM_AUX, "busy", 0);
    EXPECT_LE(spans().size(), size_t(i + 1));
  }
  synchronize();
  EXPECT_EQ(spans().size(), 200u);
}

} // namespace
