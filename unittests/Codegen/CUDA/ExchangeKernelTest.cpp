//===- ExchangeKernelTest.cpp - What moves between ranks ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Phases of several ranks on emulated GPUs against plain loops: the way to the
// experts and back, and sums over ranks. All that they give is exactly defined.
//
//===----------------------------------------------------------------------===//

#include "Choices.h"
#include "Emulated.h"

#include "gtest/gtest.h"

using namespace moe::codegen::cuda::test;

namespace {
enum class Way { AllGather, SendReceive, Batched };

/// A row that came to a rank: whose it is, and its choices here.
struct Received {
  int64_t rank, token;
  std::vector<int64_t> experts; ///< Numbers on this rank, or -1.
  std::vector<double> weights;
};

/// A dispatch and a combine, with what the experts give as an input.
class Exchange {
public:
  Exchange(Way way, Placement placement, Element element,
           std::vector<int64_t> tokens);
  void test();

private:
  static constexpr int64_t kHidden = 24, kSlots = 3, kCapacity = 16;
  struct Rank {
    Tensor ids, x, weights, offsets, source, pairs, rows, rowWeights;
    Tensor positions, sent, got, out, y;
    std::vector<Received> received;
  };

  bool isBatched() const { return way == Way::Batched; }
  int64_t choicesOfRow() const { return isBatched() ? 1 : kSlots; }
  std::string textOfExchange() const;
  std::string textOfPhases() const;
  void makeInputs();
  /// What a rank gets, in order; of batched rows those that are in use, at
  /// their places.
  std::vector<std::pair<int64_t, Received>> rowsOf(int64_t rank) const;
  void expectDispatched(int64_t rank);
  void expectCombined(int64_t rank);

  Way way;
  Placement placement;
  Element element;
  std::vector<int64_t> tokens;
  std::mt19937 random;
  std::vector<Rank> ranks;
};
} // namespace

Exchange::Exchange(Way way, Placement placement, Element element,
                   std::vector<int64_t> tokens)
    : way(way), placement(placement), element(element),
      tokens(std::move(tokens)), random(placement.experts) {
  makeInputs();
}

void Exchange::makeInputs() {
  int64_t total = 0;
  for (int64_t count : tokens)
    total += count;
  for (int64_t number = 0; number < placement.ranks; ++number) {
    int64_t count = tokens[number];
    int64_t experts = placement.expertsOf(number).size();
    int64_t room = isBatched() ? placement.ranks * experts * kCapacity : total;
    int64_t pairs = room * choicesOfRow();
    Rank rank;
    rank.ids = choices(random, count, kSlots, placement.experts);
    rank.x = exactTensor(random, element, {count, kHidden});
    rank.weights = exactTensor(random, Element::F32, {count, kSlots});
    rank.offsets = Tensor(Element::I32, {experts + 1});
    rank.source = Tensor(Element::I32, {pairs});
    rank.pairs = Tensor(Element::I32, {room, choicesOfRow()});
    rank.rows = Tensor(element, {room, kHidden});
    rank.rowWeights = Tensor(Element::F32, {room, choicesOfRow()});
    rank.positions = Tensor(Element::I32, {count, kSlots});
    rank.sent = Tensor(Element::I32, {placement.ranks});
    rank.got = Tensor(Element::I32, {placement.ranks});
    rank.out = exactTensor(random, element, {pairs, kHidden});
    rank.y = Tensor(element, {count, kHidden});
    ranks.push_back(std::move(rank));
  }
}

std::string Exchange::textOfExchange() const {
  std::string name = way == Way::AllGather     ? "all_gather"
                     : way == Way::SendReceive ? "send_receive"
                                               : "batched";
  return "exchange(<" + name + ", <ep = " + std::to_string(placement.ranks) +
         ">[ep]>)";
}

std::string Exchange::textOfPhases() const {
  std::string number =
      " num_experts(" + std::to_string(placement.experts) + ") ";
  std::string back;
  if (way != Way::AllGather)
    back = " way_back(%positions : !positions) ";
  if (way == Way::SendReceive)
    back += "counts(%sent, %got : !sent, !got) ";
  return R"(schedule.run on(compute) {
    moe.dispatch ins(%ids : !ids) rows(%x, %weights : !x, !weights)
      outs(%offsets, %source, %pairs : !offsets, !source, !pairs)
      received(%rows, %row_weights : !rows, !row_weights) )" +
         back + number + textOfExchange() +
         " placement(<experts = " + std::to_string(placement.experts) +
         ", ranks = " + std::to_string(placement.ranks) +
         (placement.isRoundRobin ? ", kind = round_robin" : "") +
         R"(>)
  }
  schedule.run on(compute) {
    moe.combine ins(%out, %pairs : !out, !pairs)
      weights(%row_weights : !row_weights) )" +
         back + " outs(%y : !y) scale(0.5) " + textOfExchange() +
         (isBatched() ? number : "") + "\n}";
}

std::vector<std::pair<int64_t, Received>> Exchange::rowsOf(int64_t self) const {
  std::vector<std::pair<int64_t, Received>> all;
  std::vector<int64_t> experts = placement.expertsOf(self);
  for (int64_t from = 0; from < placement.ranks; ++from) {
    const Rank &rank = ranks[from];
    for (int64_t e = 0; isBatched() && e < int64_t(experts.size()); ++e) {
      int64_t row = (from * experts.size() + e) * kCapacity;
      for (int64_t token = 0; token < tokens[from]; ++token)
        for (int64_t slot = 0; slot < kSlots; ++slot)
          if (rank.ids.get(token, slot) == experts[e])
            all.push_back(
                {row++, {from, token, {e}, {rank.weights.get(token, slot)}}});
    }
    for (int64_t token = 0; !isBatched() && token < tokens[from]; ++token) {
      Received row{from, token, {}, {}};
      bool isHere = way == Way::AllGather;
      for (int64_t slot = 0; slot < kSlots; ++slot) {
        row.experts.push_back(
            placement.numberOf(rank.ids.get(token, slot), self));
        row.weights.push_back(rank.weights.get(token, slot));
        isHere |= row.experts.back() >= 0;
      }
      if (isHere)
        all.push_back({static_cast<int64_t>(all.size()), row});
    }
  }
  return all;
}

/// The rows that came are those of their tokens, and the plan sorts them.
void Exchange::expectDispatched(int64_t number) {
  Rank &rank = ranks[number];
  auto received = rowsOf(number);
  std::vector<int64_t> begins{0}, source, places(rank.pairs.size(), -1);
  for (int64_t e = 0; e < rank.offsets.size() - 1; ++e) {
    for (const auto &[place, row] : received)
      for (size_t slot = 0; slot < row.experts.size(); ++slot)
        if (row.experts[slot] == e) {
          places[place * choicesOfRow() + slot] = source.size();
          source.push_back(place);
        }
    begins.push_back(source.size());
  }
  source.resize(rank.source.size(), -1);
  expectNumbers(rank.offsets, begins);
  expectNumbers(rank.source, source);
  expectNumbers(rank.pairs, places);
  for (const auto &[place, row] : received) {
    for (int64_t column = 0; column < kHidden; ++column)
      ASSERT_EQ(rank.rows.get(place, column),
                ranks[row.rank].x.get(row.token, column))
          << "row " << place << " of rank " << number;
    for (int64_t slot = 0; slot < choicesOfRow(); ++slot)
      ASSERT_EQ(rank.rowWeights.get(place, slot), row.weights[slot])
          << "row " << place << " of rank " << number;
  }
}

/// A rank sums what it adds to a row in float32, and sends the sum in the
/// element type.
void Exchange::expectCombined(int64_t number) {
  expectValues(ranks[number].y, 0, [&](int64_t token, int64_t column) {
    double sum = 0;
    for (int64_t from = 0; from < placement.ranks; ++from)
      for (const auto &[place, row] : rowsOf(from)) {
        if (row.rank != number || row.token != token)
          continue;
        double part = 0;
        for (int64_t slot = 0; slot < choicesOfRow(); ++slot) {
          int64_t pair = ranks[from].pairs.get(place, slot);
          if (pair >= 0)
            part += row.weights[slot] * ranks[from].out.get(pair, column);
        }
        sum += rounded(0.5 * part, element);
      }
    return sum;
  });
}

void Exchange::test() {
  SCOPED_TRACE(textOfPhases());
  Phase::Operands operands{
      {"ids", matrix(kSlots, Element::I32)},
      {"x", matrix(kHidden, element)},
      {"weights", matrix(kSlots, Element::F32)},
      {"offsets", "memref<?xi32>"},
      {"source", "memref<?xi32>"},
      {"pairs", matrix(choicesOfRow(), Element::I32)},
      {"rows", matrix(kHidden, element)},
      {"row_weights", matrix(choicesOfRow(), Element::F32)},
      {"positions", matrix(kSlots, Element::I32)},
      {"sent", vector(placement.ranks)},
      {"got", vector(placement.ranks)},
      {"out", matrix(kHidden, element)},
      {"y", matrix(kHidden, element)}};
  Phase phase(operands, textOfPhases(),
              "{schedule.max_num_tokens = " + std::to_string(kCapacity) + "}");
  std::vector<std::vector<Tensor *>> arguments;
  for (Rank &rank : ranks)
    arguments.push_back({&rank.ids, &rank.x, &rank.weights, &rank.offsets,
                         &rank.source, &rank.pairs, &rank.rows,
                         &rank.rowWeights, &rank.positions, &rank.sent,
                         &rank.got, &rank.out, &rank.y});
  phase.runOnRanks(arguments);
  for (int64_t rank = 0; rank < placement.ranks; ++rank) {
    expectDispatched(rank);
    expectCombined(rank);
  }
}

/// Ranks with no token, one, and different numbers of them.
static void testExchange(Way way) {
  for (Element element : {Element::F32, Element::BF16}) {
    Exchange(way, {8, 3, false}, element, {16, 0, 5}).test();
    Exchange(way, {8, 3, false}, element, {0, 0, 0}).test();
    Exchange(way, {7, 4, false}, element, {0, 1, 0, 0}).test();
  }
}

TEST(ExchangeKernelTest, ByAllGather) {
  testExchange(Way::AllGather);
  Exchange(Way::AllGather, {8, 4, true}, Element::F16, {3, 1, 40, 2}).test();
}

TEST(ExchangeKernelTest, ByCounts) {
  testExchange(Way::SendReceive);
  Exchange(Way::SendReceive, {8, 4, true}, Element::F16, {3, 1, 40, 2}).test();
}

TEST(ExchangeKernelTest, WithFixedCapacity) { testExchange(Way::Batched); }

// What ranks have is summed in float32 and rounded once; zero experts come
// behind it.
static void testMergeOfRanks(Element element, bool hasZero) {
  constexpr int64_t kHidden = 40, kSlots = 2, kRanks = 3;
  std::mt19937 random(kHidden);
  Phase merge(
      {{"routed", matrix(kHidden, Element::F32)},
       {"shared", matrix(kHidden, Element::F32)},
       {"x", matrix(kHidden, element)},
       {"ids", matrix(kSlots, Element::I32)},
       {"weights", matrix(kSlots, Element::F32)},
       {"y", matrix(kHidden, element)}},
      std::string(
          "moe.merge ins(%routed : !routed) shared(%shared : !shared) ") +
          (hasZero ? "zero(%x, %ids, %weights : !x, !ids, !weights) from(4) "
                     "scale(2.0) "
                   : "") +
          "outs(%y : !y) sum_over(<tp = 3>[tp])");
  for (int64_t tokens : {0, 1, 33}) {
    // All ranks have the same tokens.
    Tensor x = exactTensor(random, element, {tokens, kHidden});
    Tensor weights = exactTensor(random, Element::F32, {tokens, kSlots});
    Tensor ids = choices(random, tokens, kSlots, 7);
    std::vector<Tensor> routed, shared;
    std::vector<Tensor> y(kRanks, Tensor(element, {tokens, kHidden}));
    for (int64_t rank = 0; rank < kRanks; ++rank) {
      routed.push_back(exactTensor(random, Element::F32, {tokens, kHidden}));
      shared.push_back(exactTensor(random, Element::F32, {tokens, kHidden}));
    }
    std::vector<std::vector<Tensor *>> arguments;
    for (int64_t rank = 0; rank < kRanks; ++rank)
      arguments.push_back(
          {&routed[rank], &shared[rank], &x, &ids, &weights, &y[rank]});
    merge.runOnRanks(arguments);
    for (const Tensor &result : y)
      expectValues(result, 0, [&](int64_t token, int64_t column) {
        double sum = 0;
        for (int64_t rank = 0; rank < kRanks; ++rank)
          sum +=
              routed[rank].get(token, column) + shared[rank].get(token, column);
        for (int64_t slot = 0; hasZero && slot < kSlots; ++slot)
          if (ids.get(token, slot) >= 4)
            sum += 2 * weights.get(token, slot) * x.get(token, column);
        return sum;
      });
  }
}

TEST(ExchangeKernelTest, MergeSumsOverRanks) {
  testMergeOfRanks(Element::F32, false);
  testMergeOfRanks(Element::BF16, true);
}
