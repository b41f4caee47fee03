//===- Cache.h - Compiled layers that are kept for the next time *- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A folder of compilations' results, each in a file that is named after all
// that the result depends on. Any number of processes may use a folder at once:
// files appear whole, and what is damaged counts as absent.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_ARTEFACT_CACHE_H
#define MOE_MLIR_ARTEFACT_CACHE_H

#include "moe-mlir/Artefact/Compile.h"

#include "llvm/Support/Error.h"
#include <cstdint>
#include <optional>
#include <string>

namespace moe {

/// The name of the result that compiling `module`, at level 1, to `form` has: a
/// hash over the layer as IR, every option, the files that options name, the
/// resolved instruction set, ptxas where kernels are assembled, the runtime
/// that the artefact is linked with, and the builds of compiler, MLIR and LLVM.
/// Equal keys mean equal results.
llvm::Expected<std::string> makeCacheKey(mlir::ModuleOp module, Form form,
                                         const ArtefactOptions &options,
                                         llvm::StringRef runtime);

class Cache {
public:
  /// Bytes that a folder keeps unless told otherwise.
  static constexpr uint64_t kDefaultMostBytes = uint64_t(1) << 30;

  /// The folder is made when something is stored. Beyond `mostBytes`, results
  /// that were not used for the longest time go.
  explicit Cache(std::string folder, uint64_t mostBytes = kDefaultMostBytes)
      : folder(std::move(folder)), mostBytes(mostBytes) {}

  enum class Status { Found, Absent, Damaged };
  struct Entry {
    Status status = Status::Absent;
    std::string bytes = {}; ///< Where found.
  };
  Entry load(llvm::StringRef key) const;

  /// Keeps a result, in place of one that is there. An error says which folder
  /// cannot be written and why.
  llvm::Error store(llvm::StringRef key, llvm::StringRef bytes) const;

  struct Removed {
    int64_t files = 0;
    uint64_t bytes = 0;
  };
  /// Removes all results, and nothing else that is in the folder.
  llvm::Expected<Removed> clear() const;

private:
  struct File;
  std::string getPath(llvm::StringRef key) const;
  llvm::Expected<std::vector<File>> listFiles() const;
  void prune(llvm::StringRef kept) const;

  std::string folder;
  uint64_t mostBytes;
};

} // namespace moe

#endif // MOE_MLIR_ARTEFACT_CACHE_H
