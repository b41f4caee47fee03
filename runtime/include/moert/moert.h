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
#define MOERT_ABI_VERSION 7u

/* The most bytes of kernel arguments that one launch may carry. */
#define MOERT_MAX_ARGUMENT_BYTES 1024

typedef enum moert_status {
  MOERT_SUCCESS = 0,
  MOERT_INVALID_ARGUMENT = 1, /* a tensor, size or flag is not as declared */
  MOERT_OUT_OF_MEMORY = 2,
  MOERT_UNSUPPORTED = 3, /* needs something this context or machine lacks */
  MOERT_IO_ERROR = 4,    /* a file cannot be read, written or understood */
  MOERT_INTERNAL = 5,
  MOERT_RANK_FAILED = 6 /* another rank did not come, has failed or does
                         * something else */
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
  int32_t device_type; /* DLDeviceType: kDLCPU or kDLCUDA */
  int32_t device_id;   /* CPU: 0 */
} moert_context_options;

/* The CPU, one rank, one thread per core. */
MOERT_API void moert_context_options_init(moert_context_options *options);

/* Creates a context with its threads and streams; a communicator's stream comes
 * with its first use. Null options are the initial ones. On failure `*context`
 * is null and `moert_last_error(NULL)` holds the message for this thread.
 * CUDA: the context works in the device's primary context, where the CUDA
 * runtime and PyTorch work too. MOERT_UNSUPPORTED if this machine lacks the
 * device, its driver or the runtime's library for it. */
MOERT_API moert_status moert_context_create(
    const moert_context_options *options, moert_context **context);

/* Waits for all work, then frees. Null is allowed. CUDA: graphs that were
 * captured from its calls must not run any more. */
MOERT_API void moert_context_destroy(moert_context *context);

/* The message of the last failed call on `context` (with null: of the last
 * failed call of this thread without a context); "" if there was none. A call
 * that names no context, or has another ABI, counts as one without. */
MOERT_API const char *moert_last_error(const moert_context *context);

/* Waits until all work enqueued on the compute stream is complete, and returns
 * the first error that asynchronous work met since the last synchronization and
 * that no call has returned. CUDA: the compute stream is the one that a
 * function of this context was given last; it must still exist. After an error
 * of a kernel the device takes no more work from this process. */
MOERT_API moert_status moert_context_synchronize(moert_context *context);

/* ---- Ranks ---------------------------------------------------------------*/

/* Ranks that run programs together: their contexts meet in its collectives.
 * Functions of a group may be called by any thread at any time. */
typedef struct moert_group moert_group;

#define MOERT_DEFAULT_TIMEOUT_MS 60000

/* A group of `num_ranks` contexts of this process, which hand their rows over
 * in memory. A collective waits `timeout_ms` milliseconds for the other ranks
 * (0: MOERT_DEFAULT_TIMEOUT_MS). On failure `*group` is null and
 * `moert_last_error(NULL)` holds the message. */
MOERT_API moert_status moert_group_create_local(int32_t num_ranks,
                                                int64_t timeout_ms,
                                                moert_group **group);

/* This process as a rank of a group of processes. */
typedef struct moert_process_options {
  uint32_t abi; /* MOERT_ABI_VERSION */
  int32_t rank; /* among `num_ranks` */
  int32_t num_ranks;
  int32_t local_rank;   /* among those of this machine; only told, not used */
  int64_t timeout_ms;   /* 0: MOERT_DEFAULT_TIMEOUT_MS */
  char rendezvous[256]; /* "host:port" where rank 0 listens, for all ranks */
} moert_process_options;

/* One rank, and no rendezvous. */
MOERT_API void moert_process_options_init(moert_process_options *options);

/* Reads the variables in which torchrun (RANK, WORLD_SIZE, LOCAL_RANK,
 * MASTER_ADDR, MASTER_PORT), OpenMPI's mpirun or srun say who this process is.
 * The rendezvous is MOERT_RENDEZVOUS where that is set; else the port behind
 * MASTER_PORT at MASTER_ADDR; else, for mpirun on one machine and for srun, a
 * port that follows from the job. `timeout_ms` is 0. Errors:
 * MOERT_INVALID_ARGUMENT with `moert_last_error(NULL)`. */
MOERT_API moert_status
moert_process_options_from_environment(moert_process_options *options);

/* A group whose ranks are processes, which may be on several machines: this
 * process is one of them. Waits until all have come. Null options are those
 * from the environment. The ranks hold connections beside the data, over which
 * they learn of each other's end: nothing is encrypted, use it on a network
 * that you trust. MOERT_RANK_FAILED, with the rank in the message, where one
 * does not come in time, has another number of ranks or comes twice. */
MOERT_API moert_status moert_group_create_processes(
    const moert_process_options *options, moert_group **group);

/* Null is allowed. Contexts that have joined keep what they need of it. */
MOERT_API void moert_group_destroy(moert_group *group);

/* The context joins the group as the rank that it was created with; it leaves
 * when it is destroyed. Programs for several ranks run only after that, and
 * each rank must issue the same calls in the same order. A local group takes
 * contexts of the CPU. A group of processes takes one context of a GPU in each
 * process, where rows move by NCCL; all ranks join at the same time.
 * MOERT_UNSUPPORTED for other devices, and where NCCL is not found.
 *
 * A collective in which a rank does not come in time, is lost, has left, runs
 * another program or brings other sizes than the rest ends on all ranks with
 * MOERT_RANK_FAILED and a message that names rank, communicator, collective and
 * step. It is asynchronous: the next call or moert_context_synchronize returns
 * it, and what was enqueued behind it does not run or works on rows of any
 * value. The group is of no use afterwards; destroy it and its contexts, or
 * shrink it.
 *
 * GPUs: the ranks compare their programs, but not what they pass in
 * `tokens_per_rank` and `values`, which must be equal on all of them: each
 * checks its own sizes against these. Programs of a GPU meet at their first
 * call, which is not to be captured: the ranks compare what they will exchange.
 */
MOERT_API moert_status moert_context_join(moert_context *context,
                                          moert_group *group);

/* The same for processes that have an ncclComm_t of theirs, `comm`, with as
 * many ranks as the context, on the context's device. It is used for one
 * broadcast only, in which rank 0 says where it listens, and stays the
 * caller's. */
MOERT_API moert_status moert_context_join_nccl(moert_context *context,
                                               void *comm, int64_t timeout_ms);

/* Hands `bytes` bytes of host memory of each rank to all ranks of a group of
 * processes: `all` gets num_ranks * bytes, in the order of ranks; those of lost
 * ranks stay as they are. For small things (loads, sizes, results of tests), as
 * it goes over the first rank: at most 512 MiB of all ranks. Waits. */
MOERT_API moert_status moert_context_all_gather(moert_context *context,
                                                const void *mine, size_t bytes,
                                                void *all);

/* `bytes` [num_ranks]: how many bytes the collectives of this context's calls
 * took from each other rank since it joined; 0 for itself. It follows from what
 * a collective is, whatever way NCCL takes. Replays of graphs do not count.
 * Synchronize first. */
MOERT_API moert_status moert_context_bytes_received(moert_context *context,
                                                    int64_t *bytes);

/* After MOERT_RANK_FAILED: the ranks that are left of a group of processes go
 * on without the lost ones. All of them call this; who does not come in time is
 * lost too. `is_member`, null or [num_ranks], says who is left. Ranks keep
 * their numbers; in `tokens_per_rank` lost ones have 0. Their experts give
 * nothing: what they would add to a row is left out, unless EPLB's maps name
 * replicas on other ranks instead. Programs meet again at their first call, and
 * graphs must be captured anew. The others meet at the lowest rank that is not
 * known as lost: where that does not come, the call fails, and the context is
 * of no use any more. */
MOERT_API moert_status moert_context_shrink(moert_context *context,
                                            uint8_t *is_member);

/* Bytes that go from one rank's memory to another's, or within one rank's. */
typedef struct moert_transfer {
  int32_t from_rank;
  int32_t to_rank;
  const void *send; /* of `from_rank`; others need not know it */
  void *receive;    /* of `to_rank`; others need not know it */
  size_t bytes;
} moert_transfer;

/* Enqueues transfers on `stream`, as weights of experts need when these change
 * their places. Every rank of the group passes the same list, in which it fills
 * in its own pointers; the list may go when the call returns. What a rank
 * receives overlaps nothing that it sends or receives in the same list: receive
 * into memory that no call reads, and move it from there behind the transfers
 * on the stream, or use it in place of the other from the next call on. Ranks
 * enqueue their calls and transfers in the same order. MOERT_INVALID_ARGUMENT
 * for a context that has joined no group and for a list that is not as
 * described; MOERT_UNSUPPORTED for devices without transfers. A rank that does
 * not come, or comes with another list, ends them as it ends a collective. */
MOERT_API moert_status moert_transfer_enqueue(moert_context *context,
                                              void *stream,
                                              const moert_transfer *transfers,
                                              int64_t count);

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

/* A number that a call gives by name, equally on all ranks. What the name means
 * is between the caller and whoever compiled the program: layers that overlap
 * two batches ask for "decodes", 1 where every token of every rank is the next
 * token of a request. A program reads 0 where a name is not given, and takes no
 * notice of names that it does not ask for. */
typedef struct moert_call_value {
  const char *name;
  int64_t value;
} moert_call_value;

/* One execution of a compiled layer. Tensors are row-major contiguous DLPack
 * tensors in the descriptor's order. The work is enqueued when the call
 * returns; all that it reads and writes may be reused in the order of the
 * compute stream. Only memory must live that long: the call, its arrays and the
 * DLTensors may go when the call returns. Outputs and workspace alias no other
 * argument. A call that fails has no work left in flight. */
typedef struct moert_call {
  uint32_t abi; /* MOERT_ABI_VERSION */
  int32_t num_values;
  moert_context *context;
  void *stream; /* CUDA: the caller's cudaStream_t, or null for the legacy
                 * default stream; it may be one that is being captured. CPU:
                 * null */
  const DLTensor *const *inputs;
  DLTensor *const *outputs;
  int64_t num_inputs;
  int64_t num_outputs;
  const int64_t *tokens_per_rank; /* [num_ranks], or null with one rank */
  void *workspace;                /* aligned to 256 bytes; null if 0 bytes */
  size_t workspace_bytes;
  const moert_call_value *values; /* [num_values] */
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

/* ---- Memory, streams, graphs and times -----------------------------------*/
/* For embedders that have no library of their own for the context's device.
 * What takes a stream is enqueued there and complete after
 * `moert_context_synchronize`; streams are those of `moert_call`, so on the CPU
 * null. */

/* At least `bytes` bytes of the device's memory, aligned to 256. */
MOERT_API moert_status moert_memory_allocate(moert_context *context,
                                             size_t bytes, void **memory);

/* No enqueued work may use the memory any more. Null is allowed. */
MOERT_API moert_status moert_memory_free(moert_context *context, void *memory);

typedef enum moert_copy_kind {
  MOERT_COPY_TO_DEVICE = 0,
  MOERT_COPY_TO_HOST = 1,
  MOERT_COPY_ON_DEVICE = 2
} moert_copy_kind;

/* Copies `bytes` bytes; the two ranges do not overlap. */
MOERT_API moert_status moert_memory_copy(moert_context *context, void *stream,
                                         void *to, const void *from,
                                         size_t bytes, moert_copy_kind kind);

/* Fills memory of the device with copies of one byte. */
MOERT_API moert_status moert_memory_fill(moert_context *context, void *stream,
                                         void *memory, uint8_t byte,
                                         size_t bytes);

/* A stream for calls, which synchronizes with no other. CPU: null, as there is
 * but one. */
MOERT_API moert_status moert_stream_create(moert_context *context,
                                           void **stream);

/* Waits for the stream's work. Null is allowed. */
MOERT_API moert_status moert_stream_destroy(moert_context *context,
                                            void *stream);

/* What was enqueued on a stream, ready to be enqueued again with one call.
 * Needs a device with graphs: else MOERT_UNSUPPORTED. */
typedef struct moert_graph moert_graph;

/* From now until the end of the capture, what is enqueued on `stream` goes into
 * a graph instead of to the device. The stream is not null. One capture at a
 * time per context. */
MOERT_API moert_status moert_capture_begin(moert_context *context,
                                           void *stream);
MOERT_API moert_status moert_capture_end(moert_context *context, void *stream,
                                         moert_graph **graph);

/* Enqueues what the graph holds, with the addresses of its capture. */
MOERT_API moert_status moert_graph_launch(moert_context *context,
                                          moert_graph *graph, void *stream);

/* Before its context goes. Null is allowed. */
MOERT_API moert_status moert_graph_destroy(moert_context *context,
                                           moert_graph *graph);

/* Notes the device's time when all work enqueued on `stream` so far is done, as
 * mark `index` (0 to 65535). Needs a device with a clock of its own: else
 * MOERT_UNSUPPORTED. */
MOERT_API moert_status moert_mark(moert_context *context, void *stream,
                                  int32_t index);

/* The time between two marks. Synchronize first. */
MOERT_API moert_status moert_mark_elapsed(moert_context *context, int32_t from,
                                          int32_t to, int64_t *nanoseconds);

/* ---- Traces --------------------------------------------------------------*/

/* Starts (forgetting earlier spans) or stops recording of every launch's begin
 * and end. CUDA: launches that are captured leave no spans, and traced ones
 * start after the end of the one before. */
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
 * more than a million or memory was short (CUDA: because there were thousands
 * since the spans were read last). */
MOERT_API int64_t moert_trace_dropped(moert_context *context);

/* Writes the spans as a Chrome trace (JSON), which Perfetto opens. */
MOERT_API moert_status moert_trace_write(moert_context *context,
                                         const char *path);

/* ---- What generated code passes to the runtime ---------------------------*/

/* In `dims`: -1 stands for the rows of this rank, -2 - n for axis n of the
 * signature. Dimensions of one axis are equal in all tensors of a call. */
#define MOERT_DIM_TOKENS (-1)
#define MOERT_DIM_AXIS(n) (-2 - (n))
/* The most axes of a signature. */
#define MOERT_MAX_AXES 8

typedef struct moert_tensor_signature {
  const char *name;
  uint8_t dtype_code; /* DLDataTypeCode */
  uint8_t dtype_bits;
  uint16_t dtype_lanes; /* 1 */
  int32_t rank;
  const int64_t *dims; /* [rank] */
} moert_tensor_signature;

/* The most pairs of buffers that move in one collective. */
#define MOERT_MAX_COLLECTIVE_BUFFERS 4

typedef enum moert_collective_kind {
  MOERT_ALL_GATHER = 0,     /* receive the rows of all ranks, in rank order */
  MOERT_REDUCE_SCATTER = 1, /* receive this rank's rows of the sum */
  MOERT_ALL_REDUCE = 2,     /* receive the sum */
  MOERT_ALL_TO_ALL = 3      /* a block of rows for each rank and from each */
} moert_collective_kind;

/* What `flags` of a MOERT_ALL_TO_ALL say: counts come with the call; `blocks`
 * are what a rank sends. */
#define MOERT_COLLECTIVE_COUNTS 1
#define MOERT_COLLECTIVE_BLOCKS_BY_SOURCE 2

/* What does not change from call to call. All ranks get the same bits of a sum.
 * CPU: it is that of float32 in rank order, rounded to the dtype. CUDA: NCCL's,
 * in the dtype. */
typedef struct moert_collective {
  int32_t kind;           /* moert_collective_kind */
  int32_t communicator;   /* its number in `moert_exchange` */
  const char *label;      /* for messages and traces */
  int32_t num_buffers;    /* pairs: 1 to MOERT_MAX_COLLECTIVE_BUFFERS */
  int32_t flags;          /* MOERT_COLLECTIVE_... */
  const int32_t *dtypes;  /* [num_buffers] DLDataTypeCode << 8 | bits */
  const int64_t *columns; /* [num_buffers] elements in a row */
  int64_t rows_per_token; /* a rank has so many rows for each of its tokens */
  int32_t part;      /* of a rank's t tokens, ceil((t - part) / num_parts) */
  int32_t num_parts; /* take part: 0 and 1 for all of them */
  const int64_t *blocks; /* MOERT_ALL_TO_ALL: [ranks] rows of the blocks that
                          * a rank gets, or null: equal ones */
} moert_collective;

/* Groups of ranks, each of `size` ranks that are `stride` apart: rank r is
 * number r / stride % size of its group. */
typedef struct moert_communicator {
  const char *name; /* for messages */
  int64_t stride;
  int64_t size;
} moert_communicator;

/* What a program exchanges. Streams of communicators are numbered as they are
 * here. */
typedef struct moert_exchange {
  const char *grid; /* the ranks, as "dp = 2, tp = 4", for messages */
  int64_t num_communicators;
  const moert_communicator *communicators; /* [num_communicators] */
  int64_t num_collectives;
  /* In the order of every call. Where all ranks choose alike between
   * sequences, one follows the other here, and a call issues one of them. */
  const moert_collective *collectives;
  uint64_t hash; /* of all this; ranks whose programs differ in it refuse each
                  * other */
} moert_exchange;

/* A pair of buffers of one collective. */
typedef struct moert_collective_data {
  const void *send;
  void *receive;
  int64_t send_rows;
  int64_t receive_rows;
} moert_collective_data;

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
  const moert_exchange *exchange; /* null: exchanges nothing */
  /* What the axes are called in messages. */
  int64_t num_axes;
  const char *const *axes; /* [num_axes] */
} moert_signature;

/* Kernels of a program for CUDA, in one image. */
typedef struct moert_gpu_module {
  uint32_t abi;
  int32_t num_kernels;
  const char *const *kernel_names; /* [num_kernels] */
  const char *chip;                /* such as "sm_90a", for messages */
  const void *image;               /* a cubin, or PTX with a zero behind it */
  uint64_t image_bytes;            /* without that zero */
} moert_gpu_module;

#ifdef __cplusplus
}
#endif

#endif /* MOERT_MOERT_H */
