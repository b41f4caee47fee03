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

namespace {
/// A linker and the arguments that make it write a shared object.
struct Linker {
  std::string program;
  std::vector<std::string> arguments;
};
} // namespace

/// LLVM's linker where it is found, otherwise the C compiler's.
static Expected<Linker> findLinker() {
  for (StringRef name : {"ld.lld-22", "ld.lld", "ld"})
    if (ErrorOr<std::string> program = sys::findProgramByName(name))
      return Linker{*program, {"-shared"}};
  for (StringRef name : {"cc", "gcc", "clang"})
    if (ErrorOr<std::string> program = sys::findProgramByName(name))
      return Linker{*program, {"-shared", "-nostdlib"}};
  return makeError("expected a linker (ld.lld-22, ld.lld, ld or cc) on the PATH "
                   "but found none");
}

Error moe::linkShared(ArrayRef<char> object, StringRef path) {
  Expected<Linker> linker = findLinker();
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

  std::vector<StringRef> arguments = {linker->program};
  arguments.insert(arguments.end(), linker->arguments.begin(),
                   linker->arguments.end());
  // What the runtime defines is found when the artefact is loaded.
  for (StringRef argument : {"-z", "relro", "--hash-style=gnu", "-o"})
    if (!StringRef(linker->program).ends_with("cc") &&
        !StringRef(linker->program).contains("clang"))
      arguments.push_back(argument);
    else if (argument == "-o")
      arguments.push_back(argument);
  arguments.push_back(linked);
  arguments.push_back(objectPath);
  std::optional<StringRef> redirects[] = {StringRef(""), errorPath.str(),
                                          errorPath.str()};
  std::string problem;
  int code = sys::ExecuteAndWait(linker->program, arguments, std::nullopt,
                                 redirects, 0, 0, &problem);
  if (code != 0) {
    if (auto text = MemoryBuffer::getFile(errorPath))
      problem += (*text)->getBuffer().rtrim();
    return makeError(linker->program + " failed: " + problem);
  }
  if (std::error_code code = sys::fs::rename(linked, path))
    return makeError("cannot write '" + path + "': " + code.message());
  removeLinked.release();
  return Error::success();
}
