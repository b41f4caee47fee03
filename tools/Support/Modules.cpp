//===- Modules.cpp - How the tools on MLIR read and write IR --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/Modules.h"

#include "moe-mlir/Import/ImportLayer.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/AsmParserState.h"
#include "mlir/IR/AsmState.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

#include <iostream>
#include <memory>
#include <set>

using namespace mlir;
using namespace moe;
using namespace moe::tools;

static const char *getSeverityName(DiagnosticSeverity severity) {
  switch (severity) {
  case DiagnosticSeverity::Error:
    return "error";
  case DiagnosticSeverity::Warning:
    return "warning";
  case DiagnosticSeverity::Note:
    return "note";
  case DiagnosticSeverity::Remark:
    return "remark";
  }
  llvm_unreachable("all severities are listed");
}

static void printDiagnostic(Diagnostic &diagnostic, const std::string &tool) {
  std::string where;
  if (auto loc = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
    where = loc.getFilename().str() + ":" + std::to_string(loc.getLine()) +
            ":" + std::to_string(loc.getColumn()) + ": ";
  std::cerr << tool << ": " << where
            << getSeverityName(diagnostic.getSeverity()) << ": "
            << diagnostic.str() << "\n";
  for (Diagnostic &note : diagnostic.getNotes())
    printDiagnostic(note, tool);
}

void moe::tools::printDiagnostics(MLIRContext &context,
                                  const std::string &tool) {
  context.printOpOnDiagnostic(false);
  // Passes that look at the same thing warn of it again.
  auto warnings = std::make_shared<std::set<std::string>>();
  context.getDiagEngine().registerHandler([tool, warnings](Diagnostic &diag) {
    if (diag.getSeverity() != DiagnosticSeverity::Warning ||
        warnings->insert(diag.str()).second)
      printDiagnostic(diag, tool);
  });
}

/// Wraps a location into the name that stands at `range`, such as "%x".
static Location addName(Location loc, llvm::SMRange range) {
  if (!range.isValid())
    return loc;
  StringRef text(range.Start.getPointer(),
                 range.End.getPointer() - range.Start.getPointer());
  // Numbers are not names.
  if (!text.consume_front("%") || text.empty() || llvm::isDigit(text[0]))
    return loc;
  return NameLoc::get(StringAttr::get(loc->getContext(), text), loc);
}

static void nameValues(const AsmParserState &state) {
  for (const AsmParserState::OperationDefinition &definition :
       state.getOpDefs())
    if (!definition.resultGroups.empty())
      definition.op->setLoc(
          addName(definition.op->getLoc(),
                  definition.resultGroups.front().definition.loc));
  for (const AsmParserState::BlockDefinition &definition : state.getBlockDefs())
    for (auto [index, argument] : llvm::enumerate(definition.arguments)) {
      BlockArgument value = definition.block->getArgument(index);
      value.setLoc(addName(value.getLoc(), argument.loc));
    }
}

static Status cannotRead(const std::string &path, std::error_code code) {
  return badInput("cannot read '" + path + "': " + code.message());
}

Status moe::tools::parseModule(const std::string &path, MLIRContext &context,
                               ValueNames names,
                               OwningOpRef<ModuleOp> &module) {
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer)
    return cannotRead(path, buffer.getError());
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  ParserConfig config(&context);
  AsmParserState state;
  Block block;
  // Diagnostics say what is wrong.
  if (failed(parseAsmSourceFile(sources, &block, config, &state)))
    return badInput("");
  if (names == ValueNames::Keep)
    nameValues(state);
  if (llvm::hasSingleElement(block) && isa<ModuleOp>(block.front())) {
    module = cast<ModuleOp>(block.front());
    (*module)->remove();
    return {};
  }
  module = ModuleOp::create(FileLineColLoc::get(&context, path, 1, 1));
  Block *body = module->getBody();
  body->getOperations().splice(body->begin(), block.getOperations());
  return {};
}

Status moe::tools::importConfig(const std::string &path,
                                const CompileFlags &flags, MLIRContext &context,
                                const std::string &tool, ModelLayer &layer,
                                OwningOpRef<ModuleOp> &module) {
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer)
    return cannotRead(path, buffer.getError());
  Result<ModelLayer> parsed = parseModelConfig((*buffer)->getBuffer().str(),
                                               flags.getModelConfigOptions());
  if (!parsed)
    return badInput(path + ": " + parsed.error());
  layer = std::move(*parsed);
  for (const std::string &warning : flags.warnings)
    std::cerr << tool << ": warning: " << warning << "\n";
  for (const std::string &warning : layer.warnings)
    std::cerr << tool << ": warning: " << warning << "\n";
  module = ModuleOp::create(UnknownLoc::get(&context));
  if (failed(buildLayerFunction(*module, layer.spec, flags.parallel,
                                layer.sequenceParallel,
                                flags.recordExpertLoad)))
    return badInput("");
  return {};
}

std::string moe::tools::printModule(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  flags.printNameLocAsPrefix();
  module.print(stream, flags);
  stream << "\n";
  return text;
}
