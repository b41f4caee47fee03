//===- cuda_gemm.cpp - Tensor-core GEMMs for a machine without LLVM -------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiles the GEMMs that standard input names, one a line, to kernels.cubin
// and a description of their launches, launches.json, which cuda_gemm.py runs
// and checks on a GPU:
//
//   cuda_gemm FOLDER <<< 'op=up T=512 K=2048 N=768 E=128 top=8
//   tile=64,32,128,4,1,1,2'
//
// op     dense (y [T, N]), up (gather, gates and ups, activation; y [T * top,
//        N]) or down (y [T * top, N])
// tile   rows, row step, weights, stages, consumers, swapped, resident blocks,
//        and 2 for clusters; without it, what the compiler chooses
// Others: dtype=bf16|f16, out=bf16|f16|f32, act=swiglu|geglu|relu2|...,
// bias=0|1, scale=0|1 (of rows).
//
//===----------------------------------------------------------------------===//

#include "../lib/Codegen/CUDA/GemmKernel.h"
#include "CUDACases.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace moe;
using namespace moe::benchmarks;
using namespace moe::codegen::cuda;

namespace {
moe::ActivationKind getActivation(const Case &settings) {
  return parseName<moe::ActivationKind>(settings.text("act"))
      .value_or(moe::ActivationKind::swiglu);
}

class GemmEmitter : public CaseEmitter {
public:
  std::vector<Operand> getOperands(MLIRContext *context,
                                   const Case &settings) override;
  LogicalResult emit(const Emission &emission, const Case &settings,
                     ValueRange buffers) override;
};

bool hasActivation(const Case &settings) {
  return settings.text("op") == "up" || !settings.text("act").empty();
}

} // namespace

std::vector<Operand> GemmEmitter::getOperands(MLIRContext *context,
                                              const Case &settings) {
  int64_t tokens = settings.number("T"), depth = settings.number("K");
  int64_t columns = settings.number("N"), experts = settings.number("E");
  int64_t pairs = tokens * settings.number("top", 1);
  std::string op = settings.text("op");
  bool isUp = op == "up", isDense = op == "dense";
  bool isGated = hasActivation(settings) &&
                 getActivation(settings) != moe::ActivationKind::relu2;
  int64_t weights = columns * (isGated ? 2 : 1);

  Type element = settings.element(context, "dtype");
  Type result =
      settings.text("out").empty() ? element : settings.element(context, "out");
  Type i32 = IntegerType::get(context, 32), f32 = Float32Type::get(context);
  std::vector<Operand> operands;
  operands.push_back(
      {"x", {isDense || isUp ? tokens : pairs, depth}, true, element});
  if (isDense)
    operands.push_back({"w", {weights, depth}, false, element});
  else
    operands.push_back({"w", {experts, weights, depth}, false, element});
  operands.push_back({"y", {isDense ? tokens : pairs, columns}, true, result});
  if (!isDense)
    operands.push_back({"offsets", {experts + 1}, false, i32});
  if (isUp)
    operands.push_back({"source", {pairs}, true, i32});
  if (settings.number("bias") && isDense)
    operands.push_back({"bias", {weights}, false, element});
  else if (settings.number("bias"))
    operands.push_back({"bias", {experts, weights}, false, element});
  if (settings.number("scale"))
    operands.push_back({"scale", {operands[0].shape[0], 1}, true, f32});
  return operands;
}

LogicalResult GemmEmitter::emit(const Emission &emission, const Case &settings,
                                ValueRange buffers) {
  GemmOperands gemm;
  auto operands = getOperands(emission.loc.getContext(), settings);
  for (auto [operand, value] : llvm::zip_equal(operands, buffers))
    *llvm::StringSwitch<Value *>(operand.name)
         .Case("x", &gemm.x)
         .Case("w", &gemm.weights)
         .Case("y", &gemm.y)
         .Case("offsets", &gemm.expertOffsets)
         .Case("source", &gemm.sourceRows)
         .Case("bias", &gemm.bias)
         .Case("scale", &gemm.scale) = value;
  if (hasActivation(settings))
    gemm.activation =
        ActivationAttr::get(emission.loc.getContext(), getActivation(settings));
  std::string op = settings.text("op"), text = settings.text("tile");
  if (text.empty())
    return emitGemm(emission, op, op, gemm);
  SmallVector<StringRef> fields;
  StringRef(text).split(fields, ',');
  auto field = [&](size_t i) {
    int64_t value = 0;
    fields[i].getAsInteger(10, value);
    return value;
  };
  launchGemm(emission, op, op, gemm,
             {field(0), field(1), field(2), field(3), field(4), field(5) != 0,
              field(6), fields.size() > 7 ? field(7) : 1});
  return success();
}

int main(int argc, char **argv) {
  GemmEmitter emitter;
  return compileCases(argc, argv, "cuda_gemm", emitter);
}
