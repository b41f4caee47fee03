//===- Passes.td - From layers to verified schedules -------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_PASSES_TD
#define MOE_MLIR_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def MoEExplain : Pass<"moe-explain", "::mlir::ModuleOp"> {
  let summary = "print what was decided, by which rule, and what would change it";
  let description = [{
    Prints the explanation of every scheduled function, in the order of the
    module, and changes nothing: on standard output, or on the stream that
    `createMoEExplain` is given. `moe-compile --explain` prints the same.
  }];
  let options = [
    Option<"format", "format", "std::string", "\"text\"", "text or json">,
    Option<"numTokens", "num-tokens", "int64_t", "-1",
           "the number of tokens that is explained; -1: any">
  ];
}

def MoEFixNumTokens : Pass<"moe-fix-num-tokens", "::mlir::func::FuncOp"> {
  let summary = "make the number of tokens of each moe.layer a constant";
  let description = [{
    Whatever depends on the number of tokens then folds on the way down: sizes
    of buffers and grids, and the choices among kernels by the number of rows.

    Before:

    ```mlir
    func.func @layer(%x: tensor<?x64xf32>, ...) -> tensor<?x64xf32> {
      %y = moe.layer hidden(%x : tensor<?x64xf32>) ... -> tensor<?x64xf32>
    ```

    After `--moe-fix-num-tokens=num-tokens=16`:

    ```mlir
    func.func @layer(%x: tensor<16x64xf32>, ...) -> tensor<16x64xf32> {
      %y = moe.layer hidden(%x : tensor<16x64xf32>) ... -> tensor<16x64xf32>
    ```

    What else uses these values sees their types as they were, through a
    `tensor.cast`. A layer that has another number of rows is an error.
  }];
  let options = [
    Option<"staticNumTokens", "num-tokens", "int64_t", "-1",
           "the number of tokens; below 1: leave layers as they are">
  ];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def MoEExpandLayer : Pass<"moe-expand-layer", "::mlir::func::FuncOp"> {
  let summary = "turn each moe.layer into its phases";
  let description = [{
    The phases come in the order of the data flow: gate, route, dispatch,
    experts, combine, shared experts, merge. What crosses ranks follows from the
    parallel configuration; a configuration that the policy refuses is an error
    at the layer.

    Before:

    ```mlir
    %y = moe.layer hidden(%x : tensor<?x64xf32>) router(...) experts(...)
           shared(...) routing(<top_k = 2>) activation(<swiglu>)
           -> tensor<?x64xf32>
    ```

    After:

    ```mlir
    %t = tensor.dim %x, %c0 : tensor<?x64xf32>
    %0 = bufferization.alloc_tensor(%t) : tensor<?x8xf32>
    %logits = moe.gate ins(%x, %router ...) outs(%0 ...) -> tensor<?x8xf32>
    ...
    %output = moe.merge ins(%routed ...) shared(%shared ...) outs(...)
                -> tensor<?x64xf32>
    ```

    The function then carries `moe.parallel`, the configuration of its layers,
    `schedule.grid` if it has several ranks, and `moe.layers`, one dictionary per layer for passes that ask about the
    layer as a whole: `name`, `hidden_size`, `num_experts` (logical, without zero
    experts), `top_k`, `n_group`, `intermediate_size`,
    `shared_intermediate_size` (both before sharding), `gated`.

    A layer whose configuration has `dbo`, and whose tokens move between ranks,
    is expanded twice, into a branch that all ranks take alike: where the rank
    with most tokens has enough of them, each half of the tokens has phases of
    its own, marked `moe.part`, and the shared experts run once for both.
    `--moe-schedule` interleaves the halves, or keeps the other arm alone.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::moe::schedule::ScheduleDialect"
  ];
  let options = [
    Option<"maxNumTokens", "max-num-tokens", "int64_t", "-1",
           "the most tokens of one rank, for exchanges of fixed capacity; -1: "
           "the function's attribute 'schedule.max_num_tokens' says, or else the "
           "layers' number of tokens, where it is known">
  ];
}

def MoEHoistBuffers : Pass<"moe-hoist-buffers", "::mlir::func::FuncOp"> {
  let summary = "move allocations and sizes to the function's entry";
  let description = [{
    Allocations, and the pure ops that compute their sizes, dominate all work
    then, so that a schedule may put the work in any order and in any region;
    those in a branch come before it too. Subviews of whole rows become
    `schedule.rows`, which are row-major as the buffers are.
    Arguments get the location `moe.name` says, for readable IR
    (`--mlir-use-nameloc-as-prefix`).

    Before:

    ```mlir
    moe.gate ins(%x, %router ...) outs(%logits ...)
    %ids = memref.alloc(%t) : memref<?x2xi32>
    ```

    After:

    ```mlir
    %ids = memref.alloc(%t) : memref<?x2xi32>
    moe.gate ins(%x, %router ...) outs(%logits ...)
    ```
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect",
                           "::moe::schedule::ScheduleDialect"];
}

def MoESchedule : Pass<"moe-schedule", "::mlir::func::FuncOp"> {
  let summary = "choose each layer's order and put its phases on streams";
  let description = [{
    Asks the policy for the order of each layer and puts every phase of a
    bufferized function into a `schedule.run` on its stream. Events stand where
    buffers ask for them. Where the number of tokens decides and is not known
    from the buffers' types, an `scf.if` holds both schedules.

    Before:

    ```mlir
    moe.gate ins(%x, %wg ...) outs(%logits ...)
    ...
    moe.shared_experts ins(%x, %s13, %s2 ...) outs(%shared ...)
    moe.merge ins(%routed ...) shared(%shared ...) outs(%y ...)
    ```

    After, for few tokens:

    ```mlir
    %fork = schedule.mark on(compute)
    %done = schedule.run on(aux) after(%fork) label("shared experts") {
      moe.shared_experts ... } -> !schedule.event
    schedule.run on(compute) label("gate") { moe.gate ... }
    ...
    schedule.run on(compute) after(%done) label("merge") { moe.merge ... }
    ```

    Every decision is a remark of category `moe-schedule`, with its rule, its
    reason and what would change it, and an entry of the function's attribute
    `moe.decisions`.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::moe::schedule::ScheduleDialect"
  ];
  let options = [
    Option<"ruleSet", "rule-set", "std::string",
           "::moe::CompileOptions().ruleSet",
           "the rules that choose the order">,
    Option<"target", "target", "std::string", "::moe::CompileOptions().target",
           "the target, for explanations and the cost model">,
    Option<"auxStream", "aux-stream", "bool", "true",
           "the target can run an auxiliary stream">,
    Option<"threshold", "token-threshold", "int64_t",
           "::moe::CompileOptions().threshold",
           "the most tokens that overlap on the auxiliary stream">,
    Option<"disableSharedExpertsStream", "disable-shared-experts-stream", "bool",
           "false", "never use the auxiliary stream">,
    Option<"monolithicKernel", "monolithic-kernel", "bool", "false",
           "router, dispatch, experts and combine are one kernel">,
    Option<"machine", "machine", "std::string", "\"\"",
           "a machine model for rule set auto (moe-run --calibrate writes one); "
           "empty: the target's default">
  ];
}

def MoELowerExchanges : Pass<"moe-lower-exchanges", "::mlir::func::FuncOp"> {
  let summary = "turn phases of several ranks into their steps";
  let description = [{
    Inside every `schedule.run`, a phase that needs other ranks becomes what this
    rank does and the collectives between: plans of what is sent, packing of
    rows, `schedule.collective`s, and the plan of what came. A dispatch without
    an exchange becomes its plan, over a map of this rank's experts where other
    ranks have some. The steps stand in the run of the phase; their temporaries
    are allocated at the function's entry. What the way back of the rows needs,
    the dispatch wrote to buffers that the combine reads.

    Before:

    ```mlir
    schedule.run on(compute) label("combine") {
      moe.combine ins(%out, %pairs ...) weights(%weights ...) way_back(%positions ...)
        counts(%sent, %received ...) outs(%routed ...) scale(1.0)
        exchange(<send_receive, #ranks[dp]>)
    }
    ```

    After:

    ```mlir
    schedule.run on(compute) label("combine") {
      moe.combine ins(%out, %pairs ...) weights(%weights ...) outs(%partial ...) scale(1.0)
      schedule.collective all_to_all over(#ranks[dp]) label("combine.rows")
        counts(%received, %sent ...) sends(%partial ...) receives(%returned ...)
      moe.combine ins(%returned, %positions ...) outs(%routed ...) scale(1.0)
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect",
                           "::moe::schedule::ScheduleDialect"];
}

def ScheduleVerify : Pass<"schedule-verify"> {
  let summary = "prove a schedule free of races";
  let description = [{
    Runs the happens-before analysis of `HappensBefore.h` on every function that
    issues work, and fails with both places of everything that it finds:
    conflicting work that no event orders, a missing fork or join, reads of what
    nothing has written, writes that nothing reads, writes to inputs, and
    collectives whose order may differ between ranks. It shares no code with the
    passes that place events, and works on anybody's `schedule` IR.

    It runs on any op: on a function, or on all functions of a module.
  }];
}

def PlanWorkspace : Pass<"schedule-plan-workspace", "::mlir::ModuleOp"> {
  let summary = "put temporaries into slots of a workspace of the caller's";
  let description = [{
    Every `memref.alloc` of a function that issues work becomes a slice of one
    workspace, which the function gets as its last argument, and the size of
    which it gets as attribute `schedule.workspace_size`. A function without
    allocations stays as it is.

    Sizes are bounded by a linear form of the tokens of this rank (dimension 0
    of the argument with `schedule.tokens`, or else of the first buffer whose
    dimension 0 is dynamic) and of all ranks (`schedule.total_tokens`), through
    index arithmetic; dimensions of other arguments need `schedule.max_shape`.
    How much the parts of the tokens of all ranks may exceed their share follows
    from the function's `schedule.grid`.

    Slots are placed largest first at the lowest offset that fits. Two overlap
    only if the happens-before analysis orders their lives on every path.

    ```mlir
    // before
    func.func @f(%x: memref<?x64xf32>) {
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %h = memref.alloc(%t) : memref<?x64xf32>
      ...
    // after
    func.func @f(%x: memref<?x64xf32>, %ws: memref<?xi8> {schedule.workspace})
        attributes {schedule.workspace_size = affine_map<(t, n) -> (t * 256)>} {
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %n = schedule.total_tokens : index
      %w = schedule.workspace %ws(%t, %n) slots [
        #schedule.slot<"hidden", offset = (t, n) -> (0),
                                 size = (t, n) -> (t * 256)>] : memref<?xi8>
      %h = schedule.slice %w["hidden"](%t) : memref<?x64xf32>
      ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect",
                           "::moe::schedule::ScheduleDialect"];
}

#endif // MOE_MLIR_TRANSFORMS_PASSES_TD
