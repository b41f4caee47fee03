/*===- other_abi.c - An artefact for tests ----------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/

/* An artefact of a runtime that is not ours. */
#include "moert/moert.h"

MOERT_API const uint32_t moert_artefact_symbol __asm__("moert_artefact") =
    MOERT_ABI_VERSION + 41;
