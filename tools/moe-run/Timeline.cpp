//===- Timeline.cpp - What ran when, as text ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Timeline.h"

#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <map>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

int moe::tools::getWidth() {
  winsize size = {};
  if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0)
    return size.ws_col;
  return 100;
}

int64_t moe::tools::getOverlap(const std::vector<Span> &spans) {
  // Launches of one stream do not overlap, so those that run are streams.
  std::vector<std::pair<int64_t, int>> edges;
  for (const Span &span : spans) {
    edges.push_back({span.begin, 1});
    edges.push_back({span.end, -1});
  }
  std::sort(edges.begin(), edges.end());
  int64_t overlap = 0, last = 0;
  int running = 0;
  for (auto [time, change] : edges) {
    if (running > 1)
      overlap += time - last;
    last = time;
    running += change;
  }
  return overlap;
}

/// 'a' to 'z', 'A' to 'Z', then '*'.
static char letterOf(size_t index) {
  const std::string letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  return index < letters.size() ? letters[index] : '*';
}

/// One launch's part of a lane, `width` columns wide.
static std::string drawSpan(const std::string &label, char letter,
                            size_t width) {
  std::string text(1, letter);
  if (width == 1)
    return text;
  if (width == 2)
    return "[" + text;
  // Names of launches begin with their phase's, which is what matters.
  const std::string named = text + ": " + label;
  const size_t inside = width - 2;
  if (named.size() <= inside)
    text = named;
  else if (inside >= 8)
    text = named.substr(0, inside);
  const size_t left = (inside - text.size()) / 2;
  return "[" + std::string(left, '-') + text +
         std::string(inside - text.size() - left, '-') + "]";
}

/// For every column, the span of the stream with most of its time, or -1.
static std::vector<int> coverColumns(const std::vector<Span> &spans,
                                     int32_t stream, size_t columns,
                                     double column) {
  std::vector<int> owners(columns, -1);
  std::vector<double> shares(columns, 0);
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].stream != stream)
      continue;
    const double begin = double(spans[i].begin) / column;
    const double end = double(spans[i].end) / column;
    for (size_t c = size_t(begin); c < columns && double(c) < end; ++c) {
      const double share =
          std::min(end, double(c + 1)) - std::max(begin, double(c));
      if (share > shares[c]) {
        shares[c] = share;
        owners[c] = int(i);
      }
    }
  }
  return owners;
}

static std::string drawLane(const std::vector<Span> &spans,
                            const std::vector<int> &owners) {
  std::string lane;
  for (size_t c = 0; c < owners.size();) {
    size_t end = c;
    while (end < owners.size() && owners[end] == owners[c])
      ++end;
    lane += owners[c] < 0 ? std::string(end - c, '.')
                          : drawSpan(spans[owners[c]].label,
                                     letterOf(owners[c]), end - c);
    c = end;
  }
  return lane;
}

std::string moe::tools::drawTimeline(const std::vector<Span> &spans,
                                     int width) {
  if (spans.empty())
    return formatField("timeline", "nothing was launched");
  int64_t end = 1;
  std::map<int32_t, int64_t> busy;
  for (const Span &span : spans) {
    end = std::max(end, span.end);
    busy[span.stream] += span.end - span.begin;
  }
  constexpr int margin = 11; // Of indent, a stream's name and both borders.
  constexpr int narrowest = 20;
  const size_t columns = size_t(std::max(narrowest, width - margin - 2));
  const double column = double(end) / double(columns);

  std::string text = formatField(
      "timeline", formatMilliseconds(double(end)) + " ms, " +
                      formatMilliseconds(column) + " ms in a column");
  for (auto [stream, time] : busy) {
    std::string name = "  " + streamName(stream);
    name.resize(margin, ' ');
    text += name + "|" +
            drawLane(spans, coverColumns(spans, stream, columns, column)) +
            "|\n";
  }
  Table streams("lr");
  for (auto [stream, time] : busy)
    streams.add({streamName(stream) + " busy",
                 formatMilliseconds(double(time)) + " ms"});
  if (busy.size() > 1)
    streams.add(
        {"overlap", formatMilliseconds(double(getOverlap(spans))) + " ms"});
  text += "\n" + streams.print(2) + "\n";

  Table table("lllrrr");
  table.add({"", "stream", "launch", "begin", "end", "ms"});
  for (size_t i = 0; i < spans.size(); ++i)
    table.add({std::string(1, letterOf(i)), streamName(spans[i].stream),
               spans[i].label, formatMilliseconds(double(spans[i].begin)),
               formatMilliseconds(double(spans[i].end)),
               formatMilliseconds(double(spans[i].end - spans[i].begin))});
  return text + table.print(2);
}
