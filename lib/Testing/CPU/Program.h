//===- Program.h - Runs phases in this process ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CPU_PROGRAM_H
#define MOE_MLIR_TESTING_CPU_PROGRAM_H

#include "Testing/Phase.h"
#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace moe::codegen::cpu::test {

enum class Element { F32, BF16, F16, I32 };

/// The name of an element type, for test names.
const char *name(Element element);

/// A row-major tensor in host memory. Memory around it is filled with a pattern
/// that intact() checks.
class Tensor {
public:
  Tensor(Element element, std::vector<int64_t> shape);

  Element getElement() const { return element; }
  const std::vector<int64_t> &getShape() const { return shape; }
  int64_t size() const { return count; }
  char *data() { return bytes.data() + kGuard; }
  const char *data() const { return bytes.data() + kGuard; }
  /// Bytes of one element.
  int64_t width() const;

  double get(int64_t index) const;
  double get(int64_t i, int64_t j) const { return get(i * shape[1] + j); }
  double get(int64_t i, int64_t j, int64_t k) const {
    return get((i * shape[1] + j) * shape[2] + k);
  }
  /// Rounds to nearest even.
  void set(int64_t index, double value);

  /// Fills with normal values of the given deviation.
  Tensor &fill(std::mt19937 &random, double deviation);
  /// Whether nothing was written outside the tensor.
  bool intact() const;
  /// Whether the bytes of row `i` and of row `j` of `other` are equal.
  bool equalRows(int64_t i, const Tensor &other, int64_t j) const;

private:
  static constexpr int64_t kGuard = 256;
  Element element;
  std::vector<int64_t> shape;
  int64_t count = 1;
  std::vector<char> bytes;
};

/// In which order the blocks of a launch run.
enum class LaunchOrder { Forward, Backward, Threads };

/// A module with one function that runs the launches of phases, compiled for
/// this process. Scratch memory is filled with NaNs before it is used.
class Program {
public:
  /// Emits the launches of phases on the operands, which are buffers.
  using Phases = std::function<llvm::LogicalResult(const Emission &,
                                                   mlir::ValueRange operands)>;
  /// An operand: element type and shape, -1 for dynamic dimensions.
  struct Operand {
    Element element;
    std::vector<int64_t> shape;
  };

  Program(const Target &target, std::vector<Operand> operands, Phases phases);
  ~Program();

  /// Whether emission, lowering and compilation worked.
  bool valid() const { return entry != nullptr; }
  void run(const std::vector<Tensor *> &operands,
           LaunchOrder order = LaunchOrder::Forward) const;

  /// The module as emitted, before lowering.
  const std::string &getEmitted() const { return emitted; }
  /// Kernels in the module.
  int64_t getNumKernels() const { return numKernels; }
  /// Seconds from the emitted module to an object.
  double getCompileSeconds() const { return seconds; }

private:
  mlir::MLIRContext context;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  std::vector<Operand> operands;
  std::string emitted;
  int64_t numKernels = 0;
  double seconds = 0;
  void (*entry)(const void *, int64_t) = nullptr;
};

/// Emits one phase, an op of type OpT that is made of `arguments`.
template <typename OpT, typename... Arguments>
llvm::LogicalResult emit(const Emission &emission, Arguments &&...arguments) {
  return codegen::test::emitPhase<OpT>(getKernels(), emission,
                                       std::forward<Arguments>(arguments)...);
}

/// The targets that this machine can run, widest vectors first.
std::vector<Target> runnableTargets();

} // namespace moe::codegen::cpu::test

#endif // MOE_MLIR_TESTING_CPU_PROGRAM_H
