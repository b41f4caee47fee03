//===- PrintTest.cpp - Schedules as pictures and data ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleTest.h"

#include "moe-mlir/Dialect/Schedule/Analysis/Print.h"

using namespace mlir;
using namespace moe::schedule;

namespace {

/// A fork and a join in one arm, one stream in the other, and a step after.
constexpr StringRef layer = R"mlir(
  func.func @layer(%x: memref<8xf32>, %y: memref<8xf32>, %few: i1) {
    scf.if %few {
      %fork = schedule.mark on(compute)
      %done = schedule.run on(aux) after(%fork) label("shared") {}
        -> !schedule.event
      schedule.run on(compute) after(%done) label("merge") {}
    } else {
      schedule.run on(compute) label("serial") {
        memref.copy %x, %y : memref<8xf32> to memref<8xf32>
      }
    }
    schedule.run on(compute) label("last") {}
    return
  })mlir";

class PrintTest : public ScheduleTest {};

TEST_F(PrintTest, DotHasColumnsOrderAndEvents) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printDot(parse(layer), os);
  EXPECT_EQ(text, R"(digraph "layer" {
  node [shape=box];
  subgraph cluster_0 {
    label="compute";
    s0 [label="then: mark", shape=point, xlabel=mark];
    s2 [label="then: merge"];
    s3 [label="else: serial"];
    s4 [label="last"];
  }
  subgraph cluster_1 {
    label="aux";
    s1 [label="then: shared"];
  }
  s0 -> s1 [style=dashed];
  s0 -> s2;
  s1 -> s2 [style=dashed];
  s2 -> s4;
  s3 -> s4;
}
)");
}

TEST_F(PrintTest, JsonSaysTheSame) {
  llvm::json::Value value = toJson(parse(layer));
  const llvm::json::Object *object = value.getAsObject();
  ASSERT_TRUE(object);
  EXPECT_EQ(object->getString("function"), StringRef("layer"));
  EXPECT_EQ(*object->getArray("streams"),
            llvm::json::Array({"compute", "aux"}));
  const llvm::json::Array *steps = object->getArray("steps");
  ASSERT_EQ(steps->size(), 5u);
  const llvm::json::Object *merge = (*steps)[2].getAsObject();
  EXPECT_EQ(merge->getString("kind"), StringRef("run"));
  EXPECT_EQ(merge->getString("label"), StringRef("merge"));
  EXPECT_EQ(*merge->getArray("path"), llvm::json::Array({"then"}));
  EXPECT_EQ(*merge->getArray("follows"), llvm::json::Array({0}));
  EXPECT_EQ(*merge->getArray("waits"), llvm::json::Array({1}));
  const llvm::json::Object *serial = (*steps)[3].getAsObject();
  EXPECT_EQ(*serial->getArray("ops"), llvm::json::Array({"memref.copy"}));
  EXPECT_TRUE(serial->getArray("follows")->empty());
  EXPECT_EQ(*(*steps)[4].getAsObject()->getArray("follows"),
            llvm::json::Array({2, 3}));
  EXPECT_TRUE((*steps)[0].getAsObject()->get("label")->getAsNull());
  // What steps touch, by the numbers of buffers.
  EXPECT_EQ(*object->getArray("buffers"),
            llvm::json::Array({llvm::json::Object{{"id", 0},
                                                  {"kind", "input"},
                                                  {"name", "arg0"},
                                                  {"type", "memref<8xf32>"}},
                               llvm::json::Object{{"id", 1},
                                                  {"kind", "input"},
                                                  {"name", "arg1"},
                                                  {"type", "memref<8xf32>"}}}));
  EXPECT_EQ(*serial->getArray("reads"), llvm::json::Array({0}));
  EXPECT_EQ(*serial->getArray("writes"), llvm::json::Array({1}));
  EXPECT_TRUE(merge->getArray("reads")->empty());
}

} // namespace
