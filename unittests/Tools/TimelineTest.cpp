//===- TimelineTest.cpp - What ran when, as text --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-run/Timeline.h"
#include "moe-run/Bench.h"

#include <gtest/gtest.h>

using namespace moe::run;
using namespace moe::tools;

namespace {

constexpr int64_t ms = 1000000;

/// Columns of 1 ms: 20 of them, after the margin.
constexpr int width = 33;

TEST(Timeline, DrawsStreamsOverOneAxis) {
  std::string text = drawTimeline({{"shared", 1, 0, 10 * ms},
                                   {"gate", 0, 1 * ms, 2 * ms},
                                   {"experts", 0, 2 * ms, 14 * ms},
                                   {"merge", 0, 18 * ms, 20 * ms}},
                                  width);
  EXPECT_EQ(text, "timeline    20.0000 ms, 1.0000 ms in a column\n"
                  "  compute  |.b[c: experts]....[d|\n"
                  "  aux      |[a: share]..........|\n"
                  "\n"
                  "  compute busy  15.0000 ms\n"
                  "  aux busy      10.0000 ms\n"
                  "  overlap        9.0000 ms\n"
                  "\n"
                  "     stream   launch     begin      end       ms\n"
                  "  a  aux      shared    0.0000  10.0000  10.0000\n"
                  "  b  compute  gate      1.0000   2.0000   1.0000\n"
                  "  c  compute  experts   2.0000  14.0000  12.0000\n"
                  "  d  compute  merge    18.0000  20.0000   2.0000\n");
}

/// A column shows the launch that took most of it; what it hides is listed.
TEST(Timeline, ListsWhatIsTooShortToDraw) {
  std::string text = drawTimeline(
      {{"long", 0, 0, 20 * ms}, {"short", 1, 0, 1}, {"next", 1, 1, ms}}, width);
  EXPECT_NE(text.find("  aux      |c...................|\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("  b  aux      short"), std::string::npos) << text;
}

TEST(Timeline, NarrowTerminalsKeepAPicture) {
  std::string text = drawTimeline({{"x", 0, 0, ms}}, 1);
  EXPECT_NE(text.find("  compute  |[-------a: x-------]|\n"), std::string::npos)
      << text;
}

TEST(Timeline, OneStreamHasNoOverlap) {
  std::string text = drawTimeline({{"x", 0, 0, ms}, {"y", 0, ms, 2 * ms}}, 100);
  EXPECT_EQ(text.find("overlap"), std::string::npos) << text;
}

TEST(Timeline, NothingLaunched) {
  EXPECT_EQ(drawTimeline({}, 100), "timeline    nothing was launched\n");
}

TEST(Timeline, LettersRunOut) {
  std::vector<Span> spans;
  for (int64_t i = 0; i < 60; ++i)
    spans.push_back({"k", 0, i * ms, (i + 1) * ms});
  std::string text = drawTimeline(spans, 73);
  EXPECT_NE(text.find("|abcdefghijklmnopqrstuvwxyz"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ********|"),
            std::string::npos)
      << text;
}

/// Three streams at once count once, and touching launches not at all.
TEST(Timeline, Overlap) {
  EXPECT_EQ(getOverlap({{"a", 0, 0, 10}, {"b", 1, 5, 15}, {"c", 2, 6, 9}}), 5);
  EXPECT_EQ(getOverlap({{"a", 0, 0, 10}, {"b", 1, 10, 15}}), 0);
}

TEST(Timeline, NamesStreams) {
  EXPECT_EQ(streamName(0), "compute");
  EXPECT_EQ(streamName(1), "aux");
  EXPECT_EQ(streamName(3), "comm1");
}

TEST(Bench, Quantiles) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 0), 1);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 1), 4);
  EXPECT_EQ(quantile({7}, 0.9), 7);
}

} // namespace
