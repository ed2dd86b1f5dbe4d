/* An adapter on disk becomes layout and parameters. It is read as serving reads it (model/adapter_file.h), so all its
 * checks hold here too; the image's F16 and F32 slabs hold the stored values exactly. */
#include "kernels/dequant.h"
#include "model/adapter_build.h"
#include "training/lora_internal.h"

#include <stdlib.h>
#include <string.h>

struct image_reader {
    const struct adapter_image *image;
    const struct lora_site *sites;
    const struct lora_slab *slabs;
};

/* Rank r of a side: `n` values, side 0 for A and 1 for B. */
static void read_rank(const struct image_reader *in, const struct lora_site *site, int side, int32_t r, int64_t n,
                      float *out)
{
    int32_t per_side = (site->rank + LORA_SLAB_RANKS - 1) / LORA_SLAB_RANKS;
    const struct lora_slab *slab = &in->slabs[site->slab0 + side * per_side + r / LORA_SLAB_RANKS];
    enum dtype dtype = (enum dtype)site->dtype;
    const unsigned char *at = in->image->pages + (size_t)slab->page * in->image->page_bytes + (size_t)slab->offset;
    dequantize_row(dtype, at + (size_t)(r % LORA_SLAB_RANKS) * dtype_row_bytes(dtype, pad_cols(n)), out, n);
}

static int layout_of(const struct lora_model *m, const struct image_reader *in, struct lora_layout *out, struct err *e)
{
    int32_t n_sites = m->config.n_layers * LORA_TARGETS;
    *out = (struct lora_layout){.places = calloc((size_t)n_sites, sizeof *out->places)};
    if (!out->places)
        return err_set(e, OL_ENOMEM, TRAINING, "no memory for a layout of %d layers", m->config.n_layers);
    for (int32_t i = 0; i < n_sites; i++) {
        int64_t cols, rows;
        if (!in->sites[i].rank)
            continue;
        lora_target_shape(&m->config, i % LORA_TARGETS, &cols, &rows);
        out->places[out->n_places++] = (struct lora_place){
            .layer = i / LORA_TARGETS, .target = (enum lora_target)(i % LORA_TARGETS), .rank = in->sites[i].rank,
            .in = (int32_t)cols, .out = (int32_t)rows, .scale = in->sites[i].scale};
    }
    lora_layout_count(out);
    return 0;
}

/* B lies transposed in the image. */
static int read_params(struct lora_model *m, const struct image_reader *in, struct err *e)
{
    int64_t widest = 0;
    for (int32_t i = 0; i < m->layout.n_places; i++)
        widest = m->layout.places[i].out > widest ? m->layout.places[i].out : widest;
    float *column = malloc((size_t)widest * sizeof *column);
    if (!column)
        return err_set(e, OL_ENOMEM, TRAINING, "no memory for %lld values", (long long)widest);
    for (int32_t i = 0; i < m->layout.n_places; i++) {
        const struct lora_place *p = &m->layout.places[i];
        const struct lora_site *site = &in->sites[lora_site_index(p->layer, (int32_t)p->target)];
        for (int32_t r = 0; r < p->rank; r++) {
            read_rank(in, site, 0, r, p->in, m->params + p->a + (int64_t)r * p->in);
            read_rank(in, site, 1, r, p->out, column);
            for (int64_t n = 0; n < p->out; n++)
                m->params[p->b + n * p->rank + r] = column[n];
        }
    }
    free(column);
    return 0;
}

int lora_model_load_adapter(struct lora_model *m, const char *path, struct err *e)
{
    struct adapter_image image;
    struct lora_layout layout;
    int rc = adapter_file_load(path, &m->config, adapter_min_page_bytes(&m->config), &image, e);
    if (rc)
        return rc;
    const struct lora_site *sites = (const struct lora_site *)(const void *)image.pages;
    struct image_reader in = {.image = &image, .sites = sites,
                              .slabs = (const struct lora_slab *)(sites + m->config.n_layers * LORA_TARGETS)};
    rc = layout_of(m, &in, &layout, e);
    if (!rc)
        rc = lora_state_open(m, &layout, e);
    if (!rc)
        rc = read_params(m, &in, e);
    adapter_image_deinit(&image);
    return rc;
}
