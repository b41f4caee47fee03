//===- Scale.cpp - A layer on many ranks, explained -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scale.h"

#include "moe-mlir/Support/Format.h"
#include "moe-mlir/Transforms/Schedule.h"

#include <algorithm>
#include <nlohmann/json.hpp>

using namespace moe;
using namespace moe::tools;
using nlohmann::ordered_json;

//===----------------------------------------------------------------------===//
// Predicting
//===----------------------------------------------------------------------===//

namespace {
/// A module that one rule set has scheduled.
struct ScheduledModule {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  simulate::ScheduledLayer layer;
};
} // namespace

static mlir::FailureOr<ScheduledModule> scheduleBy(const std::string &ruleSet,
                                                   mlir::ModuleOp module,
                                                   ArtefactOptions options,
                                                   int64_t tokens) {
  ScheduledModule scheduled;
  scheduled.module = module.clone();
  std::string name = findLayerFunction(*scheduled.module)->getName().str();
  options.ruleSet = ruleSet;
  // What there is to warn of has been said for the chosen one.
  mlir::ScopedDiagnosticHandler quiet(
      module.getContext(), [](mlir::Diagnostic &diagnostic) {
        return mlir::success(diagnostic.getSeverity() !=
                             mlir::DiagnosticSeverity::Error);
      });
  mlir::FailureOr<policy::Explanation> explanation =
      compileAndExplain(*scheduled.module, Form::Schedule, options, tokens);
  if (mlir::failed(explanation))
    return mlir::failure();
  scheduled.layer = {ruleSet, explanation->decision.at(tokens).order,
                     scheduled.module->lookupSymbol<mlir::func::FuncOp>(name)};
  return scheduled;
}

static Status checkRanks(const policy::ClusterModel &cluster,
                         int64_t numRanks) {
  if (numRanks <= cluster.getNumGPUs())
    return {};
  return badInput("--machine: expected a machine of at least " +
                  count(numRanks, "GPU") + " but '" + cluster.name + "' has " +
                  std::to_string(cluster.getNumGPUs()));
}

static Status predictRoutings(const std::vector<ScheduledModule> &schedules,
                              const CompileFlags &flags, Scale &scale) {
  mlir::FunctionOpInterface function = schedules.back().layer.function;
  mlir::FailureOr<simulate::Routing> routing = simulate::getRouting(function);
  if (mlir::failed(routing))
    return failed("");
  std::vector<simulate::ScheduledLayer> layers;
  for (const ScheduledModule &schedule : schedules)
    layers.push_back(schedule.layer);
  simulate::Call call;
  call.cluster = scale.cluster;
  call.properties = *simulate::getProperties(function);
  call.tokens.assign(scale.numRanks, scale.tokens);
  for (const std::string &name : {std::string("uniform"), flags.routing}) {
    if (!scale.routings.empty() && name == scale.routings.back().name)
      break;
    std::string error;
    policy::RouterModel router = routing->router;
    std::optional<std::vector<double>> weights =
        policy::parseWeights(name, router, error);
    if (!weights)
      return badInput("--routing: " + error);
    router.weights = *weights;
    call.loads = policy::getExpectedLoads(router, routing->slots);
    mlir::FailureOr<simulate::RoutingReport> report = simulate::reportRouting(
        name, layers, call, policy::getEvenLoads(call.loads));
    if (mlir::failed(report))
      return failed("");
    scale.routings.push_back(std::move(*report));
  }
  return {};
}

Status moe::tools::predictScale(mlir::ModuleOp module,
                                const CompileFlags &flags,
                                const ArtefactOptions &options, int64_t tokens,
                                Scale &scale) {
  scale.tokens = tokens;
  std::string error;
  std::optional<policy::ClusterModel> cluster =
      policy::loadCluster(flags.machine, error);
  if (!cluster)
    return badInput("--machine: " + error);
  scale.cluster = *cluster;

  std::vector<ScheduledModule> schedules;
  std::vector<std::string> names = {"serial", "overlap"};
  names.erase(std::remove(names.begin(), names.end(), flags.ruleSet),
              names.end());
  names.push_back(flags.ruleSet);
  for (const std::string &name : names) {
    mlir::FailureOr<ScheduledModule> schedule =
        scheduleBy(name, module, options, tokens);
    if (mlir::failed(schedule))
      return failed("");
    schedules.push_back(std::move(*schedule));
  }
  mlir::FunctionOpInterface function = schedules.back().layer.function;
  mlir::FailureOr<policy::ParallelProperties> properties =
      simulate::getProperties(function);
  if (mlir::failed(properties))
    return failed("");
  mlir::FailureOr<simulate::MemoryReport> memory =
      simulate::reportMemory(function, tokens, properties->numLocalExperts);
  if (mlir::failed(memory))
    return failed("");
  scale.memory = *memory;
  scale.numRanks =
      properties->outerTp.size * properties->pcp.size * properties->dp.size;
  MOE_TRY(checkRanks(scale.cluster, scale.numRanks));
  return predictRoutings(schedules, flags, scale);
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::string us(double seconds) { return format("%.1f", seconds * 1e6); }

static std::string percent(double share) {
  return format("%.0f %%", share * 100);
}

static std::string printCollectives(const simulate::RoutingReport &routing) {
  Table table("lllrrrrr");
  table.add({"collective", "", "pairs on", "pairs", "smallest", "mean",
             "largest", "us"});
  for (const simulate::CollectiveReport &report : routing.collectives) {
    std::string label = report.label, kind(stringify(report.kind)),
                time = us(report.seconds);
    for (auto [where, pairs] : {std::pair("one node", report.traffic.intra),
                                std::pair("two nodes", report.traffic.inter)}) {
      if (pairs.pairs == 0)
        continue;
      table.add({label, kind, where, std::to_string(pairs.pairs),
                 formatBytes(pairs.smallest), formatBytes(pairs.mean),
                 formatBytes(pairs.largest), time});
      label = kind = time = "";
    }
  }
  return routing.collectives.empty() ? "" : table.print(2);
}

static std::string printPhases(const simulate::RoutingReport &routing) {
  Table table("lrrrrr");
  table.add({"phase", "mean us", "largest us", "links us", "critical: rank us",
             "links us"});
  for (const simulate::PhaseReport &report : routing.phases)
    table.add({report.label, us(report.mean), us(report.largest),
               us(report.links), us(report.onCriticalPath.onRank),
               us(report.onCriticalPath.onLinks)});
  return table.print(2);
}

static std::string printSteps(const simulate::RoutingReport &routing) {
  Table table("llrrr");
  table.add({"schedule", "order", "step us", "idle", "balanced us"});
  for (const simulate::StepReport &step : routing.steps)
    table.add({step.ruleSet, std::string(name(step.order)), us(step.seconds),
               percent(step.idleShare), us(step.balancedSeconds)});
  return table.print(2);
}

std::string moe::tools::printScale(const Scale &scale) {
  const policy::ClusterModel &cluster = scale.cluster;
  std::string text = "\non machine " + cluster.name + ": " +
                     count(scale.numRanks, "rank") + " of " +
                     count(cluster.gpusPerNode, "GPU") + " per node, " +
                     count(scale.tokens, "token") + " each\n";
  Table memory("ll");
  double total = scale.memory.weights + scale.memory.inputsAndOutput +
                 double(scale.workspaceBytes.value_or(0));
  memory.add({"memory", formatBytes(total) + " of " +
                            formatBytes(cluster.gpuMemory) +
                            (total > cluster.gpuMemory ? ": too much" : "")});
  memory.add({"  weights", formatBytes(scale.memory.weights)});
  memory.add({"  workspace", scale.workspaceBytes
                                 ? formatBytes(double(*scale.workspaceBytes))
                                 : std::string("not known")});
  memory.add(
      {"  inputs and output", formatBytes(scale.memory.inputsAndOutput)});
  text += memory.print(2);
  for (const simulate::RoutingReport &routing : scale.routings) {
    text += "\nrouting " + routing.name + ": " +
            format("balance %.2f", routing.balance) + "\n";
    const std::string collectives = printCollectives(routing);
    text += collectives + (collectives.empty() ? "" : "\n") +
            printPhases(routing) + "\n" + printSteps(routing);
  }
  return text;
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static ordered_json toJson(const policy::PairBytes &pairs) {
  return {{"pairs", pairs.pairs},
          {"smallest", pairs.smallest},
          {"mean", pairs.mean},
          {"largest", pairs.largest}};
}

static ordered_json toJson(const simulate::RoutingReport &routing) {
  ordered_json json = {{"routing", routing.name},
                       {"balance", routing.balance},
                       {"collectives", ordered_json::array()},
                       {"phases", ordered_json::array()},
                       {"schedules", ordered_json::array()}};
  for (const simulate::CollectiveReport &report : routing.collectives)
    json["collectives"].push_back(
        {{"label", report.label},
         {"kind", stringify(report.kind)},
         {"seconds", report.seconds},
         {"bytes_on_node", toJson(report.traffic.intra)},
         {"bytes_between_nodes", toJson(report.traffic.inter)},
         {"most_sent", report.traffic.mostSent},
         {"most_received", report.traffic.mostReceived}});
  for (const simulate::PhaseReport &report : routing.phases)
    json["phases"].push_back(
        {{"label", report.label},
         {"mean_seconds", report.mean},
         {"largest_seconds", report.largest},
         {"link_seconds", report.links},
         {"critical_rank_seconds", report.onCriticalPath.onRank},
         {"critical_link_seconds", report.onCriticalPath.onLinks}});
  for (const simulate::StepReport &step : routing.steps)
    json["schedules"].push_back({{"schedule", step.ruleSet},
                                 {"order", name(step.order)},
                                 {"seconds", step.seconds},
                                 {"idle_share", step.idleShare},
                                 {"balanced_seconds", step.balancedSeconds}});
  return json;
}

std::string moe::tools::addScale(const std::string &explanation,
                                 const Scale &scale) {
  ordered_json json = ordered_json::parse(explanation);
  ordered_json &object = json["scale"];
  object = {{"machine", scale.cluster.name},
            {"ranks", scale.numRanks},
            {"gpus_per_node", scale.cluster.gpusPerNode},
            {"tokens_per_rank", scale.tokens},
            {"memory",
             {{"available", scale.cluster.gpuMemory},
              {"weights", scale.memory.weights},
              {"inputs_and_output", scale.memory.inputsAndOutput}}},
            {"routings", ordered_json::array()}};
  object["memory"]["workspace"] = scale.workspaceBytes
                                      ? ordered_json(*scale.workspaceBytes)
                                      : ordered_json(nullptr);
  for (const simulate::RoutingReport &routing : scale.routings)
    object["routings"].push_back(toJson(routing));
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}
