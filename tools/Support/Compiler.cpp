//===- Compiler.cpp - What tools on MLIR have in common -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/Compiler.h"

#include "Support/Version.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"

using namespace moe;

/// "V13.0.88" of what ptxas says of itself, or "".
static std::string getPtxasVersion(llvm::StringRef ptxas) {
  llvm::SmallString<128> output;
  if (llvm::sys::fs::createTemporaryFile("moe-version", "txt", output))
    return "";
  llvm::FileRemover remove(output);
  std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(""),
                                                output.str(), std::nullopt};
  if (llvm::sys::ExecuteAndWait(ptxas, {ptxas, "--version"}, std::nullopt,
                                redirects) != 0)
    return "";
  auto text = llvm::MemoryBuffer::getFile(output);
  if (!text)
    return "";
  llvm::StringRef version = (*text)->getBuffer();
  size_t at = version.rfind(", V");
  if (at == llvm::StringRef::npos)
    return "";
  return version.substr(at + 2)
      .take_until([](char c) { return c == '\n'; })
      .str();
}

std::string moe::tools::describeCompilerVersion(const std::string &tool) {
  std::string ptxas = codegen::cuda::findPtxas();
  return describeVersion(
      tool, {{"LLVM", LLVM_VERSION_STRING},
             {"ptxas",
              ptxas.empty() ? "none" : getPtxasVersion(ptxas) + " " + ptxas}});
}

void moe::tools::initialize(const char *tool, const char *program) {
  llvm::setBugReportMsg(
      "A report of this crash needs the command, its input, what --version "
      "prints, and the stack.\n");
  llvm::EnablePrettyStackTrace();
  llvm::sys::PrintStackTraceOnErrorSignal(program);
  llvm::cl::SetVersionPrinter([tool](llvm::raw_ostream &stream) {
    stream << describeCompilerVersion(tool) << "\n";
  });
}
