//===- Register.h - All dialects, passes and pipelines ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_PIPELINES_REGISTER_H
#define MOE_MLIR_PIPELINES_REGISTER_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace moe {

/// Adds the project's dialects, and the interfaces of upstream dialects that
/// its pipelines need, to `registry`.
void registerDialects(mlir::DialectRegistry &registry);

/// Registers the project's passes and pipelines with MLIR's command line.
void registerPasses();

} // namespace moe

#endif // MOE_MLIR_PIPELINES_REGISTER_H
