//===- TensorCores.cpp - Matrix products of an emulated GPU ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Who holds which element: PTX ISA, "Matrix fragments" of mma.m16n8k16 and of
// wgmma.m64nNk16, and "stmatrix". Every warp of a warpgroup computes its own 16
// rows, so it waits for no other.
//
//===----------------------------------------------------------------------===//

#include "Kernel.h"
#include "Numbers.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include <cstring>

using namespace mlir;
using namespace moe::codegen::cuda::test;

/// K of one instruction, and rows of one warp.
static constexpr unsigned kDepth = 16, kRows = 16;

static float toFloat(uint64_t bits, bool isBF16) {
  return isBF16 ? toFloatB16(bits & 0xFFFF) : toFloat16(bits);
}

/// sum + a * b by elements, in the order of K. The products are exact in f32.
static float addProducts(float sum, const float *a, const float *b) {
  for (unsigned k = 0; k < kDepth; ++k) {
    float product = a[k] * b[k];
    sum += product;
  }
  return sum;
}

/// For each lane its place in a fragment of eight columns: row and column.
static unsigned rowOf(unsigned lane) { return lane / 4; }
static unsigned columnOf(unsigned lane) { return lane % 4 * 2; }

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

/// Half `b` of word `word` of an operand, which is a row of words, or two of
/// elements.
static uint64_t halfOf(Warp &warp, const Slot &word, unsigned lane,
                       unsigned b) {
  return word.count == 2 ? warp.row(word, b)[lane]
                         : warp.row(word)[lane] >> (16 * b) & 0xFFFF;
}

/// m16n8k16; `detail` tells bf16 from f16.
static Step multiplyWarp(Warp &warp, const Instruction &i) {
  if (!warp.isWhole())
    return warp.fail(
        i, -1, llvm::formatv("is executed by lanes {0:x} alone", warp.mask));
  constexpr unsigned kColumns = 8;
  float a[kRows][kDepth], b[kColumns][kDepth];
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned half = 0; half < 2; ++half) {
      unsigned k = columnOf(lane) + half;
      for (unsigned word = 0; word < 4; ++word)
        a[rowOf(lane) + word % 2 * 8][k + word / 2 * 8] =
            toFloat(halfOf(warp, i.in[word], lane, half), i.detail);
      for (unsigned word = 0; word < 2; ++word)
        b[rowOf(lane)][k + word * 8] =
            toFloat(halfOf(warp, i.in[4 + word], lane, half), i.detail);
    }
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned e = 0; e < 4; ++e) {
      float sum = toFloat(warp.row(i.in[6 + e])[lane]);
      warp.row(i.out[0], e)[lane] = fromFloat(addProducts(
          sum, a[rowOf(lane) + e / 2 * 8], b[columnOf(lane) + e % 2]));
    }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

namespace {
/// A matrix descriptor (PTX ISA, "Matrix descriptor"), with K contiguous and
/// the 128-byte swizzle.
struct Panel {
  uint32_t begin, groupBytes;

  static bool isKnown(uint64_t descriptor) {
    return descriptor >> 62 == 1 && (descriptor >> 49 & 7) == 0;
  }
  explicit Panel(uint64_t descriptor)
      : begin((descriptor & 0x3FFF) << 4),
        groupBytes((descriptor >> 32 & 0x3FFF) << 4) {}

  /// The address of eight elements of a row.
  uint32_t chunk(unsigned row, unsigned number) const {
    uint32_t address =
        begin + row / 8 * groupBytes + row % 8 * 128 + number * 16;
    return address ^ (address >> 7 & 7) << 4;
  }
};
} // namespace

/// Loads rows of a panel from `first` on. Rows that nobody wrote are no fault:
/// a product may be higher than its tile, and has NaN there.
static std::string loadPanel(Warp &warp, const Panel &panel, unsigned first,
                             unsigned rows, bool isBF16,
                             std::vector<float> &to) {
  to.resize(rows * kDepth);
  for (unsigned row = 0; row < rows; ++row)
    for (unsigned number = 0; number < 2; ++number) {
      uint16_t elements[8];
      std::string fault = warp.shared().loadAny(
          panel.chunk(first + row, number), sizeof(elements),
          reinterpret_cast<char *>(elements));
      if (!fault.empty())
        return fault;
      for (unsigned e = 0; e < 8; ++e)
        to[row * kDepth + number * 8 + e] = toFloat(elements[e], isBF16);
    }
  // Nobody may write there until the product is done. Steps along K lie in one
  // range.
  uint32_t begin =
      (panel.begin & ~uint32_t(127)) + first / 8 * panel.groupBytes;
  SharedMemory::Range range{begin, begin + rows / 8 * panel.groupBytes};
  for (const auto &[group, known] : warp.reads)
    if (group == warp.committed && known.begin == range.begin &&
        known.end == range.end)
      return {};
  warp.reads.push_back({warp.committed, range});
  warp.shared().underWay[warp.number].push_back(range);
  return {};
}

/// m64nNk16: `detail` is N, `more` tells bf16 (bit 0) and whether the sums
/// begin at zero (bit 1).
static Step multiplyGroup(Warp &warp, const Instruction &i) {
  if (!warp.isWhole())
    return warp.fail(
        i, -1, llvm::formatv("is executed by lanes {0:x} alone", warp.mask));
  uint64_t ofA = warp.row(i.in[1])[0], ofB = warp.row(i.in[2])[0];
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (warp.row(i.in[1])[lane] != ofA || warp.row(i.in[2])[lane] != ofB)
      return warp.fail(i, lane, "has another matrix descriptor than the warp");
  if (!Panel::isKnown(ofA) || !Panel::isKnown(ofB))
    return warp.fail(i, -1,
                     llvm::formatv("has matrix descriptors {0:x} and {1:x}, "
                                   "whose layouts are not emulated",
                                   ofA, ofB));
  bool isBF16 = i.more & 1, fromZero = i.more & 2;
  std::vector<float> a, b;
  std::string fault =
      loadPanel(warp, Panel(ofA), warp.number % 4 * kRows, kRows, isBF16, a);
  if (fault.empty())
    fault = loadPanel(warp, Panel(ofB), 0, i.detail, isBF16, b);
  if (!fault.empty())
    return warp.fail(i, -1, fault);
  for (unsigned j = 0; j < i.out[0].count; ++j)
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      unsigned row = rowOf(lane) + j / 2 % 2 * 8;
      unsigned column = j / 4 * 8 + columnOf(lane) + j % 2;
      float sum = fromZero ? 0.0f : toFloat(warp.row(i.in[0], j)[lane]);
      warp.row(i.out[0], j)[lane] =
          fromFloat(addProducts(sum, &a[row * kDepth], &b[column * kDepth]));
    }
  warp.groupOf[i.out[0].row] = warp.committed;
  return Step::Next;
}

static Step commitGroup(Warp &warp, const Instruction &) {
  ++warp.committed;
  return Step::Next;
}

/// Waits until at most `detail` groups are under way.
static Step awaitGroups(Warp &warp, const Instruction &i) {
  warp.finished = std::max(warp.finished, warp.committed - i.detail);
  llvm::erase_if(warp.reads,
                 [&](const auto &read) { return read.first < warp.finished; });
  auto &ranges = warp.shared().underWay[warp.number];
  ranges.clear();
  for (const auto &read : warp.reads)
    ranges.push_back(read.second);
  return Step::Next;
}

static Step fence(Warp &, const Instruction &) { return Step::Next; }

//===----------------------------------------------------------------------===//
// stmatrix
//===----------------------------------------------------------------------===//

/// Stores matrices of 8 x 8 elements of 16 bits; `detail` tells whether they
/// are transposed. Lane 8 m + r says where row r of matrix m goes.
static Step storeMatrices(Warp &warp, const Instruction &i) {
  if (!warp.isWhole())
    return warp.fail(
        i, -1, llvm::formatv("is executed by lanes {0:x} alone", warp.mask));
  for (unsigned m = 0; m + 1 < i.in.size(); ++m) {
    uint16_t matrix[8][8];
    for (unsigned lane = 0; lane < kLanes; ++lane)
      for (unsigned b = 0; b < 2; ++b) {
        uint16_t element = warp.row(i.in[1 + m])[lane] >> (16 * b);
        unsigned row = rowOf(lane), column = columnOf(lane) + b;
        (i.detail ? matrix[column][row] : matrix[row][column]) = element;
      }
    for (unsigned row = 0; row < 8; ++row) {
      unsigned lane = 8 * m + row;
      std::string fault =
          warp.shared().store(warp.row(i.in[0])[lane], sizeof(matrix[row]),
                              reinterpret_cast<const char *>(matrix[row]));
      if (!fault.empty())
        return warp.fail(i, lane, fault);
    }
  }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Which op is which
//===----------------------------------------------------------------------===//

static Handler findMma(NVVM::MmaOp op, Instruction &i) {
  auto a = op.getMultiplicandAPtxType(), b = op.getMultiplicandBPtxType();
  NVVM::MMAShapeAttr shape = op.getShape();
  if (!a || a != b || shape.getM() != 16 || shape.getN() != 8 ||
      shape.getK() != 16 || i.outBits != 32)
    return nullptr;
  i.detail = *a == NVVM::MMATypes::bf16;
  return i.detail || *a == NVVM::MMATypes::f16 ? multiplyWarp : nullptr;
}

static Handler findWgmma(NVVM::WgmmaMmaAsyncOp op, Instruction &i) {
  bool isBF16 = op.getTypeA() == NVVM::WGMMATypes::bf16;
  bool isPlain = op.getTypeA() == op.getTypeB() &&
                 (isBF16 || op.getTypeA() == NVVM::WGMMATypes::f16) &&
                 op.getTypeD() == NVVM::WGMMATypes::f32 &&
                 op.getScaleA() == NVVM::WGMMAScaleIn::one &&
                 op.getScaleB() == NVVM::WGMMAScaleIn::one &&
                 op.getLayoutA() == NVVM::MMALayout::row &&
                 op.getLayoutB() == NVVM::MMALayout::col &&
                 op.getShape().getK() == kDepth;
  if (!isPlain)
    return nullptr;
  i.detail = op.getShape().getN();
  i.more = isBF16 | (op.getScaleD() == NVVM::WGMMAScaleOut::zero) << 1;
  return multiplyGroup;
}

Handler moe::codegen::cuda::test::findTensorCoreOperation(Operation *op,
                                                          Instruction &i) {
  return llvm::TypeSwitch<Operation *, Handler>(op)
      .Case([&](NVVM::MmaOp op) { return findMma(op, i); })
      .Case([&](NVVM::WgmmaMmaAsyncOp op) { return findWgmma(op, i); })
      .Case([](NVVM::WgmmaFenceAlignedOp) { return fence; })
      .Case([](NVVM::WgmmaGroupSyncAlignedOp) { return commitGroup; })
      .Case([&](NVVM::WgmmaWaitGroupSyncOp op) {
        i.detail = op.getGroup();
        return awaitGroups;
      })
      .Case([&](NVVM::StMatrixOp op) -> Handler {
        i.detail = op.getLayout() == NVVM::MMALayout::col;
        bool isPlain = op.getShape().getM() == 8 && op.getShape().getN() == 8 &&
                       op.getEltType() == NVVM::LdStMatrixEltType::B16;
        return isPlain ? storeMatrices : nullptr;
      })
      .Default([](Operation *) { return nullptr; });
}
