/* Causal attention of one sequence and one kv head, by blocks of 32 queries; a lane is a query.
 *
 * K and V of the sequence are packed as weights (a key is an output), which serve all four products:
 *   scores[key] = K·q,  out = Vᵀ·p;  backward: dp[key] = V·d_out,  dq = Kᵀ·ds;  dK and dV are outer products.
 * Queries are copied into blocks that begin at the sequence's first row, so that results do not depend on its place.
 * Keys after a block's last query are left out; within the last 32, later keys are masked. */

struct attention_work { /* keys: of the sequence, rounded up to panels; dim: head_dim rounded up to panels */
    float *k, *v;            /* packed (keys, dim) */
    float *scores, *d_scores; /* (keys, 32) */
    float *q, *d_out, *out, *dq; /* (dim, 32) */
    float *q_rows, *d_out_rows;  /* (32, ld) row-major */
    float *dk, *dv;              /* (keys, ld) row-major */
    int64_t keys, dim, ld;
};

static void place_work(struct attention_work *w, int64_t n, int32_t head_dim, float *memory)
{
    w->keys = f32_panels(n) * F32_PANEL;
    w->dim = f32_panels(head_dim) * F32_PANEL;
    w->ld = (head_dim + LANES - 1) / LANES * LANES;
    float **packed[] = {&w->k, &w->v}, **scores[] = {&w->scores, &w->d_scores};
    float **blocks[] = {&w->q, &w->d_out, &w->out, &w->dq}, **rows[] = {&w->q_rows, &w->d_out_rows};
    float **keys[] = {&w->dk, &w->dv};
    for (int i = 0; i < 2; i++, memory += w->keys * w->dim)
        *packed[i] = memory;
    for (int i = 0; i < 2; i++, memory += w->keys * F32_ROWS)
        *scores[i] = memory;
    for (int i = 0; i < 4; i++, memory += w->dim * F32_ROWS)
        *blocks[i] = memory;
    for (int i = 0; i < 2; i++, memory += w->ld * F32_ROWS)
        *rows[i] = memory;
    for (int i = 0; i < 2; i++, memory += w->ld * w->keys)
        *keys[i] = memory;
}

/* Rows first … first+n−1 (n ≤ 32) of some features, as a block of their own; its other rows are zero. */
static void gather(const float *x, int64_t stride, int64_t first, int64_t n, int64_t features, float *block)
{
    int64_t lane = first % F32_ROWS, here = F32_ROWS - lane < n ? F32_ROWS - lane : n;
    x += first / F32_ROWS * stride + lane;
    for (int64_t f = 0; f < features; f++) {
        float *to = AT(block, f);
        memset(to, 0, F32_ROWS * sizeof *to);
        memcpy(to, AT(x, f), (size_t)here * sizeof *to);
        if (here < n)
            memcpy(to + here, AT(x, f) + stride - lane, (size_t)(n - here) * sizeof *to);
    }
}

static void scatter(float *x, int64_t stride, int64_t first, int64_t n, int64_t features, const float *block)
{
    int64_t lane = first % F32_ROWS, here = F32_ROWS - lane < n ? F32_ROWS - lane : n;
    x += first / F32_ROWS * stride + lane;
    for (int64_t f = 0; f < features; f++) {
        const float *from = AT(block, f);
        memcpy(AT(x, f), from, (size_t)here * sizeof *from);
        if (here < n)
            memcpy(AT(x, f) + stride - lane, from + here, (size_t)(n - here) * sizeof *from);
    }
}

static void pack_keys(const float *x, int64_t stride, struct f32_range rows, int32_t head_dim, int64_t dim,
                      float *packed)
{
    int64_t n = rows.end - rows.first, panels = f32_panels(n);
    memset(packed, 0, (size_t)(panels * F32_PANEL * dim) * sizeof *packed);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows.first + i;
        const float *from = x + row / F32_ROWS * stride + row % F32_ROWS;
        float *to = packed + i / F32_PANEL * dim * F32_PANEL + i % F32_PANEL;
        for (int32_t d = 0; d < head_dim; d++)
            to[d * F32_PANEL] = *AT(from, d);
    }
}

static void block_to_rows(const float *block, int64_t features, float *rows, int64_t ld)
{
    memset(rows, 0, (size_t)(F32_ROWS * ld) * sizeof *rows);
    for (int64_t f = 0; f < features; f++)
        for (int64_t i = 0; i < F32_ROWS; i++)
            rows[i * ld + f] = AT(block, f)[i];
}

static void rows_to_blocks(const float *rows, int64_t ld, struct f32_range at, int64_t features, float *x,
                           int64_t stride)
{
    for (int64_t row = at.first; row < at.end; row++, rows += ld) {
        float *to = x + row / F32_ROWS * stride + row % F32_ROWS;
        for (int64_t f = 0; f < features; f++)
            *AT(to, f) = rows[f];
    }
}

/* y (panels of `packed`) = packed · x, or backward, for one block. */
static void block_product(const float *packed, int64_t rows, int64_t cols, const float *x, float *y, bool backward)
{
    struct f32_product p = {.w = packed, .rows = rows, .cols = cols, .x = x, .y = y, .n = F32_ROWS};
    (backward ? product_back : product)(&p, (struct f32_range){0, f32_panels(backward ? cols : rows)},
                                        (struct f32_range){0, 1});
}

/* Of the lanes at `lane`, those whose query lies before a key `after` keys behind the block's first query. */
static inline vm before_key(int64_t after, int lane)
{
    int64_t n = after - lane;
    return vm_first((int)(n < 0 ? 0 : n > LANES ? LANES : n));
}

/* Scores to e^(s · scale − m), with m and 1 / l of each query. first: the block's first query in its sequence. */
static void softmax(float *scores, int64_t keys, int64_t first, float scale, float *max, float *inverse)
{
    for (int lane = 0; lane < F32_ROWS; lane += LANES) {
        float *s = scores + lane;
        vf m = v_set1(-INFINITY), by = v_set1(scale), total = v_zero();
        for (int64_t j = 0; j < keys; j++) {
            vf x = v_select(before_key(j - first, lane), v_set1(-INFINITY), v_mul(v_load(AT(s, j)), by));
            v_store(AT(s, j), x);
            m = v_max(x, m);
        }
        for (int64_t from = 0; from < keys; from += NORM_CHAIN) {
            vf sum = v_zero();
            for (int64_t j = from; j < keys && j < from + NORM_CHAIN; j++) {
                vf e = v_exp(v_sub(v_load(AT(s, j)), m));
                v_store(AT(s, j), e);
                sum = v_add(sum, e);
            }
            total = v_add(total, sum);
        }
        v_store(max + lane, m);
        v_store(inverse + lane, v_div(v_set1(1.0f), total));
    }
}

static void attention(const struct f32_attention *a, struct f32_range rows, int32_t kv_head, float *memory)
{
    struct attention_work w;
    int64_t n = rows.end - rows.first, hd = a->head_dim, group = a->n_heads / a->n_kv_heads;
    place_work(&w, n, a->head_dim, memory);
    pack_keys(AT(a->qkv, (a->n_heads + kv_head) * hd), a->qkv_stride, rows, a->head_dim, w.dim, w.k);
    pack_keys(AT(a->qkv, (a->n_heads + a->n_kv_heads + kv_head) * hd), a->qkv_stride, rows, a->head_dim, w.dim, w.v);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int64_t q = 0; q < n; q += F32_ROWS) {
            int64_t n_q = n - q < F32_ROWS ? n - q : F32_ROWS, keys = q + n_q;
            float stat[2 * F32_ROWS];
            gather(AT(a->qkv, head * hd), a->qkv_stride, rows.first + q, n_q, hd, w.q);
            block_product(w.k, keys, hd, w.q, w.scores, false);
            softmax(w.scores, keys, q, a->scale, stat, stat + F32_ROWS);
            block_product(w.v, keys, hd, w.scores, w.out, true);
            for (int lane = 0; lane < F32_ROWS; lane += LANES)
                scale_rows(w.out + lane, stat + F32_ROWS + lane, hd);
            scatter(AT(a->out, head * hd), a->out_stride, rows.first + q, n_q, hd, w.out);
            scatter(AT(a->stat, 2 * head), a->stat_stride, rows.first + q, n_q, 2, stat);
        }
}

/* Scores become p, then d_scores (dp before) becomes ds = p · (dp − Σ d_out·out) · scale; max and inverse as kept. */
static void softmax_back(const struct attention_work *w, int64_t keys, int64_t first, int64_t hd, float scale,
                         const float *stat)
{
    for (int lane = 0; lane < F32_ROWS; lane += LANES) {
        vf m = v_load(stat + lane), inverse = v_load(stat + F32_ROWS + lane), by = v_set1(scale), along = v_zero();
        for (int64_t from = 0; from < hd; from += F32_CHAIN) { /* as products sum: a lone key's gradient is exactly 0 */
            vf sum = v_zero();
            for (int64_t d = from; d < hd && d < from + F32_CHAIN; d++)
                sum = v_fma(v_load(AT(w->out, d) + lane), v_load(AT(w->d_out, d) + lane), sum);
            along = v_add(along, sum);
        }
        for (int64_t j = 0; j < keys; j++) {
            float *s = AT(w->scores, j) + lane, *ds = AT(w->d_scores, j) + lane;
            vf p = v_mul(v_exp(v_sub(v_mul(v_load(s), by), m)), inverse);
            p = v_select(before_key(j - first, lane), v_zero(), p);
            v_store(s, p);
            v_store(ds, v_mul(v_mul(p, v_sub(v_load(ds), along)), by));
        }
    }
}

/* dK and dV of the keys that this block's n_q queries see. */
static void add_key_gradients(const struct attention_work *w, int64_t keys, int64_t n_q, int64_t hd)
{
    struct f32_outer o = {.u = w->d_scores, .features = keys, .v = w->q_rows, .v_ld = w->ld, .cols = hd, .out = w->dk,
                          .f_step = w->ld, .r_step = 1, .scale = 1.0f};
    outer(&o, (struct f32_range){0, f32_panels(keys)}, (struct f32_range){0, n_q});
    o.u = w->scores;
    o.v = w->d_out_rows;
    o.out = w->dv;
    outer(&o, (struct f32_range){0, f32_panels(keys)}, (struct f32_range){0, n_q});
}

static void attention_back(const struct f32_attention *a, struct f32_range rows, int32_t kv_head, float *memory)
{
    struct attention_work w;
    int64_t n = rows.end - rows.first, hd = a->head_dim, group = a->n_heads / a->n_kv_heads;
    int64_t k_at = (a->n_heads + kv_head) * hd, v_at = k_at + a->n_kv_heads * hd;
    place_work(&w, n, a->head_dim, memory);
    pack_keys(AT(a->qkv, k_at), a->qkv_stride, rows, a->head_dim, w.dim, w.k);
    pack_keys(AT(a->qkv, v_at), a->qkv_stride, rows, a->head_dim, w.dim, w.v);
    memset(w.dk, 0, (size_t)(w.keys * w.ld) * sizeof *w.dk);
    memset(w.dv, 0, (size_t)(w.keys * w.ld) * sizeof *w.dv);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int64_t q = 0; q < n; q += F32_ROWS) {
            int64_t n_q = n - q < F32_ROWS ? n - q : F32_ROWS, keys = q + n_q, row = rows.first + q;
            float stat[2 * F32_ROWS];
            gather(AT(a->qkv, head * hd), a->qkv_stride, row, n_q, hd, w.q);
            gather(AT(a->out, head * hd), a->out_stride, row, n_q, hd, w.out);
            gather(AT(a->d_out, head * hd), a->out_stride, row, n_q, hd, w.d_out);
            gather(AT(a->stat, 2 * head), a->stat_stride, row, n_q, 2, stat);
            block_to_rows(w.q, hd, w.q_rows, w.ld);
            block_to_rows(w.d_out, hd, w.d_out_rows, w.ld);
            block_product(w.k, keys, hd, w.q, w.scores, false);
            block_product(w.v, keys, hd, w.d_out, w.d_scores, false);
            softmax_back(&w, keys, q, hd, a->scale, stat);
            block_product(w.k, keys, hd, w.d_scores, w.dq, true);
            scatter(AT(a->d_qkv, head * hd), a->qkv_stride, row, n_q, hd, w.dq);
            add_key_gradients(&w, keys, n_q, hd);
        }
    rows_to_blocks(w.dk, w.ld, rows, hd, AT(a->d_qkv, k_at), a->qkv_stride);
    rows_to_blocks(w.dv, w.ld, rows, hd, AT(a->d_qkv, v_at), a->qkv_stride);
}
