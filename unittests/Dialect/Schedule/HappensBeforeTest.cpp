//===- HappensBeforeTest.cpp - What the analysis finds --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleTest.h"

#include "llvm/Support/FormatVariadic.h"
#include <chrono>

using namespace mlir;
using namespace moe::schedule;
using Found = std::vector<std::string>;

namespace {

class HappensBeforeTest : public ScheduleTest {
protected:
  /// A layer with a forked branch; the pieces that order it are arguments.
  std::string layer(StringRef forkWait, StringRef joinWait,
                    StringRef sharedOutput = "%s",
                    StringRef routedOutput = "%r") {
    return llvm::formatv(R"mlir(
      func.func @layer(%x: memref<8xf32>,
                       %y: memref<8xf32> {{bufferize.result}) {{
        %r = memref.alloc() : memref<8xf32>
        %s = memref.alloc() : memref<8xf32>
        %fork = schedule.mark on(compute)
        %done = schedule.run on(aux) {0} label("shared") {{
          memref.copy %x, {2} : memref<8xf32> to memref<8xf32>
        } -> !schedule.event
        schedule.run on(compute) label("routed") {{
          memref.copy %x, {3} : memref<8xf32> to memref<8xf32>
        }
        schedule.run on(compute) {1} label("merge") {{
          linalg.add ins({3}, {2} : memref<8xf32>, memref<8xf32>)
                     outs(%y : memref<8xf32>)
        }
        return
      })mlir",
                         forkWait, joinWait, sharedOutput, routedOutput)
        .str();
  }
};

TEST_F(HappensBeforeTest, ForkedAndJoinedLayerIsClean) {
  EXPECT_EQ(check(layer("after(%fork)", "after(%done)")), Found());
}

TEST_F(HappensBeforeTest, ForkRemoved) {
  EXPECT_EQ(check(layer("", "after(%done)")),
            Found({"fork-missing shared func.func"}));
}

TEST_F(HappensBeforeTest, JoinRemoved) {
  // The event that repairs the race is the join as well.
  EXPECT_EQ(check(layer("after(%fork)", "")), Found({"race merge shared"}));
}

TEST_F(HappensBeforeTest, JoinRemovedAndNothingReads) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>) {
      %s = memref.alloc() : memref<8xf32>
      %fork = schedule.mark on(compute)
      schedule.run on(aux) after(%fork) label("first") {
        memref.copy %x, %s : memref<8xf32> to memref<8xf32>
      }
      schedule.run on(aux) label("last") {
        memref.copy %x, %s : memref<8xf32> to memref<8xf32>
      }
      return
    })mlir"),
            Found({"overwritten-unread last first",
                   "join-missing last func.return"}));
}

TEST_F(HappensBeforeTest, AuxWritesABufferOfTheMainBranch) {
  // Both branches write %r; the routed output is lost, too.
  EXPECT_EQ(check(layer("after(%fork)", "after(%done)", "%r")),
            Found({"race routed shared", "overwritten-unread routed shared"}));
}

TEST_F(HappensBeforeTest, InPlaceUpdateOfAnInput) {
  EXPECT_EQ(check(layer("after(%fork)", "after(%done)", "%s", "%x")),
            Found({"race routed shared", "input-written routed"}));
}

TEST_F(HappensBeforeTest, InoutArgumentMayBeUpdatedInPlace) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32> {schedule.inout}) {
      schedule.run on(compute) {
        linalg.add ins(%x, %x : memref<8xf32>, memref<8xf32>)
                   outs(%x : memref<8xf32>)
      }
      return
    })mlir"),
            Found());
}

TEST_F(HappensBeforeTest, InoutArgumentMayBeAnotherInput) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32> {schedule.inout}, %z: memref<8xf32>) {
      %s = memref.alloc() : memref<8xf32>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("reader") {
        memref.copy %z, %s : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      schedule.run on(compute) label("writer") {
        memref.copy %z, %x : memref<8xf32> to memref<8xf32>
      }
      schedule.run on(compute) after(%done) label("end") {}
      return
    })mlir"),
            Found({"race writer reader"}));
}

/// Two runs on two streams, each with a slot of a workspace.
static std::string slots(StringRef first, StringRef second) {
  return llvm::formatv(R"mlir(
    func.func @f(%x: memref<?x64xf32>, %ws: memref<?xi8> {{schedule.workspace},
                 %y: memref<?x64xf32> {{bufferize.result}) {{
      %c0 = arith.constant 0 : index
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %n = schedule.total_tokens : index
      %w = schedule.workspace %ws(%t, %n) slots [
        #schedule.slot<"a", offset = (t, n) -> (0),
                            size = (t, n) -> (t * 256)>,
        #schedule.slot<"b", offset = (t, n) -> (t * 256),
                            size = (t, n) -> (t * 256)>,
        #schedule.slot<"over", offset = (t, n) -> (256),
                               size = (t, n) -> (t * 512)>
      ] : memref<?xi8>
      %p = schedule.slice %w["{0}"](%t) : memref<?x64xf32>
      %q = schedule.slice %w["{1}"](%t) : memref<?x64xf32>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("left") {{
        memref.copy %x, %p : memref<?x64xf32> to memref<?x64xf32>
      } -> !schedule.event
      schedule.run on(compute) label("right") {{
        memref.copy %x, %q : memref<?x64xf32> to memref<?x64xf32>
      }
      schedule.run on(compute) after(%done) label("merge") {{
        linalg.add ins(%p, %q : memref<?x64xf32>, memref<?x64xf32>)
                   outs(%y : memref<?x64xf32>)
      }
      return
    })mlir",
                       first, second)
      .str();
}

TEST_F(HappensBeforeTest, DisjointSlotsOfTwoStreams) {
  EXPECT_EQ(check(slots("a", "b")), Found());
}

TEST_F(HappensBeforeTest, OneSlotSharedByTwoStreams) {
  EXPECT_EQ(check(slots("a", "a")),
            Found({"race right left", "overwritten-unread right left"}));
}

TEST_F(HappensBeforeTest, OverlappingSlotsOfTwoStreams) {
  // The merge would read what the other branch has overwritten.
  EXPECT_EQ(check(slots("a", "over")),
            Found({"race right left", "clobbered-read merge right"}));
}

TEST_F(HappensBeforeTest, OrderOverThreeStreamsIsTransitive) {
  FunctionOpInterface function = parse(R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result}) {
      %a = memref.alloc() : memref<8xf32>
      %b = memref.alloc() : memref<8xf32>
      %fork = schedule.mark on(compute)
      %e0 = schedule.run on(aux) after(%fork) {
        memref.copy %x, %a : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      %e1 = schedule.run on(comm <ep = 2>[ep]) after(%e0) {
        memref.copy %a, %b : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      schedule.run on(compute) after(%e1) {
        linalg.add ins(%a, %b : memref<8xf32>, memref<8xf32>)
                   outs(%y : memref<8xf32>)
      }
      return
    })mlir");
  ASSERT_TRUE(function);
  HappensBefore order(function);
  EXPECT_EQ(list(order), Found());
  ASSERT_EQ(order.getWork().size(), 5u); // Entry, three runs, exit.
  EXPECT_TRUE(order.isBefore(0, 1));
  EXPECT_TRUE(order.isBefore(1, 3));
  EXPECT_FALSE(order.isBefore(3, 1));
}

TEST_F(HappensBeforeTest, HostCodeMayPrepareButNotLook) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<f32> {bufferize.result}) {
      %c0 = arith.constant 0 : index
      %one = arith.constant 1.0 : f32
      %s = memref.alloc() : memref<f32>
      memref.store %one, %s[] : memref<f32>
      schedule.run on(compute) label("use") {
        memref.copy %s, %y : memref<f32> to memref<f32>
      }
      %v = memref.load %x[%c0] : memref<8xf32>
      memref.store %v, %s[] : memref<f32>
      return
    })mlir"),
            Found({"race memref.load func.func", "race memref.store use"}));
}

TEST_F(HappensBeforeTest, StackAndFreedBuffersDieWhileWorkRuns) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>) {
      %a = memref.alloca() : memref<8xf32>
      schedule.run on(compute) label("stack") {
        memref.copy %x, %a : memref<8xf32> to memref<8xf32>
      }
      return
    })mlir"),
            Found({"race func.return stack"}));
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>) {
      %a = memref.alloc() : memref<8xf32>
      schedule.run on(compute) label("heap") {
        memref.copy %x, %a : memref<8xf32> to memref<8xf32>
      }
      memref.dealloc %a : memref<8xf32>
      return
    })mlir"),
            Found({"race memref.dealloc heap"}));
}

TEST_F(HappensBeforeTest, SubviewsWithConstantBoundsAreApart) {
  std::string text = R"mlir(
    func.func @f(%x: memref<4xf32>) {
      %a = memref.alloc() : memref<8xf32>
      %low = memref.subview %a[0] [4] [1]
        : memref<8xf32> to memref<4xf32, strided<[1]>>
      %high = memref.subview %a[OFFSET] [4] [1]
        : memref<8xf32> to memref<4xf32, strided<[1], offset: OFFSET>>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("low") {
        memref.copy %x, %low
          : memref<4xf32> to memref<4xf32, strided<[1]>>
      } -> !schedule.event
      schedule.run on(compute) label("high") {
        memref.copy %x, %high
          : memref<4xf32> to memref<4xf32, strided<[1], offset: OFFSET>>
      }
      schedule.run on(compute) after(%done) {}
      return
    })mlir";
  auto at = [&](StringRef offset) {
    std::string copy = text;
    for (size_t place; (place = copy.find("OFFSET")) != std::string::npos;)
      copy.replace(place, 6, offset.str());
    return check(copy);
  };
  EXPECT_EQ(at("4"), Found());
  EXPECT_EQ(at("3"), Found({"race high low"}));
}

TEST_F(HappensBeforeTest, ChosenBufferMayBeEither) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>, %c: i1) {
      %a = memref.alloc() : memref<8xf32>
      %b = memref.alloc() : memref<8xf32>
      %either = arith.select %c, %a, %b : memref<8xf32>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("choice") {
        memref.copy %x, %either : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      schedule.run on(compute) label("b") {
        memref.copy %x, %b : memref<8xf32> to memref<8xf32>
      }
      schedule.run on(compute) after(%done) {}
      return
    })mlir"),
            Found({"race b choice", "overwritten-unread b choice"}));
}

TEST_F(HappensBeforeTest, ReadBeforeAnyWrite) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%y: memref<8xf32> {bufferize.result}) {
      %a = memref.alloc() : memref<8xf32>
      schedule.run on(compute) label("read") {
        memref.copy %a, %y : memref<8xf32> to memref<8xf32>
      }
      return
    })mlir"),
            Found({"unwritten-read read"}));
}

TEST_F(HappensBeforeTest, ManyLayersAreFast) {
  // 100 layers of 10 runs, slots shared between the layers.
  std::string text = R"mlir(
    func.func @f(%in: memref<8xf32>, %out: memref<8xf32> {bufferize.result}) {
      %h0 = memref.alloc() : memref<8xf32>
      schedule.run on(compute) {
        memref.copy %in, %h0 : memref<8xf32> to memref<8xf32>
      })mlir";
  for (int layer = 0; layer < 100; ++layer) {
    std::string x = "%h" + std::to_string(layer);
    std::string y = "%h" + std::to_string(layer + 1);
    std::string s = "%s" + std::to_string(layer);
    std::string e = "%e" + std::to_string(layer);
    text += y + " = memref.alloc() : memref<8xf32>\n" + s +
            " = memref.alloc() : memref<8xf32>\n";
    text += e + "f = schedule.mark on(compute)\n" + e +
            " = schedule.run on(aux) after(" + e + "f) { memref.copy " + x +
            ", " + s +
            " : memref<8xf32> to memref<8xf32> } -> "
            "!schedule.event\n";
    std::string last = x;
    for (int phase = 0; phase < 8; ++phase) {
      std::string next = s + "p" + std::to_string(phase);
      text += next + " = memref.alloc() : memref<8xf32>\n" +
              "schedule.run on(compute) { memref.copy " + last + ", " + next +
              " : memref<8xf32> to memref<8xf32> }\n";
      last = next;
    }
    text += "schedule.run on(compute) after(" + e + ") { linalg.add ins(" +
            last + ", " + s + " : memref<8xf32>, memref<8xf32>) outs(" + y +
            " : memref<8xf32>) }\n";
  }
  text += "schedule.run on(compute) { memref.copy %h100, %out : memref<8xf32> "
          "to memref<8xf32> }\nreturn\n}";
  FunctionOpInterface function = parse(text);
  ASSERT_TRUE(function);
  auto start = std::chrono::steady_clock::now();
  HappensBefore order(function);
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(list(order), Found());
  EXPECT_EQ(order.getWork().size(), 1004u);
  EXPECT_LT(took.count(), 1.0);
  RecordProperty("seconds", std::to_string(took.count()));
}

} // namespace
