//===- Loader.h - What brings operands to shared memory ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_LOADER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_LOADER_H

#include "GemmOperands.h"
#include "GemmStage.h"
#include "TileScheduler.h"

#include <memory>

namespace moe::codegen::cuda {

/// A stage that the producer fills.
struct StageToFill {
  Expr column;  ///< Its first element of K.
  Expr number;  ///< Of the stage.
  Expr barrier; ///< The mbarrier `full` of the stage.
};

/// Brings one operand, or what belongs to one, such as scales, into each stage.
/// Made with the launch, whose parameters it adds to; then called by the 128
/// threads of the producer warpgroup for one tile after the other.
///
/// What copies asynchronously by TMA arrives at the stage's barrier by its
/// bytes, of which the leader says how many there will be; what all threads
/// copy, by an arrival of each thread.
class Loader {
public:
  virtual ~Loader() = default;

  /// Threads of the producer that arrive at a stage's barrier by copy().
  virtual int64_t getArrivals() const { return 0; }

  /// All threads, before the stages of a tile.
  virtual void begin(KernelBuilder &k, const OutputTile &tile) {}
  /// Bytes (i32) that arrive by TMA in each stage of a tile; null if none do.
  virtual Expr getBytes(KernelBuilder &k, const OutputTile &tile) const {
    return {};
  }
  /// One thread: starts the copies of TMA.
  virtual void issue(KernelBuilder &k, const OutputTile &tile,
                     const StageToFill &stage) const {}
  /// All threads: start their copies, and arrive when these are done.
  virtual void copy(KernelBuilder &k, const StageToFill &stage) const {}
};

/// Loads the rows of x: by TMA, or gathered where `sourceRows` says which.
std::unique_ptr<Loader> createRowLoader(Launch &launch,
                                        const GemmOperands &operands,
                                        const Buffer &sourceRows,
                                        const GemmTile &tile);
/// Loads the weights by TMA, in kWeightBoxes boxes: gates and ups of the same
/// columns if the activation is gated, else neighbours.
std::unique_ptr<Loader> createWeightLoader(Launch &launch,
                                           const Emission &emission,
                                           const GemmOperands &operands,
                                           const GemmTile &tile);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_LOADER_H
