/* Opening a policy's folder; see policy.h. */
#include "attribution/policy.h"

#include "base/file_hash.h"
#include "chainlite/core/hex.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "policy"

int policy_path(const char *folder, const char *name, char *out, struct err *e)
{
    int len = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return len >= 0 && len < PATH_MAX ? OL_OK
                                      : err_set(e, OL_EINVAL, MODULE, "the path is longer than %d bytes", PATH_MAX);
}

static int check_file(const char *path, const uint8_t hash[SHA256_BYTES], struct err *e)
{
    char expected[SHA256_HEX_BYTES], found[SHA256_HEX_BYTES];
    hex_encode(hash, SHA256_BYTES, expected);
    int rc = file_hash(path, found, e);
    if (!rc && strcmp(found, expected) != 0)
        rc = err_set(e, OL_EFORMAT, MODULE, "%s is not the file that the policy names: %.16s…, not %.16s…", path, found,
                     expected);
    return rc;
}

static int open_vectors(const char *path, const struct policy_gradients *g, struct vectors *out, struct err *e)
{
    int rc = check_file(path, g->vectors, e);
    if (!rc)
        rc = vectors_open(path, out, e);
    if (!rc && (out->sketch.dimensions != g->dimensions || out->sketch.seed != g->seed))
        rc = err_set(e, OL_EFORMAT, MODULE, "%s has other dimensions or another seed than the policy", path);
    return rc;
}

static int open_files(const char *folder, struct policy *p, struct err *e)
{
    char path[PATH_MAX], expected[SHA256_HEX_BYTES];
    int rc = policy_path(folder, POLICY_FILE, path, e);
    if (!rc)
        rc = policy_document_load(path, &p->document, p->hash, e);
    if (!rc)
        rc = policy_path(folder, POLICY_INDEX_FILE, path, e);
    if (!rc) {
        hex_encode(p->document.spans.index, SHA256_BYTES, expected);
        rc = span_index_open(path, expected, &p->index, e);
    }
    if (!rc)
        rc = policy_path(folder, POLICY_SURPRISAL_FILE, path, e);
    if (!rc) {
        hex_encode(p->document.spans.surprisal, SHA256_BYTES, expected);
        rc = surprisal_load(path, expected, &p->surprisal, e);
    }
    if (!rc)
        rc = policy_path(folder, POLICY_SOURCES_FILE, path, e);
    if (!rc)
        rc = check_file(path, p->document.spans.sources, e);
    if (!rc)
        rc = span_sources_load(path, span_index_documents(p->index), &p->sources, e);
    if (rc || !p->document.has_gradients)
        return rc;
    rc = policy_path(folder, POLICY_VECTORS_FILE, path, e);
    return rc ? rc : open_vectors(path, &p->document.gradients, &p->vectors, e);
}

/* What sources.json says of the Datanets is what the policy says. */
static int check_datanets(const struct policy *p, struct err *e)
{
    const struct policy_datanet *pinned = p->document.datanets.at;
    const struct span_datanet *found = p->sources.datanets.at;
    bool same = p->document.datanets.n == p->sources.datanets.n;
    for (size_t i = 0; same && i < p->sources.datanets.n; i++)
        same = memcmp(pinned[i].version, found[i].version, 32) == 0 && memcmp(pinned[i].root, found[i].root, 32) == 0;
    return same ? OL_OK : err_set(e, OL_EFORMAT, MODULE, POLICY_SOURCES_FILE " is of other Datanet versions");
}

static const struct span_contribution *contribution_of(const struct policy *p, const struct vectors_owner *o)
{
    const struct span_contribution *c = p->sources.contributions.at;
    for (size_t i = 0; i < p->sources.contributions.n; i++)
        if (c[i].datanet == o->datanet && memcmp(c[i].contributor, o->address, ADDRESS_BYTES) == 0)
            return &c[i];
    return NULL;
}

static int check_owners(const struct policy *p, struct err *e)
{
    for (uint32_t c = 0; c < p->vectors.n; c++)
        if (!contribution_of(p, &p->vectors.owners[c]))
            return err_set(e, OL_EFORMAT, MODULE, "contributor %u of " POLICY_VECTORS_FILE " has no contribution", c);
    return OL_OK;
}

int policy_open(const char *folder, struct policy **out, struct err *e)
{
    struct policy *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return err_set(e, OL_ENOMEM, MODULE, "no memory");
    int rc = open_files(folder, p, e);
    if (!rc)
        rc = check_datanets(p, e);
    if (!rc)
        rc = check_owners(p, e);
    if (rc) {
        policy_close(p);
        return err_prefix(e, "policy %s", folder);
    }
    *out = p;
    return OL_OK;
}

void policy_close(struct policy *p)
{
    if (!p)
        return;
    vectors_close(&p->vectors);
    span_sources_deinit(&p->sources);
    surprisal_deinit(&p->surprisal);
    span_index_close(p->index);
    policy_document_deinit(&p->document);
    free(p);
}

bool policy_covers(const struct policy *p, const uint8_t model_version[32], const uint8_t adapter_version[32])
{
    static const uint8_t none[32];
    const struct policy_document *d = &p->document;
    return memcmp(d->model_version, model_version, 32) == 0 &&
           memcmp(d->has_adapter ? d->adapter_version.id : none, adapter_version, 32) == 0;
}

/* ---- units by beneficiary */

static int address_order(const void *a, const void *b)
{
    return memcmp(((const struct gradient_units *)a)->beneficiary, ((const struct gradient_units *)b)->beneficiary,
                  ADDRESS_BYTES);
}

/* Sorts by beneficiary, one entry each. */
static size_t merge(struct gradient_units *g, size_t n)
{
    size_t kept = 0;
    qsort(g, n, sizeof *g, address_order);
    for (size_t i = 0; i < n; i++) {
        if (kept && address_order(&g[kept - 1], &g[i]) == 0)
            g[kept - 1].units += g[i].units;
        else
            g[kept++] = g[i];
    }
    return kept;
}

int policy_gradient_units(const struct policy *p, const struct influence_answer *a, const uint8_t payer[ADDRESS_BYTES],
                          struct gradient_units *out, size_t *n, struct err *e)
{
    static const uint8_t nobody[ADDRESS_BYTES];
    const struct influence_rule rule = {p->document.gradients.kappa_ppb, (uint64_t)p->document.gradients.s0};
    const struct span_datanet *datanets = p->sources.datanets.at;
    struct influence_result r;
    size_t earning = 0;
    *n = 0;
    CHECK(p->document.has_gradients);
    int rc = influence_units(&p->vectors, &rule, a, &r, e);
    if (rc)
        return rc;
    for (uint32_t c = 0; c < p->vectors.n; c++) {
        const struct vectors_owner *owner = &p->vectors.owners[c];
        const struct span_source source = {.datanet = &datanets[owner->datanet],
                                           .contribution = contribution_of(p, owner)};
        struct gradient_units *g = &out[earning];
        span_source_beneficiary(&source, payer, g->beneficiary);
        g->units = r.rows[c].units;
        earning += g->units != 0 && memcmp(g->beneficiary, nobody, ADDRESS_BYTES) != 0;
    }
    *n = merge(out, earning);
    influence_result_deinit(&r);
    return OL_OK;
}

bool policy_draws(const struct policy_document *d, const uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t hash[HASH_BYTES];
    uint64_t number = 0;
    keccak256(signature, SIGNATURE_BYTES, hash);
    for (int i = 0; i < 8; i++)
        number = number << 8 | hash[i];
    return number % PPB < d->sampling_ppb;
}
