// Schedules as pictures and data, with the names that the text gives to values.
// REQUIRES: moe-translate
// RUN: %moe-translate --schedule-to-dot --function overlapped %s | FileCheck %s --check-prefix=DOT
// RUN: %moe-translate --schedule-to-json --function overlapped %s | FileCheck %s --check-prefix=JSON
// RUN: %moe-translate --schedule-to-json --function overlapped < %s -o %t.json
// RUN: %python -m json.tool %t.json | FileCheck %s --check-prefix=VALID
// VALID: "function": "overlapped"

// A column for each stream; solid edges for program order, dashed ones for events.
// DOT: digraph "overlapped" {
// DOT: label="compute";
// DOT: s0 [label="mark", shape=point, xlabel=mark];
// DOT: s2 [label="routed"];
// DOT: s3 [label="merge"];
// DOT: label="aux";
// DOT: s1 [label="shared"];
// DOT-DAG: s0 -> s1 [style=dashed];
// DOT-DAG: s0 -> s2;
// DOT-DAG: s2 -> s3;
// DOT-DAG: s1 -> s3 [style=dashed];

// JSON: "buffers": [
// JSON: "id": 0,
// JSON-NEXT: "kind": "input",
// JSON-NEXT: "name": "x",
// JSON-NEXT: "type": "memref<?x8xf32>"
// JSON: "id": 1,
// JSON-NEXT: "kind": "allocation",
// JSON-NEXT: "name": "side",
// JSON: "id": 2,
// JSON-NEXT: "kind": "output",
// JSON-NEXT: "name": "y",
// JSON: "function": "overlapped"
// JSON: "steps": [
// JSON: "label": "shared",
func.func @overlapped(%x: memref<?x8xf32>, %y: memref<?x8xf32> {bufferize.result}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x8xf32>
  %side = memref.alloc(%t) : memref<?x8xf32>
  %fork = schedule.mark on(compute)
  %done = schedule.run on(aux) after(%fork) label("shared") {
    memref.copy %x, %side : memref<?x8xf32> to memref<?x8xf32>
  } -> !schedule.event
  schedule.run on(compute) label("routed") {
    memref.copy %x, %y : memref<?x8xf32> to memref<?x8xf32>
  }
  schedule.run on(compute) after(%done) label("merge") {
    memref.copy %side, %y : memref<?x8xf32> to memref<?x8xf32>
  }
  return
}

func.func @serial(%x: memref<?x8xf32>, %y: memref<?x8xf32> {bufferize.result}) {
  schedule.run on(compute) {
    memref.copy %x, %y : memref<?x8xf32> to memref<?x8xf32>
  }
  return
}

func.func @other() {
  return
}

// With several schedules one has to be named, and it has to be one.
// RUN: not %moe-translate --schedule-to-dot %s 2>&1 | FileCheck %s --check-prefix=WHICH
// WHICH: moe-translate: expected --function to name one of 'overlapped', 'serial'
// RUN: not %moe-translate --schedule-to-dot --function other %s 2>&1 | FileCheck %s --check-prefix=OTHER
// OTHER: moe-translate: expected a function 'other' with schedule.run ops but found none

// Flags of one translation are refused by others.
// RUN: not %moe-translate --schedule-to-dot --experts 8 %s 2>&1 | FileCheck %s --check-prefix=EXPERTS
// EXPERTS: moe-translate: --experts: expected --import-config too
// RUN: not %moe-translate --import-config --function f %s 2>&1 | FileCheck %s --check-prefix=FUNCTION
// FUNCTION: moe-translate: --function: expected --schedule-to-dot or --schedule-to-json too
// RUN: not %moe-translate --import-config --schedule-to-dot %s 2>&1 | FileCheck %s --check-prefix=TWO
// TWO: moe-translate: expected one of --import-config, --schedule-to-dot and --schedule-to-json

// Text that is no MLIR is an error with its place.
// RUN: echo 'func.func @f( {' > %t.bad && not %moe-translate --schedule-to-dot %t.bad 2>&1 | FileCheck %s --check-prefix=SYNTAX
// SYNTAX: moe-translate: {{.*}}.bad:1:{{[0-9]+}}: error: expected
