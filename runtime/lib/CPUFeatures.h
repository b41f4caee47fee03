//===- CPUFeatures.h - Instructions that this CPU has -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_CPUFEATURES_H
#define MOERT_LIB_CPUFEATURES_H

#include <string>

namespace moert {

/// What of an artefact's `cpu_features` this CPU lacks, as "avx2, fma"; "" if
/// it has all, or if the descriptor names none. A feature that
/// moert/CPUFeatures.def does not have is one that is lacking: nobody can vouch
/// for it.
std::string findLackingFeatures(const char *descriptor);

} // namespace moert

#endif // MOERT_LIB_CPUFEATURES_H
