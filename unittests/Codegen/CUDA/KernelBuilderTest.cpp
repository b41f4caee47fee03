//===- KernelBuilderTest.cpp - Typed loops and branches -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codegen/CUDA/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe::codegen::cuda;

namespace {
struct Inner {
  Expr first, second;
  auto fields() { return std::tie(first, second); }
};

/// Members of every sort.
struct State {
  Inner inner;
  Expr single;
  Exprs many;
  auto fields() { return std::tie(inner, single, many); }
};

/// A function whose body is under construction.
class KernelBuilderTest : public testing::Test {
protected:
  KernelBuilderTest() : builder(&context) {
    context.loadDialect<arith::ArithDialect, LLVM::LLVMDialect,
                        NVVM::NVVMDialect, scf::SCFDialect>();
    Location loc = builder.getUnknownLoc();
    module = ModuleOp::create(loc);
    builder.setInsertionPointToStart(module->getBody());
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&context),
                                            {builder.getI32Type()});
    function = LLVM::LLVMFuncOp::create(builder, loc, "kernel", type);
    builder.setInsertionPointToStart(function.addEntryBlock(builder));
    k.emplace(loc, builder, function);
  }

  /// Numbers that are known by their value.
  State makeState(int64_t first) {
    auto number = [&] { return k->i32(first++); };
    State state;
    forEachValue(state, [&](Expr &value) { value = number(); });
    state.many = {number(), number()};
    return state;
  }
  /// The function's argument.
  Expr argument() { return k->wrap(function.getArgument(0)); }
  template <typename Op> std::vector<Op> find() {
    std::vector<Op> all;
    function.walk([&](Op op) { all.push_back(op); });
    return all;
  }
  void finish() {
    LLVM::ReturnOp::create(*k, ValueRange());
    EXPECT_TRUE(succeeded(verify(*module)));
  }

  MLIRContext context;
  OpBuilder builder;
  OwningOpRef<ModuleOp> module;
  LLVM::LLVMFuncOp function;
  std::optional<KernelBuilder> k;
};
} // namespace

/// The constants that values are.
static std::vector<int64_t> toNumbers(ValueRange values) {
  std::vector<int64_t> numbers;
  for (Value value : values) {
    auto constant = value.getDefiningOp<arith::ConstantOp>();
    numbers.push_back(constant ? cast<IntegerAttr>(constant.getValue()).getInt()
                               : -1);
  }
  return numbers;
}

// Values are those of the members in their order, and go back to them.
TEST_F(KernelBuilderTest, StatesAreListsAndBack) {
  State state = makeState(10);
  Exprs values = getValues(state);
  SmallVector<Value> list(values.begin(), values.end());
  EXPECT_EQ(toNumbers(list), (std::vector<int64_t>{10, 11, 12, 13, 14}));
  State other = withValues(makeState(0), values);
  EXPECT_EQ(Value(other.inner.second), Value(state.inner.second));
  EXPECT_EQ(Value(other.single), Value(state.single));
  EXPECT_EQ(Value(other.many[1]), Value(state.many[1]));
  EXPECT_TRUE(getValues(NoState()).empty());
  finish();
}

// A member of the state after an iteration is what the body made of that member
// in the iteration, wherever it is in the list.
TEST_F(KernelBuilderTest, LoopsCarryMembers) {
  State last = k->forEach(k->i32(0), argument(), k->i32(1), makeState(20),
                          [&](Expr i, State state) -> State {
                            return {{state.inner.second, state.inner.first},
                                    i,
                                    {state.many[1], state.single}};
                          });
  finish();
  auto loop = find<scf::ForOp>().front();
  EXPECT_EQ(toNumbers(loop.getInits()),
            (std::vector<int64_t>{20, 21, 22, 23, 24}));
  auto carried = loop.getRegionIterArgs();
  SmallVector<Value> expected{carried[1], carried[0], loop.getInductionVar(),
                              carried[4], carried[2]};
  EXPECT_EQ(SmallVector<Value>(loop.getYieldedValues()), expected);
  EXPECT_EQ(Value(last.inner.first), loop.getResult(0));
  EXPECT_EQ(Value(last.single), loop.getResult(2));
  EXPECT_EQ(Value(last.many[1]), loop.getResult(4));
}

TEST_F(KernelBuilderTest, WhileLoopsCarryMembers) {
  Inner last = k->whileTrue(
      Inner{k->i32(0), argument()},
      [&](const Inner &at) { return at.first < at.second; },
      [&](const Inner &at) -> Inner { return {at.first + 1, at.second}; });
  finish();
  auto loop = find<scf::WhileOp>().front();
  auto compared = loop.getConditionOp().getCondition().getDefiningOp();
  EXPECT_EQ(compared->getOperand(0), loop.getBeforeArguments()[0]);
  EXPECT_EQ(compared->getOperand(1), loop.getBeforeArguments()[1]);
  EXPECT_EQ(loop.getYieldOp().getOperand(1), loop.getAfterArguments()[1]);
  EXPECT_EQ(Value(last.second), loop.getResult(1));
}

TEST_F(KernelBuilderTest, BranchesResultInMembers) {
  State state = k->ifElse(
      argument() < 0, [&] { return makeState(0); },
      [&] { return makeState(30); });
  int calls = 0;
  k->ifElse(argument() < 1, [&] { ++calls; }, [&] { ++calls; });
  finish();
  auto branches = find<scf::IfOp>();
  EXPECT_EQ(toNumbers(branches[0].thenYield().getResults()),
            (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(toNumbers(branches[0].elseYield().getResults()),
            (std::vector<int64_t>{30, 31, 32, 33, 34}));
  EXPECT_EQ(Value(state.single), branches[0].getResult(2));
  EXPECT_EQ(branches[1].getNumResults(), 0u);
  EXPECT_EQ(calls, 2);
}

// One branch for each bound but the last, each of which asks less than the one
// around it.
TEST_F(KernelBuilderTest, SwitchesTakeTheFirstBoundThatIsEnough) {
  std::vector<int64_t> bodies;
  k->switchUpTo(argument(), {16, 32, 48}, [&](int64_t bound) {
    bodies.push_back(bound);
    return k->i32(bound);
  });
  finish();
  EXPECT_EQ(bodies, (std::vector<int64_t>{16, 32, 48}));
  auto comparisons = find<arith::CmpIOp>();
  ASSERT_EQ(comparisons.size(), 2u);
  for (auto [comparison, bound] : llvm::zip(comparisons, bodies)) {
    EXPECT_EQ(comparison.getPredicate(), arith::CmpIPredicate::sle);
    EXPECT_EQ(toNumbers(comparison.getRhs()), (std::vector<int64_t>{bound}));
  }
  auto inner = find<scf::IfOp>()[0], outer = find<scf::IfOp>()[1];
  EXPECT_EQ(inner->getBlock(), outer.elseBlock());
  EXPECT_EQ(toNumbers(outer.thenYield().getResults()),
            (std::vector<int64_t>{16}));
  EXPECT_EQ(toNumbers(inner.elseYield().getResults()),
            (std::vector<int64_t>{48}));
}

// A number that is opaque stays unknown, though its source is a constant.
TEST_F(KernelBuilderTest, OpaqueValuesAreNotFolded) {
  Expr count = k->opaque(k->i32(3));
  k->forEach(k->i32(0), count, k->i32(1), [&](Expr i) {
    k->storeRaw(i, k->wrap(LLVM::ZeroOp::create(
                       *k, LLVM::LLVMPointerType::get(&context))));
  });
  finish();
  PassManager pm(&context);
  pm.addPass(createCanonicalizerPass());
  ASSERT_TRUE(succeeded(pm.run(*module)));
  ASSERT_EQ(find<scf::ForOp>().size(), 1u);
  EXPECT_TRUE(isa<LLVM::InlineAsmOp>(
      find<scf::ForOp>().front().getUpperBound().getDefiningOp()));
}
