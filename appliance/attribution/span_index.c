/* Opening and reading an index; see span_index_internal.h for the file. */
#include "attribution/span_index.h"

#include "attribution/span_index_internal.h"
#include "base/file_hash.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is mapped as it is");

void span_layout_of(uint32_t vocab, uint32_t documents, uint64_t symbols, struct span_layout *out)
{
    *out = (struct span_layout){.wide = vocab <= UINT16_MAX ? 2 : 4};
    out->starts = sizeof(struct span_header);
    out->symbols = out->starts + 4 * ((uint64_t)documents + 1);
    out->suffixes = out->symbols + (out->wide * symbols + 3) / 4 * 4;
    out->minima = out->end = out->suffixes + 4 * symbols;
    out->n[0] = (uint32_t)symbols;
    for (out->levels = 1; out->n[out->levels - 1] > SPAN_FAN; out->levels++) {
        out->n[out->levels] = (out->n[out->levels - 1] + SPAN_FAN - 1) / SPAN_FAN;
        out->end += 4 * (uint64_t)out->n[out->levels];
    }
}

/* The header's numbers, and whether the file is as long as they say. */
static int check_header(const unsigned char *data, size_t n, const char *what, struct span_header *h,
                        struct span_layout *layout, struct err *e)
{
    static const uint8_t zero[sizeof h->zero];
    if (n < sizeof *h || memcmp(data, SPAN_MAGIC, sizeof h->magic))
        return err_set(e, OL_EFORMAT, "spans", "%s is not an index of spans", what);
    memcpy(h, data, sizeof *h);
    if (!h->vocab || h->vocab > SPAN_MAX_VOCAB || !h->documents || h->documents > h->symbols ||
        h->symbols > SPAN_MAX_SYMBOLS || memcmp(h->zero, zero, sizeof zero))
        return err_set(e, OL_EFORMAT, "spans", "%s: its header has numbers that no index has", what);
    span_layout_of(h->vocab, h->documents, h->symbols, layout);
    if (layout->end != n)
        return err_set(e, OL_EFORMAT, "spans", "%s has %zu bytes, its header tells of %llu; copy it again", what, n,
                       (unsigned long long)layout->end);
    return 0;
}

static void set_parts(struct span_index *x, const unsigned char *data, const struct span_header *h,
                      const struct span_layout *layout)
{
    x->bytes = layout->end;
    x->vocab = h->vocab;
    x->documents = h->documents;
    x->n = (uint32_t)h->symbols;
    x->starts = (const void *)(data + layout->starts);
    x->narrow = layout->wide == 2 ? (const void *)(data + layout->symbols) : NULL;
    x->wide = layout->wide == 4 ? (const void *)(data + layout->symbols) : NULL;
    x->levels = layout->levels;
    const uint32_t *at = (const void *)(data + layout->suffixes);
    for (uint32_t i = 0; i < x->levels; at += layout->n[i++]) {
        x->level[i] = at;
        x->level_n[i] = layout->n[i];
    }
}

/* Documents follow each other, and each ends with its separator. */
static int check_documents(const struct span_index *x, const char *what, struct err *e)
{
    bool good = x->starts[0] == 0 && x->starts[x->documents] == x->n;
    for (uint32_t d = 0; d < x->documents && good; d++)
        good = x->starts[d] < x->starts[d + 1] && x->starts[d + 1] <= x->n && span_symbol(x, x->starts[d + 1] - 1) == 0;
    if (!good)
        err_set(e, OL_EFORMAT, "spans", "%s: its documents do not follow each other; build it again", what);
    return good ? 0 : OL_EFORMAT;
}

static int check_hash(const char *path, const char *expected, struct err *e)
{
    char hash[SHA256_HEX_BYTES];
    int rc = file_hash(path, hash, e);
    if (!rc && strcmp(hash, expected))
        rc = err_set(e, OL_EFORMAT, "spans", "%s has the hash %s, expected was %s", path, hash, expected);
    return rc;
}

int span_index_parse(const void *bytes, size_t n, const char *what, struct span_index **out, struct err *e)
{
    struct span_header header;
    struct span_layout layout;
    *out = NULL;
    int rc = check_header(bytes, n, what, &header, &layout, e);
    if (rc)
        return rc;
    struct span_index *x = calloc(1, sizeof *x);
    if (!x)
        return err_set(e, OL_ENOMEM, "spans", "no memory to open %s", what);
    set_parts(x, bytes, &header, &layout);
    rc = check_documents(x, what, e);
    if (rc)
        span_index_close(x);
    else
        *out = x;
    return rc;
}

int span_index_open(const char *path, const char *expected, struct span_index **out, struct err *e)
{
    struct file_map file;
    *out = NULL;
    int rc = expected ? check_hash(path, expected, e) : 0;
    if (!rc)
        rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    rc = span_index_parse(file.data, file.len, path, out, e);
    if (rc)
        file_map_deinit(&file);
    else
        (*out)->file = file;
    return rc;
}

void span_index_close(struct span_index *x)
{
    if (x)
        file_map_deinit(&x->file);
    free(x);
}

uint32_t span_index_vocab(const struct span_index *x) { return x->vocab; }
uint32_t span_index_documents(const struct span_index *x) { return x->documents; }
uint64_t span_index_symbols(const struct span_index *x) { return x->n; }
uint64_t span_index_bytes(const struct span_index *x) { return x->bytes; }

uint32_t span_index_document_tokens(const struct span_index *x, uint32_t document)
{
    CHECK(document < x->documents);
    return x->starts[document + 1] - x->starts[document] - 1;
}

uint32_t span_index_read(const struct span_index *x, uint32_t document, uint32_t offset, int32_t *ids, uint32_t n)
{
    uint32_t tokens = span_index_document_tokens(x, document);
    uint32_t left = offset < tokens ? tokens - offset : 0;
    n = n < left ? n : left;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t symbol = span_symbol(x, x->starts[document] + offset + i);
        ids[i] = symbol <= x->vocab ? (int32_t)symbol - 1 : SPAN_SEPARATOR;
    }
    return n;
}

static uint32_t least(const uint32_t *a, uint32_t from, uint32_t to, uint32_t best)
{
    for (uint32_t i = from; i < to; i++)
        best = a[i] < best ? a[i] : best;
    return best;
}

/* On each level the ragged ends are read one by one and what lies between them is left to the level above. */
uint32_t span_earliest(const struct span_index *x, uint32_t from, uint32_t to)
{
    uint32_t best = UINT32_MAX, level = 0;
    for (; level + 1 < x->levels && to - from > 2 * SPAN_FAN; level++) {
        uint32_t up = (from + SPAN_FAN - 1) / SPAN_FAN, down = to / SPAN_FAN;
        best = least(x->level[level], from, up * SPAN_FAN, best);
        best = least(x->level[level], down * SPAN_FAN, to, best);
        from = up;
        to = down;
    }
    return least(x->level[level], from, to, best);
}

uint32_t span_document_at(const struct span_index *x, uint32_t i)
{
    uint32_t low = 0, high = x->documents; /* starts[low] ≤ i < starts[high] */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        *(x->starts[middle] <= i ? &low : &high) = middle;
    }
    return low;
}
