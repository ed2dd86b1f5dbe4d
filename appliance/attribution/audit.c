/* The order of an audit; see audit.h. */
#include "attribution/audit_internal.h"

#include "chainlite/core/hex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "audit"

static const char *const check_names[AUDIT_CHECKS] = {[AUDIT_FILE] = "file",
                                                      [AUDIT_BATCH] = "batch",
                                                      [AUDIT_TREES] = "trees",
                                                      [AUDIT_STATEMENTS] = "statements",
                                                      [AUDIT_DATANETS] = "datanets",
                                                      [AUDIT_INDEX] = "index",
                                                      [AUDIT_SURPRISAL] = "surprisal",
                                                      [AUDIT_SOURCES] = "sources",
                                                      [AUDIT_VECTORS] = "vectors",
                                                      [AUDIT_BUNDLE] = "bundle",
                                                      [AUDIT_SIGNATURE] = "signature",
                                                      [AUDIT_POLICY] = "policy",
                                                      [AUDIT_STATEMENT] = "statement",
                                                      [AUDIT_STATEMENT_SIGNATURE] = "statement_signature",
                                                      [AUDIT_SHARES] = "shares",
                                                      [AUDIT_MEAN] = "mean",
                                                      [AUDIT_POSTINGS] = "postings",
                                                      [AUDIT_EVIDENCE] = "evidence",
                                                      [AUDIT_ANSWER] = "answer",
                                                      [AUDIT_SPANS] = "spans",
                                                      [AUDIT_SPAN_ROOT] = "span_root",
                                                      [AUDIT_OPEN_TOKENS] = "open_tokens",
                                                      [AUDIT_SPAN_UNITS] = "span_units",
                                                      [AUDIT_QUERY_HASH] = "query_hash",
                                                      [AUDIT_GRADIENT_UNITS] = "gradient_units",
                                                      [AUDIT_QUERY] = "query"};

const char *audit_check_name(enum audit_check c) { return check_names[c]; }

const char *audit_outcome_name(enum audit_outcome o)
{
    static const char *const names[AUDIT_OUTCOMES] = {"agreed", "agreed", "unsampled", "unavailable", "differs"};
    return names[o];
}

enum audit_outcome audit_verdict(const struct audit_subject *s)
{
    enum audit_outcome worst = AUDIT_AGREED;
    for (int c = 0; c < AUDIT_CHECKS; c++)
        if (s->check[c].outcome > worst)
            worst = s->check[c].outcome;
    return worst;
}

/* A message that was cut within a character ends before it. */
static void whole_characters(char *text)
{
    size_t n = strlen(text), back = 0;
    while (back < 4 && back < n && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == n)
        return;
    unsigned char lead = (unsigned char)text[n - 1 - back];
    size_t needs = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (needs > back)
        text[n - 1 - back] = 0;
}

void audit_set(struct audit_subject *s, enum audit_check c, enum audit_outcome outcome, const char *format, ...)
{
    struct audit_result *r = &s->check[c];
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->reason, sizeof r->reason, format, ap);
    va_end(ap);
    whole_characters(r->reason);
    r->outcome = outcome;
}

void audit_take(struct audit_subject *s, enum audit_check c, int rc, const struct err *e)
{
    audit_set(s, c, rc ? AUDIT_DIFFERS : AUDIT_AGREED, "%s", rc ? e->message : "");
}

bool audit_is_zero(const uint8_t hash[32])
{
    static const uint8_t zero[32];
    return memcmp(hash, zero, sizeof zero) == 0;
}

const char *audit_short(const uint8_t *bytes, char out[12])
{
    char hex[9];
    hex_encode(bytes, 4, hex);
    snprintf(out, 12, "0x%s", hex);
    return out;
}

bool audit_draws(const struct audit_sample *s, const uint8_t receipt_id[32])
{
    uint8_t both[64], hash[HASH_BYTES];
    wei_t draw = 0;
    memcpy(both, s->beacon, 32);
    memcpy(both + 32, receipt_id, 32);
    keccak256(both, sizeof both, hash);
    for (int i = 0; i < 8; i++) /* the first 64 bits decide, but for one draw in 2^64 / 10^9 */
        draw = draw << 8 | hash[i];
    return s->ppb >= PPB || draw * PPB < (wei_t)s->ppb << 64;
}

/* ---- preparing */

static int body_order(const void *a, const void *b)
{
    const struct batch *x = &((const struct audit_body *)a)->body.batch,
                       *y = &((const struct audit_body *)b)->body.batch;
    int order = memcmp(x->node, y->node, ADDRESS_BYTES);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

static int bundle_order(const void *a, const void *b)
{
    return memcmp(((const struct audit_bundle *)a)->bundle.proof.receipt_id,
                  ((const struct audit_bundle *)b)->bundle.proof.receipt_id, 32);
}

static int evidence_order(const void *a, const void *b)
{
    return memcmp(((const struct evidence *)a)->receipt_id, ((const struct evidence *)b)->receipt_id, 32);
}

static int posting_by_sequence(const void *a, const void *b)
{
    const struct posting *x = a, *y = b;
    return x->sequence != y->sequence ? (x->sequence > y->sequence ? 1 : -1) : posting_order(x, y);
}

/* Sorted; two of the same would be two answers to one question. */
static int sort(void *at, size_t n, size_t bytes, int (*order)(const void *, const void *), const char *what,
                struct err *e)
{
    if (n < 2)
        return OL_OK;
    qsort(at, n, bytes, order);
    for (size_t i = 1; i < n; i++)
        if (order((const char *)at + (i - 1) * bytes, (const char *)at + i * bytes) == 0)
            return err_set(e, OL_EINVAL, MODULE, "%s is there twice: name each once", what);
    return OL_OK;
}

static int index_postings(struct audit_body *b, struct err *e)
{
    size_t n = b->body.postings.n;
    free(b->postings);
    b->postings = calloc(n + 1, sizeof *b->postings);
    if (!b->postings)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu postings", n);
    if (n)
        memcpy(b->postings, b->body.postings.at, n * sizeof *b->postings);
    qsort(b->postings, n, sizeof *b->postings, posting_by_sequence);
    return OL_OK;
}

int audit_prepare(struct audit *a, struct err *e)
{
    const uint8_t *settlement = chain_file_contract(a->chain, "Settlement"),
                  *escrow = chain_file_contract(a->chain, "Escrow");
    if (!settlement || !escrow)
        return err_set(e, OL_EINVAL, MODULE, "the data file of %s names no Settlement and Escrow", a->chain->name);
    domains_make(a->chain->chain_id, settlement, escrow, &a->domains);
    int rc = sort(a->bodies, a->n_bodies, sizeof *a->bodies, body_order, "the body of a batch", e);
    if (!rc)
        rc = sort(a->bundles, a->n_bundles, sizeof *a->bundles, bundle_order, "the bundle of a receipt", e);
    if (!rc)
        rc = sort(a->evidence, a->n_evidence, sizeof *a->evidence, evidence_order, "the evidence of a receipt", e);
    for (size_t i = 0; i < a->n_bodies && !rc; i++)
        rc = index_postings(&a->bodies[i], e);
    return rc;
}

/* ---- finding */

const struct audit_body *audit_body_before(const struct audit *a, const struct audit_body *b)
{
    const struct batch *x = &b->body.batch, *y = b > a->bodies ? &b[-1].body.batch : NULL;
    return y && memcmp(x->node, y->node, ADDRESS_BYTES) == 0 && y->number + 1 == x->number && y->epoch == x->epoch
               ? b - 1
               : NULL;
}

const struct audit_body *audit_body_after(const struct audit *a, const struct audit_body *b, bool *other_epoch)
{
    const struct audit_body *next = b + 1 < a->bodies + a->n_bodies ? b + 1 : NULL;
    *other_epoch = false;
    if (!next || memcmp(next->body.batch.node, b->body.batch.node, ADDRESS_BYTES) != 0 ||
        next->body.batch.number != b->body.batch.number + 1)
        return NULL;
    *other_epoch = next->body.batch.epoch != b->body.batch.epoch;
    return *other_epoch ? NULL : next;
}

const struct row_version *audit_row_in(const struct list *rows, const uint8_t id[32])
{
    const struct row_version *row = rows->at;
    for (size_t i = 0; i < rows->n; i++) {
        uint8_t found[32];
        version_id(&row[i], found);
        if (memcmp(found, id, 32) == 0)
            return &row[i];
    }
    return NULL;
}

const struct row_version *audit_row(const struct audit *a, const uint8_t id[32])
{
    const struct row_version *found = NULL;
    for (size_t i = 0; i < a->n_bodies && !found; i++)
        found = audit_row_in(&a->bodies[i].body.rows.versions, id);
    for (size_t i = 0; i < a->n_bundles && !found; i++) {
        struct bundle *b = &a->bundles[i].bundle;
        struct row_version *const rows[] = {&b->rows.model, &b->rows.adapter, &b->attribution.policy};
        for (int k = 0; k < 3 && !found; k++)
            found = audit_row_in(&(struct list){rows[k], 1}, id);
    }
    return found;
}

static const struct audit_bundle *find_bundle(const struct audit *a, const uint8_t receipt_id[32])
{
    struct audit_bundle key;
    memcpy(key.bundle.proof.receipt_id, receipt_id, 32);
    return a->n_bundles ? bsearch(&key, a->bundles, a->n_bundles, sizeof key, bundle_order) : NULL;
}

static const struct evidence *find_evidence(const struct audit *a, const uint8_t receipt_id[32])
{
    struct evidence key;
    memcpy(key.receipt_id, receipt_id, 32);
    return a->n_evidence ? bsearch(&key, a->evidence, a->n_evidence, sizeof key, evidence_order) : NULL;
}

static const struct policy *find_policy(const struct audit *a, const uint8_t content_hash[32])
{
    for (size_t i = 0; i < a->n_policies; i++)
        if (memcmp(a->policies[i].policy->hash, content_hash, SHA256_BYTES) == 0)
            return a->policies[i].policy;
    return NULL;
}

/* ---- running */

static int audit_receipt(struct audited *r, struct audit_room *room, struct err *e)
{
    struct audit *a = r->audit;
    struct audit_subject subject = {.kind = AUDIT_OF_RECEIPT, .proof = r->proof};
    r->subject = &subject;
    if (!audit_is_zero(r->proof->attribution_policy)) {
        r->policy_row = r->body ? audit_row_in(&r->body->body.rows.versions, r->proof->attribution_policy)
                                : audit_row(a, r->proof->attribution_policy);
        r->policy = r->policy_row ? find_policy(a, r->policy_row->content_hash) : NULL;
        r->evidence = find_evidence(a, r->proof->receipt_id);
    }
    int rc = OL_OK;
    audit_public(r, room);
    if (!audit_is_zero(r->proof->attribution_policy)) {
        if (audit_draws(&a->sample, r->proof->receipt_id))
            rc = audit_evidence(r, room, e);
        else
            audit_set(&subject, AUDIT_EVIDENCE, AUDIT_UNSAMPLED, "not drawn by the beacon");
    }
    if (!rc)
        a->report(a->user, &subject);
    return rc;
}

static int run_body(struct audit *a, const struct audit_body *b, struct audit_room *room, uint64_t *done,
                    uint64_t total, struct err *e)
{
    struct audit_subject subject = {.kind = AUDIT_OF_BODY, .name = b->path};
    const struct body_receipt *receipts = b->body.receipts.at;
    int rc = OL_OK;
    audit_body_checks(a, b, &subject);
    a->report(a->user, &subject);
    for (size_t i = 0; i < b->body.receipts.n && !rc; i++) {
        struct audited r = {.audit = a,
                            .proof = &receipts[i].proof,
                            .signature = receipts[i].signature,
                            .body = b,
                            .index = i,
                            .bundle = find_bundle(a, receipts[i].proof.receipt_id)};
        r.next = audit_body_after(a, b, &r.last_of_epoch);
        rc = audit_receipt(&r, room, e);
        a->progress(a->user, "receipts", ++*done, total);
    }
    return rc;
}

static bool in_a_body(const struct audit *a, const uint8_t receipt_id[32])
{
    for (size_t i = 0; i < a->n_bodies; i++) {
        const struct body_receipt *r = a->bodies[i].body.receipts.at;
        for (size_t k = 0; k < a->bodies[i].body.receipts.n; k++)
            if (memcmp(r[k].proof.receipt_id, receipt_id, 32) == 0)
                return true;
    }
    return false;
}

static int run_receipts(struct audit *a, struct audit_room *room, struct err *e)
{
    uint64_t total = a->n_bundles, done = 0;
    int rc = OL_OK;
    for (size_t i = 0; i < a->n_bodies; i++)
        total += a->bodies[i].body.receipts.n;
    for (size_t i = 0; i < a->n_bodies && !rc; i++)
        rc = run_body(a, &a->bodies[i], room, &done, total, e);
    for (size_t i = 0; i < a->n_bundles && !rc; i++) {
        const struct bundle *b = &a->bundles[i].bundle;
        struct audited r = {.audit = a, .proof = &b->proof, .signature = b->signature, .bundle = &a->bundles[i]};
        if (!in_a_body(a, b->proof.receipt_id))
            rc = audit_receipt(&r, room, e);
        a->progress(a->user, "receipts", ++done, total);
    }
    return rc;
}

/* Evidence of receipts that are not audited here: a wrong id must not pass in silence. */
static void report_strays(struct audit *a)
{
    char id[12];
    for (size_t i = 0; i < a->n_evidence; i++) {
        const uint8_t *receipt = a->evidence[i].receipt_id;
        struct audit_subject subject = {.kind = AUDIT_OF_FILE, .name = "evidence"};
        if (find_bundle(a, receipt) || in_a_body(a, receipt))
            continue;
        audit_set(&subject, AUDIT_FILE, AUDIT_UNAVAILABLE,
                  "evidence of receipt %s…, which neither bodies nor bundles have", audit_short(receipt, id));
        a->report(a->user, &subject);
    }
}

int audit_run(struct audit *a, const char *scratch, struct err *e)
{
    struct audit_room *room = calloc(1, sizeof *room);
    int rc = room ? OL_OK : err_set(e, OL_ENOMEM, MODULE, "no memory for an audit");
    for (size_t i = 0; i < a->n_policies && !rc; i++) {
        struct audit_subject subject = {.kind = AUDIT_OF_POLICY, .name = a->policies[i].folder};
        rc = audit_policy_checks(a, &a->policies[i], scratch, &subject, e);
        if (!rc)
            a->report(a->user, &subject);
    }
    if (!rc)
        rc = run_receipts(a, room, e);
    if (!rc)
        report_strays(a);
    free(room);
    return rc;
}

void audit_deinit(struct audit *a)
{
    for (size_t i = 0; i < a->n_bodies; i++) {
        schema_free(&body_schema, &a->bodies[i].body);
        free(a->bodies[i].postings);
        free(a->bodies[i].path);
    }
    for (size_t i = 0; i < a->n_bundles; i++) {
        schema_free(&bundle_schema, &a->bundles[i].bundle);
        free(a->bundles[i].path);
    }
    for (size_t i = 0; i < a->n_evidence; i++)
        evidence_deinit(&a->evidence[i]);
    for (size_t i = 0; i < a->n_policies; i++)
        policy_close(a->policies[i].policy);
    for (size_t i = 0; i < a->n_datanets; i++)
        datanet_version_close(a->datanets[i].version);
    lora_model_close(a->model.lora);
    tokenizer_close(a->model.tokenizer);
    if (a->model.file)
        model_file_close(a->model.file);
    free(a->bodies);
    free(a->bundles);
    free(a->evidence);
    free(a->policies);
    free(a->datanets);
}
