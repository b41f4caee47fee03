//===- Plugin.cpp - What mlir-opt loads -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `mlir-opt --load-dialect-plugin=libMoEMLIR.so --load-pass-plugin=...` runs
// the project's pipelines in an unmodified mlir-opt.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Pipelines/Register.h"

#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

extern "C" LLVM_ATTRIBUTE_WEAK mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "MoEMLIR", MOE_VERSION,
          [](mlir::DialectRegistry *registry) {
            moe::registerDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_WEAK mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "MoEMLIR", MOE_VERSION,
          []() { moe::registerPasses(); }};
}
