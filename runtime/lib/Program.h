//===- Program.h - Compiled artefacts ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_PROGRAM_H
#define MOERT_LIB_PROGRAM_H

#include <cstdint>

namespace moert {

/// How many programs this process has loaded so far. Where that is unchanged,
/// the constants of programs are where they were.
uint64_t numProgramsLoaded();

} // namespace moert

#endif // MOERT_LIB_PROGRAM_H
