//===- Evaluate.cpp - The layer in float64 --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Evaluate.h"
#include "Gemm.h"
#include "moe-mlir/Reference/Parallel.h"
#include <algorithm>
#include <cmath>
#include <map>

using namespace moe;
using namespace moe::reference;

namespace {
/// The rows that an expert takes at once; bounds the memory of the
/// intermediate values.
constexpr int64_t rowsAtOnce = 1024;

class Evaluator {
public:
  Evaluator(const LayerSpec &spec, int64_t T, const EvaluateOptions &options)
      : spec(spec), T(T), options(options), pool(options.numThreads) {}

  Status bind(const std::vector<TensorView> &inputs);
  Status selectRows();
  Status route();
  void runExperts();
  void runShared();

  Evaluation takeResult() { return std::move(result); }

private:
  const TensorView *find(const std::string &name) const {
    auto found = tensors.find(name);
    return found == tensors.end() ? nullptr : found->second;
  }
  const TensorView *find(TensorId id) const {
    return find(getName(id, spec.activation));
  }
  Weights weights(TensorId id, int64_t first = 0) const {
    const TensorView *view = find(id);
    return {view->dtype, view->data, first};
  }
  int64_t numRows() const { return static_cast<int64_t>(result.rows.size()); }

  Status takeGivenIds(const int32_t *ids, const char *what);
  void scoreRows();
  void mlp(int64_t M, int64_t width, int64_t inner, const double *X,
           const Weights &up, const double *upBias, const Weights &down,
           const double *downBias, double *Y);
  void runExpert(int64_t expert, const std::vector<int64_t> &slots,
                 const double *X, double *sum);

  const LayerSpec &spec;
  int64_t T;
  const EvaluateOptions &options;
  ThreadPool pool;
  std::map<std::string, const TensorView *> tensors;
  std::vector<double> hidden; // [R, H]
  std::vector<double> logits; // [R, E + Z]
  Evaluation result;
};
} // namespace

Status Evaluator::bind(const std::vector<TensorView> &inputs) {
  for (const TensorView &input : inputs)
    if (!tensors.insert({input.name, &input}).second)
      return Failure{"input '" + input.name + "' is given twice"};
  size_t expected = 0;
  for (TensorSpec input : layerInputs(spec)) {
    const TensorView *view = find(input.name);
    if (!view)
      return Failure{"expected input '" + input.name + "' of shape " +
                     shapeText(input.shape) + " but it is missing"};
    ++expected;
    for (int64_t &dim : input.shape)
      if (dim == -1)
        dim = T;
    if (view->shape != input.shape)
      return Failure{"expected '" + input.name + "' of shape " +
                     shapeText(input.shape) + " but got " +
                     shapeText(view->shape)};
    if (view->dtype != input.dtype)
      return Failure{"expected '" + input.name + "' of dtype " +
                     dtypeName(input.dtype) + " but got " +
                     dtypeName(view->dtype)};
  }
  if (tensors.size() == expected)
    return {};
  for (const auto &known : layerInputs(spec))
    tensors.erase(known.name);
  return Failure{"input '" + tensors.begin()->first +
                 "' is none of the layer's inputs"};
}

Status Evaluator::selectRows() {
  result.rows = options.rows;
  if (result.rows.empty())
    for (int64_t row = 0; row < T; ++row)
      result.rows.push_back(row);
  for (int64_t row : result.rows)
    if (row < 0 || row >= T)
      return Failure{"expected rows within 0 .. " + std::to_string(T - 1) +
                     " but got " + std::to_string(row)};
  const TensorView *view = find(TensorId::HiddenStates);
  const int64_t H = spec.hiddenSize;
  hidden.resize(numRows() * H);
  for (int64_t r = 0; r < numRows(); ++r)
    readAsDouble(view->dtype, view->data, result.rows[r] * H, H,
                 &hidden[r * H]);
  return {};
}

/// Copies ids [T, k] of the selected rows after checking them.
Status Evaluator::takeGivenIds(const int32_t *ids, const char *what) {
  const int64_t k = spec.topK;
  for (int64_t r = 0; r < numRows(); ++r)
    for (int64_t slot = 0; slot < k; ++slot) {
      int32_t id = ids[result.rows[r] * k + slot];
      if (id < -1 || id >= spec.numRouted())
        return Failure{std::string("expected ") + what + " within -1 .. " +
                       std::to_string(spec.numRouted() - 1) + " but row " +
                       std::to_string(result.rows[r]) + " has " +
                       std::to_string(id)};
      result.ids[r * k + slot] = id;
    }
  return {};
}

/// Logits, scores and choice scores of all selected rows.
void Evaluator::scoreRows() {
  const int64_t R = numRows(), N = spec.numRouted(), H = spec.hiddenSize;
  logits.resize(R * N);
  result.scores.resize(R * N);
  result.choiceScores.resize(R * N);
  result.logitError.resize(R);

  std::vector<double> squares(hidden);
  for (double &value : squares)
    value *= value;
  std::vector<double> variances(R * N);
  multiply(pool, R, N, H, squares.data(), weights(TensorId::RouterWeight),
           variances.data(), /*squareWeights=*/true);
  multiply(pool, R, N, H, hidden.data(), weights(TensorId::RouterWeight),
           logits.data());

  std::vector<double> routerBias(N, 0.0), correctionBias(N, 0.0);
  if (spec.routing.hasRouterBias)
    readAsDouble(DType::F32, find(TensorId::RouterBias)->data, 0, N,
                 routerBias.data());
  if (spec.routing.hasCorrectionBias)
    readAsDouble(DType::F32, find(TensorId::CorrectionBias)->data, 0, N,
                 correctionBias.data());
  pool.forEach(R, [&](int64_t r) {
    double *rowLogits = &logits[r * N];
    double error = 0;
    for (int64_t e = 0; e < N; ++e) {
      rowLogits[e] += routerBias[e];
      // A float32 sum of H random products strays by about sqrt(H) roundings
      // of its root mean square partial sum, which is at most the root of the
      // summed squares.
      double stray = 4 * std::sqrt(double(H) * variances[r * N + e]) +
                     std::fabs(rowLogits[e]) + std::fabs(routerBias[e]);
      if (stray > error)
        error = stray;
    }
    result.logitError[r] = error * unitRoundoff(DType::F32);
    scoreLogits(spec, rowLogits, &result.scores[r * N]);
    for (int64_t e = 0; e < N; ++e)
      result.choiceScores[r * N + e] =
          result.scores[r * N + e] + correctionBias[e];
  });
}

Status Evaluator::route() {
  const int64_t R = numRows(), k = spec.topK, N = spec.numRouted();
  result.ids.resize(R * k);
  result.weights.resize(R * k);
  if (spec.routing.source == RoutingSource::given) {
    if (options.chosenIds)
      return Failure{"expected no chosen ids where the routing is given"};
    const auto *ids =
        static_cast<const int32_t *>(find(TensorId::TopkIds)->data);
    if (Status status = takeGivenIds(ids, getName(TensorId::TopkIds)); !status)
      return status;
    for (int64_t r = 0; r < R; ++r)
      readAsDouble(DType::F32, find(TensorId::TopkWeights)->data,
                   result.rows[r] * k, k, &result.weights[r * k]);
    return {};
  }
  if (options.chosenIds)
    if (Status status = takeGivenIds(options.chosenIds, "chosen ids"); !status)
      return status;
  scoreRows();
  pool.forEach(R, [&](int64_t r) {
    if (!options.chosenIds)
      chooseExperts(spec, &result.choiceScores[r * N], &result.ids[r * k]);
    weighExperts(spec, &logits[r * N], &result.scores[r * N],
                 &result.ids[r * k], &result.weights[r * k]);
  });
  return {};
}

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// `gate` is the only half where the activation is not gated.
static double activate(const ActivationSpec &activation, double gate,
                       double up) {
  switch (activation.kind) {
  case ActivationKind::swiglu:
    return gate * sigmoid(gate) * up;
  case ActivationKind::geglu:
    return 0.5 * gate * (1 + std::erf(gate * std::sqrt(0.5))) * up;
  case ActivationKind::geglu_tanh: {
    const double twoOverPi = 0.63661977236758134308;
    double inner =
        std::sqrt(twoOverPi) * (gate + 0.044715 * gate * gate * gate);
    return 0.5 * gate * (1 + std::tanh(inner)) * up;
  }
  case ActivationKind::swigluoai: {
    // The argument order of min and max lets a NaN through.
    double g = std::min(gate, activation.limit);
    double u = std::max(std::min(up, activation.limit), -activation.limit);
    return (u + 1) * g * sigmoid(activation.alpha * g);
  }
  case ActivationKind::relu2:
    return gate < 0 ? 0 : gate * gate;
  }
  return 0;
}

/// Y [M, width] of X [M, width]: both products of one expert of inner width
/// `inner`; a null bias is none.
void Evaluator::mlp(int64_t M, int64_t width, int64_t inner, const double *X,
                    const Weights &up, const double *upBias,
                    const Weights &down, const double *downBias, double *Y) {
  const bool gated = spec.activation.isGated();
  const int64_t upWidth = spec.numHalves() * inner;
  std::vector<double> before(M * upWidth), after(M * inner);
  multiply(pool, M, upWidth, width, X, up, before.data());
  pool.forEach(M, [&](int64_t m) {
    double *row = &before[m * upWidth];
    if (upBias)
      for (int64_t i = 0; i < upWidth; ++i)
        row[i] += upBias[i];
    for (int64_t i = 0; i < inner; ++i)
      after[m * inner + i] =
          activate(spec.activation, row[i], gated ? row[inner + i] : 0);
  });
  multiply(pool, M, width, inner, after.data(), down, Y);
  if (downBias)
    for (int64_t m = 0; m < M; ++m)
      for (int64_t i = 0; i < width; ++i)
        Y[m * width + i] += downBias[i];
}

/// Adds the weighted output of `expert` for the rows of `slots` (each r * k +
/// slot) of X [R, D] to `sum` [R, D].
void Evaluator::runExpert(int64_t expert, const std::vector<int64_t> &slots,
                          const double *X, double *sum) {
  const int64_t D = spec.expertHiddenSize(), I = spec.intermediateSize;
  const int64_t upWidth = spec.numHalves() * I;
  std::vector<double> upBias, downBias;
  if (spec.hasExpertBias) {
    upBias.resize(upWidth);
    downBias.resize(D);
    readAsDouble(spec.dtype, find(TensorId::B13)->data, expert * upWidth,
                 upWidth, upBias.data());
    readAsDouble(spec.dtype, find(TensorId::B2)->data, expert * D, D,
                 downBias.data());
  }
  const int64_t count = static_cast<int64_t>(slots.size());
  result.expertRows += count;
  for (int64_t first = 0; first < count; first += rowsAtOnce) {
    const int64_t M = std::min(rowsAtOnce, count - first);
    std::vector<double> in(M * D), out(M * D);
    for (int64_t m = 0; m < M; ++m) {
      const int64_t slot = slots[first + m];
      const double *row = X + slot / spec.topK * D;
      double factor = spec.routing.weightOnInput ? result.weights[slot] : 1.0;
      for (int64_t i = 0; i < D; ++i)
        in[m * D + i] = factor * row[i];
    }
    mlp(M, D, I, in.data(), weights(TensorId::W13, expert * upWidth * D),
        spec.hasExpertBias ? upBias.data() : nullptr,
        weights(TensorId::W2, expert * D * I),
        spec.hasExpertBias ? downBias.data() : nullptr, out.data());
    for (int64_t m = 0; m < M; ++m) {
      const int64_t slot = slots[first + m];
      double factor = spec.routing.weightOnInput ? 1.0 : result.weights[slot];
      double *row = sum + slot / spec.topK * D;
      for (int64_t i = 0; i < D; ++i)
        row[i] += factor * out[m * D + i];
    }
  }
}

/// The routed output with its scale, zero experts included.
void Evaluator::runExperts() {
  const int64_t R = numRows(), k = spec.topK, H = spec.hiddenSize;
  const int64_t D = spec.expertHiddenSize(), L = spec.latentSize;
  std::vector<std::vector<int64_t>> slots(spec.numRouted());
  for (int64_t slot = 0; slot < R * k; ++slot)
    if (result.ids[slot] >= 0)
      slots[result.ids[slot]].push_back(slot);

  std::vector<double> latent;
  if (L) {
    latent.resize(R * L);
    multiply(pool, R, L, H, hidden.data(), weights(TensorId::LatentIn),
             latent.data());
  }
  std::vector<double> sum(R * D, 0.0);
  // Experts in order, threads inside: the order of summation is fixed.
  for (int64_t expert = 0; expert < spec.numExperts; ++expert)
    if (!slots[expert].empty())
      runExpert(expert, slots[expert], L ? latent.data() : hidden.data(),
                sum.data());
  result.output = std::move(sum);
  if (L) {
    std::vector<double> wide(R * H);
    multiply(pool, R, H, L, result.output.data(), weights(TensorId::LatentOut),
             wide.data());
    result.output = std::move(wide);
  }
  for (int64_t id = spec.numExperts; id < spec.numRouted(); ++id)
    for (int64_t slot : slots[id])
      for (int64_t i = 0, row = slot / k * H; i < H; ++i)
        result.output[row + i] += result.weights[slot] * hidden[row + i];
  if (spec.routing.scale != 1)
    for (double &value : result.output)
      value *= spec.routing.scale;
}

/// Adds the shared experts.
void Evaluator::runShared() {
  const int64_t H = spec.hiddenSize, S = spec.shared.intermediateSize;
  if (!S)
    return;
  for (int64_t first = 0; first < numRows(); first += rowsAtOnce) {
    const int64_t M = std::min(rowsAtOnce, numRows() - first);
    const double *X = &hidden[first * H];
    std::vector<double> out(M * H), gate(M, 1.0);
    mlp(M, H, S, X, weights(TensorId::SharedW13), nullptr,
        weights(TensorId::SharedW2), nullptr, out.data());
    if (spec.shared.gate == SharedGate::sigmoid) {
      multiply(pool, M, 1, H, X, weights(TensorId::SharedGate), gate.data());
      for (double &value : gate)
        value = sigmoid(value);
    }
    for (int64_t m = 0; m < M; ++m)
      for (int64_t i = 0; i < H; ++i)
        result.output[(first + m) * H + i] += gate[m] * out[m * H + i];
  }
}

Result<Evaluation> reference::evaluate(const LayerSpec &spec,
                                       const std::vector<TensorView> &inputs,
                                       int64_t T,
                                       const EvaluateOptions &options) {
  if (Status status = validate(spec); !status)
    return Failure{status.error()};
  if (T < 0)
    return Failure{"expected at least 0 rows but got " + std::to_string(T)};
  Evaluator evaluator(spec, T, options);
  if (Status status = evaluator.bind(inputs); !status)
    return Failure{status.error()};
  if (Status status = evaluator.selectRows(); !status)
    return Failure{status.error()};
  if (Status status = evaluator.route(); !status)
    return Failure{status.error()};
  evaluator.runExperts();
  evaluator.runShared();
  return evaluator.takeResult();
}
