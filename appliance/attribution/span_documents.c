#include "attribution/span_documents.h"

#include "attribution/policy.h"
#include "training/row_tokens.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "documents"

struct entry { /* a contribution and the version that it came with */
    const struct contribution *contribution;
    uint32_t datanet;
};

struct making {
    const struct row_encoder *encoder;
    struct span_builder *builder;
    struct row_tokens row;
    int32_t *ids; /* owned */
    size_t cap;
    uint64_t tokens;
    uint32_t rows; /* of this contribution */
    struct err *e;
};

static int by_document_order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = contribution_order(x->contribution, y->contribution);
    return order ? order : (x->datanet > y->datanet) - (x->datanet < y->datanet);
}

/* The taught tokens of the row, a separator for each stretch of context between them. */
static size_t taught_ids(const struct row_tokens *row, int32_t *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < row->n; i++) {
        if (!row->taught[i])
            continue;
        if (n && !row->taught[i - 1])
            ids[n++] = SPAN_SEPARATOR;
        ids[n++] = (int32_t)row->tokens[i];
    }
    return n;
}

static int add_row(void *user, const struct training_row *source)
{
    struct making *m = user;
    int rc = row_encode(m->encoder, source, &m->row, m->e);
    if (rc)
        return err_prefix(m->e, "row %u", source->row);
    CHECK(source->row == m->rows);
    if (m->row.n > m->cap) {
        int32_t *grown = realloc(m->ids, m->row.n * sizeof *grown);
        if (!grown)
            return err_set(m->e, OL_ENOMEM, MODULE, "no memory for %zu tokens", m->row.n);
        m->ids = grown;
        m->cap = m->row.n;
    }
    size_t n = taught_ids(&m->row, m->ids);
    m->tokens += n;
    m->rows++;
    return span_builder_add(m->builder, m->ids, n, m->e);
}

/* All contributions that still have their text, in document order. */
static int collect(const struct datanet_version *const *versions, size_t n, struct entry **out, size_t *count,
                   struct span_documents *d, struct err *e)
{
    size_t all = 1;
    for (size_t v = 0; v < n; v++)
        all += versions[v]->n;
    *count = 0;
    *out = malloc(all * sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu contributions", all);
    for (size_t v = 0; v < n; v++)
        for (size_t i = 0; i < versions[v]->n; i++) {
            const struct contribution *c = &versions[v]->contributions[i];
            if (c->withdrawn || !c->text)
                d->withdrawn++;
            else
                (*out)[(*count)++] = (struct entry){c, (uint32_t)v};
        }
    qsort(*out, *count, sizeof **out, by_document_order);
    return 0;
}

static int add_contributions(struct making *m, const struct entry *entries, size_t n, struct span_sources *sources)
{
    sources->contributions.at = calloc(n + 1, sizeof(struct span_contribution));
    if (!sources->contributions.at)
        return err_set(m->e, OL_ENOMEM, MODULE, "no memory for %zu contributions", n);
    struct span_contribution *to = sources->contributions.at;
    for (size_t i = 0; i < n; i++) {
        const struct contribution *c = entries[i].contribution;
        m->rows = 0;
        int rc = contribution_rows(c, add_row, m, m->e);
        if (rc)
            return err_prefix(m->e, "contribution 0x%02x%02x%02x%02x…", c->id[0], c->id[1], c->id[2], c->id[3]);
        if (!m->rows)
            continue;
        struct span_contribution *s = &to[sources->contributions.n++];
        memcpy(s->id, c->id, sizeof s->id);
        memcpy(s->contributor, c->contributor, sizeof s->contributor);
        s->datanet = entries[i].datanet;
        s->rows = m->rows;
    }
    return sources->contributions.n ? 0 : err_set(m->e, OL_EINVAL, MODULE, "the Datanets have no rows to index");
}

static int set_datanets(const struct datanet_version *const *versions, size_t n, struct span_sources *sources,
                        struct err *e)
{
    struct span_datanet *to = calloc(n, sizeof *to);
    if (!to)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu Datanets", n);
    sources->datanets = (struct list){to, n};
    for (size_t v = 0; v < n; v++) {
        for (size_t w = 0; w < v; w++)
            if (!memcmp(versions[v]->item, versions[w]->item, sizeof versions[v]->item))
                return err_set(e, OL_EINVAL, MODULE, "%s is named twice; name one version of a Datanet",
                               versions[v]->name);
        memcpy(to[v].version, versions[v]->id, sizeof to[v].version);
        memcpy(to[v].root, versions[v]->root, sizeof to[v].root);
        memcpy(to[v].owner, versions[v]->owner, sizeof to[v].owner);
    }
    return 0;
}

static int write_surprisal(const struct tokenizer *t, const char *folder, struct span_documents *out, struct err *e)
{
    char path[PATH_MAX];
    struct surprisal s;
    int rc = policy_path(folder, POLICY_SURPRISAL_FILE, path, e);
    if (!rc)
        rc = surprisal_make(t, &s, e);
    if (rc)
        return rc;
    rc = surprisal_save(&s, path, out->surprisal_hash, e);
    surprisal_deinit(&s);
    return rc;
}

static int write_files(struct making *m, struct span_sources *sources, const char *folder, span_progress progress,
                       void *context, struct span_documents *out)
{
    char path[PATH_MAX];
    int rc = span_sources_finish(sources, span_builder_documents(m->builder), m->e);
    if (!rc)
        rc = policy_path(folder, POLICY_SOURCES_FILE, path, m->e);
    if (!rc)
        rc = span_sources_save(sources, path, m->e);
    if (!rc)
        rc = write_surprisal(row_encoder_tokenizer(m->encoder), folder, out, m->e);
    if (!rc)
        rc = policy_path(folder, POLICY_INDEX_FILE, path, m->e);
    return rc ? rc : span_builder_write(m->builder, path, progress, context, out->index_hash, m->e);
}

int span_documents_build(const struct model_file *model, const struct datanet_version *const *versions, size_t n,
                         const char *folder, span_progress progress, void *context, struct span_documents *out,
                         struct err *e)
{
    struct making m = {.e = e};
    struct span_sources sources = {0};
    struct row_encoder *encoder = NULL;
    struct entry *entries = NULL;
    size_t count = 0;
    *out = (struct span_documents){.datanets = (uint32_t)n};
    if (!n || n > SPAN_MAX_DATANETS)
        return err_set(e, OL_EINVAL, MODULE, "%zu Datanets; 1 to %d", n, SPAN_MAX_DATANETS);
    int rc = row_encoder_open(model, &encoder, e);
    m.encoder = encoder;
    if (!rc) {
        out->vocab = (uint32_t)tokenizer_vocab(row_encoder_tokenizer(encoder));
        rc = span_builder_open(out->vocab, &m.builder, e);
    }
    if (!rc)
        rc = set_datanets(versions, n, &sources, e);
    if (!rc)
        rc = collect(versions, n, &entries, &count, out, e);
    if (!rc)
        rc = add_contributions(&m, entries, count, &sources);
    if (!rc)
        rc = write_files(&m, &sources, folder, progress, context, out);
    if (!rc) {
        out->contributions = (uint32_t)sources.contributions.n;
        out->documents = span_builder_documents(m.builder);
        out->tokens = m.tokens;
        out->index_bytes = span_builder_bytes(m.builder);
    }
    free(entries);
    free(m.ids);
    row_tokens_deinit(&m.row);
    span_sources_deinit(&sources);
    span_builder_close(m.builder);
    row_encoder_close(encoder);
    return rc;
}
