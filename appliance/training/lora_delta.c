/* What an adapter adds to a linear layer, and the gradients of A and B.
 *
 *   forward   t = A·drop(x),  y += (scale·B)·t
 *   backward  dB = scale · dy ⊗ t,  dt = (scale·B)ᵀ·dy,  dA = dt ⊗ drop(x),  dx += drop(Aᵀ·dt)
 *
 * Gradients are summed over the rows of one example, then added where that example's belong. Dropout masks come from
 * a hash of (seed, layer, target, position, feature): they need no memory and are the same in both directions. */
#include "training/lora_internal.h"

static void pack_place(void *arg, int64_t i, int worker)
{
    (void)worker;
    struct lora_model *m = arg;
    const struct lora_place *p = &m->layout.places[i];
    const float *a = m->params + p->a, *b = m->params + p->b;
    float scaled[F32_PANEL * LORA_MAX_RANK];
    for (int64_t panel = 0; panel < f32_panels(p->rank); panel++, a += (int64_t)F32_PANEL * p->in)
        f32_pack_panel(m->packed_a[i], panel, a, p->rank - panel * F32_PANEL, p->in, p->in);
    for (int64_t panel = 0; panel < f32_panels(p->out); panel++) {
        int64_t left = p->out - panel * F32_PANEL, n = (left < F32_PANEL ? left : F32_PANEL) * p->rank;
        for (int64_t j = 0; j < n; j++)
            scaled[j] = *b++ * p->scale;
        f32_pack_panel(m->packed_b[i], panel, scaled, left, p->rank, p->rank);
    }
}

void lora_pack_params(struct lora_model *m) { lora_parallel(m, m->layout.n_places, pack_place, m); }

struct drop_job {
    struct lora_model *m;
    const struct lora_place *place;
    struct matrix x, out;
    int64_t features;
    bool add;
};

static uint64_t mix64(uint64_t x) /* a bijection that spreads every bit */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void drop_strip(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct drop_job *job = arg;
    const struct pass *pass = &job->m->pass;
    uint64_t key[F32_STRIP] = {0};
    uint64_t site = (uint64_t)lora_site_index(job->place->layer, (int32_t)job->place->target) << 32;
    for (int64_t i = 0; i < F32_STRIP && strip * F32_STRIP + i < pass->n_rows; i++) {
        int64_t row = strip * F32_STRIP + i;
        uint64_t seed = pass->seq[pass->owner[row]].example->dropout_seed;
        key[i] = mix64(mix64(seed) ^ (site | (uint32_t)pass->position[row]));
    }
    job->m->f32->dropout(matrix_strip(job->x, strip), matrix_strip(job->out, strip), key, job->m->train.dropout,
                         job->features, job->add);
}

static void drop(struct lora_model *m, const struct lora_place *p, struct matrix x, struct matrix out, bool add)
{
    struct drop_job job = {.m = m, .place = p, .x = x, .out = out, .features = p->in, .add = add};
    lora_parallel(m, f32_strips(m->pass.n_rows), drop_strip, &job);
}

static bool drops(const struct lora_model *m) { return m->pass.backward && m->train.dropout > 0; }

static struct matrix input_of(struct lora_model *m, const struct lora_place *p, struct matrix x)
{
    if (!drops(m))
        return x;
    drop(m, p, x, m->s.dropped, false);
    return m->s.dropped;
}

/* t = A·x. */
static void shrink(struct lora_model *m, const struct lora_place *p, struct matrix x)
{
    struct f32_product a = {.w = m->packed_a[p - m->layout.places], .rows = p->rank, .cols = p->in, .x = x.data,
                            .x_stride = matrix_stride(x), .y = m->s.t.data, .y_stride = matrix_stride(m->s.t),
                            .n = m->pass.n_rows};
    lora_product(m, &a, false);
}

void lora_delta(struct lora_model *m, const struct lora_place *p, struct lora_io io)
{
    shrink(m, p, input_of(m, p, io.x));
    struct f32_product b = {.w = m->packed_b[p - m->layout.places], .rows = p->out, .cols = p->rank,
                            .x = m->s.t.data, .x_stride = matrix_stride(m->s.t), .y = io.y,
                            .y_stride = io.y_stride, .add = true, .n = m->pass.n_rows};
    lora_product(m, &b, false);
}

struct rows_job {
    struct lora_model *m;
    int32_t rank;
};

static void rows_of_block(void *arg, int64_t block, int worker)
{
    (void)worker;
    const struct rows_job *job = arg;
    const struct scratch *s = &job->m->s;
    for (int64_t i = 0; i < F32_ROWS; i++) {
        float *row = s->t_rows + (block * F32_ROWS + i) * s->t_ld;
        for (int64_t r = 0; r < s->t_ld; r++)
            row[r] = r < job->rank ? matrix_block(s->t, block)[r * F32_ROWS + i] : 0.0f;
    }
}

struct outer_job {
    struct lora_model *m;
    struct f32_outer o;
    const struct lora_gradient *g;
    int64_t at; /* offset in a gradient */
};

static void outer_panel(void *arg, int64_t panel, int worker)
{
    (void)worker;
    const struct outer_job *job = arg;
    const struct pass *pass = &job->m->pass;
    struct f32_outer o = job->o;
    for (int32_t i = 0; i < pass->n_seq; i++) {
        o.out = job->g->data + pass->seq[i].index * job->g->stride + job->at;
        job->m->f32->outer(&o, (struct f32_range){panel, panel + 1}, pass->seq[i].rows);
    }
}

/* A gradient from u and t. */
static void add_outer(struct lora_model *m, struct outer_job job, int32_t rank)
{
    struct rows_job rows = {.m = m, .rank = rank};
    lora_parallel(m, f32_blocks(m->pass.n_rows), rows_of_block, &rows);
    job.m = m;
    job.o.v = m->s.t_rows;
    job.o.v_ld = m->s.t_ld;
    job.o.cols = rank;
    lora_parallel(m, f32_panels(job.o.features), outer_panel, &job);
}

void lora_delta_back(struct lora_model *m, const struct lora_place *p, struct lora_io io, const struct matrix *dx,
                     const struct lora_gradient *g)
{
    int64_t i = p - m->layout.places;
    struct matrix x = input_of(m, p, io.x), t = m->s.t;
    shrink(m, p, x);
    add_outer(m, (struct outer_job){.o = {.u = io.y, .u_stride = io.y_stride, .features = p->out, .f_step = p->rank,
                                          .r_step = 1, .scale = p->scale}, .g = g, .at = p->b}, p->rank);
    struct f32_product b = {.w = m->packed_b[i], .rows = p->out, .cols = p->rank, .x = io.y, .x_stride = io.y_stride,
                            .y = t.data, .y_stride = matrix_stride(t), .n = m->pass.n_rows};
    lora_product(m, &b, true);
    add_outer(m, (struct outer_job){.o = {.u = x.data, .u_stride = matrix_stride(x), .features = p->in, .f_step = 1,
                                          .r_step = p->in, .scale = 1.0f}, .g = g, .at = p->a}, p->rank);
    if (!dx)
        return;
    struct matrix to = drops(m) ? m->s.dropped : *dx;
    struct f32_product a = {.w = m->packed_a[i], .rows = p->rank, .cols = p->in, .x = t.data,
                            .x_stride = matrix_stride(t), .y = to.data, .y_stride = matrix_stride(to),
                            .add = !drops(m), .n = m->pass.n_rows};
    lora_product(m, &a, true);
    if (drops(m))
        drop(m, p, to, *dx, true);
}
