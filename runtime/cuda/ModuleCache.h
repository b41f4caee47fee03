//===- ModuleCache.h - Loaded kernels ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_MODULECACHE_H
#define MOERT_CUDA_MODULECACHE_H

#include "Driver.h"

#include <memory>
#include <unordered_map>
#include <vector>

namespace moert {

/// A kernel that can be launched, and what was set for it so far.
struct LoadedKernel {
  CUfunction function = nullptr;
  const char *name = nullptr; // Lives as long as the program.
  int32_t maxThreads = 0;
  int32_t sharedBytes = 0; // Dynamic ones that a launch may ask for.
  bool takesLargeClusters = false;
};

/// The modules of a context, found by their addresses. What was loaded stays
/// until the end: a graph may hold its kernels.
class ModuleCache {
public:
  /// `deviceText` names the device in messages.
  ModuleCache(const Driver &driver, std::string deviceText)
      : driver(driver), deviceText(std::move(deviceText)) {}
  ModuleCache(const ModuleCache &) = delete;
  ModuleCache &operator=(const ModuleCache &) = delete;
  ~ModuleCache();

  /// Finds a kernel, in a module that is loaded into the current context if it
  /// was not used before. The kernel stays where it is.
  moert_status find(const moert_gpu_module &module, int32_t index,
                    LoadedKernel *&kernel, std::string &error);

  /// Another module may be at a known address by now: compares before use.
  void doubtAddresses();

private:
  struct Module {
    CUmodule handle = nullptr;
    size_t fingerprint = 0;
    bool isDoubted = false;
    std::vector<LoadedKernel> kernels;
  };

  moert_status load(const moert_gpu_module &module, Module &loaded,
                    std::string &error);
  moert_status findFunctions(const moert_gpu_module &module, Module &loaded,
                             std::string &error) const;

  const Driver &driver;
  const std::string deviceText;
  std::unordered_map<const moert_gpu_module *, std::unique_ptr<Module>> modules;
  /// Those whose addresses belong to others now.
  std::vector<std::unique_ptr<Module>> former;
};

} // namespace moert

#endif // MOERT_CUDA_MODULECACHE_H
