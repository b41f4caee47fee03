/* A compiled layer in small, written by hand: softmax over 8 experts, the best
 * two of them, SwiGLU and shared experts on the auxiliary stream. Macros make
 * its variants: other inputs, another descriptor, and faults to be found. With
 * DEVICE_CODE it is CUDA and has the kernels of the others for a GPU. */
#include "moert/GeneratedCode.h"

#include <math.h>
#include <string.h>

#ifdef DEVICE_CODE
#define KERNEL static __device__
#elif defined(PTX) /* A GPU runs those of the image. */
#define KERNEL static __attribute__((unused))
#else
#define KERNEL static
#endif

enum { E = 8, K = 2, H = 16, I = 12, S = 20 };

#define TEXT(x) #x
#define VALUE_TEXT(x) TEXT(x)

/* What the descriptor says, where a variant does not say otherwise. */
#ifndef TARGET
#define TARGET "cpu"
#endif
#ifndef NUM_RANKS
#define NUM_RANKS 1
#endif
#ifndef MAX_TOKENS
#define MAX_TOKENS null
#endif
#ifndef STATIC_TOKENS
#define STATIC_TOKENS null
#endif
#ifndef DESCRIBED_EXPERTS
#define DESCRIBED_EXPERTS 8
#endif
#ifndef LAYER_KEY
#define LAYER_KEY "layer"
#endif
#ifndef EXTRA_INPUT
#define EXTRA_INPUT
#endif

/* ---- Elements ------------------------------------------------------------*/

#ifdef BFLOAT16
typedef uint16_t element;
#define DTYPE "bfloat16"
#define SHORT_DTYPE "bf16"
#define DTYPE_SIGNATURE kDLBfloat, 16, 1
KERNEL float load(element bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof(value));
  return value;
}
KERNEL element store(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return (element)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#else
typedef float element;
#define DTYPE "float32"
#define SHORT_DTYPE "f32"
#define DTYPE_SIGNATURE kDLFloat, 32, 1
KERNEL float load(element value) { return value; }
KERNEL element store(float value) { return value; }
#endif

/* ---- Inputs, in an order of their own ------------------------------------*/

#ifdef GIVEN
enum { SHARED_W13, SHARED_W2, X, IDS, WEIGHTS, W13, W2, NUM_INPUTS };
#else
enum { SHARED_W13, SHARED_W2, X, ROUTER, W13, W2, NUM_INPUTS };
#endif

#ifndef DEVICE_CODE
static const int64_t x_dims[] = {MOERT_DIM_TOKENS, H};
static const int64_t shared_w13_dims[] = {2 * S, H};
static const int64_t shared_w2_dims[] = {H, S};
static const int64_t w13_dims[] = {MOERT_DIM_AXIS(0), 2 * I, H};
static const int64_t w2_dims[] = {MOERT_DIM_AXIS(0), H, I};
#ifdef GIVEN
static const int64_t k_dims[] = {MOERT_DIM_TOKENS, K};
#else
static const int64_t router_dims[] = {E, H};
#endif

static const moert_tensor_signature inputs[] = {
    {"shared_w13", DTYPE_SIGNATURE, 2, shared_w13_dims},
    {"shared_w2", DTYPE_SIGNATURE, 2, shared_w2_dims},
    {"hidden_states", DTYPE_SIGNATURE, 2, x_dims},
#ifdef GIVEN
    {"topk_ids", kDLInt, 32, 1, 2, k_dims},
    {"topk_weights", kDLFloat, 32, 1, 2, k_dims},
#else
    {"router_weight", DTYPE_SIGNATURE, 2, router_dims},
#endif
    {"w13", DTYPE_SIGNATURE, 3, w13_dims},
    {"w2", DTYPE_SIGNATURE, 3, w2_dims}};
static const moert_tensor_signature output = {"output", DTYPE_SIGNATURE, 2,
                                              x_dims};

#define TENSOR(name, dtype, shape)                                             \
  "{\"name\": \"" name "\", \"dtype\": \"" dtype "\", \"shape\": " shape "}"

static const char descriptor[] =
    "{\"abi\": 3, \"name\": \"tiny\", \"target\": \"" TARGET "\","
    "\"instruction_set\": \"generic\","
    "\"" LAYER_KEY "\": {\"name\": \"tiny\", \"hidden_size\": 16,"
    "\"intermediate_size\": 12, \"num_experts\": " VALUE_TEXT(
        DESCRIBED_EXPERTS) ","
                           "\"top_k\": 2, \"dtype\": \"" SHORT_DTYPE
                           "\", \"routing\": {"
#ifdef GIVEN
                           "\"source\": \"given\","
#else
                           "\"source\": \"router\","
#endif
                           "\"score\": \"softmax\", \"weight\": \"score\","
                           "\"has_router_bias\": false, "
                           "\"has_correction_bias\": false,"
                           "\"n_group\": 1, \"topk_group\": 1, "
                           "\"group_score\": \"max\","
                           "\"renormalize\": false, \"renormalize_epsilon\": 0,"
                           "\"renormalize_minimum\": 0, \"scale\": 1, "
                           "\"weight_on_input\": false,"
                           "\"zero_experts\": 0}, \"activation\": {\"kind\": "
                           "\"swiglu\","
                           "\"limit\": 0, \"alpha\": 0}, \"has_expert_bias\": "
                           "false,"
                           "\"shared\": {\"intermediate_size\": 20, \"count\": "
                           "1,"
                           "\"gate\": \"none\"}, \"latent_size\": 0},"
#ifdef GIVEN
                           "\"weights\": null,"
#else
                           "\"weights\": {\"layer\": 1, \"modules\": [\"mlp\"],"
                           "\"quantization\": \"\", \"sources\": ["
                           "{\"input\": \"router_weight\", \"alternatives\": "
                           "[{\"names\":"
                           "[\"gate.weight\"], \"layout\": \"rows\"}]},"
                           "{\"input\": \"w13\", \"alternatives\": [{\"names\":"
                           "[\"experts.{e}.gate_proj.weight\", "
                           "\"experts.{e}.up_proj.weight\"],"
                           "\"layout\": \"rows\"}]},"
                           "{\"input\": \"w2\", \"alternatives\": [{\"names\":"
                           "[\"experts.{e}.down_proj.weight\"], \"layout\": "
                           "\"rows\"}]},"
                           "{\"input\": \"shared_w13\", \"alternatives\": "
                           "[{\"names\":"
                           "[\"shared_experts.gate_proj.weight\", "
                           "\"shared_experts.up_proj.weight\"],"
                           "\"layout\": \"rows\"}]},"
                           "{\"input\": \"shared_w2\", \"alternatives\": "
                           "[{\"names\":"
                           "[\"shared_experts.down_proj.weight\"], \"layout\": "
                           "\"rows\"}]}]},"
#endif
                           "\"inputs\": [" TENSOR(
                               "shared_w13", DTYPE,
                               "[40, 16]") "," TENSOR("shared_w2", DTYPE,
                                                      "[16, 20]") "," TENSOR("h"
                                                                             "i"
                                                                             "d"
                                                                             "d"
                                                                             "e"
                                                                             "n"
                                                                             "_"
                                                                             "s"
                                                                             "t"
                                                                             "a"
                                                                             "t"
                                                                             "e"
                                                                             "s",
                                                                             DTYPE,
                                                                             "["
                                                                             "-"
                                                                             "1"
                                                                             ","
                                                                             " "
                                                                             "1"
                                                                             "6"
                                                                             "]") ","
#ifdef GIVEN
    TENSOR("topk_ids", "int32", "[-1, 2]") "," TENSOR("topk_weights", "float32",
                                                      "[-1, 2]") ","
#else
    TENSOR("router_weight", DTYPE,
           "[" VALUE_TEXT(DESCRIBED_EXPERTS) ", 16]") ","
#endif
    TENSOR("w13", DTYPE, "[-2, 24, 16]") "," TENSOR("w2", DTYPE, "[-2, 16, 12]")
        EXTRA_INPUT
    "],"
    "\"axes\": [\"L\"],"
    "\"outputs\": [" TENSOR(
        "output", DTYPE,
        "[-1, 16]") "],"
                    "\"parallel\": {\"tensor_parallel_size\": 1},"
                    "\"num_ranks\": " VALUE_TEXT(
                        NUM_RANKS) ","
                                   "\"max_num_tokens\": " VALUE_TEXT(
                                       MAX_TOKENS) ","
                                                   "\"static_num_tokens\":"
                                                   " " VALUE_TEXT(
                                                       STATIC_TOKENS) ","
                                                                      "\"decisi"
                                                                      "on\": "
                                                                      "{\"layer"
                                                                      "\": "
                                                                      "\"tiny\""
                                                                      ","
                                                                      "\"order_"
                                                                      "at_or_"
                                                                      "below_"
                                                                      "threshol"
                                                                      "d\": "
                                                                      "\"MULTI_"
                                                                      "STREAM_"
                                                                      "OVERLAPP"
                                                                      "ED\","
                                                                      "\"order_"
                                                                      "above_"
                                                                      "threshol"
                                                                      "d\": "
                                                                      "\"NO_"
                                                                      "OVERLAP"
                                                                      "\", "
                                                                      "\"thresh"
                                                                      "old\": "
                                                                      "256,"
                                                                      "\"rule\""
                                                                      ": "
                                                                      "\"3\", "
                                                                      "\"reason"
                                                                      "\": "
                                                                      "\"few "
                                                                      "tokens\""
                                                                      ","
                                                                      "\"parall"
                                                                      "el\": "
                                                                      "{\"tp_"
                                                                      "size\": "
                                                                      "1, "
                                                                      "\"use_"
                                                                      "ep\": "
                                                                      "false},"
                                                                      "\"stream"
                                                                      "s\": "
                                                                      "[\"compu"
                                                                      "te\", "
                                                                      "\"aux\"]"
                                                                      ", "
                                                                      "\"events"
                                                                      "\": 2,"
                                                                      "\"worksp"
                                                                      "ace_"
                                                                      "bytes\":"
                                                                      " null, "
                                                                      "\"captur"
                                                                      "able\": "
                                                                      "true},"
                                                                      "\"schedu"
                                                                      "le\": "
                                                                      "{}, "
                                                                      "\"worksp"
                                                                      "ace\": "
                                                                      "{\"bytes"
                                                                      "\": 0, "
                                                                      "\"bytes_"
                                                                      "per_"
                                                                      "token\":"
                                                                      " 144,"
                                                                      "\"bytes_"
                                                                      "per_"
                                                                      "total_"
                                                                      "token\":"
                                                                      " 0}}";

#endif /* DEVICE_CODE */

/* ---- Kernels -------------------------------------------------------------*/

typedef struct {
  const element *inputs[NUM_INPUTS];
  element *output;
  float *weights; /* [T, K] */
  int32_t *ids;   /* [T, K] */
  float *routed;  /* [T, H] */
  float *shared;  /* [T, H] */
} arguments;

#define ROW_BYTES (2 * K * 4 + 2 * H * 4)

KERNEL void route(const void *given, int64_t row) {
  const arguments *a = (const arguments *)given;
  float *weights = a->weights + row * K;
  int32_t *ids = a->ids + row * K;
#ifdef GIVEN
  memcpy(ids, (const int32_t *)(const void *)a->inputs[IDS] + row * K, K * 4);
  memcpy(weights, (const float *)(const void *)a->inputs[WEIGHTS] + row * K,
         K * 4);
#else
  float scores[E], largest = -INFINITY, sum = 0;
  for (int e = 0; e < E; ++e) {
    scores[e] = 0;
    for (int h = 0; h < H; ++h)
      scores[e] +=
          load(a->inputs[X][row * H + h]) * load(a->inputs[ROUTER][e * H + h]);
    largest = fmaxf(largest, scores[e]);
  }
  for (int e = 0; e < E; ++e)
    sum += scores[e] = expf(scores[e] - largest);
  for (int slot = 0; slot < K; ++slot) {
    int best = 0;
    for (int e = 1; e < E; ++e)
#ifdef LAST_OF_TIES
      if (scores[e] >= scores[best])
#else
      if (scores[e] > scores[best])
#endif
        best = e;
    ids[slot] = best;
    weights[slot] = scores[best] / sum;
    scores[best] = -1;
  }
#endif
}

/* Adds weight * (silu(x gate^T) * (x up^T)) down^T to `to`. */
KERNEL void mlp(const element *x, const element *w13, const element *w2,
                int width, float weight, float *to) {
  float middle[S];
  for (int i = 0; i < width; ++i) {
    float gate = 0, up = 0;
    for (int h = 0; h < H; ++h) {
      gate += load(x[h]) * load(w13[i * H + h]);
      up += load(x[h]) * load(w13[(width + i) * H + h]);
    }
    middle[i] = gate / (1 + expf(-gate)) * up;
  }
  for (int h = 0; h < H; ++h) {
    float sum = 0;
    for (int i = 0; i < width; ++i)
      sum += middle[i] * load(w2[h * width + i]);
    to[h] += weight * sum;
  }
}

KERNEL void experts(const void *given, int64_t row) {
  const arguments *a = (const arguments *)given;
  float *routed = a->routed + row * H;
  memset(routed, 0, H * sizeof(float));
  for (int slot = 0; slot < K; ++slot) {
    int32_t e = a->ids[row * K + slot];
    if (e >= 0)
      mlp(a->inputs[X] + row * H, a->inputs[W13] + e * 2 * I * H,
          a->inputs[W2] + e * H * I, I, a->weights[row * K + slot], routed);
  }
}

KERNEL void shared_experts(const void *given, int64_t row) {
  const arguments *a = (const arguments *)given;
  float *shared = a->shared + row * H;
  memset(shared, 0, H * sizeof(float));
  mlp(a->inputs[X] + row * H, a->inputs[SHARED_W13], a->inputs[SHARED_W2], S, 1,
      shared);
}

KERNEL void merge(const void *given, int64_t row) {
  const arguments *a = (const arguments *)given;
  for (int h = 0; h < H; ++h) {
    float sum = a->routed[row * H + h] + a->shared[row * H + h];
#ifdef WRONG_VALUE
    if (row == 3 && h == 2)
      sum += WRONG_VALUE;
#endif
#ifdef UNWRITTEN_VALUE
    if (row == 3 && h == 2)
      continue;
#endif
#ifdef UNSTABLE
    /* Volatile: else the compiler may read it for other rows, too. */
    static volatile float calls = 0;
    if (row == 3 && h == 2)
      sum += 1e-4f * calls++;
#endif
    a->output[row * H + h] = store(sum);
  }
}

#ifdef DEVICE_CODE

#define GLOBAL(name)                                                           \
  extern "C" __global__ void gpu_##name(arguments a) { name(&a, blockIdx.x); }
GLOBAL(route)
GLOBAL(experts)
GLOBAL(shared_experts)
GLOBAL(merge)

#else

/* ---- Launches ------------------------------------------------------------*/

enum { ROUTE, EXPERTS, SHARED_EXPERTS, MERGE, NUM_KERNELS };

#if defined(FAKE_GPU) || defined(PTX)
#define DEVICE kDLCUDA
static const char *const kernel_names[] = {"gpu_route", "gpu_experts",
                                           "gpu_shared_experts", "gpu_merge"};
#ifdef PTX
__asm__(".section .rodata\nimage:\n.incbin \"" PTX
        "\"\n.byte 0\nimage_end:\n.previous\n");
extern const char image[], image_end[];
static moert_gpu_module module = {MOERT_ABI_VERSION, NUM_KERNELS, kernel_names,
                                  "compute_90",      image,       0};
#else
/* What the driver of our tests takes for code of a GPU: moert::test::FakeImage.
 */
static const struct {
  char magic[8];
  uint64_t argument_bytes;
  void (*kernels[NUM_KERNELS])(const void *, int64_t);
  uint64_t end;
} image = {
    "HOSTCODE", sizeof(arguments), {route, experts, shared_experts, merge}, 0};
static const moert_gpu_module module = {MOERT_ABI_VERSION,
                                        NUM_KERNELS,
                                        kernel_names,
                                        "host",
                                        &image,
                                        sizeof(image) - sizeof(image.end)};
#endif
static void launch(const moert_call *call, int32_t stream, int32_t kernel,
                   const char *label, const arguments *a, int64_t tokens) {
  const void *parameters[] = {a};
#ifdef PTX
  module.image_bytes = (uint64_t)(image_end - image);
#endif
  moert_launch_gpu(call, stream, moert_kernel(call, &module, kernel), label,
                   parameters, tokens, 1, 0, 1, 0);
}
#else
#define DEVICE kDLCPU
static void (*const kernels[])(const void *, int64_t) = {route, experts,
                                                         shared_experts, merge};
static void launch(const moert_call *call, int32_t stream, int32_t kernel,
                   const char *label, const arguments *a, int64_t tokens) {
  moert_launch(call, stream, (const void *)kernels[kernel], label, a,
               sizeof(*a), tokens);
}
#endif

/* ---- The call ------------------------------------------------------------*/

static size_t workspace_size(int64_t tokens, int64_t tokens_all_ranks) {
  (void)tokens_all_ranks;
  return (size_t)tokens * ROW_BYTES;
}

static const char *const axes[] = {"L"};
static const moert_signature signature = {
    MOERT_ABI_VERSION, DEVICE, "tiny", NUM_INPUTS, inputs, 1, &output, -1, 1,
    workspace_size,    0,      1,      axes};

static void *data_of(const DLTensor *tensor) {
  return (char *)tensor->data + tensor->byte_offset;
}

static moert_status run(const moert_call *call) {
  moert_status status = moert_call_begin(call, &signature);
  if (status != MOERT_SUCCESS)
    return status;
  int64_t tokens = call->inputs[X]->shape[0];
  arguments a;
  for (int i = 0; i < NUM_INPUTS; ++i)
    a.inputs[i] = data_of(call->inputs[i]);
  a.output = data_of(call->outputs[0]);
  a.weights = call->workspace;
  a.ids = (int32_t *)(a.weights + tokens * K);
  a.routed = (float *)(a.ids + tokens * K);
  a.shared = a.routed + tokens * H;
  int64_t fork = moert_event_record(call, MOERT_STREAM_COMPUTE);
  moert_stream_wait(call, MOERT_STREAM_AUX, fork);
  launch(call, MOERT_STREAM_AUX, SHARED_EXPERTS, "shared experts", &a, tokens);
  int64_t join = moert_event_record(call, MOERT_STREAM_AUX);
  launch(call, MOERT_STREAM_COMPUTE, ROUTE, "route", &a, tokens);
  launch(call, MOERT_STREAM_COMPUTE, EXPERTS, "experts", &a, tokens);
  moert_stream_wait(call, MOERT_STREAM_COMPUTE, join);
  launch(call, MOERT_STREAM_COMPUTE, MERGE, "merge", &a, tokens);
  return moert_call_end(call);
}

MOERT_API const
    moert_artefact moert_artefact_symbol __asm__("moert_artefact") = {
        MOERT_ABI_VERSION, "tiny", descriptor, run, workspace_size};

#endif /* DEVICE_CODE */
