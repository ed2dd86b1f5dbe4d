/* The table of device operations: all that the engine knows of a device. CPU: kernels/cpu. CUDA: kernels/cuda.
 *
 * NUMERICS belong to this table, not to a backend (id: NUMERICS_ID). Every CPU variant equals the C reference bit
 * for bit; a result for a row never depends on which other rows share the step, on how a prompt is cut into
 * chunks, or on the number of threads. All arithmetic is IEEE float32, round to nearest, no contraction other
 * than the fmaf written here.
 *  - dot16(a, b): 16 partial sums, sum[j] = fmaf chain over k ≡ j (mod 16), k ascending; then the tree
 *    s[j] += s[j+8], s[j] += s[j+4], s[j] += s[j+2], s[j] += s[j+1].
 *  - sum16(a): the same with additions in place of fmaf; max is exact in any order.
 *  - exp_(x): kernels/cpu/math.h (Cody–Waite reduction, polynomial by fmaf); x < −87.33 gives 0.
 *  - quantize: per row and block of 32: d = max|x| / 127, q = rint(x · (127 / max|x|)); all 0 when 127 / max|x| is
 *    not finite.
 *  - rope: c, s = sincos_ (kernels/sincos.h) of the float32 (float)pos · inv_freq, times mscale; then
 *    (a, b) → (a·c − b·s, b·c + a·s): two products, then one difference or sum.
 *  - matmul, quantized weights: acc = 0; for each block of 32 columns, ascending:
 *      symmetric types: acc = fmaf((float)idot, dw·da, acc), idot = Σ (q_w − offset)·q_a exact in int32
 *      (Q6_K: idot = sc0·idot0 + sc1·idot1 over its two sub-blocks of 16, exact; dw = the super-block's d)
 *      types with a minimum: then acc = fmaf(m, da·(float)Σq_a, acc)
 *      (Q4_1: dw = d, m = m; Q4_K: dw = d·sc, m = −(dmin·m))
 *  - matmul, F32/F16/BF16 weights: one fmaf chain over columns, ascending, against the float32 activations.
 *  - then y = acc + bias where there is a bias.
 *  - add_norm: x += y; mean square by dot16(x, x) / cols; r = 1 / sqrtf(ms + eps); out = (x · r) · gain.
 *  - lora: t[r] = dot16(A[r], x) · scale; y = fmaf(B[n][r], t[r], y) over r ascending.
 *  - attention: KV is cut at fixed positions (multiples of ATTENTION_SPLIT). Per split: s[t] = (fmaf chain over
 *    d of q[d]·k[t][d]) · scale; m = max s; p[t] = exp_(s[t] − m); l = 16 lanes by t mod 16 as in sum16;
 *    o[d] = fmaf chain over t of p[t]·v[t][d]. Splits are folded in ascending order: with M = max(m, m'),
 *    a = exp_(m − M), b = exp_(m' − M): l = fmaf(l', b, l·a), o = fmaf(o', b, o·a). Result o / l.
 *  - silu_mul: (g / (1 + exp_(−g))) · u.
 *  - sample: kernels/sample.h; probabilities become integers rint(exp_ · 2^30), so that sums are exact in any order.
 * Fused operations equal the composition they name.
 *
 * EXECUTION: a step's operations stand between `begin` and `submit` and are enqueued on a stream in order; `submit`
 * checks what was enqueued (bad arguments fail there, with a message, and nothing runs), `wait` returns when all is
 * done. Enqueueing never allocates, blocks or reads back. A fault at run time is OL_EDEVICE from `wait`, and the
 * device stays lost.
 *
 * MEMORY: `dptr` is an address in device space. Only the device dereferences it; the engine may add byte offsets.
 * Buffers are row-major; leading dimensions `ld` count elements. Float rows and `ld` are multiples of 16 elements
 * (pad_cols), padding is zero or never read.
 *
 * SHARDING: `allreduce` in add_norm is where tensor-parallel ranks meet; for one rank it does nothing. */
#ifndef OPENLORA_KERNELS_OPS_H
#define OPENLORA_KERNELS_OPS_H

#include "base/err.h"
#include "kernels/dtype.h"
#include "kernels/host_device.h"
#include "kernels/lora_image.h"
#include "kernels/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMERICS_ID "ol-int8x32-2" /* changes whenever the contract above changes */
/* The same, but for rows of sequences with several rows in a step, whose attention is F16 products with float32 sums, and
 * products of F16 and BF16 weights with more than 16 rows, which are of rounded activations, in any order. */
#define NUMERICS_ID_FAST NUMERICS_ID "+fast-1"

enum { ATTENTION_SPLIT = 256, MAX_HEAD_DIM = 256, MAX_DEVICE_THREADS = 256 };

typedef uint64_t dptr; /* 0 is null */

struct device;
struct stream;
struct weight; /* opaque, packed by the device */

HOST_DEVICE int64_t pad_cols(int64_t n) { return (n + 15) & ~(int64_t)15; }

struct device_config {
    int index;         /* which GPU, as its driver counts; 0 on the CPU */
    int threads;       /* CPU: compute threads, the waiting one included; 0 = one per core this process may use */
    const char *isa;   /* CPU: NULL or "auto", else "ref", "avx2", "avx512" (see device_info.isa) */
    bool fast;         /* CUDA: attention over prompts on tensor cores, products of F16 and BF16 weights with many rows by
                          cuBLASLt; its numerics are NUMERICS_ID_FAST */
    bool protect;      /* CPU, debugging: device memory is unreadable outside of wait, upload, download */
};

struct device_info {
    const char *backend; /* "cpu", "cuda" */
    const char *isa;     /* instruction set in use: "avx512", "sm_90" */
    char name[64];       /* of the GPU; empty on the CPU */
    int index;
    int threads;         /* CPU; 1 on a GPU */
    const char *numerics;   /* how this device computes: NUMERICS_ID, or the id of another contract */
    size_t memory_bytes;    /* of the GPU; 0 on the CPU */
    uint64_t memory_bytes_s; /* what it reads in a second, by its data sheet; 0: unknown */
    size_t free_bytes;      /* of it, now: what other processes use is not free; 0 on the CPU */
    size_t allocated_bytes; /* weights and buffers */
    int graphs;             /* CUDA graphs held; 0 on the CPU */
    uint64_t replays;       /* steps started from one */
};

/* One tensor as it lies in a file: (rows, cols), rows are outputs. Borrowed for the duration of the call. */
struct weight_part {
    const char *name; /* for messages */
    enum dtype dtype;
    int64_t rows, cols;
    const void *data;
    size_t bytes;
    int32_t unpermute_heads; /* > 0: rows of each of so many heads are interleaved pairs (0, h/2, 1, …) as GGUF's
                                llama architecture stores q and k; the device stores them back in halves order */
};

/* Which row of a file of `rows` rows becomes row n in halves order: within a head of h rows that are stored as pairs,
 * row d of the first half is the file's row 2d, of the second half row 2(d − h/2) + 1. heads = 0: no permutation. */
static inline int64_t unpermuted_row(int64_t n, int64_t rows, int32_t heads)
{
    if (heads <= 0)
        return n;
    int64_t head = rows / heads, d = n % head;
    return n - d + (d < head / 2 ? 2 * d : 2 * (d - head / 2) + 1);
}

/* Activations of a product: float32, and int8 with per-block meta when some product reads them quantized. */
struct act {
    dptr f32; /* (rows, pad_cols(cols)); always there */
    dptr q8;  /* (rows, q8_row_bytes(cols)), or 0 */
};

struct q8_meta { /* one per block of 32 */
    float d;        /* scale */
    float ds;       /* d · (float)sum */
    int32_t sum;    /* Σ q over the block */
    int32_t sum_lo; /* Σ q over its first 16 */
};

/* int8 row: cols values, then cols/32 metas; 0 if cols is not a multiple of 32. */
HOST_DEVICE size_t q8_row_bytes(int64_t cols) { return cols % 32 ? 0 : (size_t)cols + (size_t)cols / 32 * sizeof(struct q8_meta); }

struct kv_shape {
    int32_t n_layers, n_heads, n_kv_heads, head_dim;
    size_t page_bytes; /* stride of a page in the pool */
};

/* A KV page of STEP_PAGE_TOKENS = 16 tokens; per layer: K (n_kv_heads, head_dim, 16) then V (n_kv_heads, 16,
 * pad16(head_dim)), both F16. K is transposed so that 16 tokens fill the lanes of one vector. */
HOST_DEVICE size_t kv_head_bytes_k(const struct kv_shape *s) { return (size_t)s->head_dim * 16 * 2; }
HOST_DEVICE size_t kv_head_bytes_v(const struct kv_shape *s) { return (size_t)pad_cols(s->head_dim) * 16 * 2; }
HOST_DEVICE size_t kv_layer_bytes(const struct kv_shape *s)
{
    return (size_t)s->n_kv_heads * (kv_head_bytes_k(s) + kv_head_bytes_v(s));
}

struct op_embed { /* y[i] = row token[i] of w, dequantized */
    dptr y; int64_t ldy;
    const struct weight *w;
    dptr step;
};

struct op_rope_table { /* out[i] = (cos, sin) pairs of (float)pos[i] · inv_freq[j], times mscale */
    dptr out;      /* (rows, half, 2) */
    dptr inv_freq; /* (half) */
    int32_t half;
    float mscale;
    dptr step;
};

struct op_add_norm { /* x += allreduce(y); out = rmsnorm(x)·gain */
    dptr x; int64_t ldx;
    dptr y; int64_t ldy; /* y may be 0 */
    dptr gain;           /* (cols) float32 */
    struct act out;
    int64_t cols;
    float eps;
    dptr step;
    bool logit_rows; /* false: every row of the step; true: out row i comes from x row logit_row[i], n_logits rows */
};

enum op_rows { ROWS_ALL, ROWS_LOGITS }; /* how many rows: the step's n_rows or n_logits */

struct op_matmul { /* y = a · wᵀ (+ bias) */
    dptr y; int64_t ldy;
    struct act a;
    const struct weight *w;
    dptr bias; /* (out) float32, or 0 */
    dptr step;
    enum op_rows rows;
};

struct op_lora { /* for every segment of the step: y[:, col0 : col0+out] += scale·B(A x), for up to 3 targets */
    dptr y; int64_t ldy;
    dptr x; int64_t ldx; /* float32 input of all these targets */
    int32_t layer, n_layers, n_targets;
    struct { int32_t target, col0, in, out; } targets[3];
    dptr step, pool;
    size_t page_bytes;
    dptr workspace; /* (max_rows, 3, LORA_MAX_RANK) float32 */
};

struct op_rope_kv { /* optional q/k RMSNorm per head, rope on q (in place) and k, then k and v into the KV pages */
    dptr qkv; int64_t ld; /* (rows, n_heads·hd + 2·n_kv_heads·hd) float32 */
    dptr table;           /* from op_rope_table */
    dptr q_gain, k_gain;  /* (head_dim) or 0 */
    float eps;
    int32_t layer;
    struct kv_shape kv;
    dptr step, pool;
};

struct op_attention { /* causal, paged, grouped-query; out = attention, also quantized when out.q8 is set */
    struct act out; /* (rows, n_heads·head_dim) */
    dptr qkv; int64_t ld;
    float scale;
    int32_t layer;
    struct kv_shape kv;
    dptr step, pool;
    dptr workspace; /* attention_workspace bytes; zeros before its first use */
};

struct op_silu_mul { /* out = silu(gu[:, :cols]) · gu[:, cols : 2·cols] */
    struct act out;
    dptr gu; int64_t ld;
    int64_t cols;
    dptr step;
};

struct op_sample { /* one step_result per logits row; logits are not changed */
    dptr results; /* (n_logits) struct step_result */
    dptr logits; int64_t ld;
    int32_t vocab;
    dptr step;
    dptr workspace; /* sample_workspace bytes */
};

struct op_copy_pages { /* the step's copies list */
    dptr step, pool;
    size_t page_bytes;
};

struct device_ops {
    const char *name;
    bool keeps_steps; /* steps begun with `keep` start faster afterwards: worth a warm-up */

    int (*open)(const struct device_config *, struct device **out, struct err *);
    void (*close)(struct device *);
    void (*info)(struct device *, struct device_info *out);

    /* Memory: 64-byte aligned, zeroed. upload and download are synchronous and may be called from any thread, but
     * not on memory that a running stream uses. */
    int (*alloc)(struct device *, size_t bytes, dptr *out, struct err *);
    void (*free)(struct device *, dptr); /* 0 is ignored; so is NULL by weight_free */
    int (*host_alloc)(struct device *, size_t bytes, void **out, struct err *); /* zeroed; copies to the device fast */
    void (*host_free)(struct device *, void *);                                /* NULL is ignored */
    int (*upload)(struct device *, dptr dst, const void *src, size_t bytes, struct err *);
    int (*download)(struct device *, void *dst, dptr src, size_t bytes, struct err *);

    /* Packs parts (same dtype and cols, stacked along rows) into the device's own layout: returned owned. The
     * source may be dropped afterwards. */
    int (*weight_load)(struct device *, const struct weight_part *parts, int n_parts, struct weight **out, struct err *);
    void (*weight_free)(struct device *, struct weight *);

    size_t (*attention_workspace)(struct device *, const struct kv_shape *, const struct step_limits *);
    size_t (*sample_workspace)(struct device *, int32_t vocab, const struct step_limits *);

    int (*stream_open)(struct device *, struct stream **out, struct err *);
    void (*stream_close)(struct stream *);

    /* A step starts: `host` is what the copies will bring to the device. Its counts choose the sizes of launches
     * (rounded up to a bucket, kernels/bucket.h), never results; kernels read the counts they work with from the
     * device's own copy. keep: nothing is run. Steps of this bucket with these operations will
     * come: the device prepares for them, and may allocate to do so. Only where keeps_steps says so. */
    void (*begin)(struct stream *, const struct step *host, bool keep);
    void (*copy_in)(struct stream *, dptr dst, const void *src, size_t bytes);  /* src is read until wait returns */
    void (*copy_out)(struct stream *, void *dst, dptr src, size_t bytes);       /* dst is written until wait returns */
    void (*copy_pages)(struct stream *, const struct op_copy_pages *);
    void (*embed)(struct stream *, const struct op_embed *);
    void (*rope_table)(struct stream *, const struct op_rope_table *);
    void (*add_norm)(struct stream *, const struct op_add_norm *);
    void (*matmul)(struct stream *, const struct op_matmul *);
    void (*lora)(struct stream *, const struct op_lora *); /* callers skip it for a step without segments */
    void (*rope_kv)(struct stream *, const struct op_rope_kv *);
    void (*attention)(struct stream *, const struct op_attention *);
    void (*silu_mul)(struct stream *, const struct op_silu_mul *);
    void (*sample)(struct stream *, const struct op_sample *);

    int (*submit)(struct stream *, uint64_t *ticket, struct err *);
    int (*wait)(struct stream *, uint64_t ticket, struct err *); /* the calling thread may take part in the work */
};

const struct device_ops *device_cpu(void);

#endif
