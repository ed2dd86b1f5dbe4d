/* sample by vectors (definition in kernels/sample.h); compiled once per instruction set. Every scan of the vocabulary is a
 * few instructions per 16 tokens; thresholds are found by bisection over the bits of a weight, not by sorting. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/vec.h"

enum { WALK_STRIDE = 256 };

/* 16 clean logits from i; −infinity beyond the vocabulary. */
static inline vf load_logits(const float *z, int i, int vocab)
{
    vf x = vocab - i >= LANES
               ? v_load(z + i)
               : v_select(vm_first(vocab - i), v_load_n(z + i, vocab - i), v_set1(-INFINITY));
    return v_min(v_max(x, v_set1(-INFINITY)), v_set1(FLT_MAX));
}

static float largest(const float *z, int vocab)
{
    vf m[4] = {v_set1(-INFINITY), v_set1(-INFINITY), v_set1(-INFINITY), v_set1(-INFINITY)};
    for (int i = 0; i < vocab; i += LANES)
        m[i / LANES % 4] = v_max(load_logits(z, i, vocab), m[i / LANES % 4]);
    return v_largest(v_max(v_max(m[0], m[1]), v_max(m[2], m[3])));
}

static int first_of(const float *z, int vocab, float value)
{
    for (int i = 0; i < vocab; i += LANES) {
        uint32_t equal = vm_bits(v_equal(load_logits(z, i, vocab), v_set1(value)));
        if (equal)
            return i + __builtin_ctz(equal) < vocab ? i + __builtin_ctz(equal) : 0;
    }
    return 0;
}

static float sum_of_exp(const float *z, int vocab, float m)
{
    float sum = 0.0f;
    for (int part = 0; part < vocab; part += SAMPLE_PART) {
        vf lanes = v_zero();
        for (int i = part; i < vocab && i < part + SAMPLE_PART; i += LANES)
            lanes = v_add(lanes, v_exp(v_sub(load_logits(z, i, vocab), v_set1(m))));
        sum += v_tree(lanes);
    }
    return sum;
}

/* The n likeliest tokens; top_logprob holds their logits for now. Later ids must be greater to get in. */
static void find_top(const float *z, int vocab, int n, struct step_result *result)
{
    float least = -INFINITY;
    for (int i = 0; i < vocab; i += LANES) {
        vf x = load_logits(z, i, vocab);
        uint32_t better = vm_bits(v_less(v_set1(least), x));
        float lanes[LANES];
        if (better)
            v_store(lanes, x);
        for (; better; better &= better - 1) {
            int lane = __builtin_ctz(better);
            if (!(lanes[lane] > least)) /* one from the same vector has raised it */
                continue;
            int at = result->n_top < n ? result->n_top++ : n - 1;
            for (; at > 0 && lanes[lane] > result->top_logprob[at - 1]; at--) {
                result->top_logprob[at] = result->top_logprob[at - 1];
                result->top_token[at] = result->top_token[at - 1];
            }
            result->top_logprob[at] = lanes[lane];
            result->top_token[at] = i + lane;
            least = result->n_top < n ? -INFINITY : result->top_logprob[n - 1];
        }
    }
}

/* Weights of all tokens, zeros up to a whole vector; z and w may be the same memory. Returns their sum. */
static uint64_t weigh(const float *z, float m, float temperature, uint32_t *w, int vocab)
{
    vf inverse = v_set1(1.0f / temperature);
    vi total = vi_zero();
    for (int i = 0; i < vocab; i += LANES) {
        vf x = v_mul(v_sub(load_logits(z, i, vocab), v_set1(m)), inverse);
        vi weight = v_round(v_mul(v_exp(x), v_set1(SAMPLE_WEIGHT_ONE)));
        vi_store(w + i, weight);
        total = vi_widen_add(total, weight);
    }
    return vi_sum64(total);
}

/* How many weights are at least t, or what they add up to. t ≥ 1; n is rounded up to whole vectors. */
static uint64_t count_from(const uint32_t *w, int n, uint32_t t)
{
    vi count = vi_zero();
    for (int i = 0; i < n; i += LANES)
        count = vi_add(count, vi_select(vi_greater(vi_load(w + i), vi_set1((int32_t)t - 1)), vi_set1(1), vi_zero()));
    return (uint64_t)vi_sum(count);
}

static uint64_t mass_from(const uint32_t *w, int n, uint32_t t)
{
    vi sum = vi_zero();
    for (int i = 0; i < n; i += LANES) {
        vi x = vi_load(w + i);
        sum = vi_widen_add(sum, vi_select(vi_greater(x, vi_set1((int32_t)t - 1)), x, vi_zero()));
    }
    return vi_sum64(sum);
}

/* Weights that are still of interest. */
struct pool {
    const uint32_t *w;
    int n;
};

/* The pool's weights from t on, moved to `kept` (where they may lie already), zeros up to a whole vector. */
static struct pool keep_from(struct pool pool, uint32_t t, uint32_t *kept)
{
    int n = 0;
    for (int i = 0; i < pool.n; i += LANES) {
        vi x = vi_load(pool.w + i);
        n += vi_store_chosen(kept + n, x, vi_greater(x, vi_set1((int32_t)t - 1)));
    }
    vi_store(kept + n, vi_zero());
    return (struct pool){kept, n};
}

/* The largest t such that the weights from t on number `needed`, or add up to it. Leaves in the pool those weights,
 * unless t is 0. Each success drops what lies below, so that after a few scans little is left. */
static uint32_t find_cut(struct pool *pool, uint32_t *kept, uint64_t (*measure)(const uint32_t *, int, uint32_t),
                         uint64_t needed)
{
    uint32_t cut = 0;
    for (uint32_t bit = 1u << 30; bit; bit >>= 1)
        if (measure(pool->w, pool->n, cut | bit) >= needed) {
            cut |= bit;
            *pool = keep_from(*pool, cut, kept);
        }
    return cut;
}

/* Smallest weight that passes all filters. */
static uint32_t cut_of(const struct step_sample *p, const uint32_t *weights, uint64_t total, uint32_t *kept, int vocab)
{
    uint32_t cut = sample_min_p_cut(p->min_p), other;
    struct pool pool = {weights, vocab};
    if (p->top_k > 0 && p->top_k < vocab) {
        other = find_cut(&pool, kept, count_from, (uint64_t)p->top_k);
        if (other) {
            total = mass_from(pool.w, pool.n, 1);
            cut = other > cut ? other : cut;
        }
    }
    if (p->top_p < 1.0f) {
        other = find_cut(&pool, kept, mass_from, sample_needed_mass(p->top_p, total));
        cut = other > cut ? other : cut;
    }
    return cut;
}

/* The first token whose running sum exceeds the target, which is less than the sum of all weights from `cut` on. */
static int walk(const uint32_t *w, int vocab, uint32_t cut, uint64_t target)
{
    uint64_t sum = 0;
    int i = 0;
    for (; i + WALK_STRIDE <= vocab; i += WALK_STRIDE) {
        uint64_t stride = mass_from(w + i, WALK_STRIDE, cut);
        if (sum + stride > target)
            break;
        sum += stride;
    }
    for (; i < vocab; i++)
        if (w[i] >= cut && (sum += w[i]) > target)
            return i;
    return 0;
}

static int draw(const struct step_sample *p, const float *z, float m, struct sample_scratch scratch, int vocab)
{
    uint64_t total = weigh(z, m, p->temperature, scratch.weights, vocab);
    uint32_t cut = cut_of(p, scratch.weights, total, scratch.kept, vocab);
    cut = cut ? cut : 1; /* a weight of 0 is never drawn */
    if (cut > 1)
        total = mass_from(scratch.weights, vocab, cut);
    return walk(scratch.weights, vocab, cut, sample_target(p, total));
}

/* The logits to choose from: the model's own, or a copy with penalties and bias. */
static const float *adjusted_logits(const struct step *s, const struct step_sample *p, const float *logits, float *copy,
                                    int vocab)
{
    if (sample_is_plain(p))
        return logits;
    for (int i = 0; i < vocab; i += LANES)
        v_store(copy + i, load_logits(logits, i, vocab));
    sample_adjust(s, p, copy);
    return copy;
}

static int sample_tiles(const void *op, int threads)
{
    (void)threads;
    const struct op_sample *o = op;
    return ((const struct step *)host(o->step))->n_logits;
}

static void sample_run(const void *op, int row, int tiles, int worker)
{
    (void)tiles;
    const struct op_sample *o = op;
    const struct step *s = host(o->step);
    const struct step_sample *p = &step_samples(s)[row];
    const float *logits = (const float *)host(o->logits) + row * o->ld;
    struct step_result *result = (struct step_result *)host(o->results) + row;
    struct sample_scratch scratch = sample_scratch(o, worker);
    float m = largest(logits, o->vocab), sum = sum_of_exp(logits, o->vocab, m);
    *result = (struct step_result){0};
    if (p->n_top)
        find_top(logits, o->vocab, p->n_top, result);
    for (int i = 0; i < result->n_top; i++)
        result->top_logprob[i] = sample_logprob(result->top_logprob[i], m, sum);

    const float *z = adjusted_logits(s, p, logits, scratch.logits, o->vocab);
    float adjusted = z == logits ? m : largest(z, o->vocab);
    if (adjusted == -INFINITY || p->temperature < SAMPLE_GREEDY_BELOW)
        result->token = first_of(z, o->vocab, adjusted);
    else
        result->token = draw(p, z, adjusted, scratch, o->vocab);
    result->logprob = sample_logprob(sample_clean(logits[result->token]), m, sum);
}

const struct cpu_phase VEC(sample) = {sample_tiles, sample_run};
