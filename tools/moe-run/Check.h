//===- Check.h - An output against the reference ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_CHECK_H
#define MOE_MLIR_TOOLS_MOERUN_CHECK_H

#include "Execution.h"

#include <functional>

namespace moe::tools {

/// Compares the output of a run with the reference in float64 and prints how
/// far they are apart. Fails if
/// - the relative Frobenius error over all rows but those below is past the
///   tolerance of the dtype, or one of these rows is off by more than ten
///   times it (in a large output a row can be lost in the sum);
/// - a value is not finite where the reference's is;
/// - nothing could be compared.
/// An artefact does not tell its choice of experts. Rows whose choice hangs on
/// scores closer than float32 resolves, which is what logits are computed in,
/// may differ; they are reported apart.
Outcome checkOutput(const RunOptions &options, const LayerSpec &layer,
                    const Inputs &inputs, const HostTensor &output);

/// The same, but prints nothing where it passes; `error` is then the relative
/// error.
Outcome checkQuietly(const RunOptions &options, const LayerSpec &layer,
                     const Inputs &inputs, const HostTensor &output,
                     double &error);

/// Runs `times` more, each of which writes `output` anew, and requires the bits
/// that are there now.
Outcome checkRepeats(const std::function<Outcome()> &run,
                     const HostTensor &output, int64_t times);

/// Whether two outputs have the same bits; else where they differ and by how
/// much, in words.
bool isBitwiseEqual(const HostTensor &first, const HostTensor &second,
                    std::string &difference);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_CHECK_H
