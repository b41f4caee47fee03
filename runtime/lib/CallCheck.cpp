//===- CallCheck.cpp - Checks of a call -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CallCheck.h"

#include "../common/Error.h"
#include "../common/TensorText.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace moert;

namespace {

/// A range of addresses; empty ranges overlap nothing.
struct ByteRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;

  bool overlaps(const ByteRange &other) const {
    return std::max(begin, other.begin) < std::min(end, other.end);
  }
};

/// One failure is enough, so every check returns whether to go on.
class Checker {
public:
  Checker(const moert_call &call, const moert_signature &signature,
          DLDevice device, std::string &error)
      : call(call), signature(signature), device(device), error(error) {
    axes.fill(-1);
  }

  bool checkValues() const;
  bool checkLists() const;
  bool checkTensors();
  bool checkTokens(int32_t rank, int32_t numRanks);
  bool checkWorkspace() const;
  bool checkOverlaps() const;

  const CallSizes &sizes() const { return callSizes; }

private:
  bool refuse(const std::string &message) const {
    error = std::string(signature.name) + ": " + message;
    return false;
  }
  bool refuse(const char *kind, const moert_tensor_signature &expected,
              const std::string &message) const {
    return refuse(std::string(kind) + " '" + expected.name + "' " + message);
  }

  bool checkList(const char *kind, const void *list, int64_t found,
                 int64_t expected) const;
  bool checkTensor(const char *kind, const DLTensor *tensor,
                   const moert_tensor_signature &expected);
  bool checkType(const char *kind, const DLTensor &tensor,
                 const moert_tensor_signature &expected) const;
  bool checkMemory(const char *kind, const DLTensor &tensor,
                   const moert_tensor_signature &expected) const;
  bool checkRankTokens(int32_t index, bool ofThisRank) const;
  /// Adds the tokens of one more rank to the call's sizes.
  bool addRankTokens(int64_t count);

  /// Whether the shape is as expected; takes the sizes of axes from it if it
  /// is.
  bool acceptShape(const DLTensor &tensor,
                   const moert_tensor_signature &expected);
  std::string expectedShape(const moert_tensor_signature &expected) const;

  /// Refuses `self`, which lies in `range`, if an input or one of the first
  /// `numOutputs` outputs lies there too.
  bool checkAlone(const std::string &self, ByteRange range,
                  int64_t numOutputs) const;

  const moert_call &call;
  const moert_signature &signature;
  const DLDevice device;
  std::string &error;

  // What the tensors so far agree on; -1: none has said.
  int64_t tokens = -1;
  std::array<int64_t, MOERT_MAX_AXES> axes;
  CallSizes callSizes;
};

} // namespace

static long long printable(int64_t value) { return value; }

/// The axis of the signature that a dimension stands for.
static size_t axisOf(int64_t dim) { return size_t(MOERT_DIM_AXIS(dim)); }

/// The bytes of a tensor; false if they are more than can be addressed.
static bool findBytes(const DLTensor &tensor, uint64_t &bytes) {
  bytes = 0;
  // An empty tensor is empty, however large its other dimensions are.
  for (int32_t i = 0; i < tensor.ndim; ++i)
    if (tensor.shape[i] == 0)
      return true;
  uint64_t bits = uint64_t(tensor.dtype.bits) * tensor.dtype.lanes;
  for (int32_t i = 0; i < tensor.ndim; ++i)
    if (__builtin_mul_overflow(bits, uint64_t(tensor.shape[i]), &bits))
      return false;
  bytes = bits / 8 + (bits % 8 != 0);
  return bytes <= uint64_t(PTRDIFF_MAX);
}

/// Where a tensor whose memory was checked lies.
static ByteRange findRange(const DLTensor &tensor) {
  uint64_t bytes;
  findBytes(tensor, bytes);
  uintptr_t begin =
      reinterpret_cast<uintptr_t>(tensor.data) + tensor.byte_offset;
  return {begin, begin + bytes};
}

/// The stride of dimension `index` in a compact row-major tensor.
static int64_t compactStride(const DLTensor &tensor, int32_t index) {
  int64_t stride = 1;
  for (int32_t i = index + 1; i < tensor.ndim; ++i)
    if (__builtin_mul_overflow(stride, tensor.shape[i], &stride))
      return INT64_MAX;
  return stride;
}

/// Whether no strides, or the compact row-major ones, are given. Strides that
/// no element uses may be anything: those of dimensions with one entry, and of
/// empty tensors.
static bool isCompact(const DLTensor &tensor) {
  if (!tensor.strides)
    return true;
  for (int32_t i = 0; i < tensor.ndim; ++i)
    if (tensor.shape[i] == 0)
      return true;
  for (int32_t i = 0; i < tensor.ndim; ++i)
    if (tensor.shape[i] != 1 && tensor.strides[i] != compactStride(tensor, i))
      return false;
  return true;
}

static std::string compactStrides(const DLTensor &tensor) {
  std::string text = "[";
  for (int32_t i = 0; i < tensor.ndim; ++i)
    text += (i ? ", " : "") + std::to_string(compactStride(tensor, i));
  return text + "]";
}

bool Checker::checkList(const char *kind, const void *list, int64_t found,
                        int64_t expected) const {
  if (found != expected)
    return refuse(format("got %lld %ss, expected %lld", printable(found), kind,
                         printable(expected)));
  if (expected > 0 && !list)
    return refuse(format("the list of %ss is null, expected %lld tensors", kind,
                         printable(expected)));
  return true;
}

bool Checker::checkValues() const {
  if (call.num_values < 0)
    return refuse(
        format("num_values is %d, expected 0 or more", call.num_values));
  if (call.num_values > 0 && !call.values)
    return refuse(
        format("values is null, expected %d entries", call.num_values));
  for (int32_t i = 0; i < call.num_values; ++i)
    if (!call.values[i].name)
      return refuse(format("values[%d] has no name", i));
  return true;
}

bool Checker::checkLists() const {
  if (signature.num_axes < 0 || signature.num_axes > MOERT_MAX_AXES) {
    error = "expected a signature of at most " +
            std::to_string(MOERT_MAX_AXES) + " axes but got " +
            std::to_string(signature.num_axes);
    return false;
  }
  return checkList("input", call.inputs, call.num_inputs,
                   signature.num_inputs) &&
         checkList("output", call.outputs, call.num_outputs,
                   signature.num_outputs);
}

bool Checker::checkTensors() {
  for (int64_t i = 0; i < signature.num_inputs; ++i)
    if (!checkTensor("input", call.inputs[i], signature.inputs[i]))
      return false;
  for (int64_t i = 0; i < signature.num_outputs; ++i)
    if (!checkTensor("output", call.outputs[i], signature.outputs[i]))
      return false;
  return true;
}

bool Checker::checkTensor(const char *kind, const DLTensor *tensor,
                          const moert_tensor_signature &expected) {
  if (!tensor)
    return refuse(kind, expected, "is null, expected a tensor");
  if (!checkType(kind, *tensor, expected))
    return false;
  if (!acceptShape(*tensor, expected)) {
    int32_t rank = tensor->shape ? std::max(0, tensor->ndim) : 0;
    return refuse(kind, expected,
                  "has shape " + listText(tensor->shape, rank) + ", expected " +
                      expectedShape(expected));
  }
  if (!isCompact(*tensor))
    return refuse(kind, expected,
                  "has strides " + listText(tensor->strides, tensor->ndim) +
                      ", expected " + compactStrides(*tensor) +
                      ", the row-major contiguous ones");
  return checkMemory(kind, *tensor, expected);
}

bool Checker::checkType(const char *kind, const DLTensor &tensor,
                        const moert_tensor_signature &expected) const {
  // The caller's value may be none of the enumeration that we build with.
  int32_t found;
  static_assert(sizeof(found) == sizeof(tensor.device.device_type));
  std::memcpy(&found, &tensor.device.device_type, sizeof(found));
  // There is one CPU, whatever number it is given.
  if (found != device.device_type ||
      (found != kDLCPU && tensor.device.device_id != device.device_id))
    return refuse(kind, expected,
                  "is on device " + deviceName(found, tensor.device.device_id) +
                      ", expected " +
                      deviceName(device.device_type, device.device_id));
  const DLDataType &dtype = tensor.dtype;
  if (dtype.code != expected.dtype_code || dtype.bits != expected.dtype_bits ||
      dtype.lanes != expected.dtype_lanes)
    return refuse(kind, expected,
                  "has dtype " +
                      dtypeName(dtype.code, dtype.bits, dtype.lanes) +
                      ", expected " +
                      dtypeName(expected.dtype_code, expected.dtype_bits,
                                expected.dtype_lanes));
  return true;
}

bool Checker::acceptShape(const DLTensor &tensor,
                          const moert_tensor_signature &expected) {
  if (tensor.ndim != expected.rank || (tensor.ndim > 0 && !tensor.shape))
    return false;
  int64_t newTokens = tokens;
  std::array<int64_t, MOERT_MAX_AXES> newAxes = axes;
  for (int32_t i = 0; i < expected.rank; ++i) {
    int64_t found = tensor.shape[i];
    int64_t dim = expected.dims[i];
    if (found < 0)
      return false;
    if (dim < 0) {
      int64_t &known =
          dim == MOERT_DIM_TOKENS ? newTokens : newAxes[axisOf(dim)];
      if (known >= 0 && known != found)
        return false;
      known = found;
    } else if (dim != found) {
      return false;
    }
  }
  tokens = newTokens;
  axes = newAxes;
  return true;
}

std::string
Checker::expectedShape(const moert_tensor_signature &expected) const {
  std::string shape;
  std::string settled;
  auto add = [&](const char *symbol, int64_t value) {
    shape += symbol;
    // What earlier tensors have settled belongs to the expectation.
    std::string text = std::string(symbol) + " = " + std::to_string(value);
    if (value >= 0 && settled.find(text) == std::string::npos)
      settled += (settled.empty() ? " with " : " and ") + text;
  };
  for (int32_t i = 0; i < expected.rank; ++i) {
    if (i)
      shape += ", ";
    if (expected.dims[i] == MOERT_DIM_TOKENS)
      add("T", tokens);
    else if (expected.dims[i] < 0)
      add(signature.axes[axisOf(expected.dims[i])],
          axes[axisOf(expected.dims[i])]);
    else
      shape += std::to_string(expected.dims[i]);
  }
  return "[" + shape + "]" + settled;
}

bool Checker::checkMemory(const char *kind, const DLTensor &tensor,
                          const moert_tensor_signature &expected) const {
  uint64_t bytes;
  uintptr_t begin, end;
  if (!findBytes(tensor, bytes) ||
      __builtin_add_overflow(reinterpret_cast<uintptr_t>(tensor.data),
                             tensor.byte_offset, &begin) ||
      __builtin_add_overflow(begin, bytes, &end))
    return refuse(
        kind, expected,
        "has shape " + listText(tensor.shape, tensor.ndim) +
            format(" and byte offset %llu, expected a tensor that "
                   "the address space can hold",
                   static_cast<unsigned long long>(tensor.byte_offset)));
  if (bytes == 0)
    return true;
  if (!tensor.data)
    return refuse(kind, expected,
                  format("has null data, expected %llu bytes",
                         static_cast<unsigned long long>(bytes)));
  // Kernels of a GPU move 16 bytes at once.
  unsigned alignment =
      std::max(device.device_type == kDLCPU ? 1 : 16, expected.dtype_bits / 8);
  unsigned past = begin % alignment;
  if (past)
    return refuse(kind, expected,
                  format("starts %u bytes past an aligned address, expected "
                         "alignment to %u bytes",
                         past, alignment));
  return true;
}

bool Checker::checkRankTokens(int32_t index, bool ofThisRank) const {
  int64_t count = call.tokens_per_rank[index];
  if (ofThisRank && count != tokens)
    return refuse(format("tokens_per_rank[%d] is %lld, expected %lld, the rows "
                         "of this rank's tensors",
                         index, printable(count), printable(tokens)));
  if (count < 0)
    return refuse(format("tokens_per_rank[%d] is %lld, expected 0 or more",
                         index, printable(count)));
  if (signature.max_tokens >= 0 && count > signature.max_tokens)
    return refuse(format("tokens_per_rank[%d] is %lld, expected at most %lld",
                         index, printable(count),
                         printable(signature.max_tokens)));
  return true;
}

bool Checker::addRankTokens(int64_t count) {
  if (__builtin_add_overflow(callSizes.totalTokens, count,
                             &callSizes.totalTokens))
    return refuse("the sum of tokens_per_rank overflows, expected less than "
                  "2^63");
  callSizes.maxTokens = std::max(callSizes.maxTokens, count);
  return true;
}

bool Checker::checkTokens(int32_t rank, int32_t numRanks) {
  // A program that was compiled for one size has no dimension that says it.
  if (tokens < 0)
    tokens = std::max<int64_t>(0, signature.max_tokens);
  if (signature.max_tokens >= 0 && tokens > signature.max_tokens)
    return refuse(format("got %lld tokens on this rank, expected at most %lld",
                         printable(tokens), printable(signature.max_tokens)));
  callSizes = {tokens, 0, 0};
  if (!call.tokens_per_rank)
    return numRanks == 1 ? addRankTokens(tokens)
                         : refuse(format("tokens_per_rank is null, expected %d "
                                         "entries",
                                         numRanks));
  for (int32_t i = 0; i < numRanks; ++i)
    if (!checkRankTokens(i, i == rank) ||
        !addRankTokens(call.tokens_per_rank[i]))
      return false;
  return true;
}

bool Checker::checkWorkspace() const {
  constexpr unsigned alignment = 256;
  size_t needed = signature.workspace_size
                      ? signature.workspace_size(tokens, callSizes.totalTokens)
                      : 0;
  if (needed > 0 && !call.workspace)
    return refuse(format("the workspace is null, expected %zu bytes", needed));
  if (call.workspace_bytes < needed)
    return refuse(format("the workspace has %zu bytes, expected at least %zu "
                         "for %lld tokens on this rank and %lld on all",
                         call.workspace_bytes, needed, printable(tokens),
                         printable(callSizes.totalTokens)));
  uintptr_t begin = reinterpret_cast<uintptr_t>(call.workspace);
  unsigned past = begin % alignment;
  if (past)
    return refuse(format("the workspace starts %u bytes past an aligned "
                         "address, expected alignment to %u bytes",
                         past, alignment));
  uintptr_t end;
  if (call.workspace &&
      __builtin_add_overflow(begin, call.workspace_bytes, &end))
    return refuse(format("the workspace has %zu bytes, expected a size that "
                         "the address space can hold",
                         call.workspace_bytes));
  return true;
}

bool Checker::checkAlone(const std::string &self, ByteRange range,
                         int64_t numOutputs) const {
  for (int64_t i = 0; i < signature.num_inputs; ++i)
    if (range.overlaps(findRange(*call.inputs[i])))
      return refuse(self + " overlaps input '" + signature.inputs[i].name +
                    "', expected memory of its own");
  for (int64_t i = 0; i < numOutputs; ++i)
    if (range.overlaps(findRange(*call.outputs[i])))
      return refuse(self + " overlaps output '" + signature.outputs[i].name +
                    "', expected memory of its own");
  return true;
}

bool Checker::checkOverlaps() const {
  for (int64_t i = 0; i < signature.num_outputs; ++i)
    if (!checkAlone(std::string("output '") + signature.outputs[i].name + "'",
                    findRange(*call.outputs[i]), i))
      return false;
  if (!call.workspace)
    return true;
  uintptr_t begin = reinterpret_cast<uintptr_t>(call.workspace);
  return checkAlone("the workspace", {begin, begin + call.workspace_bytes},
                    signature.num_outputs);
}

moert_status moert::checkCall(const moert_call &call,
                              const moert_signature &signature, DLDevice device,
                              int32_t rank, int32_t numRanks, CallSizes &sizes,
                              std::string &error) {
  if (signature.device_type != device.device_type)
    return fail(
        error, MOERT_UNSUPPORTED,
        format("%s: was compiled for device %s, expected %s, where "
               "this context runs",
               signature.name, deviceName(signature.device_type, 0).c_str(),
               deviceName(device.device_type, device.device_id).c_str()));
  if (call.stream && device.device_type == kDLCPU)
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("%s: the stream is not null, expected null on the cpu",
                       signature.name));
  if (signature.num_ranks != numRanks)
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("%s: the context has %d ranks, expected %lld",
                       signature.name, numRanks,
                       printable(signature.num_ranks)));
  Checker checker(call, signature, device, error);
  if (!checker.checkValues() || !checker.checkLists() ||
      !checker.checkTensors() || !checker.checkTokens(rank, numRanks) ||
      !checker.checkWorkspace() || !checker.checkOverlaps())
    return MOERT_INVALID_ARGUMENT;
  sizes = checker.sizes();
  return MOERT_SUCCESS;
}
