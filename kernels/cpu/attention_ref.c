/* Reference: rope_kv and attention, one row at a time. */
#include "kernels/cpu/kv.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/ref.h"

static void norm_head(float *x, const float *gain, int n, float eps)
{
    float r = 1.0f / sqrtf(dot16_ref(x, x, n) / (float)n + eps);
    for (int d = 0; d < n; d++)
        x[d] = (x[d] * r) * gain[d];
}

static void rotate_head(float *x, const float *table, int half)
{
    for (int j = 0; j < half; j++) {
        float c = table[2 * j], s = table[2 * j + 1], a = x[j], b = x[j + half];
        x[j] = a * c - b * s;
        x[j + half] = b * c + a * s;
    }
}

static void norm_rotate(float *x, const float *gain, const float *table, const struct op_rope_kv *o)
{
    if (gain)
        norm_head(x, gain, o->kv.head_dim, o->eps);
    rotate_head(x, table, o->kv.head_dim / 2);
}

static int rope_kv_tiles(const void *op, int threads)
{
    const struct op_rope_kv *o = op;
    return row_tiles(((const struct step *)host(o->step))->n_rows, threads);
}

static void rope_kv_row(const struct op_rope_kv *o, const struct step *s, int64_t row)
{
    int hd = o->kv.head_dim, pos = step_pos(s)[row], slot = pos % STEP_PAGE_TOKENS;
    const struct step_seq *seq = &step_seqs(s)[step_row_seq(s)[row]];
    int32_t page_id = step_pages(s)[seq->page0 + pos / STEP_PAGE_TOKENS];
    char *page = (char *)host(o->pool) + (size_t)page_id * o->kv.page_bytes;
    float *q = (float *)host(o->qkv) + row * o->ld;
    float *k = q + o->kv.n_heads * hd, *v = k + o->kv.n_kv_heads * hd;
    const float *table = (const float *)host(o->table) + row * hd;
    for (int h = 0; h < o->kv.n_heads; h++)
        norm_rotate(q + h * hd, host(o->q_gain), table, o);
    for (int h = 0; h < o->kv.n_kv_heads; h++) {
        float key[MAX_HEAD_DIM];
        memcpy(key, k + h * hd, (size_t)hd * sizeof *key);
        norm_rotate(key, host(o->k_gain), table, o);
        uint16_t *page_k = (uint16_t *)(page + kv_k_offset(&o->kv, o->layer, h));
        uint16_t *page_v = (uint16_t *)(page + kv_v_offset(&o->kv, o->layer, h));
        for (int d = 0; d < hd; d++)
            page_k[d * STEP_PAGE_TOKENS + slot] = f32_to_f16(key[d]);
        for (int d = 0; d < pad_cols(hd); d++)
            page_v[slot * pad_cols(hd) + d] = d < hd ? f32_to_f16(v[h * hd + d]) : 0;
    }
}

static void rope_kv_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    const struct op_rope_kv *o = op;
    const struct step *s = host(o->step);
    struct span rows = tile_span(s->n_rows, tile, tiles);
    for (int row = rows.first; row < rows.end; row++)
        rope_kv_row(o, s, row);
}

/* What one query head gathers from some of its tokens: maximum score, sum of weights, weighted sum of values. */
struct gathered {
    float m, l, o[MAX_HEAD_DIM];
};

static const uint16_t *slot_address(const struct op_attention *o, const int32_t *pages, int t, size_t offset)
{
    return (const uint16_t *)((const char *)host(o->pool) + (size_t)pages[t / STEP_PAGE_TOKENS] * o->kv.page_bytes +
                              offset);
}

static void gather_split(const struct op_attention *o, const float *q, const int32_t *pages, int kv_head, int first,
                         int end, struct gathered *g)
{
    int hd = o->kv.head_dim;
    float score[ATTENTION_SPLIT], lane[16] = {0};
    *g = (struct gathered){.m = -INFINITY};
    for (int t = first; t < end; t++) {
        const uint16_t *k = slot_address(o, pages, t, kv_k_offset(&o->kv, o->layer, kv_head));
        float dot = 0.0f;
        for (int d = 0; d < hd; d++)
            dot = fmaf(q[d], f16_to_f32(k[d * STEP_PAGE_TOKENS + t % STEP_PAGE_TOKENS]), dot);
        score[t - first] = dot * o->scale;
        if (score[t - first] > g->m)
            g->m = score[t - first];
    }
    for (int t = first; t < end; t++) {
        const uint16_t *v = slot_address(o, pages, t, kv_v_offset(&o->kv, o->layer, kv_head));
        float p = exp_(score[t - first] - g->m);
        lane[t % 16] += p;
        for (int d = 0; d < hd; d++)
            g->o[d] = fmaf(p, f16_to_f32(v[t % STEP_PAGE_TOKENS * pad_cols(hd) + d]), g->o[d]);
    }
    g->l = tree16_ref(lane);
}

static void fold(struct gathered *g, const struct gathered *next, int hd)
{
    float m = next->m > g->m ? next->m : g->m;
    float a = exp_(g->m - m), b = exp_(next->m - m);
    g->m = m;
    g->l = fmaf(next->l, b, g->l * a);
    for (int d = 0; d < hd; d++)
        g->o[d] = fmaf(next->o[d], b, g->o[d] * a);
}

static int attention_tiles(const void *op, int threads)
{
    (void)threads;
    const struct op_attention *o = op;
    return ((const struct step *)host(o->step))->n_rows;
}

static void attention_run(const void *op, int row, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_attention *o = op;
    const struct step *s = host(o->step);
    const int32_t *pages = step_pages(s) + step_seqs(s)[step_row_seq(s)[row]].page0;
    int hd = o->kv.head_dim, context = step_pos(s)[row] + 1, cols = o->kv.n_heads * hd;
    float *out = (float *)host(o->out.f32) + row * pad_cols(cols);
    for (int h = 0; h < o->kv.n_heads; h++) {
        const float *q = (const float *)host(o->qkv) + row * o->ld + h * hd;
        struct gathered all, next;
        for (int first = 0; first < context; first += ATTENTION_SPLIT) {
            int end = first + ATTENTION_SPLIT < context ? first + ATTENTION_SPLIT : context;
            gather_split(o, q, pages, h / (o->kv.n_heads / o->kv.n_kv_heads), first, end, first ? &next : &all);
            if (first)
                fold(&all, &next, hd);
        }
        for (int d = 0; d < hd; d++)
            out[h * hd + d] = all.o[d] / all.l;
    }
    if (o->out.q8)
        quantize_row_ref(out, cols, (char *)host(o->out.q8) + (size_t)row * q8_row_bytes(cols));
}

/* The reference finishes a row in its first phase. */
static int fold_tiles(const void *op, int threads)
{
    (void)op, (void)threads;
    return 0;
}

static void fold_run(const void *op, int tile, int tiles, int worker)
{
    (void)op, (void)tile, (void)tiles, (void)worker;
}

const struct cpu_phase rope_kv_ref = {rope_kv_tiles, rope_kv_run};
const struct cpu_phase attention_ref = {attention_tiles, attention_run};
const struct cpu_phase attention_fold_ref = {fold_tiles, fold_run};
