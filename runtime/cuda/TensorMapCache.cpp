//===- TensorMapCache.cpp - Encoded tensor maps ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorMapCache.h"

#include "../common/Error.h"
#include "../common/TensorText.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <string_view>

using namespace moert;

//===----------------------------------------------------------------------===//
// Encoding
//===----------------------------------------------------------------------===//

static std::optional<CUtensorMapDataType> getDataType(unsigned code,
                                                      unsigned bits) {
  // Bytes move without being looked at.
  if (bits == 8)
    return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  switch (code << 8 | bits) {
  case kDLUInt << 8 | 16:
  case kDLInt << 8 | 16:
    return CU_TENSOR_MAP_DATA_TYPE_UINT16;
  case kDLUInt << 8 | 32:
    return CU_TENSOR_MAP_DATA_TYPE_UINT32;
  case kDLInt << 8 | 32:
    return CU_TENSOR_MAP_DATA_TYPE_INT32;
  case kDLUInt << 8 | 64:
    return CU_TENSOR_MAP_DATA_TYPE_UINT64;
  case kDLInt << 8 | 64:
    return CU_TENSOR_MAP_DATA_TYPE_INT64;
  case kDLFloat << 8 | 16:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  case kDLFloat << 8 | 32:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  case kDLFloat << 8 | 64:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
  case kDLBfloat << 8 | 16:
    return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  default:
    return std::nullopt;
  }
}

static std::optional<CUtensorMapSwizzle> getSwizzle(int32_t bytes) {
  switch (bytes) {
  case 0:
    return CU_TENSOR_MAP_SWIZZLE_NONE;
  case 32:
    return CU_TENSOR_MAP_SWIZZLE_32B;
  case 64:
    return CU_TENSOR_MAP_SWIZZLE_64B;
  case 128:
    return CU_TENSOR_MAP_SWIZZLE_128B;
  default:
    return std::nullopt;
  }
}

static std::string describe(const TensorMapRequest &request) {
  return format("a tensor map of %s%s in boxes of %s with swizzle %d",
                dtypeName(request.dtypeCode, request.dtypeBits, 1).c_str(),
                listText(request.extents, request.rank).c_str(),
                listText(request.box, request.rank).c_str(), request.swizzle);
}

/// Encodes a map; a row is what the innermost extent spans.
static moert_status encode(const Driver &driver,
                           const TensorMapRequest &request, CUtensorMap &map,
                           std::string &error) {
  constexpr uint64_t unit = 16; // Of addresses, rows and rows of boxes.
  auto refuse = [&](const std::string &message) {
    return fail(error, MOERT_INVALID_ARGUMENT,
                describe(request) + ": " + message);
  };
  std::optional<CUtensorMapDataType> dtype =
      getDataType(request.dtypeCode, request.dtypeBits);
  std::optional<CUtensorMapSwizzle> swizzle = getSwizzle(request.swizzle);
  if (!dtype)
    return refuse("expected a dtype that tensor maps have");
  if (!swizzle)
    return refuse("expected a swizzle of 0, 32, 64 or 128 bytes");

  // The driver counts from the innermost dimension.
  const int32_t rank = request.rank;
  const uint64_t elementBytes = request.dtypeBits / 8;
  cuuint64_t extents[5], strides[5];
  cuuint32_t box[5], steps[5];
  bool isEmpty = false;
  uint64_t bytes = elementBytes;
  for (int32_t i = 0; i < rank; ++i) {
    const int64_t extent = request.extents[rank - 1 - i];
    const int64_t side = request.box[rank - 1 - i];
    if (extent < 0 || extent > int64_t(1) << 32 || side < 1 || side > 256)
      return refuse("expected extents of 0 to 2^32 and sides of 1 to 256");
    isEmpty |= extent == 0;
    extents[i] = std::max<int64_t>(extent, 1);
    box[i] = cuuint32_t(side);
    steps[i] = 1;
    if (__builtin_mul_overflow(bytes, extents[i], &bytes))
      return refuse("expected a buffer that the address space can hold");
    strides[i] = bytes;
  }
  // What has no element has no rows that could be apart.
  if (isEmpty)
    for (cuuint64_t &stride : strides)
      stride = (stride + unit - 1) / unit * unit;
  else if (rank > 1 && strides[0] % unit != 0)
    return refuse(format("a row has %llu bytes, expected a multiple of %llu",
                         static_cast<unsigned long long>(strides[0]),
                         static_cast<unsigned long long>(unit)));
  const uint64_t boxBytes = box[0] * elementBytes;
  if (boxBytes % unit != 0 ||
      (request.swizzle && boxBytes > uint64_t(request.swizzle)))
    return refuse(format("a row of a box has %llu bytes, expected a multiple "
                         "of %llu that is at most the swizzle",
                         static_cast<unsigned long long>(boxBytes),
                         static_cast<unsigned long long>(unit)));
  void *address = const_cast<void *>(request.address);
  // An empty buffer may be nowhere, but a map must be of some place.
  if (!address && isEmpty)
    address = reinterpret_cast<void *>(uintptr_t(256));
  if (!address || reinterpret_cast<uintptr_t>(address) % unit != 0)
    return refuse(format("the buffer is at 0x%llx, expected an address that is "
                         "aligned to %llu bytes",
                         reinterpret_cast<unsigned long long>(address),
                         static_cast<unsigned long long>(unit)));
  if (CUresult result = driver.cuTensorMapEncodeTiled(
          &map, *dtype, cuuint32_t(rank), address, extents, strides, box, steps,
          CU_TENSOR_MAP_INTERLEAVE_NONE, *swizzle,
          CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
          CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE))
    return driver.report(result, "cannot encode " + describe(request), error);
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Keeping
//===----------------------------------------------------------------------===//

void TensorMapCache::beginCall() {
  if (count <= maxKept)
    return;
  count = 0;
  std::fill(table.begin(), table.end(), 0);
}

size_t TensorMapCache::findPlace(const Key &key) const {
  const size_t mask = table.size() - 1;
  size_t place = std::hash<std::string_view>{}(
                     {reinterpret_cast<const char *>(&key), sizeof(key)}) &
                 mask;
  while (table[place] &&
         std::memcmp(&entry(table[place] - 1).key, &key, sizeof(key)) != 0)
    place = (place + 1) & mask;
  return place;
}

void TensorMapCache::growTable() {
  table.assign(std::max(4 * maxKept, 2 * table.size()), 0);
  for (size_t i = 0; i < count; ++i)
    table[findPlace(entry(i).key)] = uint32_t(i) + 1;
}

moert_status TensorMapCache::find(const TensorMapRequest &request,
                                  const CUtensorMap *&map, std::string &error) {
  if (request.rank < 1 || request.rank > maxRank || !request.extents ||
      !request.box)
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("a tensor map has rank %d, expected 1 to %d, with "
                       "extents and a box",
                       request.rank, maxRank));
  Key key = {};
  key.address = request.address;
  std::copy_n(request.extents, request.rank, key.extents);
  std::copy_n(request.box, request.rank, key.box);
  key.dtype = request.dtypeCode << 8 | request.dtypeBits;
  key.rank = request.rank;
  key.swizzle = request.swizzle;
  if (table.size() < 2 * (count + 1))
    growTable();
  const size_t place = findPlace(key);
  if (!table[place]) {
    if (count == chunks.size() * chunkSize)
      chunks.push_back(std::make_unique<Chunk>());
    Entry &added = entry(count);
    if (moert_status status = encode(driver, request, added.map, error))
      return status;
    added.key = key;
    table[place] = uint32_t(++count);
  }
  map = &entry(table[place] - 1).map;
  return MOERT_SUCCESS;
}
