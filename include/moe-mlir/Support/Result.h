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

/// Who has to change something.
enum class FailureKind {
  /// The work failed, or results disagree.
  Failed,
  /// What was given cannot be used.
  BadInput
};

/// Why something failed: lower case, without a final period, with what was
/// expected and what was found. An empty message: it has been said already.
struct Failure {
  std::string message;
  FailureKind kind = FailureKind::Failed;
};

inline Failure failed(std::string message) { return {std::move(message)}; }
inline Failure badInput(std::string message) {
  return {std::move(message), FailureKind::BadInput};
}

/// A value, or the failure that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : storage(std::move(value)) {}
  Result(Failure failure) : why(std::move(failure)) {}

  explicit operator bool() const { return storage.has_value(); }
  T &operator*() { return *storage; }
  const T &operator*() const { return *storage; }
  T *operator->() { return &*storage; }
  const T *operator->() const { return &*storage; }

  /// The message; empty if there is a value.
  const std::string &error() const { return why.message; }
  /// Only where there is no value.
  const Failure &failure() const { return why; }

private:
  std::optional<T> storage;
  Failure why;
};

/// Success, or the failure that says why not.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Failure failure) : why(std::move(failure)) {}

  explicit operator bool() const { return !why.has_value(); }
  /// The message; empty after success.
  const std::string &error() const {
    static const std::string none;
    return why ? why->message : none;
  }
  /// Only after a failure.
  const Failure &failure() const { return *why; }

  /// The same, said of something: its name goes before the message.
  Status withPrefix(const std::string &prefix) const {
    if (!why || why->message.empty())
      return *this;
    return Failure{prefix + why->message, why->kind};
  }

private:
  std::optional<Failure> why;
};

/// Returns from the function, which returns a Status or a Result, if what the
/// expression gives is a failure.
#define MOE_TRY(...)                                                           \
  do {                                                                         \
    if (auto triedResult = (__VA_ARGS__); !triedResult)                        \
      return triedResult.failure();                                            \
  } while (false)

} // namespace moe

#endif // MOE_MLIR_SUPPORT_RESULT_H
