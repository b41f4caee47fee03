//===- Timeline.h - What ran when, as text ----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_TIMELINE_H
#define MOE_MLIR_TOOLS_MOERUN_TIMELINE_H

#include "moe-mlir/Run/Execution.h"

namespace moe::tools {

/// Draws spans (ordered by begin) with one lane per stream over a common axis
/// of time, at most `width` columns wide, and lists them with their times in a
/// table below. A column shows what took most of its time; a launch too narrow
/// for its name shows its letter in the table, and one narrower than a column
/// may be in the table alone.
///
///     compute  |b[-------c: experts-------][-d-]|
///     aux      |[-a: shared experts-]...........|
std::string drawTimeline(const std::vector<run::Span> &spans, int width);

/// Nanoseconds in which at least two streams had a launch running.
int64_t getOverlap(const std::vector<run::Span> &spans);

/// Columns of the terminal that standard output is; 100 if it is none.
int getWidth();

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_TIMELINE_H
