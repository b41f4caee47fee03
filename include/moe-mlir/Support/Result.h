//===- Result.h - A value or an error message ----------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The plain part of the compiler reports errors as text, without exceptions
// (its callers include code that is compiled without them).
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_SUPPORT_RESULT_H
#define MOE_MLIR_SUPPORT_RESULT_H

#include <optional>
#include <string>
#include <utility>

namespace moe {

/// Why something failed: lower case, without a final period, with what was
/// expected and what was found.
struct Failure {
  std::string message;
};

/// A value, or the message that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : storage(std::move(value)) {}
  Result(Failure failure) : message(std::move(failure.message)) {}

  explicit operator bool() const { return storage.has_value(); }
  T &operator*() { return *storage; }
  const T &operator*() const { return *storage; }
  T *operator->() { return &*storage; }
  const T *operator->() const { return &*storage; }

  /// The message; empty if there is a value.
  const std::string &error() const { return message; }

private:
  std::optional<T> storage;
  std::string message;
};

/// Success, or the message that says why not.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Failure failure) : message(std::move(failure.message)) {}

  explicit operator bool() const { return !message.has_value(); }
  const std::string &error() const {
    static const std::string none;
    return message ? *message : none;
  }

private:
  std::optional<std::string> message;
};

} // namespace moe

#endif // MOE_MLIR_SUPPORT_RESULT_H
