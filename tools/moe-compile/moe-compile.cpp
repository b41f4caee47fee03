//===- moe-compile.cpp - From a model's configuration to an artefact ------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scale.h"
#include "Support/CacheFolder.h"
#include "Support/CompileFlags.h"
#include "Support/Compiler.h"
#include "Support/Modules.h"
#include "Support/PassFlags.h"
#include "moe-mlir/Artefact/Cache.h"
#include "moe-mlir/Artefact/Compile.h"
#include "moe-mlir/Codegen/CPU/Target.h"
#include "moe-mlir/Support/Format.h"
#include "moe-mlir/Transforms/Parallel.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

using namespace moe;
using namespace moe::tools;

namespace {
struct Options {
  CompileFlags flags;
  PassFlags passes;
  std::string input;
  std::string output;
  std::string emit;
  std::string explain;
  std::optional<int64_t> numTokens;
  bool quiet = false;
  bool noRunpath = false;
  bool clearCache = false;
  bool reportCache = false;
  /// The given flags that say which layer of a model to take, and on which rank
  /// of which configuration: a layer in MLIR says that itself.
  std::vector<std::string> layerFlags;
};
} // namespace

static void addOptions(CLI::App &app, Options &options) {
  app.add_option("input", options.input,
                 "A model's config.json, or a file of MLIR with one moe.layer");
  app.add_option("-o,--output", options.output,
                 "Where to write (default: NAME.moe.so in this folder; text "
                 "forms go to standard output)");
  app.add_option("--emit", options.emit,
                 "What to write: layer, phases, schedule, kernels, llvm, ptx, "
                 "cubin, object or shared (default: shared)")
      ->check(CLI::IsMember({"layer", "phases", "schedule", "kernels", "llvm",
                             "ptx", "cubin", "object", "shared"}));
  // With a value only after "=", so that an input may follow.
  app.add_flag("--explain{text}", options.explain,
               "Print which order was chosen, by which rule and why, as =text "
               "or =json, instead of compiling")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag(
      "--no-runpath", options.noRunpath,
      "A shared object does not say where libmoert.so.0 is: the loader "
      "finds it, or the process has it");
  app.add_option("--num-tokens", options.numTokens,
                 "The number of tokens that --explain explains")
      ->check(CLI::Range(int64_t(0), int64_t(1) << 40));
  app.add_flag(
      "-q,--quiet", options.quiet,
      "Do not say what was written, nor that the cache cannot be used");
  options.flags.add(app);
  options.passes.add(app);
  app.add_flag("--clear-cache", options.clearCache,
               "Remove all that is in the cache; then compile, if there is an "
               "input")
      ->group("Cache");
  app.add_flag("--report-cache", options.reportCache,
               "Say whether the layer was compiled or is from the cache, and "
               "how long it took")
      ->group("Cache");
}

static int fail(const std::string &message, int code) {
  std::cerr << "moe-compile: " << message << "\n";
  return code;
}

static void report(const Options &options, const std::string &output) {
  if (!options.quiet)
    std::cerr << "moe-compile: wrote " << output << "\n";
}

/// What single flags cannot check: a message, or "".
static std::string checkCombination(const Options &options) {
  const CompileFlags &flags = options.flags;
  if (options.noRunpath && !options.emit.empty() && options.emit != "shared")
    return "--no-runpath: expected --emit shared but got --emit " +
           options.emit;
  if (options.explain.empty()) {
    if (!flags.simulateTrace.empty())
      return "--simulate-trace: expected --explain too";
    if (flags.monolithicKernel)
      return "--monolithic-kernel: expected --explain too, as no artefact has "
             "such a kernel";
    return options.numTokens ? "--num-tokens: expected --explain too" : "";
  }
  if (options.noRunpath)
    return "--no-runpath: expected a shared object but got --explain";
  if (!options.emit.empty())
    return "expected --explain or --emit but got both";
  if (!options.output.empty())
    return "expected --explain, which writes no file, or --output but got both";
  if (!options.numTokens)
    return "";
  if (flags.staticNumTokens && *options.numTokens != *flags.staticNumTokens)
    return "--num-tokens: expected --static-num-tokens = " +
           std::to_string(*flags.staticNumTokens) + " but got " +
           std::to_string(*options.numTokens);
  if (flags.maxNumTokens && *options.numTokens > *flags.maxNumTokens)
    return "--num-tokens: expected at most --max-num-tokens = " +
           std::to_string(*flags.maxNumTokens) + " but got " +
           std::to_string(*options.numTokens);
  return "";
}

/// libmoert.so beside this program's folder, as built and as installed.
static std::string findRuntime() {
  static int anchor;
  const std::string program =
      llvm::sys::fs::getMainExecutable("moe-compile", &anchor);
  for (const char *folder : {"lib", MOE_INSTALL_LIBDIR}) {
    llvm::SmallString<128> path(program), real;
    llvm::sys::path::remove_filename(path);
    llvm::sys::path::append(path, "..", folder, "libmoert.so");
    if (llvm::sys::fs::real_path(path, real))
      continue;
    llvm::sys::path::remove_filename(real);
    llvm::sys::path::append(real, "libmoert.so");
    return real.str().str();
  }
  return "";
}

/// True if calls exchange buffers of a fixed capacity that nobody has given.
static bool lacksCapacity(mlir::func::FuncOp function,
                          const ArtefactOptions &compile) {
  auto layer = *function.getFunctionBody().getOps<LayerOp>().begin();
  return planLayer(layer).derived.properties.transport == Transport::batched &&
         !compile.maxNumTokens &&
         !function->hasAttr(schedule::kMaxNumTokensAttrName);
}

/// The explanation of the schedule of the module's layer.
static mlir::FailureOr<policy::Explanation>
getExplanation(mlir::ModuleOp module, const ArtefactOptions &compile,
               std::optional<int64_t> tokens) {
  // With its kernels a layer's workspace is known. What has no kernels on this
  // target is explained without.
  mlir::OwningOpRef<mlir::ModuleOp> copy = module.clone();
  mlir::FailureOr<policy::Explanation> explanation;
  {
    mlir::ScopedDiagnosticHandler quiet(
        module.getContext(), [](mlir::Diagnostic &diagnostic) {
          return mlir::success(diagnostic.getSeverity() ==
                               mlir::DiagnosticSeverity::Error);
        });
    explanation = compileAndExplain(*copy, Form::Kernels, compile, tokens);
  }
  if (mlir::succeeded(explanation))
    return explanation;
  copy = module.clone();
  return compileAndExplain(*copy, Form::Schedule, compile, tokens);
}

/// Prints the explanation, and what --machine adds to it. Without a capacity
/// that an exchange needs, the workspace is not known.
static int explain(mlir::ModuleOp module, const Options &options,
                   const ArtefactOptions &compile, bool lacksCapacity) {
  std::optional<int64_t> tokens = options.numTokens;
  if (!tokens && !options.flags.machine.empty())
    tokens = compile.staticNumTokens
                 ? compile.staticNumTokens
                 : getStaticTokens(*findLayerFunction(module));
  mlir::FailureOr<policy::Explanation> explanation =
      getExplanation(module, compile, tokens);
  if (mlir::failed(explanation))
    return Failed;
  if (lacksCapacity)
    explanation->workspaceBytes = std::nullopt;
  const bool isJson = options.explain == "json";
  std::string text = isJson ? policy::explainJson(*explanation)
                            : policy::explainText(*explanation);
  if (!options.flags.machine.empty()) {
    if (lacksCapacity)
      return fail("--machine: expected --max-num-tokens, as what the all2all "
                  "backend exchanges has a fixed capacity",
                  BadUsage);
    Scale scale;
    if (!tokens)
      return fail("--machine: expected --num-tokens with --explain", BadUsage);
    if (Status status =
            predictScale(module, options.flags, compile, *tokens, scale);
        !status)
      return status.error().empty() ? getExitCode(status)
                                    : fail(status.error(), getExitCode(status));
    scale.workspaceBytes = explanation->workspaceBytes;
    text = isJson ? addScale(text, scale) : text + printScale(scale);
    const std::string &path = options.flags.simulateTrace;
    const simulate::RoutingReport &routing = scale.routings.back();
    if (!path.empty())
      if (llvm::Error error = writeFile(
              path, simulate::printTrace(routing.program, routing.timeline)))
        return fail("cannot write " + llvm::toString(std::move(error)), Failed);
  }
  std::cout << text << "\n";
  return Done;
}

//===----------------------------------------------------------------------===//
// Code, compiled or from the cache
//===----------------------------------------------------------------------===//

/// Whether a form is the result of generating code, which takes long.
static bool isCode(Form form) {
  return form == Form::PTX || form == Form::Cubin || form >= Form::Object;
}

namespace {
/// Makes the code of one layer, or takes it from the cache. Without a folder
/// there is no cache.
class CodeMaker {
public:
  CodeMaker(const Options &options, const ArtefactOptions &compile, Form form,
            std::string output)
      : options(options), compile(compile), form(form),
        output(std::move(output)),
        folder(compile.instrument ? "" : options.flags.getArtefactFolder()),
        cache(folder) {}

  /// Puts the code into the output file, and shared objects nowhere else;
  /// others into `bytes`.
  mlir::LogicalResult make(mlir::ModuleOp module, const std::string &name,
                           std::string &bytes);

private:
  mlir::LogicalResult generate(mlir::ModuleOp module, std::string &bytes);
  mlir::LogicalResult writeShared(llvm::StringRef bytes) const;
  void warn(const std::string &message) const {
    if (!options.quiet || options.reportCache)
      std::cerr << "moe-compile: warning: " << message << "\n";
  }

  const Options &options;
  const ArtefactOptions &compile;
  Form form;
  std::string output, runtime = findRuntime(), folder;
  Cache cache;
};
} // namespace

mlir::LogicalResult CodeMaker::generate(mlir::ModuleOp module,
                                        std::string &bytes) {
  if (mlir::failed(compileTo(module, form, compile)))
    return mlir::failure();
  if (form < Form::Object)
    return emitGPUKernels(module, bytes);
  llvm::SmallVector<char> object;
  if (mlir::failed(emitObject(module, compile, object)))
    return mlir::failure();
  if (form == Form::Object) {
    bytes.assign(object.begin(), object.end());
    return mlir::success();
  }
  if (llvm::Error error = linkShared(object, output, runtime, compile.runpath))
    return fail(llvm::toString(std::move(error)), Failed), mlir::failure();
  if (auto file = llvm::MemoryBuffer::getFile(output))
    bytes = (*file)->getBuffer();
  return mlir::success();
}

mlir::LogicalResult CodeMaker::writeShared(llvm::StringRef bytes) const {
  llvm::Error error = writeFile(output, bytes);
  if (error)
    return fail("cannot write " + llvm::toString(std::move(error)), Failed),
           mlir::failure();
  // As linkers do.
  (void)llvm::sys::fs::setPermissions(
      output, llvm::sys::fs::perms(llvm::sys::fs::all_all &
                                   ~llvm::sys::fs::getUmask()));
  return mlir::success();
}

mlir::LogicalResult CodeMaker::make(mlir::ModuleOp module,
                                    const std::string &name,
                                    std::string &bytes) {
  const auto start = std::chrono::steady_clock::now();
  auto report = [&](const std::string &what) {
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    if (options.reportCache)
      std::cerr << "moe-compile: " << what << format(" (%.2f s)", time.count())
                << "\n";
    return mlir::success();
  };
  std::string key;
  if (!folder.empty()) {
    llvm::Expected<std::string> made =
        makeCacheKey(module, form, compile, runtime);
    if (!made)
      return fail(llvm::toString(made.takeError()), Failed), mlir::failure();
    key = *made;
    Cache::Entry entry = cache.load(key);
    if (entry.status == Cache::Status::Found) {
      bytes = std::move(entry.bytes);
      if (form == Form::Shared && mlir::failed(writeShared(bytes)))
        return mlir::failure();
      return report("took '" + name + "' from the cache");
    }
    if (entry.status == Cache::Status::Damaged)
      warn("'" + name + "' is damaged in the cache '" + folder +
           "'; it is compiled again");
  }
  if (mlir::failed(generate(module, bytes)))
    return mlir::failure();
  if (!folder.empty())
    if (llvm::Error error = cache.store(key, bytes))
      warn(llvm::toString(std::move(error)) +
           "; --cache-dir names another folder, --no-cache none");
  return report("compiled '" + name + "'");
}

static int clearCache(const std::string &folder) {
  if (folder.empty())
    return fail(
        "--clear-cache: expected --cache-dir, or one of the environment "
        "variables MOE_CACHE_DIR, XDG_CACHE_HOME and HOME",
        BadUsage);
  llvm::Expected<Cache::Removed> removed = Cache(folder).clear();
  if (!removed)
    return fail(llvm::toString(removed.takeError()), Failed);
  std::cout << "removed " << count(removed->files, "file") << ", "
            << formatBytes(double(removed->bytes)) << ", from '" << folder
            << "'\n";
  return Done;
}

//===----------------------------------------------------------------------===//
// The program
//===----------------------------------------------------------------------===//

/// Compiles what is read from the input file.
static int run(Options &options) {
  if (std::string error = options.flags.finish(); !error.empty())
    return fail(error, BadUsage);
  if (options.clearCache) {
    if (options.flags.noCache)
      return fail("expected --clear-cache or --no-cache but got both",
                  BadUsage);
    int code = clearCache(options.flags.getArtefactFolder());
    if (code != Done || options.input.empty())
      return code;
  }
  if (options.input.empty())
    return fail("input is required\nrun 'moe-compile --help' for the flags",
                BadUsage);
  if (std::string error = checkCombination(options); !error.empty())
    return fail(error, BadUsage);
  const CompileFlags &flags = options.flags;
  const std::string target = flags.getTarget();
  if (target == "cpu" && (options.emit == "ptx" || options.emit == "cubin"))
    return fail("--emit " + options.emit +
                    ": needs --target cuda; target cpu has layer, phases, "
                    "schedule, kernels, llvm, object and shared",
                BadUsage);

  mlir::DialectRegistry registry;
  mlir::MLIRContext context(registry);
  prepareContext(context);
  printDiagnostics(context, "moe-compile");

  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<ModelLayer> model;
  Status read;
  if (llvm::sys::path::extension(options.input) == ".mlir") {
    if (!options.layerFlags.empty())
      return fail(options.layerFlags.front() + ": '" + options.input +
                      "' is one layer of one configuration; expected a "
                      "config.json with this flag",
                  BadUsage);
    read = parseModule(options.input, context, ValueNames::Drop, module);
  } else {
    model.emplace();
    read = importConfig(options.input, flags, context, "moe-compile", *model,
                        module);
  }
  if (!read) {
    if (!read.error().empty())
      std::cerr << "moe-compile: " << read.error() << "\n";
    return getExitCode(read);
  }

  ArtefactOptions compile{flags.getCompileOptions()};
  compile.runpath = !options.noRunpath;
  // Rule set auto works with the machine that is named, or with what `moe-run
  // --calibrate` measured here, if it did.
  std::string measured = getMachineFile(target);
  if (compile.machine.empty() && llvm::sys::fs::exists(measured))
    compile.machine = measured;
  compile.weights = model ? &model->weights : nullptr;

  mlir::FailureOr<mlir::func::FuncOp> function = findLayerFunction(*module);
  if (mlir::failed(function))
    return BadUsage;
  std::string name = function->getName().str();
  if (std::optional<int64_t> tokens = getStaticTokens(*function);
      tokens && options.numTokens && *options.numTokens != *tokens)
    return fail("--num-tokens: expected " + std::to_string(*tokens) +
                    ", the tokens of '" + name + "', but got " +
                    std::to_string(*options.numTokens),
                BadUsage);
  if (auto cpu = codegen::cpu::Target::parse(flags.cpu); !cpu)
    return fail("--cpu: " + llvm::toString(cpu.takeError()), BadUsage);

  if (std::string error;
      !flags.machine.empty() && !policy::loadMachine(flags.machine, error))
    return fail("--machine: " + error, BadUsage);

  const bool explains = !options.explain.empty();
  Form form = options.emit.empty() ? Form::Shared : *parseForm(options.emit);
  const bool unbounded = lacksCapacity(*function, compile);
  if (unbounded && explains)
    // The decision is the same whatever the capacity is.
    compile.maxNumTokens = 1;
  else if (unbounded && form != Form::Layer)
    return fail("expected --max-num-tokens: the exchange of the all2all "
                "backend has a fixed capacity",
                BadUsage);
  // What is wrong with the input shows in its phases.
  if (explains || form != Form::Layer)
    if (mlir::OwningOpRef<mlir::ModuleOp> phases = module->clone();
        mlir::failed(compileTo(*phases, Form::Phases, compile)))
      return BadUsage;

  compile.instrument = options.passes.apply("moe-compile");
  if (explains)
    return explain(*module, options, compile, unbounded);

  std::string bytes;
  std::string output = options.output;
  if (output.empty() && isCode(form) && form != Form::PTX)
    output = name + (form == Form::Cubin    ? ".moe.cubin"
                     : form == Form::Object ? ".moe.o"
                                            : ".moe.so");
  if (isCode(form)) {
    CodeMaker maker(options, compile, form, output);
    if (mlir::failed(maker.make(*module, name, bytes)))
      return Failed;
    if (form == Form::Shared) {
      report(options, output);
      return Done;
    }
  } else {
    if (mlir::failed(compileTo(*module, form, compile)))
      return Failed;
    bytes = printModule(*module);
  }
  const bool isText = form != Form::Cubin && form != Form::Object;
  if (isText && (output.empty() || output == "-")) {
    std::cout << bytes;
    return Done;
  }
  if (llvm::Error error = writeFile(output, bytes))
    return fail("cannot write " + llvm::toString(std::move(error)), Failed);
  report(options, output);
  return Done;
}

int main(int argc, char **argv) {
  initialize("moe-compile", argv[0]);
  CLI::App app("Compiles a Mixture-of-Experts layer to one artefact that runs "
               "the whole layer.");
  app.name("moe-compile");
  app.footer("Exit codes: 0 done; 1 the work failed; 2 bad usage or input.");
  app.set_version_flag(
      "--version", [] { return describeCompilerVersion("moe-compile"); },
      "Say which version this is, and what it works with");
  Options options;
  addOptions(app, options);
  if (std::optional<int> code = parse(app, argc, argv))
    return *code;
  for (const CLI::Option *option : app.get_options())
    if (option->count() && (option->get_group() == "Layer" ||
                            option->get_group() == "Parallel configuration"))
      options.layerFlags.push_back(option->get_name());
  return run(options);
}
