//===- Error.h - Statuses and their messages --------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_ERROR_H
#define MOERT_COMMON_ERROR_H

#include "moert/moert.h"

#include <new>
#include <string>
#include <system_error>

namespace moert {

/// Formats like printf.
std::string format(const char *pattern, ...)
    __attribute__((format(printf, 1, 2)));

/// Where the message of a call without a context goes.
std::string &threadError();

/// Puts the message in its place and hands back the status.
inline moert_status fail(std::string &place, moert_status status,
                         std::string message) {
  place = std::move(message);
  return status;
}

/// Runs the body of a function of the C ABI: no exception of the standard
/// library (memory, threads) leaves it. The messages here are short enough to
/// need no memory themselves.
template <typename Body>
moert_status guarded(std::string &place, Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    place.assign("out of memory");
    return MOERT_OUT_OF_MEMORY;
  } catch (const std::system_error &) {
    place.assign("no more threads");
    return MOERT_OUT_OF_MEMORY;
  } catch (...) {
    place.assign("internal error");
    return MOERT_INTERNAL;
  }
}

} // namespace moert

#endif // MOERT_COMMON_ERROR_H
