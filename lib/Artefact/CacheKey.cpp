//===- CacheKey.cpp - What a compiled layer depends on --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Cache.h"

#include "moe-mlir/Codegen/CPU/Target.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <link.h>

using namespace llvm;
using namespace moe;

namespace {
/// A hash over named values: with names and sizes, no two lists of values look
/// alike.
class KeyHash {
public:
  void add(StringRef name, StringRef value) {
    hash.update((name + ":" + Twine(value.size()) + ":").str());
    hash.update(value);
  }
  void add(StringRef name, int64_t value) { add(name, std::to_string(value)); }
  void add(StringRef name, std::optional<int64_t> value) {
    add(name, value ? std::to_string(*value) : "none");
  }
  void add(StringRef name, const std::vector<std::string> &values) {
    add(name, int64_t(values.size()));
    for (const std::string &value : values)
      add(name, value);
  }

  std::string finish() { return toHex(hash.final<16>(), /*LowerCase=*/true); }

private:
  BLAKE3 hash;
};
} // namespace

/// What tells a file from another one at its place.
static std::string describeFile(StringRef path) {
  SmallString<128> real;
  sys::fs::file_status status;
  if (sys::fs::real_path(path, real) || sys::fs::status(real, status))
    return "none";
  return (real + ";" + Twine(status.getSize()) + ";" +
          Twine(status.getLastModificationTime().time_since_epoch().count()))
      .str();
}

//===----------------------------------------------------------------------===//
// The build of the compiler
//===----------------------------------------------------------------------===//

/// The note that the linker made of a loaded file's contents, or "".
static StringRef getBuildId(const dl_phdr_info &loaded) {
  for (const ElfW(Phdr) &header :
       ArrayRef(loaded.dlpi_phdr, loaded.dlpi_phnum)) {
    if (header.p_type != PT_NOTE)
      continue;
    StringRef notes(
        reinterpret_cast<const char *>(loaded.dlpi_addr + header.p_vaddr),
        header.p_memsz);
    while (notes.size() >= sizeof(ElfW(Nhdr))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, notes.data(), sizeof(note));
      notes = notes.drop_front(sizeof(note));
      StringRef name = notes.take_front(note.n_namesz);
      notes = notes.drop_front(
          std::min<size_t>(alignTo<4>(note.n_namesz), notes.size()));
      if (note.n_type == NT_GNU_BUILD_ID && name == StringRef("GNU\0", 4))
        return notes.take_front(note.n_descsz);
      notes = notes.drop_front(
          std::min<size_t>(alignTo<4>(note.n_descsz), notes.size()));
    }
  }
  return "";
}

static bool contains(const dl_phdr_info &loaded, uintptr_t address) {
  return any_of(ArrayRef(loaded.dlpi_phdr, loaded.dlpi_phnum),
                [&](const ElfW(Phdr) & header) {
                  return header.p_type == PT_LOAD &&
                         address - loaded.dlpi_addr - header.p_vaddr <
                             header.p_memsz;
                });
}

/// The files that this code, MLIR and LLVM were loaded from, each by its build.
static std::string describeBuild() {
  static const int anchor = 0;
  std::string description;
  dl_iterate_phdr(
      [](dl_phdr_info *loaded, size_t, void *text) {
        StringRef name = sys::path::filename(loaded->dlpi_name);
        if (!name.starts_with("libMLIR") && !name.starts_with("libLLVM") &&
            !contains(*loaded, reinterpret_cast<uintptr_t>(&anchor)))
          return 0;
        StringRef id = getBuildId(*loaded);
        StringRef path =
            *loaded->dlpi_name ? loaded->dlpi_name : "/proc/self/exe";
        *static_cast<std::string *>(text) +=
            (id.empty() ? describeFile(path) : toHex(id)) + "\n";
        return 0;
      },
      &description);
  return description;
}

//===----------------------------------------------------------------------===//
// The key
//===----------------------------------------------------------------------===//

Expected<std::string> moe::makeCacheKey(mlir::ModuleOp module, Form form,
                                        const ArtefactOptions &options,
                                        StringRef runtime) {
  // Of what names a machine, the machine counts. What watches passes changes no
  // code.
  ArtefactOptions resolved = options;
  auto cpu = codegen::cpu::Target::parse(options.cpu);
  if (!cpu)
    return cpu.takeError();
  resolved.cpu = cpu->triple + ";" + cpu->getSpec();
  auto measured = MemoryBuffer::getFile(options.machine);
  resolved.machine = measured ? (*measured)->getBuffer().str() : "none";

  KeyHash hash;
  hash.add("build", describeBuild());
  hash.add("form", int64_t(form));
  std::string layer;
  raw_string_ostream stream(layer);
  module.print(stream);
  hash.add("layer", layer);
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  hash.add(#NAME, resolved.NAME);
#define MOE_DRIVER_OPTION(NAME, TYPE, DEFAULT, FLAG, GROUP, VALUES, HELP)      \
  hash.add(#NAME, resolved.NAME);
#include "moe-mlir/Support/CompileOptions.def"
  hash.add("weights", options.weights ? toJSONText(*options.weights) : "none");
  if (options.target == "cuda")
    hash.add("ptxas", describeFile(codegen::cuda::findPtxas()));
  if (form == Form::Shared)
    hash.add("runtime",
             options.runpath ? runtime : StringRef("on the loader's path"));
  return hash.finish();
}
