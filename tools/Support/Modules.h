//===- Modules.h - How the tools on MLIR read and write IR ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_MODULES_H
#define MOE_MLIR_TOOLS_SUPPORT_MODULES_H

#include "Support/CompileFlags.h"
#include "moe-mlir/Import/ModelConfig.h"
#include "moe-mlir/Support/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace moe::tools {

/// Prints the diagnostics of a context on standard error as a user reads them,
/// after the tool's name: no IR, no stack of notes about passes, no warning
/// twice.
void printDiagnostics(mlir::MLIRContext &context, const std::string &tool);

/// What becomes of the names that a text gives to values: nothing, as usual, or
/// they are the values' locations, so that what is printed of them has them.
enum class ValueNames { Drop, Keep };

/// Parses a file of MLIR; "-" is standard input.
Status parseModule(const std::string &path, mlir::MLIRContext &context,
                   ValueNames names, mlir::OwningOpRef<mlir::ModuleOp> &module);

/// Reads the layer that `flags` name in a model's config.json ("-" is standard
/// input), as a description and as a module of one `moe.layer`. Warnings go to
/// standard error.
Status importConfig(const std::string &path, const CompileFlags &flags,
                    mlir::MLIRContext &context, const std::string &tool,
                    ModelLayer &layer,
                    mlir::OwningOpRef<mlir::ModuleOp> &module);

/// The text of a module, its values named after their locations.
std::string printModule(mlir::ModuleOp module);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_MODULES_H
