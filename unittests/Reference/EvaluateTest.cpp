//===- EvaluateTest.cpp - The evaluator against a plain transcription -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The evaluator groups rows by expert, blocks its products and shares them
// among threads. Here the definition is written down token by token, and both
// must agree for every kind of layer.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/RandomInputs.h"
#include "moe-mlir/Reference/Compare.h"
#include <cmath>
#include <gtest/gtest.h>
#include <map>

using namespace moe;
using namespace moe::reference;

namespace {
/// Inputs as float64, by name.
class Plain {
public:
  Plain(const LayerSpec &spec, const std::vector<HostTensor> &inputs)
      : spec(spec) {
    for (const HostTensor &tensor : inputs) {
      if (tensor.dtype() == DType::I32) {
        ids.assign(tensor.as<int32_t>(),
                   tensor.as<int32_t>() + tensor.numElements());
        continue;
      }
      std::vector<double> &values = tensors[tensor.name()];
      values.resize(tensor.numElements());
      readAsDouble(tensor.dtype(), tensor.data(), 0, tensor.numElements(),
                   values.data());
    }
  }

  std::vector<double> row(int64_t t);

private:
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

  double activation(double g, double u) const {
    switch (spec.activation.kind) {
    case ActivationKind::swiglu:
      return g / (1 + std::exp(-g)) * u;
    case ActivationKind::geglu:
      return g * (0.5 * std::erfc(-g / std::sqrt(2.0))) * u;
    case ActivationKind::geglu_tanh:
      return g * sigmoid(2 * std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)) *
             u;
    case ActivationKind::swigluoai: {
      double limit = spec.activation.limit;
      g = g > limit ? limit : g;
      u = u > limit ? limit : u < -limit ? -limit : u;
      return (u + 1) * g * sigmoid(spec.activation.alpha * g);
    }
    case ActivationKind::relu2:
      return std::pow(std::max(g, 0.0), 2);
    }
    return 0;
  }

  static std::vector<double> times(const double *W, int64_t N,
                                   const std::vector<double> &x) {
    std::vector<double> y(N, 0.0);
    for (int64_t n = 0; n < N; ++n)
      for (size_t k = 0; k < x.size(); ++k)
        y[n] += W[n * x.size() + k] * x[k];
    return y;
  }

  std::vector<double> mlp(const std::vector<double> &x, int64_t I,
                          const double *up, const double *upBias,
                          const double *down, const double *downBias) const {
    const bool gated = spec.activation.isGated();
    std::vector<double> h = times(up, gated ? 2 * I : I, x), a(I);
    for (size_t i = 0; upBias && i < h.size(); ++i)
      h[i] += upBias[i];
    for (int64_t i = 0; i < I; ++i)
      a[i] = activation(h[i], gated ? h[I + i] : 0);
    std::vector<double> y = times(down, x.size(), a);
    for (size_t i = 0; downBias && i < y.size(); ++i)
      y[i] += downBias[i];
    return y;
  }

  const LayerSpec &spec;
  std::map<std::string, std::vector<double>> tensors;
  std::vector<int32_t> ids;
};
} // namespace

std::vector<double> Plain::row(int64_t t) {
  const int64_t H = spec.hiddenSize, I = spec.intermediateSize;
  const int64_t D = spec.expertHiddenSize(), k = spec.topK;
  const int64_t halves = spec.activation.isGated() ? 2 : 1;
  const char *up = halves == 2 ? "w13" : "w1",
             *upB = halves == 2 ? "b13" : "b1";
  const double *begin = &tensors["hidden_states"][t * H];
  std::vector<double> x(begin, begin + H), weights(k);
  std::vector<int32_t> chosen(k);
  if (spec.routing.source == RoutingSource::given) {
    for (int64_t slot = 0; slot < k; ++slot) {
      chosen[slot] = ids[t * k + slot];
      weights[slot] = tensors["topk_weights"][t * k + slot];
    }
  } else {
    const int64_t N = spec.numRouted();
    std::vector<double> logits = times(tensors["router_weight"].data(), N, x);
    std::vector<double> scores(N), choice(N);
    for (int64_t e = 0; e < N; ++e)
      logits[e] += spec.routing.hasRouterBias ? tensors["router_bias"][e] : 0;
    scoreLogits(spec, logits.data(), scores.data());
    for (int64_t e = 0; e < N; ++e)
      choice[e] =
          scores[e] +
          (spec.routing.hasCorrectionBias ? tensors["correction_bias"][e] : 0);
    chooseExperts(spec, choice.data(), chosen.data());
    weighExperts(spec, logits.data(), scores.data(), chosen.data(),
                 weights.data());
  }
  std::vector<double> in =
      spec.latentSize ? times(tensors["latent_in"].data(), D, x) : x;
  std::vector<double> sum(D, 0.0), zero(H, 0.0), out(H);
  for (int64_t slot = 0; slot < k; ++slot) {
    const int64_t e = chosen[slot];
    if (e < 0)
      continue;
    if (e >= spec.numExperts) {
      for (int64_t i = 0; i < H; ++i)
        zero[i] += weights[slot] * x[i];
      continue;
    }
    std::vector<double> scaled = in;
    if (spec.routing.weightOnInput)
      for (double &value : scaled)
        value *= weights[slot];
    std::vector<double> y =
        mlp(scaled, I, &tensors[up][e * halves * I * D],
            spec.hasExpertBias ? &tensors[upB][e * halves * I] : nullptr,
            &tensors["w2"][e * D * I],
            spec.hasExpertBias ? &tensors["b2"][e * D] : nullptr);
    for (int64_t i = 0; i < D; ++i)
      sum[i] += (spec.routing.weightOnInput ? 1 : weights[slot]) * y[i];
  }
  if (spec.latentSize)
    sum = times(tensors["latent_out"].data(), H, sum);
  for (int64_t i = 0; i < H; ++i)
    out[i] = spec.routing.scale * (sum[i] + zero[i]);
  if (int64_t S = spec.shared.intermediateSize) {
    std::vector<double> y =
        mlp(x, S, tensors[halves == 2 ? "shared_w13" : "shared_w1"].data(),
            nullptr, tensors["shared_w2"].data(), nullptr);
    double gate = spec.shared.gate == SharedGate::sigmoid
                      ? sigmoid(times(tensors["shared_gate"].data(), 1, x)[0])
                      : 1;
    for (int64_t i = 0; i < H; ++i)
      out[i] += gate * y[i];
  }
  return out;
}

static std::vector<TensorView> views(const std::vector<HostTensor> &tensors) {
  std::vector<TensorView> result;
  for (const HostTensor &tensor : tensors)
    result.push_back(tensor.view());
  return result;
}

/// Odd sizes, so that every block and vector has a remainder.
static LayerSpec layer() {
  LayerSpec spec;
  spec.hiddenSize = 67;
  spec.intermediateSize = 21;
  spec.numExperts = 12;
  spec.topK = 3;
  return spec;
}

static void check(const LayerSpec &spec, int64_t T = 11) {
  SCOPED_TRACE(toJSONText(spec));
  std::vector<HostTensor> inputs = randomInputs(spec, T, /*seed=*/7);
  Result<Evaluation> evaluation = evaluate(spec, views(inputs), T);
  ASSERT_TRUE(evaluation) << evaluation.error();
  Plain plain(spec, inputs);
  double error = 0, norm = 0;
  for (int64_t t = 0; t < T; ++t) {
    std::vector<double> expected = plain.row(t);
    for (int64_t i = 0; i < spec.hiddenSize; ++i) {
      error += std::pow(
          evaluation->output[t * spec.hiddenSize + i] - expected[i], 2);
      norm += std::pow(expected[i], 2);
    }
  }
  EXPECT_GT(norm, 0);
  EXPECT_LT(std::sqrt(error / norm), 1e-13);
}

TEST(Evaluate, DTypes) {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    LayerSpec spec = layer();
    spec.dtype = dtype;
    check(spec);
  }
}

TEST(Evaluate, Activations) {
  LayerSpec spec = layer();
  spec.shared.intermediateSize = 13;
  for (auto kind : {ActivationKind::geglu, ActivationKind::geglu_tanh,
                    ActivationKind::relu2}) {
    spec.activation.kind = kind;
    check(spec);
  }
  // A limit that clamps often.
  spec.activation = {ActivationKind::swigluoai, 0.5, 1.702};
  spec.hasExpertBias = true;
  check(spec);
}

TEST(Evaluate, SharedExpertsAndScale) {
  LayerSpec spec = layer();
  spec.shared = {17, 1, SharedGate::none};
  spec.routing.scale = 2.5;
  check(spec);
  spec.shared.gate = SharedGate::sigmoid;
  check(spec);
}

TEST(Evaluate, Groups) {
  LayerSpec spec = layer();
  spec.routing.score = ScoreFunction::sigmoid;
  spec.routing.hasCorrectionBias = true;
  spec.routing.nGroup = 4;
  spec.routing.topkGroup = 2;
  spec.routing.groupScore = GroupScore::top2_sum;
  spec.routing.renormalize = true;
  spec.routing.renormalizeEpsilon = 1e-20;
  check(spec);
  spec.routing.groupScore = GroupScore::max;
  check(spec);
}

TEST(Evaluate, RouterModes) {
  LayerSpec spec = layer();
  spec.routing.score = ScoreFunction::sqrt_softplus;
  spec.routing.hasCorrectionBias = true;
  spec.routing.renormalize = true;
  check(spec);
  spec = layer();
  spec.routing.score = ScoreFunction::logits;
  spec.routing.weight = WeightFunction::softmax_of_chosen;
  spec.routing.hasRouterBias = true;
  check(spec);
  spec = layer();
  spec.topK = 1;
  spec.routing.score = ScoreFunction::logits;
  spec.routing.weight = WeightFunction::sigmoid_of_chosen;
  spec.routing.weightOnInput = true;
  check(spec);
}

TEST(Evaluate, LatentExperts) {
  LayerSpec spec = layer();
  spec.latentSize = 19;
  spec.activation.kind = ActivationKind::relu2;
  spec.shared.intermediateSize = 23;
  spec.routing.scale = 3;
  check(spec);
}

TEST(Evaluate, ZeroExperts) {
  LayerSpec spec = layer();
  spec.routing.zeroExperts = 9;
  spec.routing.hasCorrectionBias = true;
  spec.routing.scale = 6;
  check(spec);
}

TEST(Evaluate, GivenRouting) {
  LayerSpec spec = layer();
  spec.routing.source = RoutingSource::given;
  check(spec);
}

TEST(Evaluate, NoRowsAndOneRow) {
  check(layer(), 1);
  LayerSpec spec = layer();
  std::vector<HostTensor> inputs = randomInputs(spec, 0, 1);
  Result<Evaluation> evaluation = evaluate(spec, views(inputs), 0);
  ASSERT_TRUE(evaluation) << evaluation.error();
  EXPECT_TRUE(evaluation->output.empty());
}

// More rows than an expert takes at once, and than a block has.
TEST(Evaluate, ManyRowsOfOneExpert) {
  LayerSpec spec = layer();
  spec.hiddenSize = 9;
  spec.intermediateSize = 5;
  spec.numExperts = 2;
  spec.topK = 2;
  spec.shared.intermediateSize = 4;
  check(spec, 2100);
}

// A sample of rows gives the same numbers as all rows, whatever the threads.
TEST(Evaluate, SampleOfRows) {
  LayerSpec spec = layer();
  spec.shared.intermediateSize = 8;
  std::vector<HostTensor> inputs = randomInputs(spec, 9, 3);
  EvaluateOptions options;
  options.numThreads = 1;
  Result<Evaluation> all = evaluate(spec, views(inputs), 9, options);
  options.rows = {7, 2};
  options.numThreads = 5;
  Result<Evaluation> some = evaluate(spec, views(inputs), 9, options);
  ASSERT_TRUE(all && some);
  EXPECT_EQ(some->rows, options.rows);
  const int64_t H = spec.hiddenSize;
  for (int64_t i = 0; i < H; ++i) {
    EXPECT_EQ(some->output[i], all->output[7 * H + i]);
    EXPECT_EQ(some->output[H + i], all->output[2 * H + i]);
  }
  options.rows = {9};
  EXPECT_EQ(evaluate(spec, views(inputs), 9, options).error(),
            "expected rows within 0 .. 8 but got 9");
}

// A slot of id -1 adds nothing, even with a weight that is not a number.
TEST(Evaluate, PaddingIsSkipped) {
  LayerSpec spec = layer();
  spec.routing.source = RoutingSource::given;
  std::vector<HostTensor> inputs = randomInputs(spec, 2, 3);
  int32_t *ids = nullptr;
  float *weights = nullptr;
  for (HostTensor &tensor : inputs) {
    if (tensor.name() == "topk_ids")
      ids = tensor.as<int32_t>();
    if (tensor.name() == "topk_weights")
      weights = tensor.as<float>();
  }
  ids[0] = ids[1] = ids[2] = -1;
  weights[0] = std::nanf("");
  Result<Evaluation> evaluation = evaluate(spec, views(inputs), 2);
  ASSERT_TRUE(evaluation) << evaluation.error();
  EXPECT_EQ(evaluation->expertRows, 3);
  for (int64_t i = 0; i < spec.hiddenSize; ++i)
    EXPECT_EQ(evaluation->output[i], 0);
  ids[4] = 12;
  EXPECT_EQ(evaluate(spec, views(inputs), 2).error(),
            "expected topk_ids within -1 .. 11 but row 1 has 12");
}

// A row of NaN takes the first experts and spoils no other row.
TEST(Evaluate, NaNStaysInItsRow) {
  LayerSpec spec = layer();
  std::vector<HostTensor> inputs = randomInputs(spec, 3, 3);
  Result<Evaluation> clean = evaluate(spec, views(inputs), 3);
  inputs[0].as<float>()[spec.hiddenSize + 5] = std::nanf("");
  Result<Evaluation> spoilt = evaluate(spec, views(inputs), 3);
  ASSERT_TRUE(clean && spoilt);
  EXPECT_EQ(spoilt->ids[3], 0);
  EXPECT_EQ(spoilt->ids[4], 1);
  EXPECT_EQ(spoilt->ids[5], 2);
  EXPECT_TRUE(std::isnan(spoilt->output[spec.hiddenSize]));
  for (int64_t i = 0; i < spec.hiddenSize; ++i) {
    EXPECT_EQ(spoilt->output[i], clean->output[i]);
    EXPECT_EQ(spoilt->output[2 * spec.hiddenSize + i],
              clean->output[2 * spec.hiddenSize + i]);
  }
}

// Ids chosen elsewhere are used, with weights from the scores of those ids.
TEST(Evaluate, ChosenIds) {
  LayerSpec spec = layer();
  std::vector<HostTensor> inputs = randomInputs(spec, 1, 3);
  Result<Evaluation> own = evaluate(spec, views(inputs), 1);
  ASSERT_TRUE(own);
  std::vector<int32_t> reversed(own->ids.rbegin(), own->ids.rend());
  EvaluateOptions options;
  options.chosenIds = reversed.data();
  Result<Evaluation> other = evaluate(spec, views(inputs), 1, options);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->ids, reversed);
  EXPECT_EQ(other->weights[0], own->weights[2]);
  for (int64_t i = 0; i < spec.hiddenSize; ++i)
    EXPECT_NEAR(other->output[i], own->output[i], 1e-14);
}

TEST(Evaluate, InputErrors) {
  LayerSpec spec = layer();
  std::vector<HostTensor> inputs = randomInputs(spec, 4, 3);
  auto error = [&](auto change) {
    std::vector<TensorView> changed = views(inputs);
    change(changed);
    return evaluate(spec, changed, 4).error();
  };
  EXPECT_EQ(error([](auto &v) { v.erase(v.begin() + 1); }),
            "expected input 'router_weight' of shape [12, 67] but it is "
            "missing");
  EXPECT_EQ(error([](auto &v) { v[0].shape[0] = 5; }),
            "expected 'hidden_states' of shape [4, 67] but got [5, 67]");
  EXPECT_EQ(error([](auto &v) { v[0].dtype = DType::BF16; }),
            "expected 'hidden_states' of dtype f32 but got bf16");
  EXPECT_EQ(error([](auto &v) {
              v.push_back(v[0]);
              v.back().name = "b2";
            }),
            "input 'b2' is none of the layer's inputs");
  EXPECT_EQ(error([](auto &v) { v.push_back(v[0]); }),
            "input 'hidden_states' is given twice");
}
