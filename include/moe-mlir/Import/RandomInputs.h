//===- RandomInputs.h - Deterministic inputs for a layer ------ -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_IMPORT_RANDOMINPUTS_H
#define MOE_MLIR_IMPORT_RANDOMINPUTS_H

#include "moe-mlir/Reference/Tensor.h"

namespace moe {

/// All inputs of `layerInputs(spec)` in canonical order for `T` rows, from
/// `seed`: the same bytes on every machine and for any number of threads. An
/// element depends on the seed, its tensor's name and its position alone, so
/// the first rows of a larger T are those of a smaller one.
///
/// Values are nearly normal (the sum of four uniform numbers, within 3.47
/// standard deviations) with mean 0 and standard deviation 1 for hidden states,
/// 1/sqrt(fan in) for weights, 0.1 for biases, so that activations neither
/// vanish nor explode. topk_ids are distinct within a row; topk_weights are
/// positive and about 1 in sum.
std::vector<HostTensor> randomInputs(const LayerSpec &spec, int64_t T,
                                     uint64_t seed);

/// One of them: `input` is of `layerInputs(spec)`.
HostTensor randomInput(const LayerSpec &spec, const TensorSpec &input,
                       int64_t T, uint64_t seed);

/// Together these make some experts more popular than others, as Zipf's law
/// has it: the first column of the hidden states becomes 1, and that of the
/// router's weight -exponent * ln(r) for the expert that is number r, from 1
/// on, in an order that `seed` shuffles. So an expert's logit is lower by
/// exponent * ln(r) than it would be.
void skewHiddenStates(HostTensor &hiddenStates);
void skewRouter(HostTensor &routerWeight, double exponent, uint64_t seed);

} // namespace moe

#endif // MOE_MLIR_IMPORT_RANDOMINPUTS_H
