//===- PassFlags.cpp - Looking into the passes of a compilation -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/PassFlags.h"

#include "moe-mlir/Pipelines/Register.h"

#include "mlir/InitAllPasses.h"
#include "llvm/Support/CommandLine.h"

#include <CLI/CLI.hpp>

using namespace moe;
using namespace moe::tools;

namespace {
/// `value` names what follows "=", null if nothing does.
struct PassFlag {
  const char *name, *value, *help;
};
} // namespace

static constexpr PassFlag passFlags[] = {
    {"--mlir-print-ir-before", "PASS",
     "Print the IR before a pass, such as moe-schedule, on standard error"},
    {"--mlir-print-ir-after", "PASS", "... after a pass"},
    {"--mlir-print-ir-after-all", nullptr, "... after all passes"},
    {"--mlir-print-ir-tree-dir", "DIR",
     "... into files below a folder, one for each pass"},
    {"--mlir-timing", nullptr, "Say how long each pass took"},
    {"--mlir-pass-pipeline-crash-reproducer", "FILE",
     "Where a pass fails or crashes, write the IR before it and the pipeline, "
     "for moe-opt --run-reproducer"}};

void PassFlags::add(CLI::App &app) {
  const char *group = "MLIR's passes (nothing is taken from the cache)";
  for (const PassFlag &flag : passFlags)
    if (flag.value)
      app.add_option_function<std::string>(
             flag.name,
             [this, &flag](const std::string &value) {
               arguments.push_back(std::string(flag.name) + "=" + value);
             },
             flag.help)
          ->type_name(flag.value)
          ->group(group);
    else
      app.add_flag_callback(
             flag.name, [this, &flag] { arguments.push_back(flag.name); },
             flag.help)
          ->group(group);
}

std::function<mlir::LogicalResult(mlir::PassManager &)>
PassFlags::apply(const std::string &tool) const {
  if (arguments.empty())
    return nullptr;
  // The names of passes are known to the flags that are registered behind them.
  mlir::registerAllPasses();
  registerPasses();
  mlir::registerPassManagerCLOptions();
  mlir::registerDefaultTimingManagerCLOptions();
  std::vector<const char *> given{tool.c_str()};
  for (const std::string &argument : arguments)
    given.push_back(argument.c_str());
  llvm::cl::ParseCommandLineOptions(int(given.size()), given.data());
  return [](mlir::PassManager &pm) {
    mlir::applyDefaultTimingPassManagerCLOptions(pm);
    return mlir::applyPassManagerCLOptions(pm);
  };
}
