//===- Tensors.cpp - What a layer takes and gives -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Layer/Tensors.h"
#include <algorithm>

using namespace moe;

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {
struct AxisInfo {
  const char *symbol;
  Sharding sharding;
  int64_t (*blocks)(const LayerSpec &spec);
  int64_t (*width)(const LayerSpec &spec, const SignatureOptions &options);
};

struct Names {
  Names(const char *name) : gated(name), plain(name) {}
  Names(const char *gated, const char *plain) : gated(gated), plain(plain) {}
  const char *gated, *plain;
};

struct Axes {
  template <typename... Rest>
  Axes(Rest... list) : rank(sizeof...(list)), axes{list...} {}
  size_t rank;
  std::array<Axis, 3> axes;
};

// The rows name axes by their enumerators alone.
#define MOE_AXIS(ID, SYMBOL, BLOCKS, WIDTH, SHARDING)                          \
  constexpr Axis ID = Axis::ID;
#include "moe-mlir/Layer/Tensors.def"
} // namespace

static const AxisInfo &getInfo(Axis axis) {
  static const AxisInfo table[] = {
#define MOE_AXIS(ID, SYMBOL, BLOCKS, WIDTH, SHARDING)                          \
  {SYMBOL, Sharding::SHARDING,                                                 \
   [](const LayerSpec &spec) -> int64_t { return BLOCKS; },                    \
   [](const LayerSpec &spec, const SignatureOptions &options) -> int64_t {     \
     return WIDTH;                                                             \
   }},
#include "moe-mlir/Layer/Tensors.def"
  };
  return table[static_cast<size_t>(axis)];
}

static TensorInfo makeRow(TensorId id, const Names &names, TensorRole role,
                          TensorContent content, TensorElement element,
                          const Axes &axes, decltype(TensorInfo::present) has) {
  return {id,      names.gated, names.plain, role, content,
          element, axes.rank,   axes.axes,   has};
}

const std::vector<TensorInfo> &moe::allTensors() {
  static const std::vector<TensorInfo> table = {
#define MOE_TENSOR(ID, NAMES, ROLE, CONTENT, ELEMENT, AXES, PRESENT)           \
  makeRow(TensorId::ID, Names NAMES, TensorRole::ROLE, TensorContent::CONTENT, \
          TensorElement::ELEMENT, Axes AXES,                                   \
          [](const LayerSpec &spec, const SignatureOptions &options) -> bool { \
            return PRESENT;                                                    \
          }),
#include "moe-mlir/Layer/Tensors.def"
  };
  return table;
}

const TensorInfo &moe::getTensor(TensorId id) {
  return allTensors()[static_cast<size_t>(id)];
}

const TensorInfo *moe::findTensor(std::string_view name) {
  for (const TensorInfo &tensor : allTensors())
    if (name == tensor.gatedName || name == tensor.plainName)
      return &tensor;
  return nullptr;
}

const char *moe::getName(TensorId id, const ActivationSpec &activation) {
  const TensorInfo &tensor = getTensor(id);
  return activation.isGated() ? tensor.gatedName : tensor.plainName;
}

const char *moe::getSymbol(Axis axis) { return getInfo(axis).symbol; }

Sharding moe::getSharding(Axis axis) { return getInfo(axis).sharding; }

bool TensorInfo::hasAxis(Axis axis) const {
  return std::find(axes.begin(), axes.begin() + rank, axis) !=
         axes.begin() + rank;
}

bool TensorInfo::isAddedOnce() const {
  auto isShared = [](Axis axis) {
    return getSharding(axis) == Sharding::Width;
  };
  return content == TensorContent::Bias && isPerExpert() &&
         std::none_of(axes.begin(), axes.begin() + rank, isShared);
}

//===----------------------------------------------------------------------===//
// Signatures
//===----------------------------------------------------------------------===//

static DType getDType(TensorElement element, const LayerSpec &spec) {
  switch (element) {
  case TensorElement::Layer:
  case TensorElement::Weight:
    return spec.dtype;
  case TensorElement::F32:
    return DType::F32;
  case TensorElement::I32:
    return DType::I32;
  }
  return spec.dtype;
}

TensorSpec moe::getTensorSpec(TensorId id, const LayerSpec &spec,
                              const SignatureOptions &options) {
  const TensorInfo &tensor = getTensor(id);
  TensorSpec result{
      getName(id, spec.activation), getDType(tensor.element, spec), {}};
  for (size_t i = 0; i < tensor.rank; ++i) {
    const AxisInfo &axis = getInfo(tensor.axes[i]);
    result.shape.push_back(axis.blocks(spec) * axis.width(spec, options));
  }
  return result;
}

std::vector<TensorId> moe::getSignature(TensorRole role, const LayerSpec &spec,
                                        const SignatureOptions &options) {
  std::vector<TensorId> ids;
  for (const TensorInfo &tensor : allTensors())
    if (tensor.role == role && tensor.present(spec, options))
      ids.push_back(tensor.id);
  return ids;
}

std::vector<TensorSpec> moe::layerInputs(const LayerSpec &spec) {
  std::vector<TensorSpec> inputs;
  for (TensorId id : getSignature(TensorRole::Input, spec))
    inputs.push_back(getTensorSpec(id, spec));
  return inputs;
}

TensorSpec moe::layerOutput(const LayerSpec &spec) {
  return getTensorSpec(TensorId::Output, spec);
}

std::string moe::shapeText(const std::vector<int64_t> &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i)
      text += ", ";
    text += shape[i] == -1 ? "T" : std::to_string(shape[i]);
  }
  return text + "]";
}

//===----------------------------------------------------------------------===//
// Shares of ranks
//===----------------------------------------------------------------------===//

std::vector<IndexRange> moe::getLocalRanges(Axis axis, const LayerSpec &spec,
                                            const SignatureOptions &options,
                                            const RankShares &shares) {
  const AxisInfo &info = getInfo(axis);
  Share share;
  if (info.sharding == Sharding::Width)
    share = shares.width;
  else if (info.sharding == Sharding::SharedWidth)
    share = shares.sharedWidth;
  const int64_t width = info.width(spec, options);
  const int64_t part = width / share.count;
  std::vector<IndexRange> ranges;
  for (int64_t block = 0; block < info.blocks(spec); ++block)
    ranges.push_back({block * width + share.index * part, part});
  return ranges;
}

std::vector<int64_t> moe::getLocalShape(TensorId id, const LayerSpec &spec,
                                        const SignatureOptions &options,
                                        const RankShares &shares) {
  const TensorInfo &tensor = getTensor(id);
  std::vector<int64_t> shape;
  for (size_t i = 0; i < tensor.rank; ++i) {
    int64_t size = 0;
    switch (getSharding(tensor.axes[i])) {
    case Sharding::Rows:
      size = -1;
      break;
    case Sharding::Experts:
      size = shares.numExperts;
      break;
    case Sharding::None:
    case Sharding::Width:
    case Sharding::SharedWidth:
      for (IndexRange range :
           getLocalRanges(tensor.axes[i], spec, options, shares))
        size += range.count;
      break;
    }
    shape.push_back(size);
  }
  return shape;
}
