//===- ControlFlowTest.cpp - Branches, loops and collectives --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleTest.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace moe::schedule;
using Found = std::vector<std::string>;

namespace {

class ControlFlowTest : public ScheduleTest {};

/// Collectives of two arms.
static std::string arms(StringRef attributes, StringRef first,
                        StringRef second) {
  return llvm::formatv(R"mlir(
    func.func @f(%x: memref<8xf32>, %c: i1 {{schedule.uniform}) {{
      %s = memref.alloc() : memref<8xf32>
      scf.if %c {{
        schedule.run on(compute) label("then") {{
          memref.copy %x, %s {{test.communicator = "ep", test.collective = "{1}"}
            : memref<8xf32> to memref<8xf32>
        }
      } else {{
        schedule.run on(compute) label("else") {{
          memref.copy %x, %s {{test.communicator = "ep", test.collective = "{2}"}
            : memref<8xf32> to memref<8xf32>
        }
      } {0}
      return
    })mlir",
                       attributes, first, second)
      .str();
}

TEST_F(ControlFlowTest, ArmsWithEqualCollectives) {
  EXPECT_EQ(check(arms("", "dispatch", "dispatch")), Found());
}

TEST_F(ControlFlowTest, ArmsWithDifferentCollectives) {
  EXPECT_EQ(check(arms("", "dispatch", "all_reduce")),
            Found({"collectives-differ scf.if then"}));
}

TEST_F(ControlFlowTest, UniformArmsMayDiffer) {
  EXPECT_EQ(check(arms("{schedule.uniform}", "dispatch", "all_reduce")),
            Found());
}

TEST_F(ControlFlowTest, CollectivesOfOneCommunicatorOnTwoStreams) {
  std::string text = R"mlir(
    func.func @f(%x: memref<8xf32>) {
      %a = memref.alloc() : memref<8xf32>
      %b = memref.alloc() : memref<8xf32>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(comm <ep = 2>[ep]) after(%fork) label("dispatch") {
        memref.copy %x, %a {test.communicator = "ep"}
          : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      schedule.run on(compute) label("reduce") {
        memref.copy %x, %b {test.communicator = "COMM"}
          : memref<8xf32> to memref<8xf32>
      }
      schedule.run on(compute) after(%done) {}
      return
    })mlir";
  auto on = [&](StringRef communicator) {
    std::string copy = text;
    copy.replace(copy.find("COMM"), 4, communicator.str());
    return check(copy);
  };
  EXPECT_EQ(on("ep"), Found({"collectives-unordered reduce dispatch"}));
  EXPECT_EQ(on("tp"), Found());
}

TEST_F(ControlFlowTest, CollectivesInALoopOfUnknownLength) {
  std::string text = R"mlir(
    func.func @f(%x: memref<8xf32>, %n: index) {
      %s = memref.alloc() : memref<8xf32>
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      scf.for %i = %c0 to BOUND step %c1 {
        schedule.run on(compute) label("body") {
          memref.copy %x, %s {test.communicator = "ep"}
            : memref<8xf32> to memref<8xf32>
        }
      }
      return
    })mlir";
  auto upTo = [&](StringRef bound) {
    std::string copy = text;
    copy.replace(copy.find("BOUND"), 5, bound.str());
    return check(copy);
  };
  EXPECT_EQ(upTo("%n"), Found({"collectives-differ scf.for body"}));
  EXPECT_EQ(upTo("%c4"), Found());
}

TEST_F(ControlFlowTest, NestedArms) {
  // The branch joins in one inner arm only; the merge comes after both.
  std::string text = R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                 %c: i1, %d: i1) {
      %s = memref.alloc() : memref<8xf32>
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("shared") {
        memref.copy %x, %s : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      scf.if %c {
        scf.if %d {
          schedule.run on(compute) after(%done) label("deep") {}
        } else {
          schedule.run on(compute) INNER label("deep") {}
        }
      } else {
        schedule.run on(compute) after(%done) label("shallow") {}
      }
      schedule.run on(compute) label("merge") {
        memref.copy %s, %y : memref<8xf32> to memref<8xf32>
      }
      return
    })mlir";
  auto with = [&](StringRef inner) {
    std::string copy = text;
    copy.replace(copy.find("INNER"), 5, inner.str());
    return check(copy);
  };
  EXPECT_EQ(with("after(%done)"), Found());
  EXPECT_EQ(with(""), Found({"race merge shared"}));
}

TEST_F(ControlFlowTest, ArmsNeverMeet) {
  FunctionOpInterface function = parse(R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                 %c: i1, %d: i1) {
      scf.if %c {
        scf.if %d {
          %fork = schedule.mark on(compute)
          %done = schedule.run on(aux) after(%fork) label("deep") {
            memref.copy %x, %y : memref<8xf32> to memref<8xf32>
          } -> !schedule.event
          schedule.run on(compute) after(%done) {}
        } else {
          schedule.run on(compute) label("deep else") {
            memref.copy %x, %y : memref<8xf32> to memref<8xf32>
          }
        }
      } else {
        schedule.run on(compute) label("else") {
          memref.copy %x, %y : memref<8xf32> to memref<8xf32>
        }
      }
      return
    })mlir");
  ASSERT_TRUE(function);
  HappensBefore order(function);
  EXPECT_EQ(list(order), Found());
  ASSERT_EQ(order.getWork().size(), 5u);
  EXPECT_TRUE(order.areExclusive(1, 2));
  EXPECT_TRUE(order.areExclusive(1, 3));
  EXPECT_TRUE(order.areExclusive(2, 3));
  EXPECT_FALSE(order.areExclusive(0, 3));
  EXPECT_FALSE(order.areExclusive(3, 4));
}

TEST_F(ControlFlowTest, IterationsOfALoopRace) {
  std::string text = R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                 %n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %s = memref.alloc() : memref<8xf32>
      scf.for %i = %c0 to %n step %c1 {
        FORK
        %done = schedule.run on(aux) after(%fork) label("produce") {
          memref.copy %x, %s : memref<8xf32> to memref<8xf32>
        } -> !schedule.event
        schedule.run on(compute) after(%done) label("consume") {
          linalg.add ins(%s, %s : memref<8xf32>, memref<8xf32>)
                     outs(%y : memref<8xf32>)
        }
        schedule.run on(compute) label("use") {
          memref.copy %y, %s : memref<8xf32> to memref<8xf32>
        }
        schedule.run on(compute) label("read") {
          memref.copy %s, %y : memref<8xf32> to memref<8xf32>
        }
      }
      return
    })mlir";
  std::string mark = "%fork = schedule.mark on(compute)";
  std::string inside = text;
  inside.replace(inside.find("FORK"), 4, mark);
  std::vector<std::string> found = check(inside);
  // A mark in every iteration orders it after the one before.
  EXPECT_TRUE(llvm::none_of(
      found, [](const std::string &f) { return f.find("race") == 0; }));
  std::string outside = text;
  outside.replace(outside.find("FORK"), 4, "");
  outside.replace(outside.find("scf.for"), 0, mark + "\n");
  EXPECT_TRUE(llvm::is_contained(check(outside), "race produce read"));
}

TEST_F(ControlFlowTest, OutputWrittenInOneArmOnly) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                 %c: i1) {
      scf.if %c {
        schedule.run on(compute) {
          memref.copy %x, %y : memref<8xf32> to memref<8xf32>
        }
      }
      return
    })mlir"),
            Found({"output-unwritten func.return"}));
}

TEST_F(ControlFlowTest, WriteReadOnOnePathIsNotLost) {
  std::string text = R"mlir(
    func.func @f(%x: memref<8xf32>, %y: memref<8xf32> {bufferize.result},
                 %c: i1) {
      %zero = arith.constant 0.0 : f32
      schedule.run on(compute) label("zero") {
        linalg.fill ins(%zero : f32) outs(%y : memref<8xf32>)
      }
      ELSE
      return
    })mlir";
  std::string copy = R"mlir(
      schedule.run on(compute) label("copy") {
        memref.copy %x, %y : memref<8xf32> to memref<8xf32>
      })mlir";
  std::string always = text, sometimes = text;
  always.replace(text.find("ELSE"), 4, copy);
  sometimes.replace(text.find("ELSE"), 4, "scf.if %c {" + copy + "\n}");
  EXPECT_EQ(check(always), Found({"overwritten-unread copy zero"}));
  EXPECT_EQ(check(sometimes), Found());
}

TEST_F(ControlFlowTest, EventsDoNotCrossControlFlow) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>, %c: i1) {
      %s = memref.alloc() : memref<8xf32>
      %e = scf.if %c -> !schedule.event {
        %a = schedule.mark on(compute)
        scf.yield %a : !schedule.event
      } else {
        %b = schedule.mark on(compute)
        scf.yield %b : !schedule.event
      }
      %done = schedule.run on(aux) after(%e) label("aux") {
        memref.copy %x, %s : memref<8xf32> to memref<8xf32>
      } -> !schedule.event
      schedule.run on(compute) after(%done) {}
      return
    })mlir"),
            Found({"event-escapes aux scf.if", "fork-missing aux func.func"}));
}

TEST_F(ControlFlowTest, RunsUnderAWhileLoopAreNotFollowed) {
  EXPECT_EQ(check(R"mlir(
    func.func @f(%x: memref<8xf32>, %c: i1) {
      %s = memref.alloc() : memref<8xf32>
      scf.while : () -> () {
        scf.condition(%c)
      } do {
        schedule.run on(compute) {
          memref.copy %x, %s : memref<8xf32> to memref<8xf32>
        }
        scf.yield
      }
      return
    })mlir"),
            Found({"unsupported scf.while"}));
}

} // namespace
