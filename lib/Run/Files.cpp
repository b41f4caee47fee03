//===- Files.cpp - Tensors from and to files ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Files.h"

#include "moe-mlir/Import/WeightLoader.h"

#include <algorithm>

using namespace moe;
using namespace moe::run;

static std::optional<DType> fromFile(moert::DType dtype) {
  switch (dtype) {
  case moert::DType::F32:
    return DType::F32;
  case moert::DType::BF16:
    return DType::BF16;
  case moert::DType::F16:
    return DType::F16;
  case moert::DType::I32:
    return DType::I32;
  default:
    return std::nullopt;
  }
}

static moert::DType toFile(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return moert::DType::F32;
  case DType::BF16:
    return moert::DType::BF16;
  case DType::F16:
    return moert::DType::F16;
  case DType::I32:
    break;
  }
  return moert::DType::I32;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

static std::vector<TensorSpec> rowInputs(const LayerSpec &layer) {
  std::vector<TensorSpec> inputs;
  for (TensorSpec &input : layerInputs(layer))
    if (input.shape.front() == -1)
      inputs.push_back(std::move(input));
  return inputs;
}

Status RowFile::checkTensor(const moert::TensorView &tensor,
                            const TensorSpec &spec, bool convertDType) {
  const std::string name = "'" + path + "': expected '" + spec.name + "' of ";
  if (tensor.shape.size() != 2 || tensor.shape[1] != spec.shape[1])
    return badInput(name + "shape " + shapeText(spec.shape) + " but got " +
                    shapeText(tensor.shape));
  if (rows.value_or(tensor.shape[0]) != tensor.shape[0])
    return badInput(name + "shape " + shapeText({*rows, spec.shape[1]}) +
                    " but got " + shapeText(tensor.shape));
  rows = tensor.shape[0];
  std::optional<DType> found = fromFile(tensor.dtype);
  const bool isFloat = found && *found != DType::I32;
  const bool fits = spec.dtype == DType::I32
                        ? tensor.dtype == moert::DType::I32 ||
                              tensor.dtype == moert::DType::I64
                        : isFloat && (*found == spec.dtype || convertDType);
  if (!fits)
    return badInput(name + "dtype " + dtypeName(spec.dtype) + " but got " +
                    std::string(moert::info(tensor.dtype).name) +
                    (isFloat && spec.dtype != DType::I32
                         ? "; --convert-dtype converts it"
                         : ""));
  return {};
}

Status RowFile::open(const std::string &file, const LayerSpec &spec,
                     bool convertDType) {
  path = file;
  layer = &spec;
  moert::Result<moert::SafetensorsFile> opened =
      moert::SafetensorsFile::open(path);
  if (!opened)
    return badInput(opened.error());
  this->file.emplace(std::move(*opened));

  const std::vector<TensorSpec> inputs = rowInputs(*layer);
  for (const TensorSpec &input : inputs) {
    const moert::TensorView *tensor = this->file->find(input.name);
    if (!tensor)
      return badInput("'" + path + "': missing tensor '" + input.name +
                      "': expected shape " + shapeText(input.shape));
    MOE_TRY(checkTensor(*tensor, input, convertDType));
  }
  for (const moert::TensorView &tensor : this->file->tensors()) {
    if (std::any_of(inputs.begin(), inputs.end(), [&](const auto &input) {
          return input.name == tensor.name;
        }))
      continue;
    if (const TensorInfo *known = findTensor(tensor.name);
        known && known->role == TensorRole::Input && known->isPerToken())
      return badInput("'" + path + "': '" + tensor.name +
                      "' cannot be used: '" + layer->name +
                      "' has a router, which chooses the experts itself");
    return badInput("'" + path + "': unexpected tensor '" + tensor.name + "'");
  }
  return {};
}

/// Expert ids of either integer type, each checked: kernels index with them.
static Status readIds(const moert::TensorView &tensor, const std::string &path,
                      int64_t numRouted, HostTensor &ids) {
  for (int64_t i = 0; i < ids.numElements(); ++i) {
    int64_t id = 0;
    // In a file, numbers may lie at any address.
    if (tensor.dtype == moert::DType::I64) {
      std::memcpy(&id, static_cast<const char *>(tensor.data) + 8 * i, 8);
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, static_cast<const char *>(tensor.data) + 4 * i, 4);
      id = narrow;
    }
    if (id < -1 || id >= numRouted)
      return badInput("'" + path + "': expected 'topk_ids' within -1 .. " +
                      std::to_string(numRouted - 1) + " but row " +
                      std::to_string(i / ids.shape()[1]) + " has " +
                      std::to_string(id));
    ids.as<int32_t>()[i] = static_cast<int32_t>(id);
  }
  return {};
}

Status RowFile::read(std::vector<HostTensor> &tensors,
                     std::vector<std::string> &notes) const {
  for (const TensorSpec &input : rowInputs(*layer)) {
    const moert::TensorView &found = *file->find(input.name);
    HostTensor tensor(input.name, input.dtype, found.shape);
    if (input.dtype == DType::I32) {
      MOE_TRY(readIds(found, path, layer->numRouted(), tensor));
    } else {
      const DType dtype = *fromFile(found.dtype);
      // An aligned copy first, as the file's data may lie at any address.
      HostTensor copy(input.name, dtype, found.shape);
      std::memcpy(copy.data(), found.data, found.bytes);
      convertElements(dtype, copy.data(), input.dtype, tensor.data(),
                      tensor.numElements());
      if (dtype != input.dtype)
        notes.push_back("'" + input.name + "' was converted from " +
                        dtypeName(dtype) + " to " + dtypeName(input.dtype));
    }
    tensors.push_back(std::move(tensor));
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {
/// Safetensors as the packer of weights sees them.
class ModelSource : public TensorSource {
public:
  explicit ModelSource(moert::SafetensorsModel &model) : model(model) {}

  std::vector<std::string> names() const override { return model.names(); }

  Result<SourceTensor> find(const std::string &name) override {
    moert::Result<const moert::TensorView *> tensor = model.find(name);
    if (!tensor)
      return Failure{tensor.error()};
    return SourceTensor{std::string(moert::info((*tensor)->dtype).name),
                        (*tensor)->shape, (*tensor)->data};
  }

private:
  moert::SafetensorsModel &model;
};
} // namespace

static bool isWeight(const TensorSpec &input) {
  return input.shape.front() != -1;
}

/// Every input from the tensor of its own name.
static WeightMap mapByInput(const LayerSpec &layer) {
  WeightMap map;
  for (const TensorSpec &input : layerInputs(layer))
    if (isWeight(input))
      map.sources.push_back({input.name, {{{input.name}, WeightLayout::Rows}}});
  return map;
}

/// Whether the file has the layer's inputs under their own names.
static bool holdsInputs(const moert::SafetensorsModel &model,
                        const LayerSpec &layer) {
  for (const TensorSpec &input : layerInputs(layer))
    if (isWeight(input) && model.contains(input.name))
      return true;
  return false;
}

Status moe::run::readWeights(const std::string &path,
                             const Descriptor &descriptor, bool convertDType,
                             std::vector<HostTensor> &tensors,
                             std::vector<std::string> &notes) {
  moert::Result<moert::SafetensorsModel> model =
      moert::SafetensorsModel::open(path);
  if (!model)
    return badInput(model.error());
  const LayerSpec &layer = descriptor.layer;
  const bool byInput = !descriptor.weights || holdsInputs(*model, layer);
  ModelSource source(*model);
  LoadOptions options;
  options.convertDType = convertDType;
  Result<LoadedWeights> loaded =
      loadWeights(layer, byInput ? mapByInput(layer) : *descriptor.weights,
                  source, options);
  if (!loaded)
    return badInput("'" + path + "': " + loaded.error());
  for (HostTensor &tensor : loaded->tensors)
    tensors.push_back(std::move(tensor));
  notes.insert(notes.end(), loaded->notes.begin(), loaded->notes.end());
  return {};
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

Status moe::run::writeOutput(const std::string &path, const HostTensor &output,
                             const HostTensor *expertLoad) {
  std::vector<moert::TensorView> views;
  for (const HostTensor *tensor : {&output, expertLoad}) {
    if (!tensor)
      continue;
    moert::TensorView &view = views.emplace_back();
    view.name = tensor->name();
    view.dtype = toFile(tensor->dtype());
    view.shape = tensor->shape();
    view.data = tensor->data();
    view.bytes = static_cast<size_t>(tensor->numBytes());
  }
  moert::Result<void> written = moert::writeSafetensors(path, views);
  if (!written)
    return failed(written.error());
  return {};
}
