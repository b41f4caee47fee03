//===- RandomInputs.cpp - Deterministic inputs for a layer ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/RandomInputs.h"
#include "moe-mlir/Reference/Parallel.h"
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

using namespace moe;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit
/// numbers whose outputs for consecutive inputs look independent.
static inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// One key for each tensor: FNV-1a of its name, mixed with the seed.
static uint64_t keyOf(uint64_t seed, const std::string &name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix(hash ^ mix(seed));
}

/// The sum of four uniform 16-bit numbers less its mean, times 1/2^16: variance
/// 4/12 up to 2^-32, integers up to the last step, so equal on all machines.
static inline float nearlyNormal(uint64_t key, int64_t index) {
  uint64_t bits = mix(key + static_cast<uint64_t>(index));
  int32_t sum = static_cast<int32_t>(bits & 0xffff) +
                static_cast<int32_t>(bits >> 16 & 0xffff) +
                static_cast<int32_t>(bits >> 32 & 0xffff) +
                static_cast<int32_t>(bits >> 48);
  return static_cast<float>(sum - 2 * 0xffff);
}

static void fillNormal(ThreadPool &pool, HostTensor &tensor, uint64_t key,
                       double deviation) {
  constexpr int64_t chunk = 1 << 16, piece = 1 << 10;
  // Square roots and single products are correctly rounded everywhere.
  const float scale = static_cast<float>(deviation * std::sqrt(3.0) / 65536.0);
  const int64_t count = tensor.numElements();
  const int64_t size = dtypeBytes(tensor.dtype());
  pool.forEach((count + chunk - 1) / chunk, [&](int64_t task) {
    const int64_t end = std::min(count, (task + 1) * chunk);
    float values[piece];
    for (int64_t first = task * chunk; first < end; first += piece) {
      const int64_t n = std::min(piece, end - first);
      for (int64_t i = 0; i < n; ++i)
        values[i] = nearlyNormal(key, first + i) * scale;
      convertElements(DType::F32, values, tensor.dtype(),
                      tensor.as<char>() + first * size, n);
    }
  });
}

/// Distinct ids for each row: the first k of a random permutation.
static void fillIds(HostTensor &ids, uint64_t key, int64_t numRouted) {
  const int64_t T = ids.shape()[0], k = ids.shape()[1];
  std::vector<int32_t> pool(numRouted);
  for (int64_t row = 0; row < T; ++row) {
    for (int64_t i = 0; i < numRouted; ++i)
      pool[i] = static_cast<int32_t>(i);
    for (int64_t slot = 0; slot < k; ++slot) {
      uint64_t random = mix(key + static_cast<uint64_t>(row * k + slot)) >> 32;
      std::swap(pool[slot], pool[slot + random % (numRouted - slot)]);
      ids.as<int32_t>()[row * k + slot] = pool[slot];
    }
  }
}

/// Between 0.5/k and 1.5/k.
static void fillWeights(HostTensor &weights, uint64_t key) {
  const float k = static_cast<float>(weights.shape()[1]);
  for (int64_t i = 0; i < weights.numElements(); ++i) {
    float uniform =
        static_cast<float>(mix(key + static_cast<uint64_t>(i)) >> 40) *
        0x1p-24f;
    weights.as<float>()[i] = (uniform + 0.5f) / k;
  }
}

HostTensor moe::randomInput(const LayerSpec &spec, const TensorSpec &input,
                            int64_t T, uint64_t seed) {
  std::vector<int64_t> shape = input.shape;
  for (int64_t &dim : shape)
    if (dim == -1)
      dim = T;
  const std::string &name = input.name;
  const uint64_t key = keyOf(seed, name);
  const int64_t fanIn = shape.back();
  HostTensor tensor(name, input.dtype, std::move(shape));
  ThreadPool pool;
  const TensorInfo *info = findTensor(name);
  switch (info ? info->content : TensorContent::Matrix) {
  case TensorContent::States:
    fillNormal(pool, tensor, key, 1.0);
    break;
  case TensorContent::Matrix:
    fillNormal(pool, tensor, key, 1 / std::sqrt(double(fanIn)));
    break;
  case TensorContent::Bias:
    fillNormal(pool, tensor, key, 0.1);
    break;
  case TensorContent::Choices:
    fillIds(tensor, key, spec.numRouted());
    break;
  case TensorContent::ChoiceWeights:
    fillWeights(tensor, key);
    break;
  case TensorContent::Placement:
  case TensorContent::Load:
    assert(false && "what the call itself keeps is not random");
  }
  return tensor;
}

std::vector<HostTensor> moe::randomInputs(const LayerSpec &spec, int64_t T,
                                          uint64_t seed) {
  std::vector<HostTensor> tensors;
  for (const TensorSpec &input : layerInputs(spec))
    tensors.push_back(randomInput(spec, input, T, seed));
  return tensors;
}

/// Replaces the first element of a row.
static void setFirst(HostTensor &matrix, int64_t row, float value) {
  const int64_t rowBytes = matrix.shape()[1] * dtypeBytes(matrix.dtype());
  convertElements(DType::F32, &value, matrix.dtype(),
                  matrix.as<char>() + row * rowBytes, 1);
}

void moe::skewHiddenStates(HostTensor &hiddenStates) {
  for (int64_t row = 0; row < hiddenStates.shape()[0]; ++row)
    setFirst(hiddenStates, row, 1.0f);
}

void moe::skewRouter(HostTensor &routerWeight, double exponent, uint64_t seed) {
  const uint64_t key = keyOf(seed, "popularity");
  std::vector<int64_t> order(routerWeight.shape()[0]);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return mix(key + uint64_t(a)) < mix(key + uint64_t(b));
  });
  for (size_t i = 0; i < order.size(); ++i)
    setFirst(routerWeight, order[i],
             static_cast<float>(-exponent * std::log(double(i + 1))));
}
