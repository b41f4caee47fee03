//===- Format.cpp - Numbers and tables for people -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

using namespace moe;

std::string moe::format(const char *pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  int length = std::vsnprintf(nullptr, 0, pattern, arguments);
  va_end(arguments);
  std::string text(static_cast<size_t>(std::max(length, 0)) + 1, '\0');
  std::vsnprintf(text.data(), text.size(), pattern, again);
  va_end(again);
  text.pop_back();
  return text;
}

std::string moe::formatBytes(double bytes) {
  if (bytes < 1000)
    return format("%.0f bytes", bytes);
  const char *units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  for (bytes /= 1000; bytes >= 1000 && unit + 1 < std::size(units); ++unit)
    bytes /= 1000;
  return format(bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

std::string moe::formatMilliseconds(double nanoseconds) {
  return format("%.4f", nanoseconds / 1e6);
}

std::string moe::count(int64_t number, const std::string &noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string moe::listNumbers(const std::vector<int64_t> &numbers) {
  constexpr size_t limit = 8;
  std::string text;
  for (size_t i = 0; i < std::min(limit, numbers.size()); ++i)
    text += (text.empty() ? "" : ", ") + std::to_string(numbers[i]);
  return numbers.size() > limit ? text + ", ..." : text;
}

std::string Table::print(size_t indent) const {
  std::vector<size_t> widths(alignment.size(), 0);
  for (const std::vector<std::string> &row : rows)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const std::vector<std::string> &row : rows) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      std::string padding(widths[i] - row[i].size(), ' ');
      line += i ? "  " : "";
      line += alignment[i] == 'r' ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string moe::formatField(const std::string &label,
                             const std::string &value) {
  constexpr size_t width = 12;
  return label + std::string(width - std::min(width, label.size()), ' ') +
         value + "\n";
}
