/* The parts that work on each row by itself, on strips of 16 rows: a vector is one feature of 16 rows.
 *
 * Pitfall: gcc 12 turns a choice of vectors by a run-time bool inside a loop into a masked operation whose mask has one
 * bit set instead of 16. `add` is therefore a constant wherever a loop depends on it. */

enum { NORM_CHAIN = 64 };

/* Feature f of a strip. */
#define AT(x, f) ((x) + (f) * F32_ROWS)

static void add_strip(float *out, const float *x, const float *y, int64_t features)
{
    for (int64_t f = 0; f < features; f++)
        v_store(AT(out, f), v_add(v_load(AT(x, f)), v_load(AT(y, f))));
}

static void norm_again(const struct f32_norm *n, float *out, const float *r)
{
    vf by = v_load(r);
    for (int64_t f = 0; f < n->features; f++)
        v_store(AT(out, f), v_mul(v_mul(v_load(AT(n->x, f)), by), v_set1(n->gain[f])));
}

static void norm(const struct f32_norm *n, float *out, float *r)
{
    vf total = v_zero();
    for (int64_t from = 0; from < n->features; from += NORM_CHAIN) {
        int64_t end = n->features - from < NORM_CHAIN ? n->features : from + NORM_CHAIN;
        vf sum = v_zero();
        for (int64_t f = from; f < end; f++) {
            vf x = v_load(AT(n->x, f));
            sum = v_fma(x, x, sum);
        }
        total = v_add(total, sum);
    }
    vf mean = v_add(v_div(total, v_set1((float)n->features)), v_set1(n->eps));
    float root[LANES];
    v_store(root, mean);
    for (int i = 0; i < LANES; i++)
        r[i] = 1.0f / sqrtf(root[i]);
    norm_again(n, out, r);
}

/* With y = x·r·g, r = (mean x² + eps)^−½ and s = Σ x·g·dy:  dx = r·(g·dy) − x · (r³·s / features). */
INLINE void norm_slope(const struct f32_norm *n, const float *r, const float *d_out, float *dx, const bool add)
{
    vf total = v_zero(), by = v_load(r);
    for (int64_t from = 0; from < n->features; from += NORM_CHAIN) {
        int64_t end = n->features - from < NORM_CHAIN ? n->features : from + NORM_CHAIN;
        vf sum = v_zero();
        for (int64_t f = from; f < end; f++)
            sum = v_fma(v_load(AT(n->x, f)), v_mul(v_set1(n->gain[f]), v_load(AT(d_out, f))), sum);
        total = v_add(total, sum);
    }
    vf along = v_mul(v_mul(v_mul(by, by), by), v_div(total, v_set1((float)n->features)));
    for (int64_t f = 0; f < n->features; f++) {
        vf across = v_mul(by, v_mul(v_set1(n->gain[f]), v_load(AT(d_out, f))));
        vf d = v_fma(v_negate(v_load(AT(n->x, f))), along, across);
        v_store(AT(dx, f), add ? v_add(v_load(AT(dx, f)), d) : d);
    }
}

static void norm_back(const struct f32_norm *n, const float *r, const float *d_out, float *dx, bool add)
{
    if (add)
        norm_slope(n, r, d_out, dx, true);
    else
        norm_slope(n, r, d_out, dx, false);
}

static void rope(float *x, const float *cos, const float *sin, int32_t head_dim, float sign)
{
    int32_t half = head_dim / 2;
    for (int32_t f = 0; f < half; f++) {
        vf a = v_load(AT(x, f)), b = v_load(AT(x, f + half));
        vf c = v_load(AT(cos, f)), s = v_mul(v_load(AT(sin, f)), v_set1(sign));
        v_store(AT(x, f), v_sub(v_mul(a, c), v_mul(b, s)));
        v_store(AT(x, f + half), v_add(v_mul(b, c), v_mul(a, s)));
    }
}

static inline vf sigmoid(vf x) { return v_div(v_set1(1.0f), v_add(v_set1(1.0f), v_exp(v_negate(x)))); }

static void silu(const float *gate_up, float *out, int64_t features)
{
    for (int64_t f = 0; f < features; f++) {
        vf gate = v_load(AT(gate_up, f)), up = v_load(AT(gate_up, f + features));
        v_store(AT(out, f), v_mul(v_mul(gate, sigmoid(gate)), up));
    }
}

/* d silu / d gate = σ · (1 + gate · (1 − σ)). */
static void silu_back(const float *gate_up, const float *d_out, float *d_gate_up, int64_t features)
{
    vf one = v_set1(1.0f);
    for (int64_t f = 0; f < features; f++) {
        vf gate = v_load(AT(gate_up, f)), up = v_load(AT(gate_up, f + features)), d = v_load(AT(d_out, f));
        vf s = sigmoid(gate), slope = v_mul(s, v_fma(gate, v_sub(one, s), one));
        v_store(AT(d_gate_up, f), v_mul(v_mul(d, up), slope));
        v_store(AT(d_gate_up, f + features), v_mul(d, v_mul(gate, s)));
    }
}

/* A 32-bit mix of a row's key and the feature number (two rounds of multiply and xor-shift), uniform enough to be
 * compared with p · 2^32. Integer vectors by the compiler: the loop is over the lanes. */
INLINE void mask_rows(const float *x, float *out, const uint64_t *key, float p, int64_t features, const bool add)
{
    uint32_t limit = (uint32_t)(int64_t)((double)p * 4294967296.0), low[LANES], high[LANES];
    float kept = 1.0f / (1.0f - p), factor[LANES];
    for (int i = 0; i < LANES; i++) {
        low[i] = (uint32_t)key[i];
        high[i] = (uint32_t)(key[i] >> 32);
    }
    for (int64_t f = 0; f < features; f++) {
        uint32_t number = (uint32_t)f * 0x9e3779b9u;
        for (int i = 0; i < LANES; i++) {
            uint32_t h = low[i] ^ number;
            h = (h ^ h >> 16) * 0x85ebca6bu + high[i];
            h = (h ^ h >> 13) * 0xc2b2ae35u;
            h ^= h >> 16;
            factor[i] = h >= limit ? kept : 0.0f;
        }
        vf masked = v_mul(v_load(AT(x, f)), v_load(factor));
        v_store(AT(out, f), add ? v_add(v_load(AT(out, f)), masked) : masked);
    }
}

static void dropout(const float *x, float *out, const uint64_t *key, float p, int64_t features, bool add)
{
    if (add)
        mask_rows(x, out, key, p, features, true);
    else
        mask_rows(x, out, key, p, features, false);
}

static void largest(const float *x, float *max, int64_t features)
{
    vf m = v_load(x);
    for (int64_t f = 1; f < features; f++)
        m = v_max(v_load(AT(x, f)), m);
    v_store(max, m);
}

static void exp_sum(float *x, const float *max, float *sum, int64_t features)
{
    vf m = v_load(max), total = v_zero();
    for (int64_t from = 0; from < features; from += NORM_CHAIN) {
        int64_t end = features - from < NORM_CHAIN ? features : from + NORM_CHAIN;
        vf s = v_zero();
        for (int64_t f = from; f < end; f++) {
            vf e = v_exp(v_sub(v_load(AT(x, f)), m));
            v_store(AT(x, f), e);
            s = v_add(s, e);
        }
        total = v_add(total, s);
    }
    v_store(sum, total);
}

static void scale_rows(float *x, const float *factor, int64_t features)
{
    vf by = v_load(factor);
    for (int64_t f = 0; f < features; f++)
        v_store(AT(x, f), v_mul(v_load(AT(x, f)), by));
}
