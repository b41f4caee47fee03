/*===- no_artefact.c - An artefact for tests --------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/

/* A shared object like any other. */
int not_an_artefact(void) { return 0; }
