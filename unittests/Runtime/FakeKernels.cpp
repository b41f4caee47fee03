//===- FakeKernels.cpp - The fake driver's kernels and memory -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeWorld.h"

#include <cstdlib>
#include <cstring>

using namespace moert::test;

extern "C" {

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image,
                            unsigned numOptions, CUjit_option *options,
                            void **values) {
  ENTER("cuModuleLoadDataEx");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  if (std::strncmp(static_cast<const char *>(image), "broken", 6) == 0) {
    for (unsigned i = 0; i < numOptions; ++i)
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
        std::strcpy(static_cast<char *>(values[i]), "line 1: no such thing");
    return CUDA_ERROR_INVALID_PTX;
  }
  // What drivers say of a cubin that is newer than they are.
  if (std::strncmp(static_cast<const char *>(image), "\177ELF Cuda", 9) == 0)
    return CUDA_ERROR_INVALID_IMAGE;
  *module = new CUmod_st;
  if (std::memcmp(image, "HOSTCODE", 8) == 0)
    (*module)->image = static_cast<const FakeImage *>(image);
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) {
  ENTER("cuModuleUnload");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  delete module;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module,
                             const char *name) {
  ENTER("cuModuleGetFunction");
  if (std::strcmp(name, "unknown") == 0)
    return CUDA_ERROR_NOT_FOUND;
  const size_t index = module->functions.size();
  module->functions.push_back(std::make_unique<CUfunc_st>());
  *function = module->functions.back().get();
  (*function)->name = name;
  if (module->image) {
    (*function)->code = module->image->kernels[index];
    (*function)->argumentBytes = module->image->argumentBytes;
  }
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute,
                            CUfunction function) {
  ENTER("cuFuncGetAttribute");
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
               ? function->sharedBytes
               : 1024;
  return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute,
                            int value) {
  ENTER("cuFuncSetAttribute");
  constexpr int mostSharedBytes = 227 << 10;
  if (attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
    function->takesLargeClusters = value;
  else if (value > mostSharedBytes)
    return CUDA_ERROR_INVALID_VALUE;
  else
    function->sharedBytes = value;
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function,
                          void **parameters, void **) {
  ENTER("cuLaunchKernelEx");
  entered.check(config->hStream);
  RETURN_IF_REFUSED();
  CUstream_st &stream = world().streamOf(config->hStream);
  unsigned cluster = 1;
  bool startsEarly = false;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute &attribute = config->attrs[i];
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      cluster = attribute.value.clusterDim.x;
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
      startsEarly = attribute.value.programmaticStreamSerializationAllowed;
  }
  if (config->gridDimX == 0 ||
      config->sharedMemBytes > unsigned(function->sharedBytes) ||
      (cluster > 8 && !function->takesLargeClusters))
    return CUDA_ERROR_INVALID_VALUE;
  ++stream.clock[stream.number];
  FakeDriver &driver = world().driver;
  stream.time = std::max(stream.time, driver.now) + driver.launchTime;
  if (!driver.isRecording)
    return CUDA_SUCCESS;
  FakeLaunch launch = {
      function->name,    stream.number,          config->gridDimX,
      config->blockDimX, config->sharedMemBytes, cluster,
      startsEarly,       stream.capture != 0,    0,
      stream.clock};
  if (parameters)
    std::memcpy(&launch.parameter, parameters[0], sizeof(launch.parameter));
  if (function->code) {
    const char *arguments = static_cast<const char *>(parameters[0]);
    launch.code = function->code;
    launch.arguments.assign(arguments, arguments + function->argumentBytes);
  }
  if (stream.capture)
    world().captures.at(stream.capture).graph->launches.push_back(launch);
  else
    launch.run();
  driver.launches.push_back(std::move(launch));
  return CUDA_SUCCESS;
}

CUresult cuTensorMapEncodeTiled(
    CUtensorMap *map, CUtensorMapDataType dtype, cuuint32_t rank, void *address,
    const cuuint64_t *extents, const cuuint64_t *strides, const cuuint32_t *box,
    const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
    CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  ENTER("cuTensorMapEncodeTiled");
  bool isGood = address && reinterpret_cast<uintptr_t>(address) % 16 == 0 &&
                reinterpret_cast<uintptr_t>(map) % 64 == 0;
  for (cuuint32_t i = 0; i < rank; ++i)
    isGood &= extents[i] > 0 && (i + 1 == rank || strides[i] % 16 == 0);
  if (!isGood)
    return CUDA_ERROR_INVALID_VALUE;
  if (world().driver.isRecording)
    world().driver.tensorMaps.push_back({dtype,
                                         address,
                                         {extents, extents + rank},
                                         {strides, strides + rank - 1},
                                         {box, box + rank},
                                         swizzle});
  std::memset(map, int(world().driver.tensorMaps.size() & 0xff), sizeof(*map));
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

CUresult cuMemAlloc(CUdeviceptr *memory, size_t bytes) {
  ENTER("cuMemAlloc");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  if (bytes > world().driver.freeBytes)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *memory = reinterpret_cast<CUdeviceptr>(
      std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  ENTER("cuMemHostAlloc");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *memory) {
  ENTER("cuMemFreeHost");
  std::free(memory);
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr memory) {
  ENTER("cuMemFree");
  std::free(reinterpret_cast<void *>(memory));
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free, size_t *total) {
  ENTER("cuMemGetInfo");
  *free = world().driver.freeBytes;
  *total = size_t(1) << 30;
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes,
                           CUstream) {
  ENTER("cuMemcpyHtoDAsync");
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream) {
  ENTER("cuMemcpyDtoHAsync");
  std::memcpy(to, reinterpret_cast<void *>(from), bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                           CUstream) {
  ENTER("cuMemcpyDtoDAsync");
  std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from),
              bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr memory, unsigned char byte, size_t bytes,
                         CUstream) {
  ENTER("cuMemsetD8Async");
  std::memset(reinterpret_cast<void *>(memory), byte, bytes);
  return CUDA_SUCCESS;
}

} // extern "C"
