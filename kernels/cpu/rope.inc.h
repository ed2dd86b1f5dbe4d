/* rope_kv by vectors; compiled once per instruction set. */
#include "kernels/cpu/kv.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vec.h"

static void norm_head(float *x, const float *gain, int n, float eps)
{
    float r = 1.0f / sqrtf(v_dot16(x, x, n) / (float)n + eps);
    for (int d = 0; d < n; d += LANES)
        v_store_upto(x + d, v_mul(v_mul(v_load_upto(x + d, n - d), v_set1(r)), v_load_upto(gain + d, n - d)), n - d);
}

static void rotate_head(float *x, const float *cosine, const float *sine, int half)
{
    for (int j = 0; j < half; j += LANES) {
        vf c = v_load(cosine + j), s = v_load(sine + j);
        vf a = v_load_upto(x + j, half - j), b = v_load_upto(x + j + half, half - j);
        v_store_upto(x + j, v_sub(v_mul(a, c), v_mul(b, s)), half - j);
        v_store_upto(x + j + half, v_add(v_mul(b, c), v_mul(a, s)), half - j);
    }
}

static int rope_kv_tiles(const void *op, int threads)
{
    const struct op_rope_kv *o = op;
    return row_tiles(((const struct step *)host(o->step))->n_rows, threads);
}

/* One key into its page: F16, tokens innermost. */
static void store_key(uint16_t *page_k, int slot, const float *key, int hd)
{
    uint16_t half[MAX_HEAD_DIM];
    for (int d = 0; d < hd; d += LANES)
        v_store_f16(half + d, v_load(key + d));
    for (int d = 0; d < hd; d++)
        page_k[d * STEP_PAGE_TOKENS + slot] = half[d];
}

static void store_value(uint16_t *page_v, int slot, const float *value, int hd)
{
    uint16_t *row = page_v + slot * pad_cols(hd); /* padded to whole vectors */
    for (int d = 0; d < hd; d += LANES)
        v_store_f16(row + d, v_load_upto(value + d, hd - d));
}

static void rope_kv_row(const struct op_rope_kv *o, const struct step *s, int64_t row)
{
    int hd = o->kv.head_dim, half = hd / 2, pos = step_pos(s)[row], slot = pos % STEP_PAGE_TOKENS;
    const struct step_seq *seq = &step_seqs(s)[step_row_seq(s)[row]];
    int32_t page_id = step_pages(s)[seq->page0 + pos / STEP_PAGE_TOKENS];
    char *page = (char *)host(o->pool) + (size_t)page_id * o->kv.page_bytes;
    float *q = (float *)host(o->qkv) + row * o->ld;
    const float *k = q + o->kv.n_heads * hd, *v = k + o->kv.n_kv_heads * hd;
    const float *table = (const float *)host(o->table) + row * hd, *q_gain = host(o->q_gain), *k_gain = host(o->k_gain);
    float cosine[MAX_HEAD_DIM / 2], sine[MAX_HEAD_DIM / 2], key[MAX_HEAD_DIM] = {0};
    for (int j = 0; j < half; j += LANES) {
        vf c, si;
        v_load_pairs_n(table + 2 * j, half - j < LANES ? half - j : LANES, &c, &si);
        v_store(cosine + j, c);
        v_store(sine + j, si);
    }
    for (int h = 0; h < o->kv.n_heads; h++) {
        if (q_gain)
            norm_head(q + h * hd, q_gain, hd, o->eps);
        rotate_head(q + h * hd, cosine, sine, half);
    }
    for (int h = 0; h < o->kv.n_kv_heads; h++) {
        memcpy(key, k + h * hd, (size_t)hd * sizeof *key);
        if (k_gain)
            norm_head(key, k_gain, hd, o->eps);
        rotate_head(key, cosine, sine, half);
        store_key((uint16_t *)(page + kv_k_offset(&o->kv, o->layer, h)), slot, key, hd);
        store_value((uint16_t *)(page + kv_v_offset(&o->kv, o->layer, h)), slot, v + h * hd, hd);
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

const struct cpu_phase VEC(rope_kv) = {rope_kv_tiles, rope_kv_run};
