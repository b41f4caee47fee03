//===- Format.h - Numbers and tables for people -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_SUPPORT_FORMAT_H
#define MOE_MLIR_SUPPORT_FORMAT_H

#include <cstdint>
#include <string>
#include <vector>

namespace moe {

/// As printf.
std::string format(const char *pattern, ...)
    __attribute__((format(printf, 1, 2)));

/// A size in powers of 1000, such as "1.1 GB" or "512 bytes".
std::string formatBytes(double bytes);

/// Nanoseconds as milliseconds with four decimals, without the unit.
std::string formatMilliseconds(double nanoseconds);

/// "1 row", "2 rows".
std::string count(int64_t number, const std::string &noun);

/// "3, 7, 9", with "..." after the first few.
std::string listNumbers(const std::vector<int64_t> &numbers);

/// A table whose columns are as wide as their longest cell.
class Table {
public:
  /// `alignment` has a character for each column: 'l' or 'r'.
  explicit Table(std::string alignment) : alignment(std::move(alignment)) {}

  void add(std::vector<std::string> row) { rows.push_back(std::move(row)); }

  /// One line for each row, every one after `indent` spaces.
  std::string print(size_t indent) const;

private:
  std::string alignment;
  std::vector<std::vector<std::string>> rows;
};

/// A line "label   value", the values below each other.
std::string formatField(const std::string &label, const std::string &value);

} // namespace moe

#endif // MOE_MLIR_SUPPORT_FORMAT_H
