//===- Layouts.cpp - The C structs are what generated code sees -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing here is run: a struct of `moert.h` that differs from its row of
// RuntimeStructs.def does not compile.
//
//===----------------------------------------------------------------------===//

#include "moert/moert.h"

#include <cstddef>
#include <cstdint>

/// The structs that the compiler makes from the table, in C++.
namespace stated {
using i8 = uint8_t;
using i16 = uint16_t;
using i32 = uint32_t;
using i64 = uint64_t;
using ptr = void *;
#define MOERT_STRUCT(NAME, FIELDS)                                             \
  struct NAME {                                                                \
    FIELDS                                                                     \
  };
#define MOERT_FIELD(NAME, TYPE) TYPE NAME;
#include "moert/RuntimeStructs.def"
} // namespace stated

namespace {
#define MOERT_STRUCT(NAME, FIELDS)                                             \
  namespace check_##NAME {                                                     \
    using Stated = stated::NAME;                                               \
    using Actual = ::NAME;                                                     \
    FIELDS                                                                     \
    static_assert(sizeof(Actual) == sizeof(Stated),                            \
                  #NAME " has fields that RuntimeStructs.def lacks");          \
  }
#define MOERT_FIELD(NAME, TYPE)                                                \
  static_assert(offsetof(Actual, NAME) == offsetof(Stated, NAME) &&            \
                    sizeof(Actual::NAME) == sizeof(Stated::NAME),              \
                #NAME " is not where RuntimeStructs.def says");
#include "moert/RuntimeStructs.def"
} // namespace
