//===- WeightLoader.cpp - Checkpoint tensors to layer inputs --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/WeightLoader.h"
#include "moe-mlir/Reference/Parallel.h"
#include <algorithm>
#include <map>
#include <optional>
#include <set>

using namespace moe;

TensorSource::~TensorSource() = default;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

namespace {
/// Where a name such as `model.layers.3.mlp.gate.weight` has its layer.
struct LayerName {
  int64_t layer;
  size_t end; // of "layers.3."
};

/// The tensors of the MoE module: their names inside it, and what stands in
/// front of them in the file.
struct Module {
  std::string prefix;
  std::set<std::string> names;
};
} // namespace

static std::optional<LayerName> findLayer(const std::string &name) {
  const std::string word = "layers.";
  for (size_t at = name.find(word); at != std::string::npos;
       at = name.find(word, at + 1)) {
    if (at != 0 && name[at - 1] != '.')
      continue;
    size_t digits = at + word.size(), end = digits;
    int64_t layer = 0;
    while (end < name.size() && end < digits + 9 && name[end] >= '0' &&
           name[end] <= '9')
      layer = layer * 10 + (name[end++] - '0');
    if (end > digits && end < name.size() && name[end] == '.')
      return LayerName{layer, end + 1};
  }
  return std::nullopt;
}

static bool startsWith(const std::string &text, const std::string &start) {
  return text.compare(0, start.size(), start) == 0;
}

static std::string expandExpert(const std::string &pattern, int64_t expert) {
  size_t at = pattern.find("{e}");
  if (at == std::string::npos)
    return pattern;
  return pattern.substr(0, at) + std::to_string(expert) +
         pattern.substr(at + 3);
}

/// Checkpoints hold further modules with layers of their own (vision towers,
/// predictors of further tokens); the language model is one of these.
static bool isMainModel(const std::string &prefix) {
  return startsWith(prefix, "layers.") || startsWith(prefix, "model.") ||
         startsWith(prefix, "backbone.") ||
         prefix.find(".model.") != std::string::npos ||
         startsWith(prefix, "language_model.");
}

/// Whether the module has the router, or any other weight that is not one
/// expert's.
static bool holdsAnyWeight(const Module &module, const WeightMap &map) {
  for (const WeightSource &source : map.sources)
    for (const WeightAlternative &alternative : source.alternatives)
      for (const std::string &name : alternative.names)
        if (module.names.count(expandExpert(name, 0)))
          return true;
  return false;
}

static std::string joinNumbers(const std::set<int64_t> &numbers) {
  std::string text;
  int count = 0;
  for (int64_t number : numbers) {
    if (++count > 10)
      return text + ", ...";
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  }
  return text;
}

static std::string quote(const std::vector<std::string> &names,
                         size_t limit = 8) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < limit; ++i)
    text += (text.empty() ? "'" : ", '") + names[i] + "'";
  if (names.size() > limit)
    text += " and " + std::to_string(names.size() - limit) + " more";
  return text;
}

static Result<Module> findModule(const WeightMap &map,
                                 const TensorSource &source) {
  std::map<std::string, Module> layered, named;
  std::set<int64_t> layers;
  Module bare;
  const std::vector<std::string> names = source.names();
  for (const std::string &name : names) {
    std::optional<LayerName> layer = findLayer(name);
    if (layer)
      layers.insert(layer->layer);
    else
      bare.names.insert(name);
    if (layer && layer->layer != map.layer)
      continue;
    size_t begin = layer ? layer->end : 0;
    for (const std::string &moduleName : map.modules) {
      if (name.compare(begin, moduleName.size() + 1, moduleName + ".") != 0)
        continue;
      size_t end = begin + moduleName.size() + 1;
      std::string prefix = name.substr(0, end);
      Module &module = layer ? layered[prefix] : named[prefix];
      module.prefix = prefix;
      module.names.insert(name.substr(end));
    }
  }
  std::vector<Module> found;
  for (auto &[prefix, module] : layers.empty() ? named : layered)
    if (holdsAnyWeight(module, map))
      found.push_back(std::move(module));
  if (found.size() > 1) {
    auto main = std::stable_partition(
        found.begin(), found.end(),
        [](const Module &module) { return isMainModel(module.prefix); });
    if (main != found.begin())
      found.erase(main, found.end());
  }
  if (found.size() > 1) {
    std::vector<std::string> prefixes;
    for (const Module &module : found)
      prefixes.push_back(module.prefix);
    return Failure{"expected one MoE module of layer " +
                   std::to_string(map.layer) +
                   " but got several: " + quote(prefixes)};
  }
  if (found.size() == 1)
    return std::move(found.front());
  if (layers.empty())
    return bare;
  if (!layers.count(map.layer))
    return Failure{"expected tensors of layer " + std::to_string(map.layer) +
                   " but the file holds layers " + joinNumbers(layers)};
  return Failure{"expected a MoE module " + quote(map.modules) + " in layer " +
                 std::to_string(map.layer) +
                 " but none of the file's tensors is a weight of one"};
}

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

namespace {
/// One tensor of the file, to be copied to one place of an input.
struct Part {
  SourceTensor tensor;
  DType dtype;
  int64_t expert = 0; // the first that it holds
  int64_t firstRow = 0;
};

/// How one input is put together.
struct Plan {
  TensorSpec input;
  WeightLayout layout;
  int64_t experts; // 1 for inputs without experts
  int64_t rows, columns;
  int64_t partExperts, partRows;
  std::vector<Part> parts;
};

class Planner {
public:
  Planner(const LayerSpec &spec, const WeightMap &map, const Module &module,
          TensorSource &source, const LoadOptions &options)
      : spec(spec), map(map), module(module), source(source), options(options) {
  }

  Result<Plan> plan(const TensorInfo &info);
  Status checkExtras() const;

  std::vector<std::string> notes;

private:
  Result<const WeightAlternative *> choose(const WeightSource &weight) const;
  Result<Part> findPart(const std::string &name, const TensorSpec &input,
                        const std::vector<int64_t> &shape);
  std::string hint() const {
    return map.quantization.empty()
               ? ""
               : "; weights quantized with '" + map.quantization +
                     "' cannot be loaded yet";
  }

  const LayerSpec &spec;
  const WeightMap &map;
  const Module &module;
  TensorSource &source;
  const LoadOptions &options;
  std::set<std::string> used;
  std::set<std::string> noted;
};
} // namespace

Result<const WeightAlternative *>
Planner::choose(const WeightSource &weight) const {
  std::string expected;
  for (const WeightAlternative &alternative : weight.alternatives) {
    for (const std::string &name : alternative.names)
      for (int64_t expert = 0; expert < spec.numExperts; ++expert) {
        if (module.names.count(expandExpert(name, expert)))
          return &alternative;
        if (name.find("{e}") == std::string::npos)
          break;
      }
    expected += (expected.empty() ? "" : " or ") + quote(alternative.names);
  }
  return Failure{"missing tensor for '" + weight.input + "' of layer " +
                 std::to_string(map.layer) + ": expected " + expected +
                 (module.prefix.empty() ? "" : " in '" + module.prefix + "'") +
                 hint()};
}

Result<Part> Planner::findPart(const std::string &name, const TensorSpec &input,
                               const std::vector<int64_t> &shape) {
  const std::string full = module.prefix + name;
  if (!module.names.count(name))
    return Failure{"missing tensor '" + full + "': expected shape " +
                   shapeText(shape) + " for '" + input.name + "'" + hint()};
  Result<SourceTensor> tensor = source.find(full);
  if (!tensor)
    return Failure{tensor.error()};
  used.insert(name);
  // Some families keep vectors as [1, n].
  std::vector<int64_t> found = tensor->shape;
  while (found.size() > shape.size() && found.front() == 1)
    found.erase(found.begin());
  if (found != shape)
    return Failure{"expected '" + full + "' of shape " + shapeText(shape) +
                   " but got " + shapeText(tensor->shape)};
  Part part;
  if (tensor->dtype == "F32")
    part.dtype = DType::F32;
  else if (tensor->dtype == "BF16")
    part.dtype = DType::BF16;
  else if (tensor->dtype == "F16")
    part.dtype = DType::F16;
  else
    return Failure{"expected '" + full + "' of dtype " +
                   dtypeName(input.dtype) + " but got " + tensor->dtype +
                   hint()};
  if (part.dtype != input.dtype) {
    // Inputs that are f32 in layers of any dtype lose nothing by widening.
    const bool widens = input.dtype == DType::F32 && spec.dtype != DType::F32;
    if (!options.convertDType && !widens)
      return Failure{"expected '" + full + "' of dtype " +
                     dtypeName(input.dtype) + " but got " +
                     dtypeName(part.dtype) +
                     "; conversion has to be asked for"};
    if (noted.insert(input.name).second)
      notes.push_back("'" + input.name + "' was converted from " +
                      dtypeName(part.dtype) + " to " + dtypeName(input.dtype));
  }
  part.tensor = std::move(*tensor);
  return part;
}

Result<Plan> Planner::plan(const TensorInfo &info) {
  const TensorSpec input = getTensorSpec(info.id, spec);
  auto weight = std::find_if(
      map.sources.begin(), map.sources.end(),
      [&](const WeightSource &source) { return source.input == input.name; });
  if (weight == map.sources.end())
    return Failure{"no source of '" + input.name + "' is known"};
  Result<const WeightAlternative *> chosen = choose(*weight);
  if (!chosen)
    return Failure{chosen.error()};
  const WeightAlternative &alternative = **chosen;

  Plan plan;
  plan.input = input;
  plan.layout = alternative.layout;
  const bool experts = info.isPerExpert();
  std::vector<int64_t> inner(input.shape.begin() + experts, input.shape.end());
  plan.experts = experts ? input.shape.front() : 1;
  plan.rows = inner.front();
  plan.columns = inner.size() > 1 ? inner[1] : 1;
  const int64_t numNames = static_cast<int64_t>(alternative.names.size());
  const bool inRows = plan.layout == WeightLayout::Rows;
  const bool interleaved = plan.layout == WeightLayout::Interleaved ||
                           plan.layout == WeightLayout::TransposedInterleaved;
  if ((numNames != 1 && !inRows) || plan.rows % numNames != 0 ||
      (interleaved && plan.rows % 2 != 0))
    return Failure{"the source of '" + input.name + "' with " +
                   std::to_string(numNames) + " tensors in layout '" +
                   name(plan.layout) + "' does not give " +
                   std::to_string(plan.rows) + " rows"};
  plan.partRows = plan.rows / numNames;
  inner.front() = plan.partRows;
  if (inner.size() > 1 && (plan.layout == WeightLayout::Transposed ||
                           plan.layout == WeightLayout::TransposedInterleaved))
    std::swap(inner[0], inner[1]);

  for (int64_t i = 0; i < numNames; ++i) {
    const std::string &pattern = alternative.names[i];
    const bool perExpert = experts && pattern.find("{e}") != std::string::npos;
    std::vector<int64_t> shape = inner;
    if (experts && !perExpert)
      shape.insert(shape.begin(), plan.experts);
    plan.partExperts = perExpert ? 1 : plan.experts;
    for (int64_t expert = 0; expert < plan.experts;
         expert += plan.partExperts) {
      Result<Part> part = findPart(expandExpert(pattern, expert), input, shape);
      if (!part)
        return Failure{part.error()};
      part->expert = expert;
      part->firstRow = i * plan.partRows;
      plan.parts.push_back(std::move(*part));
    }
  }
  return plan;
}

Status Planner::checkExtras() const {
  std::vector<std::string> extras;
  for (const std::string &name : module.names)
    if (!used.count(name))
      extras.push_back(module.prefix + name);
  if (extras.empty())
    return {};
  return Failure{"unexpected tensors, which no input of the layer uses: " +
                 quote(extras)};
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

/// Row of the file's matrix that becomes row `row` of `rows`: in interleaved
/// ones, even rows are the gate's and odd ones up's.
static int64_t sourceRow(WeightLayout layout, int64_t row, int64_t rows) {
  if (layout == WeightLayout::Rows || layout == WeightLayout::Transposed)
    return row;
  return row < rows / 2 ? 2 * row : 2 * (row - rows / 2) + 1;
}

/// Copies one expert's matrix of `rows` x `columns` into place.
template <typename Element>
static void permute(WeightLayout layout, int64_t rows, int64_t columns,
                    const Element *from, Element *to) {
  if (layout == WeightLayout::Interleaved) {
    for (int64_t row = 0; row < rows; ++row)
      std::copy_n(from + sourceRow(layout, row, rows) * columns, columns,
                  to + row * columns);
    return;
  }
  // Transposing in tiles keeps both sides in cache.
  constexpr int64_t tile = 32;
  for (int64_t r = 0; r < rows; r += tile)
    for (int64_t c = 0; c < columns; c += tile)
      for (int64_t row = r; row < std::min(rows, r + tile); ++row)
        for (int64_t column = c; column < std::min(columns, c + tile); ++column)
          to[row * columns + column] =
              from[column * rows + sourceRow(layout, row, rows)];
}

static HostTensor pack(ThreadPool &pool, const Plan &plan) {
  HostTensor tensor(plan.input.name, plan.input.dtype, plan.input.shape);
  const int64_t count = plan.partRows * plan.columns;
  const int64_t size = dtypeBytes(plan.input.dtype);
  pool.forEach(
      static_cast<int64_t>(plan.parts.size()) * plan.partExperts,
      [&](int64_t task) {
        const Part &part = plan.parts[task / plan.partExperts];
        const int64_t inside = task % plan.partExperts;
        const char *from = static_cast<const char *>(part.tensor.data) +
                           inside * count * dtypeBytes(part.dtype);
        char *to = tensor.as<char>() +
                   ((part.expert + inside) * plan.rows + part.firstRow) *
                       plan.columns * size;
        std::vector<char> aligned;
        if (reinterpret_cast<uintptr_t>(from) % dtypeBytes(part.dtype)) {
          aligned.assign(from, from + count * dtypeBytes(part.dtype));
          from = aligned.data();
        }
        if (plan.layout == WeightLayout::Rows) {
          convertElements(part.dtype, from, plan.input.dtype, to, count);
          return;
        }
        std::vector<char> converted(count * size);
        convertElements(part.dtype, from, plan.input.dtype, converted.data(),
                        count);
        if (size == 4)
          permute(plan.layout, plan.partRows, plan.columns,
                  reinterpret_cast<const uint32_t *>(converted.data()),
                  reinterpret_cast<uint32_t *>(to));
        else
          permute(plan.layout, plan.partRows, plan.columns,
                  reinterpret_cast<const uint16_t *>(converted.data()),
                  reinterpret_cast<uint16_t *>(to));
      });
  return tensor;
}

Result<LoadedWeights> moe::loadWeights(const LayerSpec &spec,
                                       const WeightMap &map,
                                       TensorSource &source,
                                       const LoadOptions &options) {
  if (Status status = validate(spec); !status)
    return Failure{status.error()};
  Result<Module> module = findModule(map, source);
  if (!module)
    return Failure{module.error()};
  // All is checked before anything is copied: checkpoints are large.
  Planner planner(spec, map, *module, source, options);
  std::vector<Plan> plans;
  for (TensorId id : getSignature(TensorRole::Input, spec)) {
    const TensorInfo &info = getTensor(id);
    if (!info.isWeight())
      continue;
    Result<Plan> plan = planner.plan(info);
    if (!plan)
      return Failure{plan.error()};
    plans.push_back(std::move(*plan));
  }
  if (Status status = planner.checkExtras(); !status)
    return Failure{status.error()};
  LoadedWeights loaded;
  loaded.notes = std::move(planner.notes);
  ThreadPool pool;
  for (const Plan &plan : plans)
    loaded.tensors.push_back(pack(pool, plan));
  return loaded;
}
