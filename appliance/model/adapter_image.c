/* Packs an adapter into pages: the layout is kernels/lora_image.h.
 *
 * First every slab gets its place (first page with room), then the pages are filled. A slab never crosses a page, so
 * that pages need not be neighbours in the pool. */
#include "base/sha256.h"
#include "kernels/dequant.h"
#include "model/adapter_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_ALIGN = 64, PAGE_ROUND = 4096 };

struct packer {
    const struct lora_pairs *p;
    size_t page_bytes;
    struct lora_slab *slabs; /* owned; the slab table */
    int32_t n_slabs;
    size_t *used;            /* owned; bytes taken of each page */
    int32_t n_pages, full;   /* pages before `full` have no room for anything */
    size_t slab_bytes;
};

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static int32_t slabs_of_rank(int32_t rank) { return (rank + LORA_SLAB_RANKS - 1) / LORA_SLAB_RANKS; }

static size_t table_bytes(int32_t n_pairs, int32_t n_slabs)
{
    return (size_t)n_pairs * sizeof(struct lora_site) + (size_t)n_slabs * sizeof(struct lora_slab);
}

/* Bounds in model_config_check keep these far below overflow. */
size_t adapter_min_page_bytes(const struct model_config *model)
{
    int64_t in, out, widest = 0;
    for (int t = 0; t < LORA_TARGETS; t++) {
        lora_target_shape(model, t, &in, &out);
        widest = in > widest ? in : widest;
        widest = out > widest ? out : widest;
    }
    size_t slab = LORA_SLAB_RANKS * (size_t)pad_cols(widest) * sizeof(float);
    int32_t pairs = model->n_layers * LORA_TARGETS;
    size_t tables = table_bytes(pairs, pairs * 2 * slabs_of_rank(LORA_MAX_RANK));
    return round_up(slab > tables ? slab : tables, PAGE_ROUND);
}

/* F16 stays F16 (half the memory and traffic); all else becomes F32, which holds it exactly. */
static enum dtype slab_dtype(const struct lora_pair *pair)
{
    return pair->a.dtype == DTYPE_F16 && pair->b.dtype == DTYPE_F16 ? DTYPE_F16 : DTYPE_F32;
}

static size_t element_bytes(const struct lora_pair *pair) { return (size_t)dtype_info(slab_dtype(pair))->bytes; }

static int32_t slab_ranks(int32_t rank, int32_t slab)
{
    int32_t left = rank - slab * LORA_SLAB_RANKS;
    return left < LORA_SLAB_RANKS ? left : LORA_SLAB_RANKS;
}

/* Takes `bytes` in the first page with room; false without memory for another page's record. */
static bool place(struct packer *k, size_t bytes, struct lora_slab *out)
{
    int32_t page = k->full;
    while (page < k->n_pages && k->page_bytes - k->used[page] < bytes)
        page++;
    if (page == k->n_pages) {
        size_t *more = realloc(k->used, ((size_t)page + 1) * sizeof *more);
        if (!more)
            return false;
        k->used = more;
        k->used[k->n_pages++] = 0;
    }
    *out = (struct lora_slab){.page = page, .offset = (int32_t)k->used[page]};
    size_t end = round_up(k->used[page] + bytes, SLAB_ALIGN);
    k->used[page] = end < k->page_bytes ? end : k->page_bytes;
    while (k->full < k->n_pages && k->used[k->full] == k->page_bytes)
        k->full++;
    k->slab_bytes += bytes;
    return true;
}

/* Places the slabs of one side, ascending: 16 ranks each, the last one what is left. */
static bool place_side(struct packer *k, int32_t rank, size_t row_bytes)
{
    for (int32_t i = 0; i < slabs_of_rank(rank); i++)
        if (!place(k, (size_t)slab_ranks(rank, i) * row_bytes, &k->slabs[k->n_slabs++]))
            return false;
    return true;
}

/* Page 0 begins with the tables, so they are placed first; adapter_min_page_bytes makes sure that they fit. */
static int place_all(struct packer *k, struct err *e)
{
    struct lora_slab tables;
    int32_t n = 0;
    for (int32_t i = 0; i < k->p->n_pairs; i++)
        n += 2 * slabs_of_rank(lora_pair_rank(&k->p->pairs[i]));
    k->slabs = calloc((size_t)n, sizeof *k->slabs);
    bool ok = k->slabs && place(k, table_bytes(k->p->n_pairs, n), &tables);
    for (int32_t i = 0; ok && i < k->p->n_pairs; i++) {
        const struct lora_pair *pair = &k->p->pairs[i];
        int32_t rank = lora_pair_rank(pair);
        ok = place_side(k, rank, (size_t)pad_cols(pair->a.cols) * element_bytes(pair)) &&
             place_side(k, rank, (size_t)pad_cols(pair->b.rows) * element_bytes(pair));
    }
    return ok ? 0 : err_set(e, OL_ENOMEM, "adapter", "no memory to place %d slabs", n);
}

/* One infinite weight would turn every row of its request into NaN: refused at load, not met while serving. */
static bool all_finite(enum dtype t, const unsigned char *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        float f;
        if (t == DTYPE_F16) {
            memcpy(&half, x + 2 * i, sizeof half);
            if ((half & 0x7c00) == 0x7c00)
                return false;
        } else {
            memcpy(&f, x + 4 * i, sizeof f);
            if (!isfinite(f))
                return false;
        }
    }
    return true;
}

/* Row `row` of a side in the slab's type; `scratch` holds it where it must be converted. NULL: not finite. */
static const unsigned char *read_row(const struct lora_side *s, int64_t row, enum dtype t, float *scratch)
{
    const unsigned char *x = (const unsigned char *)s->data + (size_t)row * dtype_row_bytes(s->dtype, s->cols);
    if (t != s->dtype) {
        dequantize_row(s->dtype, x, scratch, s->cols);
        x = (const unsigned char *)scratch;
    }
    return all_finite(t, x, s->cols) ? x : NULL;
}

static unsigned char *slab_at(const struct packer *k, unsigned char *pages, int32_t slab)
{
    return pages + (size_t)k->slabs[slab].page * k->page_bytes + (size_t)k->slabs[slab].offset;
}

/* A slab's rows are rows of A: copied one by one, the padding stays zero. */
static bool fill_a(const struct packer *k, const struct lora_pair *pair, int32_t slab0, unsigned char *pages,
                   float *scratch)
{
    size_t element = element_bytes(pair), row_bytes = (size_t)pad_cols(pair->a.cols) * element;
    for (int32_t r = 0; r < lora_pair_rank(pair); r++) {
        const unsigned char *row = read_row(&pair->a, r, slab_dtype(pair), scratch);
        if (!row)
            return false;
        memcpy(slab_at(k, pages, slab0 + r / LORA_SLAB_RANKS) + (size_t)(r % LORA_SLAB_RANKS) * row_bytes, row,
               (size_t)pair->a.cols * element);
    }
    return true;
}

/* A slab's rows are columns of B: every row of the file is spread over the ranks. */
static bool fill_b(const struct packer *k, const struct lora_pair *pair, int32_t slab0, unsigned char *pages,
                   float *scratch)
{
    size_t element = element_bytes(pair), row_bytes = (size_t)pad_cols(pair->b.rows) * element;
    for (int64_t n = 0; n < pair->b.rows; n++) {
        const unsigned char *row = read_row(&pair->b, unpermuted_row(n, pair->b.rows, pair->unpermute_heads), slab_dtype(pair), scratch);
        if (!row)
            return false;
        for (int32_t r = 0; r < lora_pair_rank(pair); r++)
            memcpy(slab_at(k, pages, slab0 + r / LORA_SLAB_RANKS) + (size_t)(r % LORA_SLAB_RANKS) * row_bytes +
                   (size_t)n * element, row + (size_t)r * element, element);
    }
    return true;
}

/* Writes the site table, the slab table and all slabs; place_all has set k->slabs in the same order. */
static int fill(const struct packer *k, unsigned char *pages, struct err *e)
{
    int64_t widest = LORA_MAX_RANK; /* a row of B holds the ranks, a row of A the inputs */
    for (int32_t i = 0; i < k->p->n_pairs; i++)
        widest = k->p->pairs[i].a.cols > widest ? k->p->pairs[i].a.cols : widest;
    float *scratch = malloc((size_t)widest * sizeof *scratch);
    if (!scratch)
        return err_set(e, OL_ENOMEM, "adapter", "no memory for a row");
    struct lora_site *sites = (struct lora_site *)(void *)pages;
    memcpy(sites + k->p->n_pairs, k->slabs, (size_t)k->n_slabs * sizeof *k->slabs);
    int32_t slab = 0;
    int rc = 0;
    for (int32_t i = 0; !rc && i < k->p->n_pairs; i++) {
        const struct lora_pair *pair = &k->p->pairs[i];
        int32_t rank = lora_pair_rank(pair), per_side = slabs_of_rank(rank);
        if (!rank)
            continue;
        sites[i] = (struct lora_site){.rank = rank, .dtype = (int32_t)slab_dtype(pair), .scale = (float)pair->scale,
                                      .slab0 = slab};
        bool a = fill_a(k, pair, slab, pages, scratch), b = a && fill_b(k, pair, slab + per_side, pages, scratch);
        if (!b) {
            char name[64];
            lora_pair_name(k->p, pair, name, sizeof name);
            rc = err_set(e, OL_EFORMAT, "adapter", "%s: lora_%c has a value that is not finite", name, a ? 'B' : 'A');
        }
        slab += 2 * per_side;
    }
    free(scratch);
    return rc;
}

static void hash_side(struct sha256 *h, const struct lora_side *s)
{
    char shape[96];
    snprintf(shape, sizeof shape, "%s %lldx%lld", dtype_info(s->dtype)->name, (long long)s->rows, (long long)s->cols);
    sha256_add_str(h, shape);
    sha256_add(h, s->data, s->bytes);
}

/* Over all that changes the result, in a fixed order: per site its scale, then both sides. */
static void hash_pairs(const struct lora_pairs *p, char out[SHA256_HEX_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add_str(&h, "openlora adapter 1");
    for (int32_t i = 0; i < p->n_pairs; i++) {
        const struct lora_pair *pair = &p->pairs[i];
        char text[128];
        if (!lora_pair_rank(pair))
            continue;
        snprintf(text, sizeof text, "site %d scale %a heads %d", i, pair->scale, pair->unpermute_heads);
        sha256_add_str(&h, text);
        hash_side(&h, &pair->a);
        hash_side(&h, &pair->b);
    }
    sha256_hex(&h, out);
}

/* What others want to know of the image. */
static void describe(const struct packer *k, struct adapter_image *out)
{
    out->n_pages = k->n_pages;
    out->page_bytes = k->page_bytes;
    out->bytes = k->slab_bytes;
    for (int32_t i = 0; i < k->p->n_pairs; i++) {
        const struct lora_pair *pair = &k->p->pairs[i];
        int32_t rank = lora_pair_rank(pair);
        out->max_rank = rank > out->max_rank ? rank : out->max_rank;
        out->parameters += rank * (pair->a.cols + pair->b.rows);
    }
    hash_pairs(k->p, out->hash);
}

int adapter_image_build(const struct lora_pairs *p, size_t page_bytes, struct adapter_image *out, struct err *e)
{
    *out = (struct adapter_image){0};
    struct packer k = {.p = p, .page_bytes = page_bytes};
    size_t bytes;
    int rc = place_all(&k, e);
    if (!rc && __builtin_mul_overflow((size_t)k.n_pages, page_bytes, &bytes))
        rc = err_set(e, OL_ELIMIT, "adapter", "%d pages of %zu bytes are too much", k.n_pages, page_bytes);
    if (!rc && posix_memalign((void **)&out->pages, SLAB_ALIGN, bytes))
        rc = err_set(e, OL_ENOMEM, "adapter", "no memory for an adapter of %zu bytes", bytes);
    if (!rc) {
        memset(out->pages, 0, bytes);
        rc = fill(&k, out->pages, e);
    }
    if (!rc)
        describe(&k, out);
    else
        adapter_image_deinit(out);
    free(k.slabs);
    free(k.used);
    return rc;
}

void adapter_image_deinit(struct adapter_image *image)
{
    free(image->pages);
    *image = (struct adapter_image){0};
}

int adapter_pages_of_rank(const struct model_config *model, int32_t rank, size_t page_bytes, int32_t *n_pages,
                          struct err *e)
{
    struct lora_pairs p;
    struct packer k = {.p = &p, .page_bytes = page_bytes};
    int rc = lora_pairs_init(&p, model, e);
    for (int32_t i = 0; !rc && i < p.n_pairs; i++) {
        int64_t in, out;
        lora_target_shape(model, i % LORA_TARGETS, &in, &out);
        p.pairs[i].a = (struct lora_side){.dtype = DTYPE_F16, .rows = rank, .cols = in};
        p.pairs[i].b = (struct lora_side){.dtype = DTYPE_F16, .rows = out, .cols = rank};
    }
    if (!rc)
        rc = place_all(&k, e);
    *n_pages = k.n_pages;
    lora_pairs_deinit(&p);
    free(k.slabs);
    free(k.used);
    return rc;
}
