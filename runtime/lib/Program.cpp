//===- Program.cpp - Compiled artefacts -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"

#include "../common/Error.h"
#include "CPUFeatures.h"

#include "moert/moert.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <unistd.h>

using namespace moert;

struct moert_program {
  moert_program() = default;
  moert_program(const moert_program &) = delete;
  moert_program &operator=(const moert_program &) = delete;
  ~moert_program() {
    if (library)
      dlclose(library);
  }

  void *library = nullptr;
  const moert_artefact *artefact = nullptr;
};

/// The one thing that contexts share.
static std::atomic<uint64_t> numLoaded{0};

uint64_t moert::numProgramsLoaded() {
  return numLoaded.load(std::memory_order_relaxed);
}

static moert_status load(const char *path, moert_program &program,
                         std::string &error) {
  // Without a slash the loader would search the library path.
  std::string file = std::strchr(path, '/') ? path : std::string("./") + path;
  if (access(file.c_str(), R_OK) != 0)
    return fail(error, MOERT_IO_ERROR,
                format("cannot read '%s': %s", path, std::strerror(errno)));
  program.library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!program.library)
    return fail(error, MOERT_IO_ERROR,
                format("cannot load '%s': %s", path, dlerror()));
  numLoaded.fetch_add(1, std::memory_order_relaxed);
  const auto *artefact = static_cast<const moert_artefact *>(
      dlsym(program.library, "moert_artefact"));
  if (!artefact)
    return fail(error, MOERT_IO_ERROR,
                format("'%s' is not a compiled layer: it has no symbol "
                       "'moert_artefact'",
                       path));
  if (artefact->abi != MOERT_ABI_VERSION)
    return fail(error, MOERT_UNSUPPORTED,
                format("'%s' has ABI version %u, expected %u", path,
                       artefact->abi, MOERT_ABI_VERSION));
  if (!artefact->name || !artefact->descriptor || !artefact->run ||
      !artefact->workspace_size)
    return fail(error, MOERT_IO_ERROR,
                format("'%s' is not a compiled layer: a field of its symbol "
                       "'moert_artefact' is null",
                       path));
  // Without this, the first such instruction would end the process.
  std::string lacking = findLackingFeatures(artefact->descriptor);
  if (!lacking.empty())
    return fail(
        error, MOERT_UNSUPPORTED,
        format("'%s' needs a CPU with %s, which this CPU lacks; compile "
               "the layer on this machine, or with --cpu for a CPU "
               "that both have",
               path, lacking.c_str()));
  program.artefact = artefact;
  return MOERT_SUCCESS;
}

moert_status moert_program_load(const char *path, moert_program **program) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!program)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "the place for the program is null");
    *program = nullptr;
    if (!path)
      return fail(error, MOERT_INVALID_ARGUMENT, "the path is null");
    auto loaded = std::make_unique<moert_program>();
    moert_status status = load(path, *loaded, error);
    if (status == MOERT_SUCCESS)
      *program = loaded.release();
    return status;
  });
}

void moert_program_unload(moert_program *program) { delete program; }

const char *moert_program_descriptor(const moert_program *program) {
  return program ? program->artefact->descriptor : "";
}

size_t moert_program_workspace_size(const moert_program *program,
                                    int64_t tokens, int64_t tokensAllRanks) {
  return program ? program->artefact->workspace_size(tokens, tokensAllRanks)
                 : 0;
}

moert_status moert_program_run(const moert_program *program,
                               const moert_call *call) {
  if (program && call && call->abi == MOERT_ABI_VERSION)
    return program->artefact->run(call);
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!program)
      return fail(error, MOERT_INVALID_ARGUMENT, "the program is null");
    if (!call)
      return fail(error, MOERT_INVALID_ARGUMENT, "the call is null");
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("the call has ABI version %u, expected %u", call->abi,
                       MOERT_ABI_VERSION));
  });
}
