/*===- null_field.c - An artefact for tests ---------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/

/* An artefact whose writer forgot its functions. */
#include "moert/moert.h"

MOERT_API const moert_artefact moert_artefact_symbol __asm__(
    "moert_artefact") = {MOERT_ABI_VERSION, "broken", "{}", 0, 0};
