/* The head: logits of the rows that want them, cross entropy, and its gradient. Rows are taken together up to
 * HEAD_BYTES of logits; softmax runs over fixed pieces of the vocabulary, folded in ascending order. */
#include "training/lora_internal.h"

#include <math.h>
#include <string.h>

struct head_job {
    struct lora_model *m;
    const int32_t *rows; /* of the pass, this group's */
    int64_t n;
    int64_t head_rows;   /* row length of `pieces` */
};

static struct f32_norm head_norm(const struct lora_model *m, int64_t strip)
{
    return (struct f32_norm){.x = matrix_strip(m->s.sel, strip), .gain = m->out_norm, .features = m->config.hidden,
                             .eps = m->config.rms_eps};
}

static void gather_strip(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct head_job *j = arg;
    const struct lora_model *m = j->m;
    for (int64_t i = strip * F32_STRIP; i < (strip + 1) * F32_STRIP; i++) {
        float *to = matrix_row(m->s.sel, i);
        const float *from = i < j->n ? matrix_row(m->s.last, j->rows[i]) : NULL;
        for (int64_t f = 0; f < m->config.hidden; f++)
            to[f * F32_ROWS] = from ? from[f * F32_ROWS] : 0.0f;
    }
    struct f32_norm n = head_norm(m, strip);
    m->f32->norm(&n, matrix_strip(m->s.sel_h, strip), matrix_strip(m->s.sel_r, strip));
}

/* The gradient of the normed rows becomes theirs, and goes back to where they came from. */
static void scatter_strip(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct head_job *j = arg;
    const struct lora_model *m = j->m;
    struct f32_norm n = head_norm(m, strip);
    float *d = matrix_strip(m->s.sel_h, strip);
    m->f32->norm_back(&n, matrix_strip(m->s.sel_r, strip), d, d, false);
    for (int64_t i = strip * F32_STRIP; i < (strip + 1) * F32_STRIP && i < j->n; i++) {
        float *to = matrix_row(m->s.dx, j->rows[i]);
        const float *from = matrix_row(m->s.sel_h, i);
        for (int64_t f = 0; f < m->config.hidden; f++)
            to[f * F32_ROWS] = from[f * F32_ROWS];
    }
}

/* A tile of the softmax: one strip of one piece of the vocabulary. */
struct piece {
    float *x, *value, *row_value; /* logits, and this strip's part of `pieces` and `row_value` */
    int64_t features;
};

static struct piece piece_at(const struct head_job *j, int64_t tile)
{
    const struct scratch *s = &j->m->s;
    int64_t strips = f32_strips(j->n), strip = tile % strips, piece = tile / strips, first = piece * VOCAB_PIECE;
    int64_t left = j->m->config.vocab - first;
    return (struct piece){.x = matrix_strip(s->logits, strip) + first * F32_ROWS,
                          .value = s->pieces + piece * j->head_rows + strip * F32_STRIP,
                          .row_value = s->row_value + strip * F32_STRIP,
                          .features = left < VOCAB_PIECE ? left : VOCAB_PIECE};
}

static void find_largest(void *arg, int64_t tile, int worker)
{
    (void)worker;
    const struct head_job *j = arg;
    struct piece p = piece_at(j, tile);
    j->m->f32->largest(p.x, p.value, p.features);
}

static void add_exponentials(void *arg, int64_t tile, int worker)
{
    (void)worker;
    const struct head_job *j = arg;
    struct piece p = piece_at(j, tile);
    j->m->f32->exp_sum(p.x, p.row_value, p.value, p.features);
}

static void scale_piece(void *arg, int64_t tile, int worker)
{
    (void)worker;
    const struct head_job *j = arg;
    struct piece p = piece_at(j, tile);
    j->m->f32->scale_rows(p.x, p.row_value, p.features);
}

static void group_logits(const struct head_job *j)
{
    struct lora_model *m = j->m;
    const struct scratch *s = &m->s;
    lora_parallel(m, f32_strips(j->n), gather_strip, (void *)j);
    struct f32_product p = {.w = m->head, .rows = m->config.vocab, .cols = m->config.hidden, .x = s->sel_h.data,
                            .x_stride = matrix_stride(s->sel_h), .y = s->logits.data,
                            .y_stride = matrix_stride(s->logits), .n = j->n};
    lora_product(m, &p, false);
}

/* The token that a row must predict, and how much that counts. */
static int64_t target_of(const struct pass *pass, int32_t row, float *weight)
{
    const struct train_example *x = pass->seq[pass->owner[row]].example;
    int32_t next = pass->position[row] + 1;
    *weight = x->weight[next];
    return x->tokens[next];
}

static float *logit_at(const struct lora_model *m, int64_t i, int64_t token)
{
    return matrix_row(m->s.logits, i) + token * F32_ROWS;
}

/* −ln p = ln Σ e^(x − max) − (target − max), in double. Logits become e^(x − max), row_value what makes them w·p. */
static void group_losses(const struct head_job *j, struct train_loss *losses)
{
    struct lora_model *m = j->m;
    const struct scratch *s = &m->s;
    int64_t pieces = (m->config.vocab + VOCAB_PIECE - 1) / VOCAB_PIECE, tiles = pieces * f32_strips(j->n);
    int64_t padded = f32_strips(j->n) * F32_STRIP;
    float weight;
    lora_parallel(m, tiles, find_largest, (void *)j);
    for (int64_t i = 0; i < padded; i++) {
        s->row_value[i] = s->pieces[i];
        for (int64_t p = 1; p < pieces; p++)
            s->row_value[i] = fmaxf(s->row_value[i], s->pieces[p * j->head_rows + i]);
        if (i < j->n)
            s->row_target[i] = *logit_at(m, i, target_of(&m->pass, j->rows[i], &weight)) - s->row_value[i];
    }
    lora_parallel(m, tiles, add_exponentials, (void *)j);
    memset(s->row_value, 0, (size_t)padded * sizeof *s->row_value);
    for (int64_t i = 0; i < j->n; i++) {
        struct train_loss *loss = &losses[m->pass.seq[m->pass.owner[j->rows[i]]].index];
        double sum = 0;
        for (int64_t p = 0; p < pieces; p++)
            sum += (double)s->pieces[p * j->head_rows + i];
        target_of(&m->pass, j->rows[i], &weight);
        loss->loss += (double)weight * (log(sum) - (double)s->row_target[i]);
        loss->weight_sum += (double)weight;
        s->row_value[i] = (float)((double)weight / sum);
    }
}

/* ∂loss/∂logit = w · (p − [target]); from there to the residual stream. */
static void group_back(const struct head_job *j)
{
    struct lora_model *m = j->m;
    const struct scratch *s = &m->s;
    int64_t pieces = (m->config.vocab + VOCAB_PIECE - 1) / VOCAB_PIECE;
    lora_parallel(m, pieces * f32_strips(j->n), scale_piece, (void *)j);
    for (int64_t i = 0; i < j->n; i++) {
        float weight;
        int64_t token = target_of(&m->pass, j->rows[i], &weight);
        *logit_at(m, i, token) -= weight;
    }
    struct f32_product p = {.w = m->head, .rows = m->config.vocab, .cols = m->config.hidden, .x = s->logits.data,
                            .x_stride = matrix_stride(s->logits), .y = s->sel_h.data,
                            .y_stride = matrix_stride(s->sel_h), .n = j->n};
    lora_product(m, &p, true);
    lora_parallel(m, f32_strips(j->n), scatter_strip, (void *)j);
}

static struct head_job group_at(struct lora_model *m, int32_t first)
{
    int64_t most = m->head_blocks * F32_ROWS, left = m->pass.n_chosen - first;
    return (struct head_job){.m = m, .rows = m->pass.chosen + first, .n = left < most ? left : most, .head_rows = most};
}

void lora_head(struct lora_model *m, struct train_loss *losses)
{
    if (m->pass.backward)
        memset(m->s.dx.data, 0, (size_t)(f32_blocks(m->pass.n_rows) * matrix_stride(m->s.dx)) * sizeof(float));
    for (int32_t first = 0; first < m->pass.n_chosen;) {
        struct head_job j = group_at(m, first);
        group_logits(&j);
        group_losses(&j, losses);
        if (m->pass.backward)
            group_back(&j);
        first += (int32_t)j.n;
    }
}

void lora_head_logits(struct lora_model *m, float *logits)
{
    for (int32_t first = 0; first < m->pass.n_chosen;) {
        struct head_job j = group_at(m, first);
        group_logits(&j);
        for (int64_t i = 0; i < j.n; i++)
            for (int64_t t = 0; t < m->config.vocab; t++)
                logits[(first + i) * m->config.vocab + t] = *logit_at(m, i, t);
        first += (int32_t)j.n;
    }
}
