//===- ModuleCache.cpp - Loaded kernels -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModuleCache.h"

#include "../common/Error.h"
#include "ImageVersion.h"

#include <cstring>
#include <functional>
#include <string_view>

using namespace moert;

ModuleCache::~ModuleCache() {
  for (auto &[address, module] : modules)
    former.push_back(std::move(module));
  for (std::unique_ptr<Module> &module : former)
    driver.cuModuleUnload(module->handle);
}

void ModuleCache::doubtAddresses() {
  for (auto &[address, module] : modules)
    module->isDoubted = true;
}

/// Says whether two modules at one address are the same.
static size_t getFingerprint(const moert_gpu_module &module) {
  const std::hash<std::string_view> hash;
  size_t value = hash({static_cast<const char *>(module.image),
                       static_cast<size_t>(module.image_bytes)});
  for (int32_t i = 0; i < module.num_kernels; ++i)
    value = value * 31 + hash(module.kernel_names[i]);
  return value;
}

/// Returns "" for a module that the driver can be given.
static std::string findFault(const moert_gpu_module &module) {
  if (module.abi != MOERT_ABI_VERSION)
    return format("has ABI version %u, expected %u", module.abi,
                  MOERT_ABI_VERSION);
  if (!module.chip || !module.image || module.image_bytes == 0 ||
      module.num_kernels < 0 || (module.num_kernels && !module.kernel_names))
    return "lacks its chip, its image or its kernels' names";
  // The driver tells kinds of images by their first bytes, and reads text to
  // its end.
  const char *image = static_cast<const char *>(module.image);
  const bool isBinary = module.image_bytes > 4 &&
                        (std::memcmp(image, "\177ELF", 4) == 0 ||
                         std::memcmp(image, "\x50\xed\x55\xba", 4) == 0);
  if (!isBinary && image[module.image_bytes] != 0)
    return "is a text that is not terminated, expected a zero behind it";
  return "";
}

moert_status ModuleCache::find(const moert_gpu_module &module, int32_t index,
                               LoadedKernel *&kernel, std::string &error) {
  auto known = modules.find(&module);
  if (known != modules.end() && known->second->isDoubted) {
    known->second->isDoubted = false;
    if (known->second->fingerprint != getFingerprint(module)) {
      former.push_back(std::move(known->second));
      modules.erase(known);
      known = modules.end();
    }
  }
  if (known == modules.end()) {
    auto loaded = std::make_unique<Module>();
    RelaxedCapture relaxed(driver);
    if (moert_status status = load(module, *loaded, error))
      return status;
    known = modules.emplace(&module, std::move(loaded)).first;
  }
  std::vector<LoadedKernel> &kernels = known->second->kernels;
  if (index < 0 || index >= int32_t(kernels.size()))
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("there is no kernel %d in a module of %zu kernels",
                       index, kernels.size()));
  kernel = &kernels[index];
  return MOERT_SUCCESS;
}

/// Says so where the driver is older than an image that it refused, else "".
static std::string explainAge(const Driver &driver,
                              const moert_gpu_module &module) {
  const int needed = findNeededDriver(module);
  int found = 0;
  if (driver.cuDriverGetVersion(&found) != CUDA_SUCCESS || found >= needed)
    return "";
  return format("the driver is for CUDA %s, expected one for CUDA %s or later",
                driverVersionText(found).c_str(),
                driverVersionText(needed).c_str());
}

moert_status ModuleCache::load(const moert_gpu_module &module, Module &loaded,
                               std::string &error) {
  std::string fault = findFault(module);
  if (!fault.empty())
    return fail(error, MOERT_INVALID_ARGUMENT, "a GPU module " + fault);
  char log[2048] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log))};
  CUresult result = driver.cuModuleLoadDataEx(&loaded.handle, module.image, 2,
                                              options, values);
  if (result != CUDA_SUCCESS) {
    log[sizeof(log) - 1] = 0;
    // Drivers have several words for an image that is newer than they are.
    const std::string age = explainAge(driver, module);
    return fail(
        error, age.empty() ? getStatus(result) : MOERT_UNSUPPORTED,
        format("cannot load kernels for '%s' (%llu bytes) on %s: %s%s%s%s%s",
               module.chip, static_cast<unsigned long long>(module.image_bytes),
               deviceText.c_str(), age.c_str(), age.empty() ? "" : ": ",
               driver.describe(result).c_str(), log[0] ? ": " : "", log));
  }
  moert_status status = findFunctions(module, loaded, error);
  if (status != MOERT_SUCCESS)
    driver.cuModuleUnload(loaded.handle);
  else
    loaded.fingerprint = getFingerprint(module);
  return status;
}

moert_status ModuleCache::findFunctions(const moert_gpu_module &module,
                                        Module &loaded,
                                        std::string &error) const {
  loaded.kernels.resize(module.num_kernels);
  for (int32_t i = 0; i < module.num_kernels; ++i) {
    LoadedKernel &kernel = loaded.kernels[i];
    kernel.name = module.kernel_names[i];
    CUresult result = driver.cuModuleGetFunction(&kernel.function,
                                                 loaded.handle, kernel.name);
    // To ask for an attribute also brings code to the device that the driver
    // would leave for the first launch, where a capture may not allow it.
    if (result == CUDA_SUCCESS)
      result = driver.cuFuncGetAttribute(
          &kernel.maxThreads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
          kernel.function);
    if (result == CUDA_SUCCESS)
      result = driver.cuFuncGetAttribute(
          &kernel.sharedBytes, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
          kernel.function);
    if (result != CUDA_SUCCESS)
      return driver.report(
          result,
          format("cannot find kernel '%s' in a module for '%s'", kernel.name,
                 module.chip),
          error);
  }
  return MOERT_SUCCESS;
}
