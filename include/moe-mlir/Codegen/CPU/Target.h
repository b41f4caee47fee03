//===- Target.h - The CPU that kernels are generated for --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CPU_TARGET_H
#define MOE_MLIR_CODEGEN_CPU_TARGET_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class TargetMachine;
} // namespace llvm

namespace moe::codegen::cpu {

/// An instruction set, named as LLVM names it, and the vector width that
/// follows from it. Kernels for different targets differ in speed, and in
/// results within rounding.
struct Target {
  std::string triple;
  std::string cpu;
  /// Features beyond the CPU's own, as "+avx2,-avx512f"; may be empty.
  std::string features;
  /// Bits of one vector register: 128, 256 or 512.
  unsigned vectorBits = 128;

  /// The machine that this process runs on.
  static Target host();

  /// Parses "host" or a CPU's name for the host's architecture, each optionally
  /// followed by features: "x86-64-v3", "znver4,-avx512f". An unknown CPU is an
  /// error.
  static llvm::Expected<Target> parse(llvm::StringRef spec);

  /// The name of a CPU whose instructions all CPUs of the host's architecture
  /// have.
  static std::string getBaseline();

  /// What code for this target may use of moert/CPUFeatures.def, in its order.
  std::vector<std::string> getFeatureNames() const;

  /// What parses to this target on this machine.
  std::string getSpec() const {
    return features.empty() ? cpu : cpu + "," + features;
  }

  /// LLVM's code generator for this target: position-independent code at the
  /// highest optimization level.
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createMachine() const;
};

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_CODEGEN_CPU_TARGET_H
