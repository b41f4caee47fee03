//===- Target.cpp - The CPU that kernels are generated for ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/Target.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"
#include "llvm/TargetParser/Triple.h"

using namespace moe::codegen;
using namespace moe::codegen::cpu;

static llvm::Error error(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

static llvm::Expected<const llvm::Target *> lookup(const Target &target) {
  // Registration is idempotent and cheap after the first time.
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  std::string message;
  const llvm::Target *found =
      llvm::TargetRegistry::lookupTarget(llvm::Triple(target.triple), message);
  if (!found)
    return error(message);
  return found;
}

/// The widest registers whose instructions cover what kernels do: loads with
/// masks and conversions of 16-bit floats come with avx512bw, not avx512f.
static unsigned chooseVectorBits(const llvm::Triple &triple,
                                 const llvm::MCSubtargetInfo &subtarget) {
  if (!triple.isX86())
    return 128;
  if (subtarget.checkFeatures("+avx512f,+avx512bw,+avx512dq,+avx512vl"))
    return 512;
  if (subtarget.checkFeatures("+avx2,+fma"))
    return 256;
  return 128;
}

Target Target::host() {
  Target target;
  target.triple = llvm::sys::getProcessTriple();
  target.cpu = llvm::sys::getHostCPUName().str();
  // Virtual machines mask features that the CPU's name implies.
  llvm::SubtargetFeatures features;
  for (const auto &feature : llvm::sys::getHostCPUFeatures())
    features.AddFeature(feature.first(), feature.second);
  target.features = features.getString();
  llvm::Expected<const llvm::Target *> found = lookup(target);
  if (!found) {
    llvm::consumeError(found.takeError());
    return target;
  }
  llvm::Triple triple(target.triple);
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      (*found)->createMCSubtargetInfo(triple, target.cpu, target.features));
  if (subtarget)
    target.vectorBits = chooseVectorBits(triple, *subtarget);
  return target;
}

llvm::Expected<Target> Target::parse(llvm::StringRef spec) {
  auto [cpu, features] = spec.split(',');
  Target target;
  if (cpu == "host") {
    target = host();
    if (features.empty())
      return target;
    target.features += "," + features.str();
  } else {
    target.triple = llvm::sys::getProcessTriple();
    target.cpu = cpu.str();
    target.features = features.str();
  }
  llvm::Expected<const llvm::Target *> found = lookup(target);
  if (!found)
    return found.takeError();
  llvm::Triple triple(target.triple);
  // A subtarget that knows no CPU yet: asking it avoids LLVM's own warning.
  std::unique_ptr<llvm::MCSubtargetInfo> any(
      (*found)->createMCSubtargetInfo(triple, "", ""));
  if (!any || !any->isCPUStringValid(target.cpu))
    return error("expected 'host' or a CPU of " + triple.getArchName() +
                 " such as 'x86-64-v3' but got '" + cpu + "'");
  for (llvm::StringRef feature : llvm::split(features, ',')) {
    if (feature.empty())
      continue;
    llvm::StringRef name = feature.drop_front();
    bool known = llvm::any_of(any->getAllProcessorFeatures(),
                              [&](const llvm::SubtargetFeatureKV &entry) {
                                return name == entry.Key;
                              });
    if (!llvm::SubtargetFeatures::hasFlag(feature) || !known)
      return error("expected a feature of " + triple.getArchName() +
                   " such as '+avx2' but got '" + feature + "'");
  }
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      (*found)->createMCSubtargetInfo(triple, target.cpu, target.features));
  target.vectorBits = chooseVectorBits(triple, *subtarget);
  return target;
}

std::string Target::getBaseline() {
  return llvm::Triple(llvm::sys::getProcessTriple()).isX86() ? "x86-64"
                                                             : "generic";
}

std::vector<std::string> Target::getFeatureNames() const {
  std::vector<std::string> names;
  if (!llvm::Triple(triple).isX86())
    return names;
  llvm::Expected<const llvm::Target *> found = lookup(*this);
  if (!found) {
    llvm::consumeError(found.takeError());
    return names;
  }
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      (*found)->createMCSubtargetInfo(llvm::Triple(triple), cpu, features));
#define MOERT_X86_FEATURE(name, ...)                                           \
  if (subtarget->checkFeatures("+" name))                                      \
    names.push_back(name);
#include "moert/CPUFeatures.def"
  return names;
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
Target::createMachine() const {
  llvm::Expected<const llvm::Target *> found = lookup(*this);
  if (!found)
    return found.takeError();
  std::unique_ptr<llvm::TargetMachine> machine((*found)->createTargetMachine(
      llvm::Triple(triple), cpu, features, llvm::TargetOptions(),
      llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return error("cannot generate code for " + triple);
  return machine;
}
