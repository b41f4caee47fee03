//===- ScheduleDialect.td - When and where work runs -------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEDIALECT_TD
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEDIALECT_TD

include "mlir/IR/OpBase.td"

def Schedule_Dialect : Dialect {
  let name = "schedule";
  let cppNamespace = "::moe::schedule";
  let summary = "when and where work runs: streams, runs, events, workspace";
  let description = [{
    ```
      what a program computes         moe, linalg, ... on buffers
    ------------------------------------------------------------------
      when and where it runs          schedule.run / mark / launch      <- here
    ------------------------------------------------------------------
      how a target executes it        LLVM dialect calling the runtime
    ```

    The dialect says on which *stream* each piece of work runs and in which
    order. Work on one stream runs in program order; work on two streams is
    ordered by *events* alone. The dialect knows memory effects and
    communicators and nothing of what the work computes, so it schedules and
    verifies anybody's code.

    Everything is about *issue*: executing `schedule.run` hands its body to the
    stream and goes on. That is why buffers are neither allocated nor freed
    inside a run, and why no value but buffers, scalars and events may cross
    from one run to another.

    **Boundary contract.** A scheduled function belongs to its caller's stream,
    the compute stream. Arguments are last accessed before entry, and arguments
    and results are first accessed again after return, on the compute stream.
    The caller may reuse all of them in stream order at once. So the first run
    on another stream needs an event of the compute stream (the fork), and the
    compute stream must wait for the last (the join).

    `--schedule-verify` proves all of this: see `HappensBefore.h`.

    **Attributes** that the dialect puts on functions and their arguments:

    | attribute | on | meaning |
    |---|---|---|
    | `schedule.inout` | argument | the function reads and updates the buffer |
    | `schedule.workspace` | argument | bytes for temporaries, of no value to the caller |
    | `schedule.tokens` | argument | dimension 0 is the tokens of this rank |
    | `schedule.axes = ["L", ""]` | argument | what each dimension counts whose size a call says: dimensions of one name are equal; "" is the tokens of this rank |
    | `schedule.max_shape = array<i64: ...>` | argument | upper bounds of the dimensions, -1 where there is none |
    | `schedule.workspace_size = affine_map<(t, n) -> (...)>` | function | bytes of the workspace for t tokens of this rank and n of all ranks |
    | `schedule.grid = #schedule.grid<...>` | function | the ranks that run it together; without it, one |
    | `schedule.max_num_tokens = n` | function | a rank has at most so many tokens in a call |
    | `schedule.descriptor = "..."` | module | what `--convert-schedule-to-runtime` puts into the artefact as its descriptor |
    | `schedule.uniform` | branch, loop | all ranks take the same arm, or run as often; proven of the condition and the bounds |
    | `schedule.uniform` | scalar argument | the caller gives all ranks the same value |

    An argument with `bufferize.result` (set by bufferization) is an output.
    Outputs and the workspace alias no other argument; every argument without
    one of these roles is an input and read only.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
}

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEDIALECT_TD
