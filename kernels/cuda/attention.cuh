/* What the exact attention kernels share: one split of ATTENTION_SPLIT = 256 tokens of one kv head, for the query
 * vectors of a block, in the contract's order of operations (kernels/ops.h).
 *
 *   s[t] = (fmaf chain over d of q[d] · k[t][d]) · scale      m = max s      p[t] = exp_(s[t] − m)
 *   l = sum16 p                                               o[d] = fmaf chain over t of p[t] · v[t][d]
 *
 * Chains cannot be cut, so work is spread across them: a thread owns tokens while it walks d, and dimensions while it
 * walks t. Queries are taken in groups of QUERIES, one group per GROUP_THREADS threads; every K and V element that a
 * thread converts from F16 serves all queries of its group.
 *
 *   keys (d, t)  ┌── 256 tokens ──┐                        values (t, d)  ┌─ head_dim ─┐
 *            16 d│ stage 0        │ thread = TOKENS columns     V_TOKENS t│ stage k    │ thread = DIM columns
 *            16 d│ stage 1        │   ↓ walks d                 V_TOKENS t│ stage k + 1│   ↓ walks t
 *                └────────────────┘                                       └────────────┘
 *
 * Stages of 8 KiB pass through a ring of STAGES slots in shared memory, filled by cp.async STAGES − 1 ahead; keys and
 * values are one sequence of stages. Before stage s is read: cp_async_wait (this thread's part has landed), barrier
 * (everybody's has, and everybody has left the slot of stage s − 1, which is filled next).
 *
 * In a slot of keys the 32 bytes of (d, page) lie at page ^ (d % 4): a page's 16 dimensions arrive as consecutive words,
 * which would else all go to the same banks. */
#ifndef OPENLORA_KERNELS_CUDA_ATTENTION_CUH
#define OPENLORA_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/kv.cuh"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/step.cuh"

enum { SPLIT = ATTENTION_SPLIT, SPLIT_PAGES = SPLIT / STEP_PAGE_TOKENS, STAGE_BYTES = 8192, K_DIMS = 16 };

struct attention_args {
    struct step_view step;
    struct kv_view kv;
    const float *qkv;
    int64_t ld;
    float *out;          /* (rows, out_ld) */
    int64_t out_ld;
    void *q8;            /* 0: not quantized, or not by this kernel */
    uint32_t *counters;  /* decode: (sequences, head parts), all 0 between launches */
    float *partials;     /* decode: (splits of all sequences, n_heads, padded + 16): o, m, l */
    float scale;
    int n_heads, n_kv_heads, head_dim, padded;
    int group;           /* query heads of a kv head */
    int heads;           /* of them in one block */
    int parts;           /* blocks for one kv head */
};

/* Host side. Each kv head's query heads are cut into the fewest equal parts of at most `most`. */
static inline void attention_cut(struct attention_args *a, int most)
{
    a->parts = (a->group + most - 1) / most;
    a->heads = (a->group + a->parts - 1) / a->parts;
    a->parts = (a->group + a->heads - 1) / a->heads;
}

/* Do blocks of 32 columns lie across parts? */
static inline bool attention_is_ragged(struct attention_args a, int most)
{
    attention_cut(&a, most);
    return a.heads * a.head_dim % 32 || a.group * a.head_dim % 32;
}

enum { DECODE_QUERIES = 8, PREFILL_QUERIES = 32, TENSOR_QUERIES = 64 }; /* query vectors of one block at most */

cudaError_t attention_decode_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream);
cudaError_t attention_prefill_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream);
cudaError_t attention_tensor_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream);

/* What a block computes. */
template <int QUERIES_, int GROUPS_, int THREADS_, int DIMS_, int STAGES_> struct attention_tile {
    static constexpr int QUERIES = QUERIES_, GROUPS = GROUPS_, THREADS = THREADS_, DIMS = DIMS_, STAGES = STAGES_;
    static constexpr int ALL = QUERIES * GROUPS;               /* query vectors */
    static constexpr int GROUP_THREADS = THREADS / GROUPS, GROUP_WARPS = GROUP_THREADS / WARP;
    static constexpr int TOKENS = SPLIT / GROUP_THREADS;       /* of a thread, keys: 2 or 4 */
    static constexpr int V_TOKENS = STAGE_BYTES / 2 / DIMS;    /* of a stage */
    static constexpr int SHARE = GROUP_THREADS > DIMS ? GROUP_THREADS / DIMS : 1; /* threads of a dimension */
    static constexpr int DIM = GROUP_THREADS > DIMS ? 1 : DIMS / GROUP_THREADS;   /* dimensions of a thread, values */
    static constexpr int V_QUERIES = QUERIES > SHARE ? QUERIES / SHARE : 1;       /* of a thread, values */

    /* Shared memory, in bytes. */
    static constexpr int Q = STAGES * STAGE_BYTES;             /* (ALL, DIMS) */
    static constexpr int P = Q + ALL * DIMS * 4;               /* (ALL, SPLIT) weights */
    static constexpr int MAXIMA = P + ALL * SPLIT * 4;         /* (ALL, GROUP_WARPS) */
    static constexpr int SUM = MAXIMA + ALL * GROUP_WARPS * 4; /* (ALL) */
    static constexpr int LAST = SUM + ALL * 4;                 /* (ALL) position of each query */
    static constexpr int FOLDED = LAST + ALL * 4;              /* (ALL, 4): m, l of the splits so far; a, b */
    static constexpr int BYTES = FOLDED + ALL * 16;
};

/* One split of one sequence and kv head. */
struct attention_split {
    const int32_t *pages;
    int first;    /* position of its first token */
    int n_tokens; /* that some query sees */
    int n_pages;
    int kv_head;
};

DEVICE struct attention_split attention_split_at(const struct attention_args &o, int32_t page0, int kv_head, int split,
                                                 int context)
{
    int first = split * SPLIT, n = context - first < SPLIT ? context - first : SPLIT;
    return {view_pages(o.step) + page0 + split * SPLIT_PAGES, first, n, (n + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS,
            kv_head};
}

DEVICE int attention_k_stages(const struct attention_args &o) { return (o.head_dim + K_DIMS - 1) / K_DIMS; }
template <class T> DEVICE int attention_stages(const struct attention_args &o, const struct attention_split &s)
{
    return attention_k_stages(o) + (s.n_tokens + T::V_TOKENS - 1) / T::V_TOKENS;
}

/* This thread's share of stage `s` sets out for `slot`. */
template <class T>
DEVICE void attention_load(const struct attention_args &o, const struct attention_split &at, int s, unsigned char *slot)
{
    int k_stages = attention_k_stages(o), tid = (int)threadIdx.x;
    if (s < k_stages) {
        int d = tid % 32 / 2, half = tid % 2;
        if (s * K_DIMS + d >= o.head_dim)
            return;
        for (int page = tid / 32; page < at.n_pages; page += T::THREADS / 32)
            cp_async<16>(slot + d * (SPLIT * 2) + (page ^ d % 4) * 32 + half * 16,
                         kv_keys(o.kv, ldg(at.pages + page), at.kv_head) + (s * K_DIMS + d) * 16 + half * 8);
    } else {
        constexpr int PAGES = T::V_TOKENS / STEP_PAGE_TOKENS, SHARE = T::THREADS / PAGES;
        int page = tid / SHARE, in_split = (s - k_stages) * PAGES + page;
        if (in_split >= at.n_pages)
            return;
        const uint16_t *values = kv_values(o.kv, ldg(at.pages + in_split), at.kv_head);
        for (int word = tid % SHARE; word < o.padded * 2; word += SHARE)
            cp_async<16>(slot + page * o.padded * 32 + word * 16, values + word * 8);
    }
}

/* N neighbours in shared memory, 1, 2 or 4, as float32. */
template <int N> DEVICE void attention_halves(float (&x)[N], const uint16_t *from)
{
    if constexpr (N == 1) {
        x[0] = half_to_float(lds(from));
    } else {
        uint32_t two[N / 2];
        if constexpr (N == 2) {
            two[0] = lds((const uint32_t *)from);
        } else {
            uint2 four = lds((const uint2 *)from);
            two[0] = four.x;
            two[1] = four.y;
        }
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            x[i] = half_to_float((uint16_t)two[i / 2]);
            x[i + 1] = half_to_float((uint16_t)(two[i / 2] >> 16));
        }
    }
}

/* 2 or 4 neighbours. */
template <int N> DEVICE void attention_floats(float (&x)[N], const float *from)
{
    if constexpr (N == 2) {
        float2 v = lds((const float2 *)from);
        x[0] = v.x;
        x[1] = v.y;
    } else {
        float4 v = lds((const float4 *)from);
        x[0] = v.x;
        x[1] = v.y;
        x[2] = v.z;
        x[3] = v.w;
    }
}

/* Raw scores of this thread's tokens, 16 dimensions on. `q`: the group's queries, at the stage's first dimension. */
template <class T>
DEVICE void attention_score(float (&s)[T::TOKENS][T::QUERIES], const unsigned char *slot, const float *q, int dims)
{
    constexpr int STEP = T::GROUPS > 1 ? 2 : 4; /* dimensions at once: two, where registers are for scores */
    int t0 = (int)threadIdx.x % T::GROUP_THREADS * T::TOKENS;
#pragma unroll(T::GROUPS > 1 ? 1 : 4)
    for (int d = 0; d < K_DIMS; d += STEP) {
        float query[T::QUERIES][STEP];
#pragma unroll
        for (int i = 0; i < T::QUERIES; i++)
            attention_floats(query[i], q + i * T::DIMS + d);
#pragma unroll
        for (int j = 0; j < STEP; j++) {
            if (d + j >= dims)
                break;
            float key[T::TOKENS];
            attention_halves(key, (const uint16_t *)(slot + (d + j) * (SPLIT * 2) + (t0 / 16 ^ (d + j) % 4) * 32) + t0 % 16);
#pragma unroll
            for (int i = 0; i < T::QUERIES; i++)
#pragma unroll
                for (int t = 0; t < T::TOKENS; t++)
                    s[t][i] = fmaf(query[i][j], key[t], s[t][i]);
        }
    }
}

/* How many tokens of the split query i sees: none, if it comes before it. */
template <class T> DEVICE int attention_seen(int i, int first)
{
    SHARED(int, last, T::LAST);
    int n = lds(last + i) + 1 - first;
    return n < SPLIT ? n : SPLIT;
}

template <class T> DEVICE float attention_maximum(int i)
{
    SHARED(float, maxima, T::MAXIMA);
    float m = lds(maxima + i * T::GROUP_WARPS);
    for (int warp = 1; warp < T::GROUP_WARPS; warp++)
        m = fmaxf(m, lds(maxima + i * T::GROUP_WARPS + warp));
    return m;
}

/* Scores become weights in shared memory, with their maxima and sums. */
template <class T> DEVICE void attention_weigh(float (&s)[T::TOKENS][T::QUERIES], float scale, int first)
{
    SHARED(float, p, T::P);
    SHARED(float, maxima, T::MAXIMA);
    SHARED(float, sum, T::SUM);
    int tid = (int)threadIdx.x, query0 = tid / T::GROUP_THREADS * T::QUERIES;
    int t0 = tid % T::GROUP_THREADS * T::TOKENS, warp = tid % T::GROUP_THREADS / WARP;
#pragma unroll
    for (int i = 0; i < T::QUERIES; i++) {
        int seen = attention_seen<T>(query0 + i, first);
        float m = -INFINITY;
#pragma unroll
        for (int t = 0; t < T::TOKENS; t++) {
            s[t][i] = t0 + t < seen ? s[t][i] * scale : -INFINITY;
            m = fmaxf(m, s[t][i]);
        }
        for (int mask = 16; mask; mask /= 2)
            m = fmaxf(m, shfl_xor(m, mask));
        if (lane_id() == 0)
            sts(maxima + (query0 + i) * T::GROUP_WARPS + warp, m);
    }
    syncthreads();
#pragma unroll
    for (int i = 0; i < T::QUERIES; i++) {
        int seen = attention_seen<T>(query0 + i, first);
        float m = attention_maximum<T>(query0 + i);
        float weight[T::TOKENS];
#pragma unroll
        for (int t = 0; t < T::TOKENS; t++) /* what nobody wrote may be a NaN: it weighs 0 */
            weight[t] = t0 + t < seen ? gpu_exp(s[t][i] - m) : 0.0f;
        float *to = p + (query0 + i) * SPLIT + t0;
        if constexpr (T::TOKENS == 2)
            sts((float2 *)to, make_float2(weight[0], weight[1]));
        else
            sts((float4 *)to, make_float4(weight[0], weight[1], weight[2], weight[3]));
    }
    syncthreads();
    constexpr int LANES = T::ALL * 16 < WARP ? WARP : T::ALL * 16;
    for (int at = tid; at < LANES; at += T::THREADS) { /* whole warps: LANES is a multiple of 32 */
        int i = at / 16 < T::ALL ? at / 16 : T::ALL - 1;
        float l = 0.0f;
        for (int t = at % 16; t < SPLIT; t += 16)
            l = l + lds(p + i * SPLIT + t);
        l = tree16(l);
        if (at % 16 == 0 && at / 16 < T::ALL)
            sts(sum + i, l);
    }
}

/* This thread's dimensions and queries of the values. */
struct attention_place {
    int dim;    /* the first */
    int query0; /* of the block */
    bool idle;
};

template <class T> DEVICE struct attention_place attention_place_of(int padded)
{
    constexpr int ACROSS = T::GROUP_THREADS / T::SHARE;
    int tid = (int)threadIdx.x, in_group = tid % T::GROUP_THREADS, share = in_group / ACROSS;
    int dim = in_group % ACROSS * T::DIM;
    return {dim, tid / T::GROUP_THREADS * T::QUERIES + share * T::V_QUERIES,
            dim >= padded || share * T::V_QUERIES >= T::QUERIES};
}

/* o += p · v over tokens t .. t + N − 1 of the split. EVERY: all queries see all of them. */
template <class T, int N, bool EVERY>
DEVICE void attention_add_tokens(float (&o)[T::V_QUERIES][T::DIM], const uint16_t *row, int padded, int query0, int t,
                                 int first)
{
    SHARED(float, p, T::P);
    float weight[T::V_QUERIES][N];
#pragma unroll
    for (int i = 0; i < T::V_QUERIES; i++)
        attention_floats(weight[i], p + (query0 + i) * SPLIT + t);
#pragma unroll
    for (int j = 0; j < N; j++) {
        float value[T::DIM];
        attention_halves(value, row + j * padded);
#pragma unroll
        for (int i = 0; i < T::V_QUERIES; i++) {
            bool sees = EVERY || t + j < attention_seen<T>(query0 + i, first);
#pragma unroll
            for (int d = 0; d < T::DIM; d++)
                o[i][d] = sees ? fmaf(weight[i][j], value[d], o[i][d]) : o[i][d];
        }
    }
}

/* o += p · v over a stage of values that begins at token t0 of the split. Below `common` every query sees every token. */
template <class T>
DEVICE void attention_add_values(float (&o)[T::V_QUERIES][T::DIM], const unsigned char *slot, int padded,
                                 const struct attention_place &me, int t0, const struct attention_split &at, int common)
{
    int end = at.n_tokens - t0 < T::V_TOKENS ? at.n_tokens : t0 + T::V_TOKENS, t = t0;
    const uint16_t *row = (const uint16_t *)slot + me.dim;
    for (; t < end && t + 4 <= common; t += 4, row += 4 * padded)
        attention_add_tokens<T, 4, true>(o, row, padded, me.query0, t, at.first);
    for (; t < end; t += 2, row += 2 * padded)
        attention_add_tokens<T, 2, false>(o, row, padded, me.query0, t, at.first);
}

/* Waits for a stage, lets the one STAGES − 1 ahead set out, and tells where the stage lies. */
template <class T>
DEVICE const unsigned char *attention_advance(const struct attention_args &a, const struct attention_split &at, int stage,
                                              int stages)
{
    SHARED(unsigned char, ring, 0);
    cp_async_wait<T::STAGES - 2>();
    syncthreads(); /* this stage is everybody's; nobody reads the one before it any more */
    int ahead = stage + T::STAGES - 1;
    if (ahead < stages)
        attention_load<T>(a, at, ahead, ring + ahead % T::STAGES * STAGE_BYTES);
    cp_async_commit();
    return ring + stage % T::STAGES * STAGE_BYTES;
}

/* One split from loads to o. Its maxima (attention_maximum) and sums stay in shared memory; the barriers of the values'
 * stages have made them everybody's. */
template <class T>
DEVICE void attention_gather(float (&o)[T::V_QUERIES][T::DIM], const struct attention_args &a,
                             const struct attention_split &at, const struct attention_place &me, int common)
{
    SHARED(unsigned char, ring, 0);
    SHARED(float, q, T::Q);
    int k_stages = attention_k_stages(a), stages = attention_stages<T>(a, at);
    for (int i = 0; i < T::STAGES - 1; i++) {
        if (i < stages)
            attention_load<T>(a, at, i, ring + i * STAGE_BYTES);
        cp_async_commit();
    }
    float s[T::TOKENS][T::QUERIES] = {};
    const float *mine = q + (int)threadIdx.x / T::GROUP_THREADS * T::QUERIES * T::DIMS;
    for (int stage = 0; stage < k_stages; stage++)
        attention_score<T>(s, attention_advance<T>(a, at, stage, stages), mine + stage * K_DIMS,
                           a.head_dim - stage * K_DIMS);
    attention_weigh<T>(s, a.scale, at.first);
#pragma unroll
    for (int i = 0; i < T::V_QUERIES; i++)
#pragma unroll
        for (int d = 0; d < T::DIM; d++)
            o[i][d] = 0.0f;
    for (int stage = k_stages; stage < stages; stage++) {
        const unsigned char *slot = attention_advance<T>(a, at, stage, stages);
        if (!me.idle)
            attention_add_values<T>(o, slot, a.padded, me, (stage - k_stages) * T::V_TOKENS, at, common);
    }
}

/* The int8 blocks of columns first .. first + n − 1 of a row that this block has written, a barrier ago. Whole warps. */
DEVICE void attention_quantize(const struct attention_args &a, int row, int first, int n)
{
    const float *x = a.out + row * a.out_ld;
    struct q8_row to = q8_row_at(a.q8, row, (int64_t)a.n_heads * a.head_dim);
    for (int warp_col = warp_id() * WARP * 4; warp_col < n; warp_col += (int)blockDim.x * 4) {
        int col = first + warp_col + lane_id() * 4;
        float4 v = col < first + n ? ld((const float4 *)(x + col)) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float four[4] = {v.x, v.y, v.z, v.w};
        quantize_store(to, col, first + n, four);
    }
}

#endif
