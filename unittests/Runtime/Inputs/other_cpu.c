/*===- other_cpu.c - An artefact for tests ----------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/

/* An artefact for a CPU that nobody has. */
#include "moert/moert.h"

static moert_status run(const moert_call *call) {
  (void)call;
  return MOERT_SUCCESS;
}

static size_t workspace_size(int64_t tokens, int64_t tokens_all_ranks) {
  return (size_t)(tokens + tokens_all_ranks);
}

MOERT_API const
    moert_artefact moert_artefact_symbol __asm__("moert_artefact") = {
        MOERT_ABI_VERSION, "other_cpu", "{\"cpu_features\": [\"avx1024\"]}",
        run, workspace_size};
