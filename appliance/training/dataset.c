#include "training/dataset.h"

#include "attribution/datanet.h"
#include "base/file_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "dataset"

static const char *const rules[LONG_RULES] = {"refuse", "truncate", "skip"};

const char *too_long_name(enum too_long rule) { return rules[rule]; }

enum too_long too_long_find(const char *name)
{
    int rule = 0;
    while (rule < LONG_RULES && strcmp(name, rules[rule]) != 0)
        rule++;
    return (enum too_long)rule;
}

void dataset_deinit(struct dataset *d)
{
    free(d->tokens);
    free(d->weights);
    free(d->examples);
    *d = (struct dataset){0};
}

struct train_example dataset_example(const struct dataset *d, uint32_t i)
{
    const struct dataset_example *x = &d->examples[i];
    return (struct train_example){.tokens = d->tokens + x->first, .weight = d->weights + x->first, .n = x->n};
}

/* ---- growing */

static int room(struct dataset *d, size_t tokens, struct err *e)
{
    if (tokens > DATASET_MAX_TOKENS - d->n_tokens)
        return err_set(e, OL_ELIMIT, MODULE, "more than %d tokens: train on less data", DATASET_MAX_TOKENS);
    size_t cap = d->cap_tokens ? d->cap_tokens : 4096;
    while (cap < d->n_tokens + tokens)
        cap *= 2;
    if (cap > d->cap_tokens) {
        uint32_t *ids = realloc(d->tokens, cap * sizeof *ids);
        d->tokens = ids ? ids : d->tokens;
        float *weights = ids ? realloc(d->weights, cap * sizeof *weights) : NULL;
        d->weights = weights ? weights : d->weights;
        if (!weights)
            return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", cap);
        d->cap_tokens = cap;
    }
    if (d->n == d->cap) {
        uint32_t more = d->cap ? 2 * d->cap : 256;
        struct dataset_example *examples = realloc(d->examples, more * sizeof *examples);
        if (!examples)
            return err_set(e, OL_ENOMEM, MODULE, "no memory for %u examples", more);
        d->examples = examples;
        d->cap = more;
    }
    return 0;
}

/* Tokens first … first + n − 1 of a row as one example; the first has nothing before it to be predicted from. Nothing
 * is added when nothing in it is learnt. */
static int add_example(struct dataset *d, const struct row_tokens *row, size_t first, size_t n, struct err *e)
{
    int rc = room(d, n, e);
    if (rc)
        return rc;
    int32_t taught = 0;
    for (size_t i = 0; i < n; i++) {
        bool learnt = i > 0 && row->taught[first + i];
        d->tokens[d->n_tokens + i] = row->tokens[first + i];
        d->weights[d->n_tokens + i] = learnt;
        taught += learnt;
    }
    if (!taught)
        return 0;
    d->examples[d->n++] = (struct dataset_example){d->n_tokens, (int32_t)n, taught};
    d->n_tokens += n;
    d->taught += taught;
    d->sources[d->n_sources - 1].examples++;
    return 0;
}

static int add_windows(struct dataset *d, const struct row_tokens *row, size_t max, struct err *e)
{
    int rc = 0;
    for (size_t at = 0; at + 1 < row->n && !rc; at += max - 1)
        rc = add_example(d, row, at, row->n - at < max ? row->n - at : max, e);
    return rc;
}

/* ---- rows */

struct adding {
    struct dataset *d;
    const struct row_encoder *encoder;
    const struct dataset_options *options;
    struct row_tokens row; /* used again from row to row */
    struct err *e;
};

static int add_row(void *user, const struct training_row *row)
{
    struct adding *a = user;
    struct dataset *d = a->d;
    size_t max = (size_t)a->options->max_tokens;
    int rc = row_encode(a->encoder, row, &a->row, a->e);
    if (rc) {
        err_prefix(a->e, "row %u", row->row);
        return rc;
    }
    d->sources[d->n_sources - 1].rows++;
    if (row->text)
        return add_windows(d, &a->row, max, a->e);
    if ((int32_t)a->row.n > d->longest)
        d->longest = (int32_t)a->row.n;
    if (a->row.n > max) {
        d->long_rows++;
        if (a->options->too_long != LONG_TRUNCATE)
            return 0;
    }
    return add_example(d, &a->row, 0, a->row.n < max ? a->row.n : max, a->e);
}

static struct dataset_source *new_source(struct dataset *d, struct err *e)
{
    if (d->n_sources == DATASET_MAX_SOURCES) {
        err_set(e, OL_ELIMIT, MODULE, "more than %d sources", DATASET_MAX_SOURCES);
        return NULL;
    }
    d->sources[d->n_sources] = (struct dataset_source){0};
    return &d->sources[d->n_sources++];
}

static enum content_format format_of(const char *path, const char *text, size_t n)
{
    const char *dot = strrchr(path, '.');
    if (dot && (!strcmp(dot, ".jsonl") || !strcmp(dot, ".json"))) {
        const char *end = memchr(text, '\n', n);
        return memmem(text, end ? (size_t)(end - text) : n, "\"messages\"", 10) ? CONTENT_CHAT : CONTENT_INSTRUCTION;
    }
    return dot && !strcmp(dot, ".md") ? CONTENT_MARKDOWN : CONTENT_TEXT;
}

/* The file as a contribution of nobody. */
static int load_file(const char *path, struct contribution *c, struct err *e)
{
    struct file_map map;
    int rc = file_map_init(&map, path, e);
    if (rc)
        return rc;
    if (map.len > CONTENT_MAX_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%s: %zu bytes; %d at most in one file", path, map.len, CONTENT_MAX_BYTES);
    else if (memchr(map.data, 0, map.len))
        rc = err_set(e, OL_EFORMAT, MODULE, "%s: it has NUL bytes: not a text", path);
    else if (!(c->text = strndup((const char *)map.data, map.len)))
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %s", path);
    c->bytes = map.len;
    file_map_deinit(&map);
    if (rc)
        return rc;
    c->format = (uint8_t)format_of(path, c->text, (size_t)c->bytes);
    content_hash(c->text, (size_t)c->bytes, c->sha256);
    return 0;
}

int dataset_add_file(struct dataset *d, const char *path, const struct row_encoder *encoder,
                     const struct dataset_options *options, struct err *e)
{
    struct contribution c = {0};
    struct adding a = {.d = d, .encoder = encoder, .options = options, .e = e};
    struct dataset_source *source = new_source(d, e);
    int rc = source ? load_file(path, &c, e) : OL_ELIMIT;
    if (!rc) {
        const char *slash = strrchr(path, '/');
        snprintf(source->name, sizeof source->name, "%s", slash ? slash + 1 : path);
        memcpy(source->sha256, c.sha256, sizeof source->sha256);
        source->contributions = 1;
        rc = contribution_rows(&c, add_row, &a, e);
        if (rc)
            err_prefix(e, "%s", path);
    }
    row_tokens_deinit(&a.row);
    free(c.text);
    return rc;
}

static int add_contributions(struct adding *a, const struct datanet_version *v, struct dataset_source *source)
{
    int rc = 0;
    for (size_t i = 0; i < v->n && !rc; i++) {
        const struct contribution *c = &v->contributions[i];
        if (c->withdrawn || !c->text) {
            source->withdrawn++;
            continue;
        }
        source->contributions++;
        rc = contribution_rows(c, add_row, a, a->e);
        if (rc)
            err_prefix(a->e, "contribution %zu (content %02x%02x%02x%02x…)", i, c->sha256[0], c->sha256[1],
                       c->sha256[2], c->sha256[3]);
    }
    return rc;
}

int dataset_add_datanet(struct dataset *d, const char *folder, const struct row_encoder *encoder,
                        const struct dataset_options *options, struct err *e)
{
    struct adding a = {.d = d, .encoder = encoder, .options = options, .e = e};
    struct dataset_source *source = new_source(d, e);
    struct datanet_version *v = NULL;
    int rc = source ? datanet_version_open(folder, &v, e) : OL_ELIMIT;
    if (rc)
        return rc;
    source->datanet = true;
    snprintf(source->name, sizeof source->name, "%s", v->name);
    memcpy(source->version, v->id, sizeof source->version);
    memcpy(source->root, v->root, sizeof source->root);
    rc = add_contributions(&a, v, source);
    if (rc)
        err_prefix(e, "%s", folder);
    row_tokens_deinit(&a.row);
    datanet_version_close(v);
    return rc;
}

int dataset_check(const struct dataset *d, const struct dataset_options *options, struct err *e)
{
    if (d->long_rows && options->too_long == LONG_REFUSE)
        return err_set(e, OL_ELIMIT, MODULE,
                       "%u rows are longer than %d tokens, the longest %d: raise the limit, or have "
                       "them truncated or skipped", d->long_rows, options->max_tokens, d->longest);
    return d->n ? 0 : err_set(e, OL_EINVAL, MODULE, "the data has nothing to learn from");
}
