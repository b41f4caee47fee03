//===- Error.cpp - Statuses and their messages ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Error.h"

#include <cstdarg>
#include <cstdio>

std::string moert::format(const char *pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  va_list again;
  va_copy(again, arguments);
  int length = std::vsnprintf(nullptr, 0, pattern, arguments);
  va_end(arguments);
  std::string text(length > 0 ? length : 0, '\0');
  if (length > 0)
    std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

std::string &moert::threadError() {
  thread_local std::string error;
  return error;
}

const char *moert_status_name(moert_status status) {
  switch (status) {
  case MOERT_SUCCESS:
    return "MOERT_SUCCESS";
  case MOERT_INVALID_ARGUMENT:
    return "MOERT_INVALID_ARGUMENT";
  case MOERT_OUT_OF_MEMORY:
    return "MOERT_OUT_OF_MEMORY";
  case MOERT_UNSUPPORTED:
    return "MOERT_UNSUPPORTED";
  case MOERT_IO_ERROR:
    return "MOERT_IO_ERROR";
  case MOERT_INTERNAL:
    return "MOERT_INTERNAL";
  case MOERT_RANK_FAILED:
    return "MOERT_RANK_FAILED";
  }
  return "unknown status";
}
