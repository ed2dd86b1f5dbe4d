/* One step of the forward pass, enqueued operation by operation:
 *
 *   embed → x
 *   per layer: add_norm(x, y) → h;  qkv = h·W (+ LoRA);  rope, KV write;  attention → a;  y = a·Wo (+ LoRA)
 *              add_norm(x, y) → h;  gu = h·W (+ LoRA);   silu_mul → f;                    y = f·Wd (+ LoRA)
 *   add_norm(x, y) of the rows that want logits → h;  logits = h·head;  sample
 *
 * y is each block's output before it joins the residual stream x: the addition belongs to the next norm, so that
 * tensor-parallel ranks have one place to meet. */
#define MODULE "forward"
#include "engine/model.h"
#include "kernels/bucket.h"

#include <stdlib.h>
#include <string.h>

struct forward {
    struct model *m;
    struct stream *stream;
    struct step *step;     /* host copy, owned */
    struct step_layout at;
    struct kv_shape kv;
    dptr pool;
    dptr d_step, x, y, qkv, gate_up, rope, logits, results, lora_ws, attention_ws, sample_ws;
    struct act hidden, attn, ffn; /* inputs of products */
    int64_t ld_hidden, ld_qkv, ld_gate_up, ld_logits, ld_attn, ld_ffn;
    uint64_t lora_ops;
};

static int alloc_rows(struct forward *f, int64_t rows, int64_t ld, dptr *out, struct err *e)
{
    return f->m->ops->alloc(f->m->device, (size_t)rows * (size_t)ld * sizeof(float), out, e);
}

static int alloc_act(struct forward *f, int64_t rows, int64_t cols, struct act *out, struct err *e)
{
    int rc = alloc_rows(f, rows, pad_cols(cols), &out->f32, e);
    if (rc == OL_OK && f->m->quantized && q8_row_bytes(cols))
        rc = f->m->ops->alloc(f->m->device, (size_t)rows * q8_row_bytes(cols), &out->q8, e);
    return rc;
}

static int alloc_all(struct forward *f, struct err *e)
{
    const struct model *m = f->m;
    const struct device_ops *ops = m->ops;
    const struct model_config *c = &m->config;
    const struct step_limits *l = &f->step->limits;
    int64_t rows = l->max_rows > l->max_logits ? l->max_rows : l->max_logits;
    int rc;
    if ((rc = ops->stream_open(m->device, &f->stream, e)) < 0 ||
        (rc = ops->alloc(m->device, f->at.bytes, &f->d_step, e)) < 0 ||
        (rc = alloc_rows(f, rows, f->ld_hidden, &f->x, e)) < 0 ||
        (rc = alloc_rows(f, rows, f->ld_hidden, &f->y, e)) < 0 ||
        (rc = alloc_rows(f, rows, f->ld_qkv, &f->qkv, e)) < 0 ||
        (rc = alloc_rows(f, rows, f->ld_gate_up, &f->gate_up, e)) < 0 ||
        (rc = alloc_rows(f, rows, c->head_dim, &f->rope, e)) < 0 ||
        (rc = alloc_rows(f, l->max_logits, f->ld_logits, &f->logits, e)) < 0 ||
        (rc = ops->alloc(m->device, (size_t)l->max_logits * sizeof(struct step_result), &f->results, e)) < 0 ||
        (rc = alloc_rows(f, rows, 3 * LORA_MAX_RANK, &f->lora_ws, e)) < 0 ||
        (rc = ops->alloc(m->device, ops->attention_workspace(m->device, &f->kv, l), &f->attention_ws, e)) < 0 ||
        (rc = ops->alloc(m->device, ops->sample_workspace(m->device, c->vocab, l), &f->sample_ws, e)) < 0 ||
        (rc = alloc_act(f, rows, c->hidden, &f->hidden, e)) < 0 ||
        (rc = alloc_act(f, rows, (int64_t)c->n_heads * c->head_dim, &f->attn, e)) < 0 ||
        (rc = alloc_act(f, rows, c->ffn, &f->ffn, e)) < 0)
        return rc;
    return OL_OK;
}

int forward_open(struct model *m, dptr pool, const struct step_limits *limits, struct forward **out, struct err *e)
{
    const struct model_config *c = &m->config;
    struct forward *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the forward pass");
    f->m = m;
    f->pool = pool;
    f->kv = model_kv_shape(m);
    f->at = step_layout(limits);
    f->ld_hidden = pad_cols(c->hidden);
    f->ld_qkv = pad_cols((int64_t)(c->n_heads + 2 * c->n_kv_heads) * c->head_dim);
    f->ld_gate_up = pad_cols(2 * (int64_t)c->ffn);
    f->ld_logits = pad_cols(c->vocab);
    f->ld_attn = pad_cols((int64_t)c->n_heads * c->head_dim);
    f->ld_ffn = pad_cols(c->ffn);
    void *step;
    int rc = m->ops->host_alloc(m->device, f->at.bytes, &step, e);
    if (rc == OL_OK) {
        f->step = step;
        f->step->limits = *limits;
        rc = alloc_all(f, e);
    }
    if (rc < 0) {
        forward_close(f);
        return rc;
    }
    *out = f;
    return OL_OK;
}

void forward_close(struct forward *f)
{
    if (!f)
        return;
    const struct device_ops *ops = f->m->ops;
    if (f->stream)
        ops->stream_close(f->stream);
    dptr all[] = {f->d_step,    f->x,          f->y,       f->qkv,         f->gate_up,  f->rope,
                  f->logits,    f->results,    f->lora_ws, f->attention_ws, f->sample_ws, f->hidden.f32,
                  f->hidden.q8, f->attn.f32,   f->attn.q8, f->ffn.f32,     f->ffn.q8};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops->free(f->m->device, all[i]);
    ops->host_free(f->m->device, f->step);
    free(f);
}

struct step *forward_step(struct forward *f)
{
    struct step *s = f->step;
    s->n_rows = s->n_seqs = s->n_segments = s->n_copies = s->n_logits = s->n_pages = s->n_history = s->n_bias = 0;
    return s;
}

uint64_t forward_lora_ops(const struct forward *f) { return f->lora_ops; }

/* A step is sent as three copies: everything of small fixed size, then only the used part of each flat list. */
static void send_step(struct forward *f)
{
    const struct device_ops *ops = f->m->ops;
    const struct step *s = f->step;
    const struct step_layout *at = &f->at;
    const char *src = (const char *)s;
    ops->copy_in(f->stream, f->d_step, src, at->history);
    if (s->n_history)
        ops->copy_in(f->stream, f->d_step + at->history, src + at->history,
                     (size_t)s->n_history * sizeof(struct step_history));
    if (s->n_bias)
        ops->copy_in(f->stream, f->d_step + at->bias, src + at->bias, (size_t)s->n_bias * sizeof(struct step_bias));
    if (s->n_pages)
        ops->copy_in(f->stream, f->d_step + at->pages, src + at->pages, (size_t)s->n_pages * sizeof(int32_t));
}

static void product(struct forward *f, const struct fused *w, struct act a, dptr y, int64_t ldy, enum op_rows rows)
{
    for (int i = 0; i < w->n; i++) {
        dptr col = (dptr)w->col0[i] * sizeof(float);
        f->m->ops->matmul(f->stream, &(struct op_matmul){.y = y + col, .ldy = ldy, .a = a, .w = w->w[i],
                                                         .bias = w->bias ? w->bias + col : 0, .step = f->d_step,
                                                         .rows = rows});
    }
}

/* LoRA deltas of targets that read the same input and write side by side. Steps without adapters enqueue nothing. */
static void lora(struct forward *f, int layer, const enum lora_target *targets, const int32_t *outs, int n, dptr x,
                 int64_t ldx, int32_t in, dptr y, int64_t ldy)
{
    if (!f->step->n_segments)
        return;
    struct op_lora op = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .layer = layer, .n_layers = f->m->config.n_layers,
                         .n_targets = n, .step = f->d_step, .pool = f->pool, .page_bytes = f->kv.page_bytes,
                         .workspace = f->lora_ws};
    int32_t col = 0;
    for (int i = 0; i < n; i++) {
        op.targets[i].target = (int32_t)targets[i];
        op.targets[i].col0 = col;
        op.targets[i].in = in;
        op.targets[i].out = outs[i];
        col += outs[i];
    }
    f->m->ops->lora(f->stream, &op);
    f->lora_ops++;
}

static void add_norm(struct forward *f, bool with_y, dptr gain, bool logit_rows)
{
    const struct model_config *c = &f->m->config;
    f->m->ops->add_norm(f->stream, &(struct op_add_norm){.x = f->x, .ldx = f->ld_hidden, .y = with_y ? f->y : 0,
                                                         .ldy = f->ld_hidden, .gain = gain, .out = f->hidden,
                                                         .cols = c->hidden, .eps = c->rms_eps, .step = f->d_step,
                                                         .logit_rows = logit_rows});
}

static void enqueue_attention(struct forward *f, int i)
{
    static const enum lora_target qkv[] = {LORA_Q, LORA_K, LORA_V}, o[] = {LORA_O};
    const struct model_config *c = &f->m->config;
    const struct model_layer *l = &f->m->layers[i];
    const struct device_ops *ops = f->m->ops;
    int32_t q_out = c->n_heads * c->head_dim, kv_out = c->n_kv_heads * c->head_dim;
    product(f, &l->qkv, f->hidden, f->qkv, f->ld_qkv, ROWS_ALL);
    lora(f, i, qkv, (int32_t[]){q_out, kv_out, kv_out}, 3, f->hidden.f32, f->ld_hidden, c->hidden, f->qkv, f->ld_qkv);
    ops->rope_kv(f->stream, &(struct op_rope_kv){.qkv = f->qkv, .ld = f->ld_qkv, .table = f->rope, .q_gain = l->q_norm,
                                                 .k_gain = l->k_norm, .eps = c->rms_eps, .layer = i, .kv = f->kv,
                                                 .step = f->d_step, .pool = f->pool});
    ops->attention(f->stream, &(struct op_attention){.out = f->attn, .qkv = f->qkv, .ld = f->ld_qkv,
                                                     .scale = f->m->attention_scale, .layer = i, .kv = f->kv,
                                                     .step = f->d_step, .pool = f->pool,
                                                     .workspace = f->attention_ws});
    product(f, &l->o, f->attn, f->y, f->ld_hidden, ROWS_ALL);
    lora(f, i, o, &c->hidden, 1, f->attn.f32, f->ld_attn, q_out, f->y, f->ld_hidden);
}

static void enqueue_ffn(struct forward *f, int i)
{
    static const enum lora_target gate_up[] = {LORA_GATE, LORA_UP}, down[] = {LORA_DOWN};
    const struct model_config *c = &f->m->config;
    const struct model_layer *l = &f->m->layers[i];
    product(f, &l->gate_up, f->hidden, f->gate_up, f->ld_gate_up, ROWS_ALL);
    lora(f, i, gate_up, (int32_t[]){c->ffn, c->ffn}, 2, f->hidden.f32, f->ld_hidden, c->hidden, f->gate_up,
         f->ld_gate_up);
    f->m->ops->silu_mul(f->stream, &(struct op_silu_mul){.out = f->ffn, .gu = f->gate_up, .ld = f->ld_gate_up,
                                                         .cols = c->ffn, .step = f->d_step});
    product(f, &l->down, f->ffn, f->y, f->ld_hidden, ROWS_ALL);
    lora(f, i, down, &c->hidden, 1, f->ffn.f32, f->ld_ffn, c->ffn, f->y, f->ld_hidden);
}

static void enqueue_head(struct forward *f)
{
    const struct model *m = f->m;
    const struct device_ops *ops = m->ops;
    add_norm(f, true, m->out_norm, true);
    ops->matmul(f->stream, &(struct op_matmul){.y = f->logits, .ldy = f->ld_logits, .a = f->hidden,
                                               .w = m->head ? m->head : m->embed, .step = f->d_step,
                                               .rows = ROWS_LOGITS});
    ops->sample(f->stream, &(struct op_sample){.results = f->results, .logits = f->logits, .ld = f->ld_logits,
                                               .vocab = m->config.vocab, .step = f->d_step,
                                               .workspace = f->sample_ws});
}

/* What is computed, without the copies: the same operations for every step with the same kinds of work. */
static void enqueue_step(struct forward *f)
{
    const struct model *m = f->m;
    const struct device_ops *ops = m->ops;
    if (f->step->n_copies)
        ops->copy_pages(f->stream, &(struct op_copy_pages){f->d_step, f->pool, f->kv.page_bytes});
    ops->embed(f->stream, &(struct op_embed){.y = f->x, .ldy = f->ld_hidden, .w = m->embed, .step = f->d_step});
    ops->rope_table(f->stream, &(struct op_rope_table){.out = f->rope, .inv_freq = m->inv_freq,
                                                       .half = m->config.head_dim / 2, .mscale = 1.0f,
                                                       .step = f->d_step});
    for (int i = 0; i < m->config.n_layers; i++) {
        add_norm(f, i > 0, m->layers[i].attn_norm, false);
        enqueue_attention(f, i);
        add_norm(f, true, m->layers[i].ffn_norm, false);
        enqueue_ffn(f, i);
    }
    if (f->step->n_logits)
        enqueue_head(f);
}

static void receive(struct forward *f, struct step_result *results, float *logits)
{
    const struct device_ops *ops = f->m->ops;
    int32_t n = f->step->n_logits, vocab = f->m->config.vocab;
    if (!n)
        return;
    ops->copy_out(f->stream, results, f->results, (size_t)n * sizeof *results);
    if (!logits)
        return;
    if (f->ld_logits == vocab)
        ops->copy_out(f->stream, logits, f->logits, (size_t)n * (size_t)vocab * sizeof *logits);
    else
        for (int32_t i = 0; i < n; i++)
            ops->copy_out(f->stream, logits + (size_t)i * (size_t)vocab,
                          f->logits + (dptr)i * (dptr)f->ld_logits * sizeof(float), (size_t)vocab * sizeof *logits);
}

static int finish(struct forward *f, struct err *e)
{
    uint64_t ticket;
    int rc = f->m->ops->submit(f->stream, &ticket, e);
    return rc < 0 ? rc : f->m->ops->wait(f->stream, ticket, e);
}

int forward_run(struct forward *f, struct step_result *results, float *logits, struct err *e)
{
    if (!f->step->n_rows)
        return OL_OK;
    f->m->ops->begin(f->stream, f->step, false);
    send_step(f);
    enqueue_step(f);
    receive(f, results, logits);
    return finish(f, e);
}

/* The operations of a decode step as large as the bucket. */
static int warm_bucket(struct forward *f, int32_t rows, int32_t splits, bool adapters, struct err *e)
{
    struct step *s = forward_step(f);
    s->n_rows = s->n_seqs = s->n_logits = rows;
    s->n_segments = adapters;
    for (int32_t i = 0; i < rows; i++)
        step_seqs(s)[i] = (struct step_seq){.row0 = i, .n_rows = 1, .pos0 = splits * ATTENTION_SPLIT - 1};
    f->m->ops->begin(f->stream, s, true);
    enqueue_step(f);
    return finish(f, e);
}

int forward_warm(struct forward *f, int32_t max_rows, int32_t max_context, struct err *e)
{
    int32_t most = f->step->limits.max_logits, last_rows = bucket_rows(max_rows, most);
    int32_t last_splits = bucket_splits((max_context + ATTENTION_SPLIT - 1) / ATTENTION_SPLIT);
    uint64_t lora_ops = f->lora_ops;
    if (!f->m->ops->keeps_steps)
        return OL_OK;
    for (int32_t rows = 1; rows; rows = rows < last_rows ? bucket_rows(rows + 1, last_rows) : 0)
        for (int32_t splits = 1; splits <= last_splits; splits *= 4)
            for (int adapters = 0; adapters < 2; adapters++) {
                int rc = warm_bucket(f, rows, splits, adapters, e);
                if (rc < 0)
                    return rc;
            }
    f->lora_ops = lora_ops; /* these were nobody's */
    return OL_OK;
}
