/*===- GeneratedCode.h - What generated code calls, in C ------------------===*\
|*                                                                            *|
|* Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.      *|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* C declarations of the functions in RuntimeFunctions.def, for artefacts     *|
|* that are written by hand and for the runtime itself: a definition that     *|
|* differs from the table does not compile. Embedders need moert.h alone.     *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/
#ifndef MOERT_GENERATEDCODE_H
#define MOERT_GENERATEDCODE_H

#include "moert/moert.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The table's types are the names of macros only while it is read. */
#pragma push_macro("status")
#pragma push_macro("i32")
#pragma push_macro("i64")
#pragma push_macro("ptr")
#pragma push_macro("none")
#undef status
#undef i32
#undef i64
#undef ptr
#undef none
#define status moert_status
#define i32 int32_t
#define i64 int64_t
#define ptr const void *
#define none void
#define MOERT_FUNCTION(name, result, parameters)                               \
  MOERT_API result name parameters;
#include "moert/RuntimeFunctions.def"
#pragma pop_macro("none")
#pragma pop_macro("ptr")
#pragma pop_macro("i64")
#pragma pop_macro("i32")
#pragma pop_macro("status")

#ifdef __cplusplus
}
#endif

#endif /* MOERT_GENERATEDCODE_H */
