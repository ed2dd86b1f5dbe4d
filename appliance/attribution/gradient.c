/* LoRA's gradients, sketched; see gradient.h. */
#include "attribution/gradient_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "gradient"

/* ---- blocks: places of one layer stand together in the layout */

static int32_t layer_end(const struct lora_layout *l, int32_t first)
{
    int32_t end = first;
    while (end < l->n_places && l->places[end].layer == l->places[first].layer)
        end++;
    return end;
}

static uint32_t count_layers(const struct lora_layout *l)
{
    uint32_t n = 0;
    for (int32_t at = 0; at < l->n_places; at = layer_end(l, at))
        n++;
    return n;
}

int gradient_sketch_init(struct sketch *s, uint64_t seed, uint32_t budget, const struct lora_layout *l, struct err *e)
{
    uint32_t layers = count_layers(l);
    if (layers < 1 || layers > budget || layers > SKETCH_MAX_BLOCKS || budget > SKETCH_MAX_DIMENSIONS)
        return err_set(e, OL_EINVAL, MODULE, "%u adapted layers in %u dimensions; at least one for each and %d in all",
                       layers, budget, SKETCH_MAX_DIMENSIONS);
    sketch_init(s, seed, layers, budget);
    return OL_OK;
}

int gradient_sketch_check(const struct sketch *s, const struct lora_layout *l, struct err *e)
{
    uint32_t layers = count_layers(l);
    return s->n_blocks == layers ? OL_OK
                                 : err_set(e, OL_EFORMAT, MODULE, "vectors of %u layers for an adapter of %u: they are "
                                           "another adapter's", s->n_blocks, layers);
}

void gradient_sketch(const struct sketch *s, const struct lora_layout *l, const float *gradient, double *out)
{
    int32_t at = 0;
    for (uint32_t block = 0; block < s->n_blocks; block++) {
        int32_t end = layer_end(l, at);
        int64_t first = l->places[at].a, last = end < l->n_places ? l->places[end].a : l->n_params;
        sketch_add(s, block, 0, gradient + first, (size_t)(last - first), out);
        out += s->block_dimensions[block];
        at = end;
    }
}

/* ---- half way */

int gradient_halve(struct lora_model *m, float **whole, struct err *e)
{
    const struct lora_layout *l = lora_model_layout(m);
    float *params = lora_model_params(m);
    size_t bytes = (size_t)l->n_params * sizeof *params;
    *whole = malloc(bytes + 1);
    if (!*whole)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a copy of the adapter");
    memcpy(*whole, params, bytes);
    for (int32_t i = 0; i < l->n_places; i++)
        for (int64_t j = 0; j < (int64_t)l->places[i].out * l->places[i].rank; j++)
            params[l->places[i].b + j] *= 0.5f;
    return OL_OK;
}

void gradient_restore(struct lora_model *m, float *whole)
{
    if (whole)
        memcpy(lora_model_params(m), whole, (size_t)lora_model_layout(m)->n_params * sizeof *whole);
    free(whole);
}

/* ---- rows */

/* A row within the model's length is one example; gradients of up to GRADIENT_BATCH of them are made together. */
struct batch {
    struct lora_model *model;
    const struct sketch *sketch;
    int32_t max_rows;
    int32_t most;     /* rows at once */
    float *gradients; /* (most, n_params) */
    float *weights;   /* (most, max_rows) */
    struct train_example examples[GRADIENT_BATCH];
    int32_t n;
};

static int32_t rows_at_once(const struct lora_layout *l)
{
    int64_t fit = GRADIENT_BATCH_BYTES / ((int64_t)sizeof(float) * l->n_params + 1);
    return fit < 1 ? 1 : fit < GRADIENT_BATCH ? (int32_t)fit : GRADIENT_BATCH;
}

static double norm_of(const float *gradient, int64_t n)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += (double)gradient[i] * gradient[i];
    return sqrt(square);
}

/* The example at `from` of a row: false where none of its tokens teaches. */
static bool take(struct batch *b, const struct gradient_row *row, size_t from)
{
    size_t n = row->n - from < (size_t)b->max_rows ? row->n - from : (size_t)b->max_rows;
    float *weight = b->weights + (size_t)b->n * (size_t)b->max_rows;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        weight[i] = i > 0 && row->taught[from + i] ? 1 : 0;
        any = any || weight[i] != 0;
    }
    b->examples[b->n] = (struct train_example){.tokens = row->tokens + from, .weight = weight, .n = (int32_t)n};
    return any;
}

/* Rows of one example each from `first` on, as many as go together; returns how many, or an error. */
static int64_t batch_of_short(struct batch *b, const struct gradient_row *rows, size_t n, struct err *e)
{
    struct train_loss losses[GRADIENT_BATCH];
    int64_t params = lora_model_layout(b->model)->n_params;
    size_t tokens = 0;
    b->n = 0;
    while ((size_t)b->n < n && b->n < b->most && rows[b->n].n <= (size_t)b->max_rows) {
        tokens += rows[b->n].n;
        if (b->n && tokens > (size_t)b->max_rows)
            break;
        if (!take(b, &rows[b->n], 0))
            return err_set(e, OL_EINVAL, MODULE, "a row teaches nothing");
        b->n++;
    }
    memset(b->gradients, 0, (size_t)b->n * (size_t)params * sizeof *b->gradients);
    int rc = lora_model_gradient_batch(b->model, b->examples, b->n, b->gradients, params, losses, e);
    return rc ? rc : b->n;
}

/* One row in windows, its gradient in the first place. */
static int64_t batch_of_long(struct batch *b, const struct gradient_row *row, struct err *e)
{
    struct train_loss loss;
    bool any = false;
    memset(b->gradients, 0, (size_t)lora_model_layout(b->model)->n_params * sizeof *b->gradients);
    b->n = 0;
    for (size_t from = 0; from + 1 < row->n; from += (size_t)b->max_rows - 1) {
        if (!take(b, row, from))
            continue;
        any = true;
        int rc = lora_model_gradient(b->model, &b->examples[0], b->gradients, &loss, e);
        if (rc)
            return rc;
    }
    return any ? 1 : err_set(e, OL_EINVAL, MODULE, "a row teaches nothing");
}

int gradient_rows(struct lora_model *model, const struct sketch *s, const struct gradient_row *rows, size_t n,
                  int32_t max_rows, double *phi, double *norms, gradient_progress progress, void *user, struct err *e)
{
    const struct lora_layout *layout = lora_model_layout(model);
    struct batch b = {.model = model, .sketch = s, .max_rows = max_rows, .most = rows_at_once(layout)};
    float *whole = NULL;
    b.gradients = calloc((size_t)b.most, (size_t)layout->n_params * sizeof *b.gradients);
    b.weights = calloc((size_t)b.most, (size_t)max_rows * sizeof *b.weights);
    int64_t got = b.gradients && b.weights ? gradient_halve(model, &whole, e)
                                           : err_set(e, OL_ENOMEM, MODULE, "no memory for %d gradients", b.most);
    for (size_t done = 0; done < n && got >= 0; done += (size_t)got) {
        bool fits = rows[done].n <= (size_t)max_rows;
        got = fits ? batch_of_short(&b, rows + done, n - done, e) : batch_of_long(&b, &rows[done], e);
        for (int64_t i = 0; i < got; i++) {
            double *out = phi + (done + (size_t)i) * s->dimensions;
            const float *gradient = b.gradients + i * layout->n_params;
            memset(out, 0, s->dimensions * sizeof *out);
            gradient_sketch(s, layout, gradient, out);
            norms[done + (size_t)i] = norm_of(gradient, layout->n_params);
        }
        if (progress && got > 0)
            progress(user, done + (size_t)got, n);
    }
    gradient_restore(model, whole);
    free(b.gradients);
    free(b.weights);
    return got < 0 ? (int)got : OL_OK;
}
