//===- Link.cpp - Writing artefacts ---------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Compile.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

using namespace llvm;

static Error makeError(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

Error moe::writeFile(StringRef path, StringRef bytes) {
  return writeToOutput(path, [&](raw_ostream &stream) {
    stream << bytes;
    return Error::success();
  });
}

/// A linker: LLVM's where it is found, otherwise the system's.
static Expected<std::string> findLinker() {
  for (StringRef name : {"ld.lld-22", "ld.lld", "ld"})
    if (ErrorOr<std::string> program = sys::findProgramByName(name))
      return *program;
  return makeError(
      "expected a linker (ld.lld-22, ld.lld or ld) on the PATH but "
      "found none");
}

Error moe::linkShared(ArrayRef<char> object, StringRef path, StringRef runtime,
                      bool runpath) {
  Expected<std::string> linker = findLinker();
  if (!linker)
    return linker.takeError();
  SmallString<128> objectPath, errorPath;
  if (std::error_code code =
          sys::fs::createTemporaryFile("moe", "o", objectPath))
    return makeError("cannot create a temporary file: " + code.message());
  FileRemover removeObject(objectPath);
  if (std::error_code code =
          sys::fs::createTemporaryFile("moe", "txt", errorPath))
    return makeError("cannot create a temporary file: " + code.message());
  FileRemover removeErrors(errorPath);
  if (Error error =
          writeFile(objectPath, StringRef(object.data(), object.size())))
    return error;

  // Linked beside its final place, so that renaming it there is atomic.
  SmallString<128> linked;
  if (std::error_code code =
          sys::fs::createUniqueFile(path + ".%%%%%%", linked))
    return makeError("cannot write '" + path + "': " + code.message());
  auto removeLinked = make_scope_exit([&] { sys::fs::remove(linked); });

  SmallVector<StringRef> arguments = {*linker, "-shared", "-z",      "relro",
                                      "-o",    linked,    objectPath};
  // The artefact finds the runtime that is loaded already, lies beside it, or
  // is the one that it was linked with.
  SmallString<128> runtimeFolder = sys::path::parent_path(runtime);
  std::string rpath = ("$ORIGIN:" + runtimeFolder).str();
  if (!runtime.empty())
    arguments.push_back(runtime);
  if (!runtime.empty() && runpath)
    arguments.append({"-rpath", rpath});
  std::optional<StringRef> redirects[] = {StringRef(""), errorPath.str(),
                                          errorPath.str()};
  std::string problem;
  int code = sys::ExecuteAndWait(*linker, arguments, std::nullopt, redirects, 0,
                                 0, &problem);
  if (code != 0) {
    if (auto text = MemoryBuffer::getFile(errorPath))
      problem += (*text)->getBuffer().rtrim();
    return makeError(*linker + " failed: " + problem);
  }
  if (std::error_code code = sys::fs::rename(linked, path))
    return makeError("cannot write '" + path + "': " + code.message());
  removeLinked.release();
  return Error::success();
}
