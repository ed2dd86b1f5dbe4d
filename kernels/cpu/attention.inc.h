/* attention and attention_fold by vectors; compiled once per instruction set.
 *
 * Scores: a vector is the same dimension of 16 tokens (K lies transposed), a query's value is broadcast; several
 * queries share each K vector. Values: a vector is 16 dimensions of one token, its weight is broadcast. Every chain
 * of fmaf runs over d or t as the contract says; speed comes from independent chains side by side. */
#include "kernels/cpu/attention_jobs.h"
#include "kernels/cpu/kv.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vec_quantize.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum {
    SPLIT_PAGES = ATTENTION_SPLIT / STEP_PAGE_TOKENS,
    TILE_QUERIES = 8, /* query vectors taken together at most */
    FEW_QUERIES = 4,
    PARTIAL_FLOATS = MAX_HEAD_DIM + 16,
};

/* One split of one kv head: what a tile of query vectors works on. */
struct split {
    const uint16_t *k[SPLIT_PAGES], *v[SPLIT_PAGES];
    int n_pages;
    int head_dim, padded; /* padded: pad_cols(head_dim), also the row stride of V */
    float scale;
};

/* A query vector, how many tokens of the split it sees (> 0), and where its partial goes: o, m, l. */
struct query {
    const float *q;
    int n_tokens;
    float *partial;
};

static inline int page_or_last(const struct split *sp, int page) { return page < sp->n_pages ? page : sp->n_pages - 1; }

/* Raw scores of nq queries, np pages at a time. A group that reaches past the last page computes it again. Few queries
 * per page make reading memory the work: then the next K pages and these pages' V are fetched ahead. */
ALWAYS_INLINE void score(const struct split *sp, const struct query *queries, float (*w)[ATTENTION_SPLIT], int nq,
                         int np)
{
    float q[TILE_QUERIES][MAX_HEAD_DIM]; /* at constant distances: one address register serves all queries */
    for (int i = 0; i < nq; i++)
        memcpy(q[i], queries[i].q, (size_t)sp->head_dim * sizeof(float));
    for (int page = 0; page < sp->n_pages; page += np) {
        vf sum[8][8];
        const uint16_t *k[8], *next_k[8], *v[8];
        UNROLL for (int j = 0; j < np; j++) {
            k[j] = sp->k[page_or_last(sp, page + j)];
            next_k[j] = sp->k[page_or_last(sp, page + np + j)];
            v[j] = sp->v[page_or_last(sp, page + j)];
        }
        UNROLL for (int i = 0; i < nq; i++)
            UNROLL for (int j = 0; j < np; j++)
                sum[i][j] = v_zero();
        for (int d = 0; d < sp->head_dim; d++)
            UNROLL for (int j = 0; j < np; j++) {
                vf key = v_load_f16(k[j] + d * LANES);
                if (nq <= FEW_QUERIES) {
                    _mm_prefetch((const char *)(next_k[j] + d * LANES), _MM_HINT_T0);
                    _mm_prefetch((const char *)(v[j] + d * LANES), _MM_HINT_T1);
                }
                UNROLL for (int i = 0; i < nq; i++)
                    sum[i][j] = v_fma(v_set1(q[i][d]), key, sum[i][j]);
            }
        UNROLL for (int i = 0; i < nq; i++)
            UNROLL for (int j = 0; j < np; j++)
                v_store(&w[i][(page + j) * LANES], sum[i][j]);
    }
}

/* Scores become weights, exp_(s − m). Lanes beyond the last token hold anything, NaN too: they weigh 0. */
static void weigh(float *w, int n_tokens, float scale, float *m, float *l)
{
    vf largest = v_set1(-INFINITY), sum = v_zero();
    for (int t = 0; t < n_tokens; t += LANES) {
        vf s = v_mul(v_load(w + t), v_set1(scale));
        if (n_tokens - t < LANES)
            s = v_select(vm_first(n_tokens - t), s, v_set1(-INFINITY));
        v_store(w + t, s);
        largest = v_max(s, largest);
    }
    *m = v_largest(largest);
    for (int t = 0; t < n_tokens; t += LANES) {
        vf p = v_exp(v_sub(v_load(w + t), v_set1(*m)));
        v_store(w + t, p);
        sum = v_add(sum, p);
    }
    *l = v_tree(sum);
}

/* o[d] += p[t]·v[t][d] for tokens first .. end−1 and 16·nd dimensions from d0. */
ALWAYS_INLINE void add_values(const struct split *sp, const struct query *queries, float (*w)[ATTENTION_SPLIT], int d0,
                              int first, int end, int nq, int nd)
{
    vf o[8][8];
    UNROLL for (int i = 0; i < nq; i++)
        UNROLL for (int j = 0; j < nd; j++)
            o[i][j] = v_load(queries[i].partial + d0 + j * LANES);
    for (int t = first; t < end; t++) {
        const uint16_t *v = sp->v[t / STEP_PAGE_TOKENS] + t % STEP_PAGE_TOKENS * sp->padded + d0;
        UNROLL for (int j = 0; j < nd; j++) {
            vf value = v_load_f16(v + j * LANES);
            UNROLL for (int i = 0; i < nq; i++)
                o[i][j] = v_fma(v_set1(w[i][t]), value, o[i][j]);
        }
    }
    UNROLL for (int i = 0; i < nq; i++)
        UNROLL for (int j = 0; j < nd; j++)
            v_store(queries[i].partial + d0 + j * LANES, o[i][j]);
}

/* All dimensions, as many vectors side by side as `wide` allows. */
ALWAYS_INLINE void add_all_values(const struct split *sp, const struct query *queries, float (*w)[ATTENTION_SPLIT],
                                  int first, int end, int nq, int wide)
{
    int d = 0;
    UNROLL for (int nd = wide; nd; nd /= 2)
        for (; d + nd * LANES <= sp->padded; d += nd * LANES)
            add_values(sp, queries, w, d, first, end, nq, nd);
}

/* The partials of nq queries over one split, with `wide` vectors side by side per query. */
ALWAYS_INLINE void attend(const struct split *sp, const struct query *queries, int nq, int wide)
{
    float w[TILE_QUERIES][ATTENTION_SPLIT];
    score(sp, queries, w, nq, wide);
    int common = ATTENTION_SPLIT;
    for (int i = 0; i < nq; i++) {
        weigh(w[i], queries[i].n_tokens, sp->scale, &queries[i].partial[sp->padded],
              &queries[i].partial[sp->padded + 1]);
        memset(queries[i].partial, 0, (size_t)sp->padded * sizeof(float));
        if (queries[i].n_tokens < common)
            common = queries[i].n_tokens;
    }
    add_all_values(sp, queries, w, 0, common, nq, wide);
    for (int i = 0; i < nq; i++) /* later rows see a few tokens more */
        if (queries[i].n_tokens > common)
            add_all_values(sp, queries + i, w + i, common, queries[i].n_tokens, 1, 4);
}

/* Wide enough to hide the latency of an fmaf, narrow enough for the registers. */
#if VEC_REGISTERS == 32
static void attend_1(const struct split *sp, const struct query *q) { attend(sp, q, 1, 8); }
static void attend_2(const struct split *sp, const struct query *q) { attend(sp, q, 2, 8); }
static void attend_3(const struct split *sp, const struct query *q) { attend(sp, q, 3, 4); }
static void attend_4(const struct split *sp, const struct query *q) { attend(sp, q, 4, 4); }
static void attend_8(const struct split *sp, const struct query *q) { attend(sp, q, 8, 2); }
#else
static void attend_1(const struct split *sp, const struct query *q) { attend(sp, q, 1, 4); }
static void attend_2(const struct split *sp, const struct query *q) { attend(sp, q, 2, 2); }
static void attend_3(const struct split *sp, const struct query *q) { attend(sp, q, 3, 2); }
static void attend_4(const struct split *sp, const struct query *q) { attend(sp, q, 4, 1); }
#endif

/* Partials of any number of queries. */
static void attend_all(const struct split *sp, const struct query *queries, int n)
{
    while (n > 0) {
        int taken = n < 4 ? n : 4;
#if VEC_REGISTERS == 32
        if (n >= 8)
            taken = 8;
#endif
        switch (taken) {
        case 1: attend_1(sp, queries); break;
        case 2: attend_2(sp, queries); break;
        case 3: attend_3(sp, queries); break;
        case 4: attend_4(sp, queries); break;
#if VEC_REGISTERS == 32
        default: attend_8(sp, queries); break;
#endif
        }
        queries += taken;
        n -= taken;
    }
}

/* all = fold(all, next). */
static void fold(float *all, const float *next, int padded)
{
    float m0 = all[padded], m1 = next[padded], m = m1 > m0 ? m1 : m0;
    vf w[2]; /* both weights by the vector exponential */
    w[0] = v_exp(v_set1(m0 - m));
    w[1] = v_exp(v_set1(m1 - m));
    vf l = v_fma(v_set1(next[padded + 1]), w[1], v_mul(v_set1(all[padded + 1]), w[0]));
    v_store_n(all + padded + 1, l, 1);
    all[padded] = m;
    for (int d = 0; d < padded; d += LANES)
        v_store(all + d, v_fma(v_load(next + d), w[1], v_mul(v_load(all + d), w[0])));
}

/* o / l into one head of a row. */
static void write_head(float *out, const float *partial, int head_dim, int padded)
{
    vf l = v_set1(partial[padded + 1]);
    for (int d = 0; d < head_dim; d += LANES)
        v_store_upto(out + d, v_div(v_load(partial + d), l), head_dim - d);
}

static void locate_split(const struct op_attention *o, const struct attention_job *job, int first, int end,
                         struct split *sp)
{
    size_t k = kv_k_offset(&o->kv, o->layer, job->kv_head), v = kv_v_offset(&o->kv, o->layer, job->kv_head);
    const int32_t *pages = job->pages + first / STEP_PAGE_TOKENS;
    sp->n_pages = (end - first + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS;
    for (int i = 0; i < sp->n_pages; i++) {
        const char *page = (const char *)host(o->pool) + (size_t)pages[i] * o->kv.page_bytes;
        sp->k[i] = (const uint16_t *)(page + k);
        sp->v[i] = (const uint16_t *)(page + v);
    }
}

static void run_job(const struct op_attention *o, const struct attention_job *job)
{
    float state[ATTENTION_JOB_VECTORS][PARTIAL_FLOATS], next[ATTENTION_JOB_VECTORS][PARTIAL_FLOATS];
    struct query queries[ATTENTION_JOB_VECTORS];
    int hd = o->kv.head_dim, n = job->n_rows * job->n_heads, context = job->pos0 + job->n_rows;
    struct split sp = {.head_dim = hd, .padded = (int)pad_cols(hd), .scale = o->scale};
    for (int split = job->split0; split < job->split0 + job->n_splits; split++) {
        int first = split * ATTENTION_SPLIT, skipped = 0;
        int end = context < first + ATTENTION_SPLIT ? context : first + ATTENTION_SPLIT;
        locate_split(o, job, first, end, &sp);
        for (int i = 0; i < n; i++) {
            int row = i / job->n_heads, head = job->head0 + i % job->n_heads, seen = job->pos0 + row + 1 - first;
            if (seen <= 0) { /* an early row, which does not reach this split */
                skipped = i + 1;
                continue;
            }
            queries[i].q = (const float *)host(o->qkv) + (job->row0 + row) * o->ld + head * hd;
            queries[i].n_tokens = seen < ATTENTION_SPLIT ? seen : ATTENTION_SPLIT;
            queries[i].partial = split ? next[i] : state[i];
            if (job->partial)
                queries[i].partial = job->partial + (size_t)i * attention_partial_floats(&o->kv);
        }
        attend_all(&sp, queries + skipped, n - skipped);
        for (int i = skipped; i < n && split && !job->partial; i++)
            fold(state[i], next[i], sp.padded);
    }
    for (int i = 0; i < n && !job->partial; i++) {
        int64_t row = job->row0 + i / job->n_heads, head = job->head0 + i % job->n_heads;
        float *out = (float *)host(o->out.f32) + row * pad_cols((int64_t)o->kv.n_heads * hd);
        write_head(out + head * hd, state[i], hd, sp.padded);
    }
}

static int attention_tiles(const void *op, int threads)
{
    (void)threads;
    return attention_job_count(op);
}

static void attention_run(const void *op, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    struct attention_job job = attention_job_at(op, tile);
    run_job(op, &job);
}

/* attention_fold: joins the partials of split sequences, then quantizes whole rows. */
static int attention_fold_tiles(const void *op, int threads)
{
    const struct op_attention *o = op;
    const struct step *s = host(o->step);
    bool needed = o->out.q8 != 0;
    for (int i = 0; i < s->n_seqs && !needed; i++)
        needed = attention_is_split(&step_seqs(s)[i]);
    return needed ? row_tiles(s->n_rows, threads) : 0;
}

static void fold_row(const struct op_attention *o, const struct step_seq *seq, size_t split_index)
{
    size_t stride = attention_partial_floats(&o->kv);
    int hd = o->kv.head_dim, padded = (int)pad_cols(hd);
    float *out = (float *)host(o->out.f32) + seq->row0 * pad_cols((int64_t)o->kv.n_heads * hd);
    for (int h = 0; h < o->kv.n_heads; h++) {
        float *all = attention_partials(o, split_index) + (size_t)h * stride;
        for (int split = 1; split < attention_splits(seq->pos0 + 1); split++)
            fold(all, attention_partials(o, split_index + (size_t)split) + (size_t)h * stride, padded);
        write_head(out + h * hd, all, hd, padded);
    }
}

static void attention_fold_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    const struct op_attention *o = op;
    const struct step *s = host(o->step);
    const struct step_seq *seqs = step_seqs(s);
    struct span rows = tile_span(s->n_rows, tile, tiles);
    size_t split_index = 0;
    for (int i = 0; i < s->n_seqs; i++)
        if (attention_is_split(&seqs[i])) {
            if (seqs[i].row0 >= rows.first && seqs[i].row0 < rows.end)
                fold_row(o, &seqs[i], split_index);
            split_index += (size_t)attention_splits(seqs[i].pos0 + 1);
        }
    int64_t cols = (int64_t)o->kv.n_heads * o->kv.head_dim;
    for (int64_t row = rows.first; o->out.q8 && row < rows.end; row++)
        v_quantize_row((const float *)host(o->out.f32) + row * pad_cols(cols), cols,
                       (char *)host(o->out.q8) + (size_t)row * q8_row_bytes(cols));
}

const struct cpu_phase VEC(attention) = {attention_tiles, attention_run};
const struct cpu_phase VEC(attention_fold) = {attention_fold_tiles, attention_fold_run};
