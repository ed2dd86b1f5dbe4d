#include "attribution/span_sources.h"

#include "chainlite/json/notation_file.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "sources"

static const struct field datanet_fields[] = {
    FIELD(span_datanet, HASH, "version", version),
    FIELD(span_datanet, HASH, "root", root),
    FIELD(span_datanet, ADDRESS, "owner", owner),
};
static const struct schema datanet_schema = SCHEMA("datanet", span_datanet, datanet_fields);

static const struct field contribution_fields[] = {
    FIELD(span_contribution, HASH, "id", id),
    FIELD(span_contribution, ADDRESS, "contributor", contributor),
    FIELD(span_contribution, U32, "datanet", datanet),
    FIELD(span_contribution, U32, "rows", rows),
};
static const struct schema contribution_row_schema =
    SCHEMA_AS(ARRAY, "contribution", span_contribution, contribution_fields);

static const struct field sources_fields[] = {
    FIELD_BOUNDED(span_sources, VERSION, "version", version, SPAN_SOURCES_VERSION),
    FIELD_MANY(span_sources, "datanets", datanets, &datanet_schema, SPAN_SOURCES_MAX),
    FIELD_MANY(span_sources, "contributions", contributions, &contribution_row_schema, SPAN_SOURCES_MAX),
};
const struct schema span_sources_schema = SCHEMA("list of sources", span_sources, sources_fields);

static int by_id(const void *a, const void *b)
{
    const struct span_contribution *const *x = a, *const *y = b;
    return memcmp((*x)->id, (*y)->id, sizeof (*x)->id);
}

/* An id twice would be paid under one name for two places. */
static int check_ids(const struct span_sources *s, struct err *e)
{
    const struct span_contribution *c = s->contributions.at, **sorted = malloc(s->contributions.n * sizeof *sorted);
    if (!sorted)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu contributions", s->contributions.n);
    for (size_t i = 0; i < s->contributions.n; i++)
        sorted[i] = &c[i];
    qsort(sorted, s->contributions.n, sizeof *sorted, by_id);
    int rc = 0;
    for (size_t i = 1; i < s->contributions.n && !rc; i++)
        if (!by_id(&sorted[i - 1], &sorted[i]))
            rc = err_set(e, OL_EFORMAT, MODULE, "contributions %zu and %zu are the same one",
                         (size_t)(sorted[i - 1] - c), (size_t)(sorted[i] - c));
    free(sorted);
    return rc;
}

static int number_documents(struct span_sources *s, uint32_t documents, struct err *e)
{
    const struct span_contribution *c = s->contributions.at;
    uint64_t sum = 0;
    for (size_t i = 0; i < s->contributions.n; i++) {
        if (!c[i].rows || c[i].datanet >= s->datanets.n)
            return err_set(e, OL_EFORMAT, MODULE, "contribution %zu has %u rows and Datanet %u of %zu", i, c[i].rows,
                           c[i].datanet, s->datanets.n);
        s->first_document[i] = (uint32_t)sum;
        sum += c[i].rows;
    }
    if (sum != documents)
        return err_set(e, OL_EFORMAT, MODULE, "the contributions have %llu rows, the index %u documents",
                       (unsigned long long)sum, documents);
    s->first_document[s->contributions.n] = documents;
    return 0;
}

int span_sources_finish(struct span_sources *s, uint32_t documents, struct err *e)
{
    if (!s->contributions.n || s->contributions.n > SPAN_SOURCES_MAX || s->datanets.n > SPAN_SOURCES_MAX)
        return err_set(e, OL_EFORMAT, MODULE, "%zu contributions; 1 to %d", s->contributions.n, SPAN_SOURCES_MAX);
    uint32_t *first = realloc(s->first_document, (s->contributions.n + 1) * sizeof *first);
    if (!first)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu contributions", s->contributions.n);
    s->first_document = first;
    s->version = SPAN_SOURCES_VERSION;
    int rc = number_documents(s, documents, e);
    return rc ? rc : check_ids(s, e);
}

static int finish_read(int rc, uint32_t documents, struct span_sources *out, struct err *e)
{
    if (!rc)
        rc = span_sources_finish(out, documents, e);
    if (rc)
        span_sources_deinit(out);
    return rc;
}

int span_sources_load(const char *path, uint32_t documents, struct span_sources *out, struct err *e)
{
    int rc = notation_read_file(&span_sources_schema, path, SPAN_SOURCES_MAX_BYTES, out, e);
    return finish_read(rc, documents, out, e);
}

int span_sources_parse(const char *text, size_t n, uint32_t documents, struct span_sources *out, struct err *e)
{
    return finish_read(notation_parse(&span_sources_schema, text, n, out, e), documents, out, e);
}

int span_sources_save(const struct span_sources *s, const char *path, struct err *e)
{
    return notation_write_file(&span_sources_schema, s, path, SPAN_SOURCES_MAX_BYTES, e);
}

void span_sources_deinit(struct span_sources *s)
{
    free(s->first_document);
    schema_free(&span_sources_schema, s);
}

struct span_source span_sources_at(const struct span_sources *s, uint32_t document)
{
    const struct span_contribution *c = s->contributions.at;
    size_t low = 0, high = s->contributions.n; /* first_document[low] ≤ document < first_document[high] */
    CHECK(document < s->first_document[high]);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        *(s->first_document[middle] <= document ? &low : &high) = middle;
    }
    return (struct span_source){
        .datanet = (const struct span_datanet *)s->datanets.at + c[low].datanet,
        .contribution = &c[low],
        .contribution_index = (uint32_t)low,
        .row = document - s->first_document[low],
    };
}

void span_source_beneficiary(const struct span_source *source, const uint8_t payer[ADDRESS_BYTES],
                             uint8_t out[ADDRESS_BYTES])
{
    bool own = !memcmp(source->contribution->contributor, payer, ADDRESS_BYTES);
    memcpy(out, source->contribution->contributor, ADDRESS_BYTES);
    if (own)
        memset(out, 0, ADDRESS_BYTES);
}
