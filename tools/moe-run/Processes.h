//===- Processes.h - Processes that are ranks -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_PROCESSES_H
#define MOE_MLIR_TOOLS_MOERUN_PROCESSES_H

#include "moe-mlir/Run/Artefact.h"

namespace moe::tools {

/// Whether torchrun, mpirun, srun or this program has started this process as a
/// rank.
bool isRankProcess();

/// Which rank this process is, among those of the artefact.
Status readProcess(const run::Descriptor &descriptor,
                   moert_process_options &options);

/// Says where the ranks of this machine run. With more of them than devices,
/// tells NCCL to take each for a machine of its own, as it refuses several
/// ranks on one device.
std::string shareGPUs(const moert_process_options &process, int devices);

/// Starts this program once for every rank, on this machine, and waits for all.
/// The first that fails counts; `graceMs` later the others are ended if they do
/// not end by themselves. Without, a rank that is killed counts as lost only.
Status launchRanks(char **arguments, int64_t ranks,
                   std::optional<int64_t> graceMs);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_PROCESSES_H
