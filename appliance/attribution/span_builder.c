/* Building an index: documents are collected as symbols; the file's image is made in memory and written at once. */
#include "attribution/span_index.h"
#include "attribution/span_index_internal.h"
#include "attribution/span_suffix.h"
#include "base/file_replace.h"

#include <stdlib.h>
#include <string.h>

struct span_builder {
    uint32_t vocab;
    uint32_t *symbols; /* owned */
    size_t n, cap;
    uint32_t *starts; /* owned, (documents) */
    size_t documents, starts_cap;
};

int span_builder_open(uint32_t vocab, struct span_builder **out, struct err *e)
{
    *out = NULL;
    if (!vocab || vocab > SPAN_MAX_VOCAB)
        return err_set(e, OL_EINVAL, "spans", "a vocabulary of %u tokens; at most %d", vocab, SPAN_MAX_VOCAB);
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, "spans", "no memory for an index");
    (*out)->vocab = vocab;
    return 0;
}

void span_builder_close(struct span_builder *b)
{
    if (!b)
        return;
    free(b->symbols);
    free(b->starts);
    free(b);
}

uint32_t span_builder_documents(const struct span_builder *b) { return (uint32_t)b->documents; }
uint64_t span_builder_symbols(const struct span_builder *b) { return b->n; }

uint64_t span_builder_bytes(const struct span_builder *b)
{
    struct span_layout layout;
    span_layout_of(b->vocab, (uint32_t)b->documents, b->n, &layout);
    return layout.end;
}

/* Room for `more` entries behind `n`. */
static int make_room(uint32_t **array, size_t *cap, size_t n, size_t more, struct err *e)
{
    if (n + more <= *cap)
        return 0;
    size_t want = *cap + *cap / 2 > n + more ? *cap + *cap / 2 : n + more + 1024;
    uint32_t *grown = realloc(*array, want * sizeof *grown);
    if (!grown)
        return err_set(e, OL_ENOMEM, "spans", "no memory for %zu tokens of an index", want);
    *array = grown;
    *cap = want;
    return 0;
}

int span_builder_add(struct span_builder *b, const int32_t *ids, size_t n, struct err *e)
{
    if (n >= SPAN_MAX_SYMBOLS - b->n)
        return err_set(e, OL_ELIMIT, "spans", "an index holds at most %d tokens", SPAN_MAX_SYMBOLS);
    for (size_t i = 0; i < n; i++)
        if (ids[i] != SPAN_SEPARATOR && (ids[i] < 0 || (uint32_t)ids[i] >= b->vocab))
            return err_set(e, OL_EINVAL, "spans", "document %zu, token %zu: %d is not in the vocabulary of %u",
                           b->documents, i, ids[i], b->vocab);
    int rc = make_room(&b->symbols, &b->cap, b->n, n + 1, e);
    if (!rc)
        rc = make_room(&b->starts, &b->starts_cap, b->documents, 2, e);
    if (rc)
        return rc;
    b->starts[b->documents++] = (uint32_t)b->n;
    for (size_t i = 0; i < n; i++)
        b->symbols[b->n++] = (uint32_t)(ids[i] + 1);
    b->symbols[b->n++] = 0;
    return 0;
}

static void fill_header(unsigned char *image, const struct span_builder *b)
{
    struct span_header header = {.vocab = b->vocab, .documents = (uint32_t)b->documents, .symbols = b->n};
    memcpy(header.magic, SPAN_MAGIC, sizeof header.magic);
    memcpy(image, &header, sizeof header);
}

static void fill_symbols(unsigned char *image, const struct span_builder *b, const struct span_layout *layout)
{
    if (layout->wide == 4) {
        memcpy(image + layout->symbols, b->symbols, b->n * 4);
        return;
    }
    uint16_t *to = (void *)(image + layout->symbols);
    for (size_t i = 0; i < b->n; i++)
        to[i] = (uint16_t)b->symbols[i];
}

/* Every level from the one below. */
static void fill_minima(const uint32_t *below, uint32_t *level, const struct span_layout *layout)
{
    for (uint32_t l = 1; l < layout->levels; below = level, level += layout->n[l++])
        for (uint32_t i = 0; i < layout->n[l]; i++) {
            uint32_t least = UINT32_MAX;
            for (uint32_t k = i * SPAN_FAN; k < layout->n[l - 1] && k / SPAN_FAN == i; k++)
                least = below[k] < least ? below[k] : least;
            level[i] = least;
        }
}

/* The file as it will be. */
static int fill_image(const struct span_builder *b, const struct span_layout *layout, unsigned char *image,
                      struct span_tally *tally, struct err *e)
{
    uint32_t *suffixes = (void *)(image + layout->suffixes);
    fill_header(image, b);
    b->starts[b->documents] = (uint32_t)b->n;
    memcpy(image + layout->starts, b->starts, (b->documents + 1) * sizeof *b->starts);
    fill_symbols(image, b, layout);
    int rc = span_suffix_sort(b->symbols, suffixes, (uint32_t)b->n, b->vocab + 1, tally, e);
    if (!rc)
        fill_minima(suffixes, (void *)(image + layout->minima), layout);
    return rc;
}

int span_builder_write(struct span_builder *b, const char *path, span_progress progress, void *context,
                       char hash[SHA256_HEX_BYTES], struct err *e)
{
    if (!b->documents)
        return err_set(e, OL_EINVAL, "spans", "an index without documents");
    struct span_tally tally = {progress, context, 0, (uint64_t)b->n * (SPAN_SUFFIX_STEPS + 2)};
    struct span_layout layout;
    span_layout_of(b->vocab, (uint32_t)b->documents, b->n, &layout);
    unsigned char *image = calloc(1, layout.end);
    if (!image)
        return err_set(e, OL_ENOMEM, "spans", "no memory for an index of %llu MiB",
                       (unsigned long long)layout.end >> 20);
    int rc = fill_image(b, &layout, image, &tally, e);
    if (!rc && hash) {
        struct sha256 h;
        sha256_init(&h);
        sha256_add(&h, image, layout.end);
        sha256_hex(&h, hash);
    }
    if (!rc)
        rc = file_replace(path, image, layout.end, e);
    span_tally_add(&tally, tally.total - tally.done);
    free(image);
    return rc;
}
