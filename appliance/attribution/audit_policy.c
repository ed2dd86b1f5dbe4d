/* A policy's folder against what it was made of: Datanet versions, the model's tokenizer, the adapter; see audit.h. */
#include "attribution/audit_internal.h"
#include "attribution/span_documents.h"
#include "attribution/taught_rows.h"
#include "base/file_hash.h"
#include "chainlite/core/hex.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "audit"

struct making { /* of one policy */
    struct audit *audit;
    const struct policy *policy;
    struct audit_subject *subject;
    struct datanet_version *versions[SPAN_MAX_DATANETS]; /* borrowed, in the policy's order */
    size_t n;
};

static void none_of(struct audit_subject *s, enum audit_check from, enum audit_check to, const char *reason)
{
    for (enum audit_check c = from; c <= to; c++)
        audit_set(s, c, AUDIT_UNAVAILABLE, "%s", reason);
}

/* The versions that the policy names, among those given. false: the subject knows why they do not do. */
static bool find_versions(struct making *m)
{
    const struct policy_datanet *named = m->policy->document.datanets.at;
    const struct span_datanet *sources = m->policy->sources.datanets.at;
    char x[12];
    m->n = m->policy->document.datanets.n;
    for (size_t i = 0; i < m->n && i < SPAN_MAX_DATANETS; i++) {
        for (size_t k = 0; k < m->audit->n_datanets; k++)
            if (memcmp(m->audit->datanets[k].version->id, named[i].version, 32) == 0)
                m->versions[i] = m->audit->datanets[k].version;
        const struct datanet_version *v = m->versions[i];
        if (!v) {
            audit_set(m->subject, AUDIT_DATANETS, AUDIT_UNAVAILABLE, "Datanet version %s… was not given (--datanet)",
                      audit_short(named[i].version, x));
            return false;
        }
        if (memcmp(v->root, named[i].root, 32) != 0 || memcmp(v->owner, sources[i].owner, ADDRESS_BYTES) != 0) {
            audit_set(m->subject, AUDIT_DATANETS, AUDIT_DIFFERS,
                      "Datanet version %s… has another root or owner than the policy "
                      "says",
                      audit_short(named[i].version, x));
            return false;
        }
    }
    if (m->n > SPAN_MAX_DATANETS) {
        audit_set(m->subject, AUDIT_DATANETS, AUDIT_DIFFERS, "%zu Datanets; a policy has %d at most", m->n,
                  SPAN_MAX_DATANETS);
        return false;
    }
    audit_set(m->subject, AUDIT_DATANETS, AUDIT_AGREED, "%s", "");
    return true;
}

static const struct contribution *contribution_in(const struct datanet_version *v, const uint8_t id[32])
{
    for (size_t i = 0; i < v->n; i++)
        if (memcmp(v->contributions[i].id, id, 32) == 0)
            return &v->contributions[i];
    return NULL;
}

/* A text that the index was made of and that has been withdrawn since. NULL: all are there. */
static const struct span_contribution *withdrawn_since(const struct making *m)
{
    const struct span_contribution *c = m->policy->sources.contributions.at;
    for (size_t i = 0; i < m->policy->sources.contributions.n; i++) {
        const struct contribution *found = contribution_in(m->versions[c[i].datanet], c[i].id);
        if (found && found->withdrawn)
            return &c[i];
    }
    return NULL;
}

/* ---- index, surprisal, sources */

static void compare_hash(struct audit_subject *s, enum audit_check c, const uint8_t pinned[SHA256_BYTES],
                         const char *made)
{
    uint8_t hash[SHA256_BYTES];
    char x[12], y[12];
    CHECK(hex_decode(made, hash, sizeof hash));
    if (memcmp(hash, pinned, SHA256_BYTES) == 0)
        audit_set(s, c, AUDIT_AGREED, "%s", "");
    else
        audit_set(s, c, AUDIT_DIFFERS, "the policy's file has SHA-256 %s…, the one made again %s…",
                  audit_short(pinned, x), audit_short(hash, y));
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct audit *a = user;
    a->progress(a->user, "sorting", done, total);
}

static void remove_files(const char *scratch)
{
    static const char *const names[] = {POLICY_INDEX_FILE, POLICY_SURPRISAL_FILE, POLICY_SOURCES_FILE};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (policy_path(scratch, names[i], path, NULL) == OL_OK)
            unlink(path);
}

static int make_index(struct making *m, const char *scratch, struct err *e)
{
    const struct policy_spans *pinned = &m->policy->document.spans;
    struct span_documents made;
    struct err why = {0};
    char path[PATH_MAX], hash[SHA256_HEX_BYTES];
    int rc = span_documents_build(m->audit->model.file, (const struct datanet_version *const *)m->versions, m->n,
                                  scratch, progress, m->audit, &made, &why);
    if (rc == OL_ENOMEM || rc == OL_EIO) {
        *e = why;
        return rc;
    }
    if (rc) {
        for (enum audit_check c = AUDIT_INDEX; c <= AUDIT_SOURCES; c++)
            audit_set(m->subject, c, AUDIT_DIFFERS, "it cannot be made again: %.200s", why.message);
        return OL_OK;
    }
    rc = policy_path(scratch, POLICY_SOURCES_FILE, path, e);
    if (!rc)
        rc = file_hash(path, hash, e);
    if (rc)
        return rc;
    compare_hash(m->subject, AUDIT_INDEX, pinned->index, made.index_hash);
    compare_hash(m->subject, AUDIT_SURPRISAL, pinned->surprisal, made.surprisal_hash);
    compare_hash(m->subject, AUDIT_SOURCES, pinned->sources, hash);
    return OL_OK;
}

/* ---- vectors */

struct own_vectors {
    struct taught_rows rows;
    struct sketch sketch;
    struct lora_model *lora; /* the audit's */
    struct row_encoder *encoder;
    double *phi, *norms, *u, clip_norm;
    int16_t *values;
    int32_t exponent;
};

static void gradients_progress(void *user, size_t done, size_t total)
{
    struct audit *a = user;
    a->progress(a->user, "gradients of rows", done, total);
}

static int compute(struct making *m, struct own_vectors *x, struct err *e)
{
    const struct vectors *v = &m->policy->vectors;
    const size_t k = v->sketch.dimensions;
    const int32_t window = m->audit->model.window ? m->audit->model.window : LORA_DEFAULT_ROWS;
    int rc = row_encoder_open(m->audit->model.file, &x->encoder, e);
    if (!rc)
        rc = taught_rows_load(x->encoder, m->versions, (uint32_t)m->n, &x->rows, e);
    if (!rc)
        rc = gradient_sketch_init(&x->sketch, v->sketch.seed, (uint32_t)k, lora_model_layout(x->lora), e);
    x->phi = calloc(x->rows.n + 1, k * sizeof *x->phi);
    x->norms = calloc(x->rows.n + 1, sizeof *x->norms);
    x->u = calloc(x->rows.n_owners + 1, k * sizeof *x->u);
    x->values = calloc(x->rows.n_owners + 1, k * sizeof *x->values);
    if (!rc && !(x->phi && x->norms && x->u && x->values))
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for the gradients of %zu rows", x->rows.n);
    if (!rc)
        rc = gradient_rows(x->lora, &x->sketch, x->rows.rows, x->rows.n, window, x->phi, x->norms, gradients_progress,
                           m->audit, e);
    if (!rc)
        rc = gradient_solve(&x->sketch, x->phi, x->norms, x->rows.owners, x->rows.n, x->rows.n_owners, x->u,
                            &x->clip_norm, e);
    return rc ? rc : vectors_quantize(x->u, x->rows.n_owners * k, x->values, &x->exponent, e);
}

static int compare(const struct making *m, const struct own_vectors *x, struct err *e)
{
    const struct vectors *v = &m->policy->vectors;
    const size_t k = v->sketch.dimensions;
    char address[12];
    if (v->n != x->rows.n_owners || v->sketch.n_blocks != x->sketch.n_blocks ||
        memcmp(v->sketch.block_dimensions, x->sketch.block_dimensions,
               v->sketch.n_blocks * sizeof *v->sketch.block_dimensions) != 0)
        return err_set(e, OL_EFORMAT, MODULE,
                       "vectors of %u contributors in %u blocks; the Datanets have %u, the adapter %u, or "
                       "others",
                       v->n, v->sketch.n_blocks, x->rows.n_owners, x->sketch.n_blocks);
    if (strtod(m->policy->document.gradients.clip_norm, NULL) != v->clip_norm)
        return err_set(e, OL_EFORMAT, MODULE, "policy.json says clip_norm %s, the vectors %.17g",
                       m->policy->document.gradients.clip_norm, v->clip_norm);
    if (fabs(v->clip_norm - x->clip_norm) > 1e-4 * x->clip_norm || v->exponent != x->exponent)
        return err_set(e, OL_EFORMAT, MODULE, "clipped to norm %.9g with exponent %d; computed again %.9g with %d",
                       v->clip_norm, v->exponent, x->clip_norm, x->exponent);
    for (uint32_t c = 0; c < v->n; c++) {
        audit_short(v->owners[c].address, address);
        if (vectors_owner_order(&v->owners[c], &x->rows.owner[c]) != 0)
            return err_set(e, OL_EFORMAT, MODULE, "vector %u is of %s…, by the Datanets it is another contributor's", c,
                           address);
        double cosine = audit_cosine(v->values + c * k, x->values + c * k, k);
        if (cosine < AUDIT_LEAST_COSINE)
            return err_set(e, OL_EFORMAT, MODULE,
                           "the vector of %s… has a cosine of %.6f to the one computed again; at least "
                           "%.4f",
                           address, cosine, AUDIT_LEAST_COSINE);
    }
    return 0;
}

static int make_vectors(struct making *m, struct err *e)
{
    const struct policy_document *d = &m->policy->document;
    struct own_vectors x = {0};
    struct err why = {0};
    int rc = audit_model_lora(m->audit, d->has_adapter ? audit_row(m->audit, d->adapter_version.id) : NULL,
                              audit_row(m->audit, d->model_version), m->audit->model.window, &x.lora, &why);
    if (rc == OL_ENOTFOUND) {
        audit_set(m->subject, AUDIT_VECTORS, AUDIT_UNAVAILABLE, "%s", why.message);
        return OL_OK;
    }
    if (!rc)
        rc = compute(m, &x, &why);
    if (!rc)
        rc = compare(m, &x, &why);
    taught_rows_deinit(&x.rows);
    row_encoder_close(x.encoder);
    free(x.phi);
    free(x.norms);
    free(x.u);
    free(x.values);
    if (rc == OL_ENOMEM || rc == OL_EIO) {
        *e = why;
        return rc;
    }
    audit_take(m->subject, AUDIT_VECTORS, rc, &why);
    return OL_OK;
}

/* policy_open compared the files' hashes with the document; the document's own stands in the row of a version. */
static void check_row(const struct audit *a, const struct policy *p, struct audit_subject *s)
{
    char x[12];
    bool named = a->n_bodies + a->n_bundles == 0;
    for (size_t i = 0; i < a->n_bodies && !named; i++) {
        const struct row_version *row = a->bodies[i].body.rows.versions.at;
        for (size_t k = 0; k < a->bodies[i].body.rows.versions.n && !named; k++)
            named = memcmp(row[k].content_hash, p->hash, SHA256_BYTES) == 0;
    }
    for (size_t i = 0; i < a->n_bundles && !named; i++)
        named = memcmp(a->bundles[i].bundle.attribution.policy.content_hash, p->hash, SHA256_BYTES) == 0;
    audit_set(s, AUDIT_FILE, named ? AUDIT_AGREED : AUDIT_UNAVAILABLE,
              named ? "%.0s"
                    : "no version in bodies and bundles has "
                      "the SHA-256 of this policy.json, %s…",
              audit_short(p->hash, x));
}

int audit_policy_checks(struct audit *a, const struct audit_policy *p, const char *scratch, struct audit_subject *s,
                        struct err *e)
{
    struct making m = {.audit = a, .policy = p->policy, .subject = s};
    const bool has_vectors = p->policy->document.has_gradients;
    const enum audit_check last = has_vectors ? AUDIT_VECTORS : AUDIT_SOURCES;
    const struct span_contribution *gone;
    char id[12], reason[ERR_MESSAGE_BYTES];
    int rc = OL_OK;
    check_row(a, p->policy, s);
    if (!find_versions(&m)) {
        none_of(s, AUDIT_INDEX, last, "not without the Datanet versions");
    } else if (!a->model.file || !scratch) {
        none_of(s, AUDIT_INDEX, last, "--model was not given: its tokenizer makes the documents");
    } else if ((gone = withdrawn_since(&m)) != NULL) {
        snprintf(reason, sizeof reason, "contribution %s… was withdrawn: the documents cannot be made again",
                 audit_short(gone->id, id));
        none_of(s, AUDIT_INDEX, last, reason);
    } else {
        rc = make_index(&m, scratch, e);
        remove_files(scratch);
        if (!rc && has_vectors)
            rc = make_vectors(&m, e);
    }
    return rc;
}
