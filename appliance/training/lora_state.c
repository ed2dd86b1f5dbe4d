/* Buffers: one mapping for all that depends on the layout, sized before it is taken. Pages that a pass does not touch
 * cost nothing: what forward passes alone never keep is never there. */
#include "training/lora_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CARVE_ALIGN = 64 };

float *carve(struct carver *c, size_t floats)
{
    size_t at = c->used;
    c->used += (floats * sizeof(float) + CARVE_ALIGN - 1) / CARVE_ALIGN * CARVE_ALIGN;
    return c->base ? (float *)(void *)(c->base + at) : NULL;
}

struct matrix carve_matrix(struct carver *c, int64_t features, int64_t rows)
{
    size_t floats = (size_t)(f32_blocks(rows) * F32_ROWS * features);
    return (struct matrix){.data = carve(c, floats), .features = features};
}

char *map_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_HUGEPAGE); /* fewer page faults and address misses; refused on some systems */
    return p;
}

void unmap_memory(char *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

static int64_t lowest_layer(const struct model_config *c, const struct lora_layout *layout)
{
    return layout->n_places ? layout->places[0].layer : c->n_layers;
}

static struct kept carve_kept(struct carver *c, const struct model_config *k, int64_t rows)
{
    int64_t q = (int64_t)k->n_heads * k->head_dim, kv = (int64_t)k->n_kv_heads * k->head_dim;
    return (struct kept){
        .x = carve_matrix(c, k->hidden, rows), .attn_r = carve_matrix(c, 1, rows),
        .qkv = carve_matrix(c, q + 2 * kv, rows), .raw_qk = carve_matrix(c, k->qk_norm ? q + kv : 0, rows),
        .qk_r = carve_matrix(c, k->qk_norm ? k->n_heads + k->n_kv_heads : 0, rows),
        .attn = carve_matrix(c, q, rows), .stat = carve_matrix(c, 2 * (int64_t)k->n_heads, rows),
        .x_mid = carve_matrix(c, k->hidden, rows), .ffn_r = carve_matrix(c, 1, rows),
        .gate_up = carve_matrix(c, 2 * (int64_t)k->ffn, rows),
    };
}

static int64_t head_blocks_of(const struct model_config *c, int64_t rows)
{
    int64_t fit = HEAD_BYTES / ((int64_t)sizeof(float) * F32_ROWS * c->vocab), blocks = f32_blocks(rows);
    return fit < 1 ? 1 : fit < blocks ? fit : blocks;
}

static int64_t largest_of(const struct lora_layout *layout, bool rank)
{
    int64_t most = 0;
    for (int32_t i = 0; i < layout->n_places; i++) {
        int64_t n = rank ? layout->places[i].rank : layout->places[i].in;
        most = n > most ? n : most;
    }
    return most;
}

static struct scratch carve_scratch(struct carver *c, const struct model_config *k, const struct train_config *t,
                                    const struct lora_layout *layout, int threads)
{
    int64_t rows = t->max_rows, q = (int64_t)k->n_heads * k->head_dim, kv = (int64_t)k->n_kv_heads * k->head_dim;
    int64_t head_rows = head_blocks_of(k, rows) * F32_ROWS, rank = largest_of(layout, true);
    int64_t vocab_pieces = (k->vocab + VOCAB_PIECE - 1) / VOCAB_PIECE;
    struct scratch s = {
        .h = carve_matrix(c, k->hidden, rows), .y = carve_matrix(c, k->hidden, rows),
        .f = carve_matrix(c, k->ffn, rows), .t = carve_matrix(c, rank, rows),
        .dropped = carve_matrix(c, t->dropout > 0 ? largest_of(layout, false) : 0, rows),
        .dx = carve_matrix(c, k->hidden, rows), .dh = carve_matrix(c, k->hidden, rows),
        .dqkv = carve_matrix(c, q + 2 * kv, rows), .dattn = carve_matrix(c, q, rows),
        .dgate_up = carve_matrix(c, 2 * (int64_t)k->ffn, rows), .df = carve_matrix(c, k->ffn, rows),
        .cos = carve_matrix(c, k->head_dim / 2, rows), .sin = carve_matrix(c, k->head_dim / 2, rows),
        .last = carve_matrix(c, k->hidden, rows), .sel = carve_matrix(c, k->hidden, head_rows),
        .sel_h = carve_matrix(c, k->hidden, head_rows), .sel_r = carve_matrix(c, 1, head_rows),
        .logits = carve_matrix(c, k->vocab, head_rows),
        .t_ld = (rank + F32_STRIP - 1) / F32_STRIP * F32_STRIP,
        .attention_floats = f32_attention_floats(rows, k->head_dim),
    };
    s.t_rows = carve(c, (size_t)(f32_blocks(rows) * F32_ROWS * s.t_ld));
    s.attention = carve(c, (size_t)threads * s.attention_floats);
    s.pieces = carve(c, (size_t)(vocab_pieces * head_rows));
    s.row_value = carve(c, (size_t)head_rows);
    s.row_target = carve(c, (size_t)head_rows);
    return s;
}

/* Gives every buffer its place; the lists of m must be there when the carver has a base. */
static void place_state(struct lora_model *m, const struct model_config *c, const struct train_config *t,
                        const struct lora_layout *layout, int threads, struct carver *carver)
{
    bool real = carver->base;
    float *params = carve(carver, (size_t)layout->n_params);
    for (int32_t i = 0; i < layout->n_places; i++) {
        const struct lora_place *p = &layout->places[i];
        float *a = carve(carver, (size_t)f32_packed_floats(p->rank, p->in));
        float *b = carve(carver, (size_t)f32_packed_floats(p->out, p->rank));
        if (real) {
            m->packed_a[i] = a;
            m->packed_b[i] = b;
        }
    }
    for (int64_t layer = lowest_layer(c, layout); layer <= c->n_layers; layer++) {
        struct kept kept = carve_kept(carver, c, t->max_rows);
        if (real)
            m->kept[layer] = kept;
    }
    struct scratch s = carve_scratch(carver, c, t, layout, threads);
    float *ints[4];
    for (int i = 0; i < 4; i++)
        ints[i] = carve(carver, (size_t)t->max_rows);
    float *seq = carve(carver, (size_t)t->max_rows * sizeof(struct sequence) / sizeof(float));
    carve(carver, F32_SLACK);
    if (!real)
        return;
    m->params = params;
    m->s = s;
    m->pass = (struct pass){.seq = (struct sequence *)(void *)seq, .token = (int32_t *)ints[0],
                            .position = (int32_t *)ints[1], .owner = (int32_t *)ints[2],
                            .chosen = (int32_t *)ints[3]};
    m->head_blocks = head_blocks_of(c, t->max_rows);
}

size_t lora_state_bytes(const struct model_config *c, const struct train_config *t, const struct lora_layout *layout)
{
    struct carver carver = {0};
    place_state(NULL, c, t, layout, t->threads, &carver);
    return carver.used;
}

void lora_state_close(struct lora_model *m)
{
    unmap_memory(m->state_memory, m->state_bytes);
    free(m->layout.places);
    free(m->place_at);
    free(m->packed_a);
    free(m->packed_b);
    free(m->kept);
    m->layout = (struct lora_layout){0};
    m->state_memory = NULL;
    m->place_at = NULL;
    m->packed_a = m->packed_b = NULL;
    m->kept = NULL;
    m->params = NULL;
}

int lora_state_open(struct lora_model *m, struct lora_layout *layout, struct err *e)
{
    size_t sites = (size_t)m->config.n_layers * LORA_TARGETS, n = (size_t)layout->n_places + 1;
    lora_state_close(m);
    m->layout = *layout;
    *layout = (struct lora_layout){0};
    m->lowest = (int32_t)lowest_layer(&m->config, &m->layout);
    m->state_bytes = lora_state_bytes(&m->config, &m->train, &m->layout);
    m->state_memory = map_memory(m->state_bytes);
    m->place_at = malloc(sites * sizeof *m->place_at);
    m->packed_a = calloc(n, sizeof *m->packed_a);
    m->packed_b = calloc(n, sizeof *m->packed_b);
    m->kept = calloc((size_t)m->config.n_layers + 1, sizeof *m->kept);
    if (!m->state_memory || !m->place_at || !m->packed_a || !m->packed_b || !m->kept) {
        size_t bytes = m->state_bytes;
        lora_state_close(m);
        return err_set(e, OL_ENOMEM, TRAINING, "no memory for the activations of %d rows: %zu MiB; fewer rows help",
                       m->train.max_rows, bytes >> 20);
    }
    memset(m->place_at, 0xff, sites * sizeof *m->place_at);
    for (int32_t i = 0; i < m->layout.n_places; i++) {
        const struct lora_place *p = &m->layout.places[i];
        m->place_at[lora_site_index(p->layer, (int32_t)p->target)] = i;
    }
    place_state(m, &m->config, &m->train, &m->layout, m->train.threads, &(struct carver){.base = m->state_memory});
    return 0;
}
