//===- Arithmetic.cpp - Numbers of an emulated GPU ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without side effects, so lanes that are elsewhere are computed as well.
//
//===----------------------------------------------------------------------===//

#include "Kernel.h"
#include "Numbers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace moe::codegen::cuda::test;

using Bits = uint64_t;

//===----------------------------------------------------------------------===//
// Shapes of instructions
//===----------------------------------------------------------------------===//

static Bits wrap(Bits value, unsigned bits) {
  return value & llvm::maskTrailingOnes<Bits>(bits);
}

/// An integer operation, by elements.
template <typename F> static Step integers(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e) {
    const Bits *a = warp.row(i.in[0], e), *b = warp.row(i.in[1], e);
    Bits *out = warp.row(i.out[0], e);
    for (unsigned lane = 0; lane < kLanes; ++lane)
      out[lane] = wrap(F()(a[lane], b[lane], i.inBits), i.outBits);
  }
  return Step::Next;
}

template <typename F> static Step integer(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e) {
    const Bits *a = warp.row(i.in[0], e);
    Bits *out = warp.row(i.out[0], e);
    for (unsigned lane = 0; lane < kLanes; ++lane)
      out[lane] = wrap(F()(a[lane], i.inBits), i.outBits);
  }
  return Step::Next;
}

/// An operation of f32 with `N` operands, by elements.
template <typename F, unsigned N>
static Step floats(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e) {
    Bits *out = warp.row(i.out[0], e);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      float x[N];
      for (unsigned n = 0; n < N; ++n)
        x[n] = toFloat(warp.row(i.in[n], e)[lane]);
      out[lane] = fromFloat(F()(x));
    }
  }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

#define INTEGERS(NAME, EXPR)                                                   \
  struct NAME {                                                                \
    Bits operator()(Bits a, Bits b, unsigned bits) const {                     \
      [[maybe_unused]] auto s = [&](Bits x) {                                  \
        return llvm::SignExtend64(x, bits);                                    \
      };                                                                       \
      return EXPR;                                                             \
    }                                                                          \
  }
INTEGERS(Add, a + b);
INTEGERS(Sub, a - b);
INTEGERS(Mul, a *b);
// Lanes that are elsewhere may hold anything; a GPU gives all ones, too.
INTEGERS(DivU, b == 0 ? ~Bits(0) : a / b);
INTEGERS(RemU, b == 0 ? ~Bits(0) : a % b);
INTEGERS(And, a &b);
INTEGERS(Or, a | b);
INTEGERS(Xor, a ^ b);
INTEGERS(ShL, b >= bits ? 0 : a << b);
INTEGERS(ShRU, b >= bits ? 0 : a >> b);
INTEGERS(ShRS, Bits(s(a) >> std::min<Bits>(b, bits - 1)));
INTEGERS(MinS, s(a) < s(b) ? a : b);
INTEGERS(MaxS, s(a) > s(b) ? a : b);
INTEGERS(MinU, a < b ? a : b);
INTEGERS(MaxU, a > b ? a : b);
#undef INTEGERS

static Step compareIntegers(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e)
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      APInt a(i.inBits, warp.row(i.in[0], e)[lane]);
      APInt b(i.inBits, warp.row(i.in[1], e)[lane]);
      warp.row(i.out[0], e)[lane] = arith::applyCmpPredicate(
          static_cast<arith::CmpIPredicate>(i.detail), a, b);
    }
  return Step::Next;
}

struct Same {
  Bits operator()(Bits a, unsigned) const { return a; }
};
struct SignExtend {
  Bits operator()(Bits a, unsigned bits) const {
    return llvm::SignExtend64(a, bits);
  }
};
struct CountBits {
  Bits operator()(Bits a, unsigned) const { return llvm::popcount(a); }
};
struct CountTrailingZeros {
  Bits operator()(Bits a, unsigned bits) const {
    return std::min<Bits>(llvm::countr_zero(a), bits);
  }
};

static Step choose(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e)
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      const Bits *condition = warp.row(i.in[0], i.in[0].count == 1 ? 0 : e);
      const Slot &chosen = i.in[condition[lane] & 1 ? 1 : 2];
      warp.row(i.out[0], e)[lane] = warp.row(chosen, e)[lane];
    }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

#define FLOATS(NAME, EXPR)                                                     \
  struct NAME {                                                                \
    float operator()(const float *x) const { return EXPR; }                    \
  }
FLOATS(AddF, x[0] + x[1]);
FLOATS(SubF, x[0] - x[1]);
FLOATS(MulF, x[0] * x[1]);
FLOATS(DivF, x[0] / x[1]);
FLOATS(FMA, std::fma(x[0], x[1], x[2]));
FLOATS(NegF, -x[0]);
FLOATS(AbsF, std::fabs(x[0]));
FLOATS(SqrtF, std::sqrt(x[0]));
FLOATS(Exp2F, static_cast<float>(std::exp2(static_cast<double>(x[0]))));
#undef FLOATS

/// NaN if one is, and -0 below 0.
struct MaximumF {
  float operator()(const float *x) const {
    if (std::isnan(x[0]) || std::isnan(x[1]))
      return NAN;
    if (x[0] == x[1])
      return std::signbit(x[0]) ? x[1] : x[0];
    return x[0] > x[1] ? x[0] : x[1];
  }
};
struct MinimumF {
  float operator()(const float *x) const {
    if (std::isnan(x[0]) || std::isnan(x[1]))
      return NAN;
    if (x[0] == x[1])
      return std::signbit(x[0]) ? x[0] : x[1];
    return x[0] < x[1] ? x[0] : x[1];
  }
};
/// Subnormals count and come out as zeros of their sign.
struct ReciprocalFlushed {
  static float flush(float x) {
    return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
  }
  float operator()(const float *x) const { return flush(1.0f / flush(x[0])); }
};

static Step compareFloats(Warp &warp, const Instruction &i) {
  auto predicate = static_cast<arith::CmpFPredicate>(i.detail);
  for (unsigned e = 0; e < i.out[0].count; ++e)
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      APFloat a(toFloat(warp.row(i.in[0], e)[lane]));
      APFloat b(toFloat(warp.row(i.in[1], e)[lane]));
      warp.row(i.out[0], e)[lane] = arith::applyCmpPredicate(predicate, a, b);
    }
  return Step::Next;
}

template <Bits (*convert)(Bits)>
static Step convertFloats(Warp &warp, const Instruction &i) {
  for (unsigned e = 0; e < i.out[0].count; ++e)
    for (unsigned lane = 0; lane < kLanes; ++lane)
      warp.row(i.out[0], e)[lane] = convert(warp.row(i.in[0], e)[lane]);
  return Step::Next;
}

static Bits widenBF16(Bits value) { return value << 16; }
static Bits widenF16(Bits value) { return fromFloat(toFloat16(value)); }
static Bits narrowToBF16(Bits value) { return roundToBF16(toFloat(value)); }
static Bits narrowToF16(Bits value) { return roundToF16(toFloat(value)); }

//===----------------------------------------------------------------------===//
// Vectors and structs
//===----------------------------------------------------------------------===//

static Step undefined(Warp &, const Instruction &) { return Step::Next; }

/// The same bits with elements of another width, little end first.
static Step bitcast(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned e = 0; e < i.out[0].count; ++e) {
      Bits value = 0;
      if (i.outBits >= i.inBits) {
        unsigned parts = i.outBits / i.inBits;
        for (unsigned part = 0; part < parts; ++part)
          value |= warp.row(i.in[0], e * parts + part)[lane]
                   << (part * i.inBits);
      } else {
        unsigned parts = i.inBits / i.outBits;
        value = warp.row(i.in[0], e / parts)[lane] >> (e % parts * i.outBits);
      }
      warp.row(i.out[0], e)[lane] = wrap(value, i.outBits);
    }
  return Step::Next;
}

static Step extractElement(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    Bits place = warp.row(i.in[1])[lane];
    if (place < i.in[0].count)
      warp.row(i.out[0])[lane] = warp.row(i.in[0], place)[lane];
    else if (warp.mask >> lane & 1)
      return warp.fail(i, lane, "takes an element that the vector lacks");
  }
  return Step::Next;
}

static Step insertElement(Warp &warp, const Instruction &i) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    Bits place = warp.row(i.in[2])[lane];
    if (place >= i.out[0].count && (warp.mask >> lane & 1))
      return warp.fail(i, lane, "sets an element that the vector lacks");
    for (unsigned e = 0; e < i.out[0].count; ++e)
      warp.row(i.out[0], e)[lane] =
          e == place ? warp.row(i.in[1])[lane] : warp.row(i.in[0], e)[lane];
  }
  return Step::Next;
}

static Step extractValue(Warp &warp, const Instruction &i) {
  if (auto group = warp.groupOf.find(i.in[0].row);
      group != warp.groupOf.end() && group->second >= warp.finished)
    return warp.fail(i, -1, "reads a result of wgmma that is under way");
  const Bits *from = warp.row(i.in[0], i.detail);
  std::copy(from, from + kLanes, warp.row(i.out[0]));
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Which op is which
//===----------------------------------------------------------------------===//

/// Conversions by the widths and kinds of their types.
static Handler findConversion(Type from, Type to) {
  from = getElementTypeOrSelf(from);
  to = getElementTypeOrSelf(to);
  if (to.isF32() && from.isBF16())
    return convertFloats<widenBF16>;
  if (to.isF32() && from.isF16())
    return convertFloats<widenF16>;
  if (from.isF32() && to.isBF16())
    return convertFloats<narrowToBF16>;
  if (from.isF32() && to.isF16())
    return convertFloats<narrowToF16>;
  return nullptr;
}

Handler moe::codegen::cuda::test::findArithmetic(Operation *op,
                                                 Instruction &instruction) {
  auto ofF32 = [&](Handler handler) -> Handler {
    return getElementTypeOrSelf(op->getResult(0).getType()).isF32() ? handler
                                                                    : nullptr;
  };
  return llvm::TypeSwitch<Operation *, Handler>(op)
      .Case([](arith::AddIOp) { return integers<Add>; })
      .Case([](arith::SubIOp) { return integers<Sub>; })
      .Case([](arith::MulIOp) { return integers<Mul>; })
      .Case([](arith::DivUIOp) { return integers<DivU>; })
      .Case([](arith::RemUIOp) { return integers<RemU>; })
      .Case([](arith::AndIOp) { return integers<And>; })
      .Case([](arith::OrIOp) { return integers<Or>; })
      .Case([](arith::XOrIOp) { return integers<Xor>; })
      .Case([](arith::ShLIOp) { return integers<ShL>; })
      .Case([](arith::ShRUIOp) { return integers<ShRU>; })
      .Case([](arith::ShRSIOp) { return integers<ShRS>; })
      .Case([](arith::MinSIOp) { return integers<MinS>; })
      .Case([](arith::MaxSIOp) { return integers<MaxS>; })
      .Case([](arith::MinUIOp) { return integers<MinU>; })
      .Case([](arith::MaxUIOp) { return integers<MaxU>; })
      .Case([&](arith::CmpIOp compare) {
        instruction.detail = static_cast<int64_t>(compare.getPredicate());
        return compareIntegers;
      })
      .Case<arith::ExtUIOp, arith::TruncIOp, arith::IndexCastUIOp,
            LLVM::PtrToIntOp>([](Operation *) { return integer<Same>; })
      .Case<arith::ExtSIOp, arith::IndexCastOp>(
          [](Operation *) { return integer<SignExtend>; })
      .Case([](LLVM::CtPopOp) { return integer<CountBits>; })
      .Case([](LLVM::CountTrailingZerosOp) {
        return integer<CountTrailingZeros>;
      })
      .Case([](arith::SelectOp) { return choose; })
      .Case([&](arith::AddFOp) { return ofF32(floats<AddF, 2>); })
      .Case([&](arith::SubFOp) { return ofF32(floats<SubF, 2>); })
      .Case([&](arith::MulFOp) { return ofF32(floats<MulF, 2>); })
      .Case([&](arith::DivFOp) { return ofF32(floats<DivF, 2>); })
      .Case([&](arith::NegFOp) { return ofF32(floats<NegF, 1>); })
      .Case([&](arith::MaximumFOp) { return ofF32(floats<MaximumF, 2>); })
      .Case([&](arith::MinimumFOp) { return ofF32(floats<MinimumF, 2>); })
      .Case([&](LLVM::FMAOp) { return ofF32(floats<FMA, 3>); })
      .Case([&](LLVM::FAbsOp) { return ofF32(floats<AbsF, 1>); })
      .Case([&](LLVM::SqrtOp) { return ofF32(floats<SqrtF, 1>); })
      .Case([&](LLVM::Exp2Op) { return ofF32(floats<Exp2F, 1>); })
      .Case([&](NVVM::RcpApproxFtzF32Op) {
        return ofF32(floats<ReciprocalFlushed, 1>);
      })
      .Case([&](arith::CmpFOp compare) -> Handler {
        instruction.detail = static_cast<int64_t>(compare.getPredicate());
        bool isF32 = getElementTypeOrSelf(compare.getLhs().getType()).isF32();
        return isF32 ? compareFloats : nullptr;
      })
      .Case<arith::ExtFOp, arith::TruncFOp>([&](Operation *) {
        return findConversion(op->getOperand(0).getType(),
                              op->getResult(0).getType());
      })
      .Case<LLVM::PoisonOp, LLVM::UndefOp>(
          [](Operation *) { return undefined; })
      .Case<LLVM::BitcastOp, arith::BitcastOp>(
          [](Operation *) { return bitcast; })
      .Case([](LLVM::ExtractElementOp) { return extractElement; })
      .Case([](LLVM::InsertElementOp) { return insertElement; })
      .Case([&](LLVM::ExtractValueOp extract) -> Handler {
        if (extract.getPosition().size() != 1)
          return nullptr;
        instruction.detail = extract.getPosition().front();
        return extractValue;
      })
      .Default([](Operation *) { return nullptr; });
}
