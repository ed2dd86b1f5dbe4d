/* sample, last launch: from each row's weights and parts to its token (see sample.cu, kernels/sample.h).
 *
 *   values (rows, parts · 4096), part (rows, parts), top (rows, parts, 20) ──► results (rows)
 *
 * TILING: one block of 1,024 threads a row. What it looks at:
 *
 *   likeliest    parts' lists of keys ──► the n largest of all: rounds of block_top
 *   greedy       the largest key: nothing else
 *   plain draw   parts' masses ──► the part that holds the target ──► its 4,096 weights, 4 a thread, one scan
 *   filters      a threshold first, without sorting: radix select, three sweeps over all weights
 *
 *     weight  │ 11 bits │ 10 bits │ 10 bits │     Sweep 1 counts (or adds up) weights by their first digit, in shared
 *              sweep 1   sweep 2   sweep 3       memory; a scan from the largest digit down finds the digit where the
 *                                                needed number (or mass) is reached. Sweep 2 looks at the weights with
 *                                                that digit only, by their second digit; so does sweep 3.
 *
 * Digit 0 is never counted: it is what remains when no other digit reaches what is needed. So the many tokens that are
 * a thousand times less likely than the likeliest do not crowd one counter. Mass is added up in 32-bit counters, as a
 * count and sums of the 10-bit digits below; it is exact.
 *
 * WHO WAITS: per sweep one barrier for counters that are zero, one for complete ones, one in the scan, one for the
 * digit found. A plain draw: one for the masses, two in the walk.
 *
 * RESOURCES: ≤ 64 registers (one block of 1,024 threads on an SM); shared memory 12.9 KiB + 8 · parts.
 * TRAFFIC, bytes a row: 32 · parts; 160 · parts with alternatives; plain draw + 16 KiB. Top-k: + 4 sweeps of 4 · vocab
 * (3 without top-p), top-p: + 3, any filter: + 1 for the parts' masses; a sweep at one SM's share of L2 (64 bytes a
 * cycle) takes 1.8 µs for 49,152 tokens, 5.5 µs for 151,936.
 * MACHINE CODE: LDG.128, ATOMS, SHFL.UP, BAR, DMUL, DADD (the logarithm). */
#include "kernels/cuda/sample.cuh"

enum { CHOOSE_THREADS = 1024, DIGIT_BITS = 10, DIGITS = 1 << DIGIT_BITS, FIRST_SHIFT = 2 * DIGIT_BITS };

struct choose_shared {
    uint32_t count[DIGITS], low[DIGITS], high[DIGITS]; /* of digit i + 1: weights, and the sums of their lower digits */
    uint64_t top[STEP_TOP_LOGPROBS];
    uint64_t per_warp[2 * 32], scan_per_warp[32];
    uint64_t needed;
    uint32_t digit;
    int32_t token;
};

/* The weights of a row, and its parts' masses in shared memory. */
struct pool {
    const uint32_t *weights;
    int parts;
    uint64_t *mass;
};

DEVICE void count_weight(struct choose_shared *s, uint32_t w, uint32_t prefix, int shift, bool by_mass)
{
    const uint32_t digit = (w >> shift) - prefix * DIGITS; /* of a weight with this prefix: 0 … 1023; the first: … 1024 */
    if (digit - 1 >= (uint32_t)(shift == FIRST_SHIFT ? DIGITS : DIGITS - 1))
        return;
    shared_atomic_add(&s->count[digit - 1], 1u);
    if (by_mass && shift)
        shared_atomic_add(&s->low[digit - 1], w & (DIGITS - 1));
    if (by_mass && shift == FIRST_SHIFT)
        shared_atomic_add(&s->high[digit - 1], w >> DIGIT_BITS & (DIGITS - 1));
}

/* The largest t such that the weights from t on number `needed`, or (by_mass) add up to it; 0 if all positive ones do
 * not. By the whole block. */
DEVICE uint32_t find_cut(struct choose_shared *s, const struct pool &pool, uint64_t needed, bool by_mass)
{
    const int slot = DIGITS - 1 - (int)threadIdx.x; /* the largest digit first */
    uint32_t prefix = 0;
    for (int shift = FIRST_SHIFT; shift >= 0; shift -= DIGIT_BITS) {
        sts(&s->count[threadIdx.x], 0u);
        sts(&s->low[threadIdx.x], 0u);
        sts(&s->high[threadIdx.x], 0u);
        syncthreads();
        for (int i = (int)threadIdx.x * 4; i < pool.parts * SAMPLE_PART; i += 4 * CHOOSE_THREADS) {
            uint4 w = ld((const uint4 *)(pool.weights + i));
            count_weight(s, w.x, prefix, shift, by_mass);
            count_weight(s, w.y, prefix, shift, by_mass);
            count_weight(s, w.z, prefix, shift, by_mass);
            count_weight(s, w.w, prefix, shift, by_mass);
        }
        syncthreads();
        uint64_t measure = lds(&s->count[slot]);
        if (by_mass)
            measure = (measure * (prefix * DIGITS + (uint32_t)slot + 1) << shift) + lds(&s->low[slot]) +
                      ((uint64_t)lds(&s->high[slot]) << DIGIT_BITS);
        const uint64_t from_here = block_scan(measure, s->scan_per_warp), above = from_here - measure;
        const bool here = above < needed && from_here >= needed;
        if (here || (slot == 0 && from_here < needed)) {
            sts(&s->digit, here ? (uint32_t)slot + 1 : 0u);
            sts(&s->needed, needed - (here ? above : from_here));
        }
        syncthreads();
        prefix = prefix * DIGITS + lds(&s->digit);
        needed = lds(&s->needed);
    }
    return prefix;
}

/* Masses of the parts' weights from `cut` on, a warp a part; returns their sum, to all. Ends with a barrier. */
DEVICE uint64_t weigh_from(const struct pool &pool, uint32_t cut)
{
    uint64_t total = 0;
    syncthreads(); /* nobody reads the masses any more */
    for (int part = warp_id(); part < pool.parts; part += CHOOSE_THREADS / WARP) {
        uint64_t sum = 0;
        for (int i = lane_id() * 4; i < SAMPLE_PART; i += 4 * WARP) {
            uint4 w = ld((const uint4 *)(pool.weights + part * SAMPLE_PART + i));
            sum += (uint64_t)(w.x >= cut ? w.x : 0) + (w.y >= cut ? w.y : 0) + (w.z >= cut ? w.z : 0) +
                   (w.w >= cut ? w.w : 0);
        }
        sum = warp_sum(sum);
        if (lane_id() == 0)
            sts(pool.mass + part, sum);
    }
    syncthreads();
    for (int part = lane_id(); part < pool.parts; part += WARP)
        total += lds(pool.mass + part);
    return warp_sum(total);
}

/* The masses of all weights, as k_sample_weigh left them; returns their sum, to all. */
DEVICE uint64_t load_masses(const struct pool &pool, const struct sample_part *parts)
{
    uint64_t total = 0;
    for (int part = (int)threadIdx.x; part < pool.parts; part += CHOOSE_THREADS)
        sts(pool.mass + part, ld(&parts[part].mass));
    syncthreads();
    for (int part = lane_id(); part < pool.parts; part += WARP)
        total += lds(pool.mass + part);
    return warp_sum(total);
}

/* Smallest weight that passes all filters, at least 1: a weight of 0 is never drawn. `total` is the sum of all weights
 * and becomes that of those that pass; their masses are in the pool, as those of all were before. */
DEVICE uint32_t filter(struct choose_shared *s, const struct pool &pool, const struct step_sample &p, int vocab,
                       uint64_t &total)
{
    uint32_t cut = sample_min_p_cut(p.min_p);
    if (p.top_k > 0 && p.top_k < vocab) {
        uint32_t least = find_cut(s, pool, (uint64_t)p.top_k, false);
        if (least && p.top_p < 1.0f)
            total = weigh_from(pool, least);
        cut = least > cut ? least : cut;
    }
    if (p.top_p < 1.0f) {
        uint32_t least = find_cut(s, pool, sample_needed_mass(p.top_p, total), true);
        cut = least > cut ? least : cut;
    }
    if (cut <= 1)
        return 1;
    total = weigh_from(pool, cut);
    return cut;
}

/* The first token whose running sum exceeds the target, which is less than the sum of all weights from `cut` on. */
DEVICE int walk(struct choose_shared *s, const struct pool &pool, uint32_t cut, uint64_t target)
{
    int part = 0;
    for (; part < pool.parts - 1 && lds(pool.mass + part) <= target; part++)
        target -= lds(pool.mass + part);
    const int first = part * SAMPLE_PART + (int)threadIdx.x * 4;
    uint4 four = ld((const uint4 *)(pool.weights + first));
    const uint32_t w[4] = {four.x >= cut ? four.x : 0, four.y >= cut ? four.y : 0, four.z >= cut ? four.z : 0,
                           four.w >= cut ? four.w : 0};
    const uint64_t mine = (uint64_t)w[0] + w[1] + w[2] + w[3];
    uint64_t sum = block_scan(mine, s->scan_per_warp) - mine;
    if (sum <= target && sum + mine > target) {
        int k = 0;
        for (; k < 3 && sum + w[k] <= target; k++)
            sum += w[k];
        sts(&s->token, first + k);
    }
    syncthreads();
    return lds(&s->token);
}

/* Fills s->top; the number of tokens in it. */
DEVICE int merge_top(struct choose_shared *s, const uint64_t *lists, int parts, int n)
{
    uint64_t mine = ~(uint64_t)0;
    auto best_below = [&](uint64_t below) {
        uint64_t best = 0;
        for (int i = (int)threadIdx.x; i < parts * n; i += CHOOSE_THREADS) {
            uint64_t key = ld(lists + i / n * STEP_TOP_LOGPROBS + i % n);
            best = key < below ? larger(best, key) : best;
        }
        return best;
    };
    return block_top(
        n, s->per_warp, [&](uint64_t below) { return mine >= below ? mine = best_below(below) : mine; },
        [&](int r, uint64_t key) {
            if (threadIdx.x == 0)
                sts(s->top + r, key);
        });
}

DEVICE void write_result(struct step_result *out, const struct choose_shared *s, int n_top, int token, float logit, float m,
                         float sum)
{
    const int i = (int)threadIdx.x;
    if (i < STEP_TOP_LOGPROBS) {
        uint64_t key = i < n_top ? lds(s->top + i) : 0;
        st(&out->top_token[i], i < n_top ? key_token(key) : 0);
        st(&out->top_logprob[i], i < n_top ? sample_logprob(key_logit(key), m, sum) : 0.0f);
    }
    if (i == 0) {
        st(&out->token, token);
        st(&out->logprob, sample_logprob(logit, m, sum));
        st(&out->n_top, n_top);
    }
}

KERNEL(CHOOSE_THREADS, 1) k_sample_choose(struct sample_args a)
{
    const int row = (int)blockIdx.x;
    if (row >= step_logits(a.step))
        return;
    SHARED(struct choose_shared, s, 0);
    SHARED(uint64_t, mass, sizeof(struct choose_shared));
    const struct step_sample p = row_sample(a, row);
    const struct sample_part *parts = row_parts(a, row);
    const struct pool pool = {row_values(a, row), a.parts, mass};
    const uint64_t adjusted = row_largest(parts, a.parts, &sample_part::adjusted);
    int n_top = p.n_top > 0 ? merge_top(s, row_top(a, row), a.parts, p.n_top) : 0;
    int token = key_token(adjusted);
    if (!sample_is_greedy(p, adjusted)) {
        uint64_t total = load_masses(pool, parts);
        uint32_t cut = filter(s, pool, p, a.vocab, total);
        token = walk(s, pool, cut, sample_target(&p, total));
    }
    float sum = 0.0f;
    for (int i = 0; i < a.parts; i++)
        sum = sum + ld(&parts[i].sum);
    const float logit = sample_clean(ldg(a.logits + row * a.ld + token)) + 0.0f; /* −0 becomes 0, as in keys */
    const float m = key_logit(row_largest(parts, a.parts, &sample_part::likeliest));
    syncthreads(); /* s->top */
    write_result(a.results + row, s, n_top, token, logit, m, sum);
}

cudaError_t gpu_sample_choose(const struct sample_args &a, int rows, cudaStream_t stream)
{
    size_t shared_bytes = sizeof(struct choose_shared) + (size_t)a.parts * sizeof(uint64_t);
    return LAUNCH(k_sample_choose, dim3((unsigned)rows), dim3(CHOOSE_THREADS), shared_bytes, stream, a);
}
