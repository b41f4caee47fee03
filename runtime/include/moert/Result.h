//===- Result.h - A value or an error's text --------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_RESULT_H
#define MOERT_RESULT_H

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace moert {

/// What went wrong, with what was found and what was expected.
struct Error {
  std::string message;
};

/// A `T` or an error. Ask before taking the value.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : content(std::move(value)) {}
  Result(Error error) : content(std::move(error)) {}

  explicit operator bool() const { return std::holds_alternative<T>(content); }
  T &operator*() { return *std::get_if<T>(&content); }
  const T &operator*() const { return *std::get_if<T>(&content); }
  T *operator->() { return std::get_if<T>(&content); }
  const T *operator->() const { return std::get_if<T>(&content); }

  /// The message; only where there is no value.
  const std::string &error() const {
    return std::get_if<Error>(&content)->message;
  }

private:
  std::variant<T, Error> content;
};

/// Success or an error.
template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error error) : content(std::move(error)) {}

  explicit operator bool() const { return !content; }
  const std::string &error() const { return content->message; }

private:
  std::optional<Error> content;
};

} // namespace moert

#endif // MOERT_RESULT_H
