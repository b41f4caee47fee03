//===- RouterModel.cpp - How tokens choose experts, on paper --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/RouterModel.h"

#include "MachineJson.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <random>

using namespace moe::policy;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

std::vector<double> moe::policy::getUniformWeights(int64_t numExperts) {
  return std::vector<double>(numExperts, 1.0);
}

std::vector<double> moe::policy::getZipfWeights(int64_t numExperts,
                                                double exponent) {
  std::vector<double> weights(numExperts);
  for (int64_t i = 0; i < numExperts; ++i)
    weights[i] = std::pow(double(i + 1), -exponent);
  // Of this generator the standard says every number; of std::shuffle it does
  // not.
  std::mt19937_64 random(1);
  for (int64_t i = numExperts - 1; i > 0; --i)
    std::swap(weights[i], weights[random() % uint64_t(i + 1)]);
  return weights;
}

std::optional<std::vector<double>>
moe::policy::fitWeights(const std::vector<double> &loads,
                        const RouterModel &router, std::string &error) {
  double total = 0;
  for (double load : loads)
    total += load;
  std::vector<double> wanted(loads.size());
  for (size_t e = 0; e < loads.size(); ++e) {
    wanted[e] = double(router.topK) * loads[e] / total;
    if (!(loads[e] >= 0) || !std::isfinite(wanted[e])) {
      error = "expected loads that are not negative and not all zero but that "
              "of expert " +
              std::to_string(e) + " is " + std::to_string(loads[e]);
      return std::nullopt;
    }
    if (wanted[e] > 1) {
      error = "expected loads of at most 1 / " + std::to_string(router.topK) +
              " of their sum, as a token chooses " +
              std::to_string(router.topK) + " different experts, but that of " +
              "expert " + std::to_string(e) + " is " +
              std::to_string(loads[e]) + " of " + std::to_string(total);
      return std::nullopt;
    }
  }
  // Drawing in proportion to -log(1 - p) comes near p; repeated correction
  // does the rest. What is sampled can be met no better than it is known.
  const int rounds = router.hasGroups() ? 6 : 30;
  constexpr double almostSure = 1 - 1e-9;
  RouterModel fitted = router;
  fitted.weights.resize(loads.size());
  for (size_t e = 0; e < loads.size(); ++e)
    fitted.weights[e] = -std::log1p(-std::min(wanted[e], almostSure));
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> found = getChoiceProbabilities(fitted);
    double worst = 0;
    for (size_t e = 0; e < loads.size(); ++e) {
      worst = std::max(worst, std::abs(found[e] - wanted[e]));
      if (found[e] > 0)
        fitted.weights[e] *= std::log1p(-std::min(wanted[e], almostSure)) /
                             std::log1p(-std::min(found[e], almostSure));
    }
    if (worst < 1e-6)
      break;
  }
  return fitted.weights;
}

static std::optional<std::vector<double>>
readLoads(const std::string &path, size_t numExperts, std::string &error) {
  std::optional<std::string> text = readFile(path, error);
  if (!text) {
    error = "expected 'uniform', 'zipf:S' or a file with a JSON array of loads "
            "but got '" +
            path + "', which cannot be read";
    return std::nullopt;
  }
  auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array() || json.size() != numExperts) {
    error = path + ": expected a JSON array of " + std::to_string(numExperts) +
            " loads, one for each expert, but got " +
            (json.is_discarded() ? "malformed JSON"
             : json.is_array()   ? std::to_string(json.size())
                                 : json.type_name());
    return std::nullopt;
  }
  std::vector<double> loads;
  for (const nlohmann::json &load : json) {
    if (!load.is_number()) {
      error = path + ": expected loads that are numbers but got " + load.dump();
      return std::nullopt;
    }
    loads.push_back(load.get<double>());
  }
  return loads;
}

std::optional<std::vector<double>>
moe::policy::parseWeights(const std::string &text, const RouterModel &router,
                          std::string &error) {
  const size_t numExperts = router.weights.size();
  if (text == "uniform")
    return getUniformWeights(int64_t(numExperts));
  const std::string prefix = "zipf:";
  if (text.compare(0, prefix.size(), prefix) == 0) {
    const char *number = text.c_str() + prefix.size();
    char *end = nullptr;
    double exponent = std::strtod(number, &end);
    // Past this the least popular experts would weigh nothing.
    constexpr double largest = 10;
    if (end != number && *end == 0 && exponent >= 0 && exponent <= largest)
      return getZipfWeights(int64_t(numExperts), exponent);
    error = "expected an exponent from 0 to 10 behind 'zipf:' but got '" +
            std::string(number) + "'";
    return std::nullopt;
  }
  std::optional<std::vector<double>> loads = readLoads(text, numExperts, error);
  if (!loads)
    return std::nullopt;
  std::optional<std::vector<double>> weights =
      fitWeights(*loads, router, error);
  if (!weights)
    error = text + ": " + error;
  return weights;
}

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

/// The experts of tokens that choose by groups, one token after the other.
namespace {
class TokenSampler {
public:
  explicit TokenSampler(const RouterModel &router)
      : router(router), scores(router.weights.size()), random(2) {}

  /// The next token's experts: topK, or all that have a weight.
  const std::vector<size_t> &next() {
    for (size_t e = 0; e < scores.size(); ++e) {
      // In (0, 1], by the upper bits: standard distributions are not the same
      // everywhere.
      double uniform = double((random() >> 11) + 1) * 0x1p-53;
      double weight = router.weights[e];
      scores[e] = weight / (weight - std::log(uniform));
    }
    chooseGroups();
    experts.clear();
    const size_t perGroup = scores.size() / size_t(router.numGroups);
    for (size_t i = 0; i < size_t(router.topKGroups); ++i)
      for (size_t e = groups[i].second * perGroup, end = e + perGroup; e < end;
           ++e)
        if (router.weights[e] > 0)
          experts.push_back(e);
    size_t count = std::min(experts.size(), size_t(router.topK));
    std::partial_sort(
        experts.begin(), experts.begin() + count, experts.end(),
        [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    experts.resize(count);
    return experts;
  }

private:
  void chooseGroups() {
    groups.clear();
    const size_t perGroup = scores.size() / size_t(router.numGroups);
    for (size_t g = 0; g < size_t(router.numGroups); ++g) {
      double best = 0, second = 0;
      for (size_t e = g * perGroup; e < (g + 1) * perGroup; ++e) {
        second = std::max(second, std::min(best, scores[e]));
        best = std::max(best, scores[e]);
      }
      bool sums = router.groupScore == moe::GroupScore::top2_sum;
      groups.push_back({best + (sums ? second : 0), g});
    }
    std::partial_sort(groups.begin(), groups.begin() + router.topKGroups,
                      groups.end(), std::greater<>());
  }

  const RouterModel &router;
  std::vector<double> scores;
  std::vector<std::pair<double, size_t>> groups;
  std::vector<size_t> experts;
  std::mt19937_64 random;
};
} // namespace

/// Bins that differ only in which of equal groups and of equal experts they
/// have are hit alike.
static void averageAlike(const RouterModel &router,
                         const std::vector<int64_t> &bins,
                         std::vector<double> &hit) {
  const std::vector<double> &weights = router.weights;
  if (std::adjacent_find(weights.begin(), weights.end(),
                         std::not_equal_to<>()) != weights.end())
    return;
  const size_t perGroup = weights.size() / size_t(router.numGroups);
  std::vector<std::vector<int64_t>> perBin(
      hit.size(), std::vector<int64_t>(router.numGroups, 0));
  for (size_t e = 0; e < bins.size(); ++e)
    if (bins[e] >= 0)
      ++perBin[bins[e]][e / perGroup];
  std::map<std::vector<int64_t>, std::vector<size_t>> alike;
  for (size_t bin = 0; bin < hit.size(); ++bin) {
    std::sort(perBin[bin].begin(), perBin[bin].end());
    alike[perBin[bin]].push_back(bin);
  }
  for (const auto &[counts, members] : alike) {
    double sum = 0;
    for (size_t bin : members)
      sum += hit[bin];
    for (size_t bin : members)
      hit[bin] = sum / double(members.size());
  }
}

std::vector<double>
moe::policy::sampleHits(const RouterModel &router, size_t numBins,
                        const std::function<int64_t(size_t, uint64_t)> &binOf) {
  std::vector<double> hit(numBins, 0.0);
  std::vector<int64_t> last(numBins, -1);
  TokenSampler sampler(router);
  for (int64_t token = 0; token < numSampledTokens; ++token)
    for (size_t e : sampler.next()) {
      int64_t bin = binOf(e, uint64_t(token));
      if (bin < 0 || last[bin] == token)
        continue;
      last[bin] = token;
      hit[bin] += 1.0 / double(numSampledTokens);
    }
  return hit;
}

namespace {
/// Drawing in proportion to weights is a race: expert e arrives at a time that
/// is exponential with rate w[e], and the first topK to arrive are chosen. A
/// bin is hit if the first of its experts arrives before topK others have:
///
///     integral over t of W e^(-W t) P(fewer than topK others arrived by t),
///
/// with W the weight of the bin. In log t the integrand is analytic and falls
/// off at both ends, where the trapezoidal rule converges fastest of all.
class Race {
public:
  Race(const std::vector<double> &weights, int64_t topK,
       const std::vector<int64_t> &bins, size_t numBins)
      : topK(size_t(topK)), members(numBins + 1), weightOf(numBins) {
    // What is in no bin runs, too: in the last one, which nobody asks about.
    for (size_t e = 0; e < weights.size(); ++e) {
      if (weights[e] <= 0)
        continue;
      size_t bin = bins[e] < 0 ? numBins : size_t(bins[e]);
      members[bin].push_back(weights[e]);
      if (bin < numBins)
        weightOf[bin] += weights[e];
      total += weights[e];
      ++numRunners;
    }
  }

  /// Adds the probabilities of the bins to `hit`.
  void addHits(std::vector<double> &hit) {
    if (numRunners <= topK) {
      for (size_t bin = 0; bin < weightOf.size(); ++bin)
        hit[bin] += weightOf[bin] > 0 ? 1 : 0;
      return;
    }
    constexpr double step = 0.25;
    // The mean arrives at 1 / total * numRunners, the k-th not before 1 /
    // total.
    const double first = -std::log(total) - 23;
    const double typical = std::log(double(numRunners) / total);
    for (double x = first;; x += step)
      if (!addPoint(std::exp(x), step, hit) && x > typical)
        return;
  }

private:
  using Counts = std::vector<double>; ///< P(exactly i arrived), i < topK.

  /// Adds what the integrand has at `time`; false if it is nothing.
  bool addPoint(double time, double scale, std::vector<double> &hit) {
    // before[b] counts the arrivals of the bins below b; those above b are
    // counted while going down.
    before.assign(members.size(), Counts());
    Counts counts(topK, 0.0);
    counts[0] = 1;
    for (size_t bin = 0; bin < members.size(); ++bin) {
      before[bin] = counts;
      addArrivals(members[bin], time, counts);
    }
    bool some = false;
    counts.assign(topK, 0.0);
    counts[0] = 1;
    for (size_t bin = members.size(); bin-- > 0;) {
      if (bin < weightOf.size() && weightOf[bin] > 0) {
        double wt = weightOf[bin] * time;
        double value = wt * std::exp(-wt) * getFewer(before[bin], counts);
        hit[bin] += scale * value;
        some |= value > 1e-13;
      }
      addArrivals(members[bin], time, counts);
    }
    return some;
  }

  void addArrivals(const std::vector<double> &runners, double time,
                   Counts &counts) const {
    for (double weight : runners) {
      double arrived = -std::expm1(-weight * time);
      for (size_t i = topK; i-- > 0;)
        counts[i] =
            counts[i] * (1 - arrived) + (i > 0 ? counts[i - 1] * arrived : 0.0);
    }
  }

  /// P(fewer than topK in the two together).
  double getFewer(const Counts &a, const Counts &b) const {
    double sum = 0, upTo = 0;
    for (size_t i = 0; i < topK; ++i) {
      upTo += b[i];
      sum += a[topK - 1 - i] * upTo;
    }
    return sum;
  }

  size_t topK;
  std::vector<std::vector<double>> members; ///< Weights of each bin.
  std::vector<double> weightOf;
  std::vector<Counts> before;
  double total = 0;
  size_t numRunners = 0;
};
} // namespace

std::vector<double>
moe::policy::getHitProbabilities(const RouterModel &router,
                                 const std::vector<int64_t> &bins,
                                 size_t numBins) {
  if (router.hasGroups()) {
    std::vector<double> hit = sampleHits(
        router, numBins, [&](size_t e, uint64_t) { return bins[e]; });
    averageAlike(router, bins, hit);
    return hit;
  }
  std::vector<double> hit(numBins, 0.0);
  Race(router.weights, router.topK, bins, numBins).addHits(hit);
  return hit;
}

std::vector<double>
moe::policy::getChoiceProbabilities(const RouterModel &router) {
  std::vector<int64_t> bins(router.weights.size());
  std::iota(bins.begin(), bins.end(), 0);
  return getHitProbabilities(router, bins, bins.size());
}
