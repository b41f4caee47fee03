//===- moe-translate.cpp - Configurations to IR, schedules to pictures ----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/CompileFlags.h"
#include "Support/Compiler.h"
#include "Support/Modules.h"
#include "moe-mlir/Artefact/Compile.h"
#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Dialect/Schedule/Analysis/Print.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FormatVariadic.h"

#include <CLI/CLI.hpp>
#include <iostream>

using namespace moe;
using namespace moe::tools;

namespace {
struct Options {
  CompileFlags flags;
  bool importConfig = false;
  bool scheduleToDot = false;
  bool scheduleToJson = false;
  std::string function;
  std::string input = "-";
  std::string output = "-";
};
} // namespace

static void addOptions(CLI::App &app, Options &options) {
  app.add_option("input", options.input,
                 "What to translate; - or nothing: "
                 "standard input");
  app.add_option("-o,--output", options.output,
                 "Where to write (default: standard output)");
  const char *group = "Translations (one of them)";
  app.add_flag("--import-config", options.importConfig,
               "A model's config.json to MLIR with one moe.layer")
      ->group(group);
  app.add_flag("--schedule-to-dot", options.scheduleToDot,
               "The schedule of a function in MLIR to a picture in Graphviz's "
               "language")
      ->group(group);
  app.add_flag("--schedule-to-json", options.scheduleToJson,
               "The same as JSON: streams, runs, events, buffers")
      ->group(group);
  app.add_option("--function", options.function,
                 "The function whose schedule is translated (default: the "
                 "only one with a schedule)");
  options.flags.addLayer(app);
}

/// The function that is asked for, which issues work.
static Status findScheduled(mlir::ModuleOp module, const std::string &name,
                            mlir::FunctionOpInterface &found) {
  std::string names;
  int64_t number = 0;
  for (auto function : module.getOps<mlir::FunctionOpInterface>()) {
    if (!schedule::HappensBefore::issuesWork(function) ||
        (!name.empty() && function.getName() != name))
      continue;
    found = function;
    names += (names.empty() ? "'" : ", '") + function.getName().str() + "'";
    ++number;
  }
  if (number == 1)
    return {};
  if (number > 1)
    return badInput("expected --function to name one of " + names);
  return badInput(
      "expected " +
      (name.empty() ? std::string("a function") : "a function '" + name + "'") +
      " with schedule.run ops but found none; moe-compile --emit schedule "
      "makes one of a layer");
}

static Status translate(Options &options, std::string &text) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  prepareContext(context);
  printDiagnostics(context, "moe-translate");
  mlir::OwningOpRef<mlir::ModuleOp> module;
  if (options.importConfig) {
    if (std::string error = options.flags.finish(); !error.empty())
      return badInput(error);
    ModelLayer layer;
    MOE_TRY(importConfig(options.input, options.flags, context, "moe-translate",
                         layer, module));
    text = printModule(*module);
    return {};
  }
  MOE_TRY(parseModule(options.input, context, ValueNames::Keep, module));
  mlir::FunctionOpInterface function;
  MOE_TRY(findScheduled(*module, options.function, function));
  llvm::raw_string_ostream stream(text);
  if (options.scheduleToDot)
    schedule::printDot(function, stream);
  else
    stream << llvm::formatv("{0:2}\n", schedule::toJson(function));
  return {};
}

/// What flags demand of each other.
static Status checkCombination(const CLI::App &app, const Options &options) {
  if (options.importConfig + options.scheduleToDot + options.scheduleToJson !=
      1)
    return badInput("expected one of --import-config, "
                    "--schedule-to-dot and --schedule-to-json");
  if (!options.importConfig)
    for (const CLI::Option *option : app.get_options())
      if (option->count() && (option->get_group() == "Layer" ||
                              option->get_group() == "Parallel configuration"))
        return badInput(option->get_name() + ": expected --import-config too");
  if (options.importConfig && app.count("--function"))
    return badInput("--function: expected --schedule-to-dot or "
                    "--schedule-to-json too");
  return {};
}

static Status run(const CLI::App &app, Options &options) {
  MOE_TRY(checkCombination(app, options));
  std::string text;
  MOE_TRY(translate(options, text));
  if (options.output == "-") {
    std::cout << text;
    return {};
  }
  if (llvm::Error error = writeFile(options.output, text))
    return failed(llvm::toString(std::move(error)));
  return {};
}

int main(int argc, char **argv) {
  initialize("moe-translate", argv[0]);
  CLI::App app("Translates a model's configuration to a layer in MLIR, and "
               "schedules in MLIR to pictures and data.");
  app.name("moe-translate");
  app.footer("Exit codes: 0 done; 1 the work failed; 2 bad usage or input.");
  app.set_version_flag(
      "--version", [] { return describeCompilerVersion("moe-translate"); },
      "Say which version this is, and what it works with");
  Options options;
  addOptions(app, options);
  if (std::optional<int> code = parse(app, argc, argv))
    return *code;
  Status status = run(app, options);
  if (!status.error().empty())
    std::cerr << "moe-translate: " << status.error() << "\n";
  return getExitCode(status);
}
