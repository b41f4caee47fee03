/*===- moert.h - The runtime's C ABI ----------------------------------------===
 *
 * Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===
 *
 * What an embedder needs to run a compiled MoE layer: contexts, streams,
 * programs (compiled artefacts), calls and traces.
 *
 * Ownership: whoever creates destroys; destroying a context waits for its work.
 * Threads: one context serves one caller at a time; different contexts are
 * independent, and one program may run in several. Strings returned by the
 * runtime live until the next call on the same object. Errors: every function
 * that can fail returns a `moert_status`; `moert_last_error` gives the message,
 * which names what was expected and what was found. Nothing here prints, aborts
 * or exits.
 *
 *===----------------------------------------------------------------------===*/
#ifndef MOERT_MOERT_H
#define MOERT_MOERT_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MOERT_API __attribute__((visibility("default")))
#else
#define MOERT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Artefacts and runtimes of different ABI versions refuse each other. */
#define MOERT_ABI_VERSION 1u

/* The most bytes of kernel arguments that one launch may carry. */
#define MOERT_MAX_ARGUMENT_BYTES 1024

typedef enum moert_status {
  MOERT_SUCCESS = 0,
  MOERT_INVALID_ARGUMENT = 1, /* a tensor, size or flag is not as declared */
  MOERT_OUT_OF_MEMORY = 2,
  MOERT_UNSUPPORTED = 3, /* needs something this context or machine lacks */
  MOERT_IO_ERROR = 4,    /* a file cannot be read, written or understood */
  MOERT_INTERNAL = 5
} moert_status;

/* The name of a status, such as "MOERT_INVALID_ARGUMENT". */
MOERT_API const char *moert_status_name(moert_status status);

/* Streams of a context. The compute stream is the caller's; there is one
 * auxiliary stream for the whole context, whatever number of layers run. */
typedef enum moert_stream_kind {
  MOERT_STREAM_COMPUTE = 0,
  MOERT_STREAM_AUX = 1,
  MOERT_STREAM_COMM = 2 /* + the communicator's number */
} moert_stream_kind;

typedef struct moert_context moert_context;
typedef struct moert_program moert_program;

typedef struct moert_context_options {
  uint32_t abi;        /* MOERT_ABI_VERSION */
  int32_t num_threads; /* that work on one launch; 0: one per core */
  int32_t rank;        /* of this context among `num_ranks` */
  int32_t num_ranks;   /* 1: a context without communicators */
} moert_context_options;

/* One rank, one thread per core. */
MOERT_API void moert_context_options_init(moert_context_options *options);

/* Creates a context with its threads and streams; a communicator's stream comes
 * with its first use. Null options are the initial ones. On failure `*context`
 * is null and `moert_last_error(NULL)` holds the message for this thread. */
MOERT_API moert_status moert_context_create(
    const moert_context_options *options, moert_context **context);

/* Waits for all work, then frees. Null is allowed. */
MOERT_API void moert_context_destroy(moert_context *context);

/* The message of the last failed call on `context` (with null: of the last
 * failed call of this thread without a context); "" if there was none. A call
 * that names no context, or has another ABI, counts as one without. */
MOERT_API const char *moert_last_error(const moert_context *context);

/* Waits until all work enqueued on the compute stream is complete, and returns
 * the first error that asynchronous work met since the last synchronization and
 * that no call has returned. */
MOERT_API moert_status moert_context_synchronize(moert_context *context);

/* ---- Programs ------------------------------------------------------------*/

/* Loads a compiled artefact (a shared object written by moe-compile), which
 * runs code of its own: load only what you trust. On failure `*program` is null
 * and `moert_last_error(NULL)` holds the message. */
MOERT_API moert_status moert_program_load(const char *path,
                                          moert_program **program);

/* Null is allowed. Synchronize the contexts that run the program, and read
 * their traces, before: code and labels go with it. */
MOERT_API void moert_program_unload(moert_program *program);

/* The artefact's descriptor: a JSON text. Its fields: docs/artefact.md. */
MOERT_API const char *moert_program_descriptor(const moert_program *program);

/* Bytes of workspace that a call with `tokens` rows on this rank and
 * `tokens_all_ranks` rows over all ranks needs. */
MOERT_API size_t moert_program_workspace_size(const moert_program *program,
                                              int64_t tokens,
                                              int64_t tokens_all_ranks);

/* One execution of a compiled layer. Tensors are row-major contiguous DLPack
 * tensors in the descriptor's order. The work is enqueued when the call
 * returns; all that it reads and writes may be reused in the order of the
 * compute stream. Only memory must live that long: the call, its arrays and the
 * DLTensors may go when the call returns. Outputs and workspace alias no other
 * argument. A call that fails has no work left in flight. */
typedef struct moert_call {
  uint32_t abi; /* MOERT_ABI_VERSION */
  moert_context *context;
  void *stream; /* CUDA: the caller's cudaStream_t. CPU: null */
  const DLTensor *const *inputs;
  DLTensor *const *outputs;
  int64_t num_inputs;
  int64_t num_outputs;
  const int64_t *tokens_per_rank; /* [num_ranks], or null with one rank */
  void *workspace;                /* aligned to 256 bytes; null if 0 bytes */
  size_t workspace_bytes;
} moert_call;

/* Enqueues one call. Errors: MOERT_INVALID_ARGUMENT for everything that is not
 * as the program was compiled for, by name; MOERT_UNSUPPORTED for a program of
 * another device. */
MOERT_API moert_status moert_program_run(const moert_program *program,
                                         const moert_call *call);

/* What an artefact exports, under the fixed symbol `moert_artefact`. */
typedef struct moert_artefact {
  uint32_t abi;
  const char *name;       /* of the layer; its entry is `<name>_run` */
  const char *descriptor; /* JSON */
  moert_status (*run)(const moert_call *call);
  size_t (*workspace_size)(int64_t tokens, int64_t tokens_all_ranks);
} moert_artefact;

/* ---- Traces --------------------------------------------------------------*/

/* Starts (forgetting earlier spans) or stops recording of every launch's begin
 * and end. */
MOERT_API moert_status moert_trace_start(moert_context *context);
MOERT_API moert_status moert_trace_stop(moert_context *context);

typedef struct moert_trace_span {
  const char *label;
  int32_t stream;   /* moert_stream_kind */
  int64_t begin_ns; /* since moert_trace_start */
  int64_t end_ns;
} moert_trace_span;

/* The spans recorded so far, ordered by begin; owned by the context and valid
 * until the next trace call. Synchronize first. */
MOERT_API moert_status moert_trace_spans(moert_context *context,
                                         const moert_trace_span **spans,
                                         int64_t *count);

/* The spans that were not kept since moert_trace_start, because a stream had
 * more than a million or memory was short. */
MOERT_API int64_t moert_trace_dropped(moert_context *context);

/* Writes the spans as a Chrome trace (JSON), which Perfetto opens. */
MOERT_API moert_status moert_trace_write(moert_context *context,
                                         const char *path);

/* ---- What generated code passes to moert_call_begin
 * ------------------------*/

/* In `dims`: -1 stands for the rows of this rank (equal in all tensors of one
 * call), -2 for the experts of this rank. */
#define MOERT_DIM_TOKENS (-1)
#define MOERT_DIM_LOCAL_EXPERTS (-2)

typedef struct moert_tensor_signature {
  const char *name;
  uint8_t dtype_code; /* DLDataTypeCode */
  uint8_t dtype_bits;
  uint16_t dtype_lanes; /* 1 */
  int32_t rank;
  const int64_t *dims; /* [rank] */
} moert_tensor_signature;

typedef struct moert_signature {
  uint32_t abi;
  int32_t device_type; /* DLDeviceType */
  const char *name;    /* of the layer, for messages */
  int64_t num_inputs;
  const moert_tensor_signature *inputs;
  int64_t num_outputs;
  const moert_tensor_signature *outputs;
  /* Per rank; -1: no bound. The rows of a program in whose signature no
   * dimension is MOERT_DIM_TOKENS. */
  int64_t max_tokens;
  int64_t num_ranks; /* that the program was compiled for */
  size_t (*workspace_size)(int64_t tokens, int64_t tokens_all_ranks);
} moert_signature;

#ifdef __cplusplus
}
#endif

#endif /* MOERT_MOERT_H */
