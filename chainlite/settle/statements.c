/* Gradients in, statements out; see statements.h. */
#include "chainlite/settle/statements.h"

#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/statement_make.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "statements"

struct statements {
    struct statements_config config;
    pthread_mutex_t gate; /* between gradients and the making of statements */
};

struct policy { /* one that a batch's receipts have */
    uint8_t id[32];
    bool has_mean, changed;
    struct outbox_mean before, after; /* this batch's statements */
};

struct statement_set {
    struct statements *owner;
    uint64_t epoch;
    struct signed_statement *at; /* owned */
    size_t n, cap;
    struct policy *policy; /* owned */
    size_t policies;
    struct err *err; /* of the scan in progress */
};

int statements_open(const struct statements_config *config, struct statements **out, struct err *e)
{
    struct statements *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for statements");
    s->config = *config;
    pthread_mutex_init(&s->gate, NULL);
    return 0;
}

void statements_close(struct statements *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->gate);
    free(s);
}

/* ---- gradients */

static void refuse(struct gradient_result *result, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct gradient_result *result, const char *code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(result->message, sizeof result->message, format, ap);
    va_end(ap);
    result->code = code;
}

static bool is_zero(const uint8_t bytes[32])
{
    static const uint8_t none[32];
    return memcmp(bytes, none, 32) == 0;
}

struct kept { /* a row that gets gradients; n items of a request */
    bool yes;
    uint64_t epoch, sequence;
    struct outbox_attribution row;
};

/* Whether the receipt may still get gradients. */
static int find_receipt(struct outbox *o, const struct gradient_request *q, struct kept *k, struct gradient_result *out,
                        struct err *e)
{
    struct outbox_receipt receipt;
    struct outbox_batch batch;
    const struct proof *p = &receipt.proof;
    int rc = outbox_receipt_find(o, q->receipt_id, &receipt, e);
    if (rc == OL_ENOTFOUND) {
        refuse(out, "unknown_receipt", "no receipt has this id");
        return 0;
    }
    if (rc)
        return rc;
    k->epoch = p->epoch;
    k->sequence = p->sequence;
    if (is_zero(p->attribution_policy))
        refuse(out, "no_policy", "the receipt has no policy of attribution");
    else if (outbox_has_statement(o, p->epoch, p->sequence))
        refuse(out, "too_late", "the receipt's statement is signed");
    else if (outbox_batch_of(o, p->epoch, p->sequence, &batch, NULL) == 0 && batch.state >= BATCH_VOIDED)
        refuse(out, "too_late", "the receipt's batch is void");
    return out->code ? 0 : outbox_attribution(o, p->epoch, p->sequence, &k->row, e);
}

static int check_gradients(struct statements *s, const struct gradient_request *q, struct kept *k,
                           struct gradient_result *out, struct err *e)
{
    struct err why = {0};
    int rc = find_receipt(s->config.outbox, q, k, out, e);
    if (rc || out->code)
        return rc;
    if (is_zero(q->query_hash))
        refuse(out, "invalid", "query_hash is the hash of the answer's gradient, never 0");
    else if (gradients_check(q->gradient.at, q->gradient.n, k->row.open_tokens, k->row.answer_tokens, &why) != 0)
        refuse(out, "invalid", "%.180s", why.message);
    k->yes = !out->code;
    return 0;
}

/* Gradients of the requests, which are borrowed, into the rows. */
static int keep(struct statements *s, const struct gradient_request *requests, struct kept *kept, size_t n, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(s->config.outbox, &w, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct outbox_attribution row = kept[i].row;
        if (!kept[i].yes)
            continue;
        row.has_gradient = true;
        memcpy(row.query_hash, requests[i].query_hash, 32);
        row.gradient = requests[i].gradient;
        outbox_put_attribution(w, kept[i].epoch, kept[i].sequence, &row);
    }
    return rc ? rc : outbox_commit(w, e);
}

int statements_gradients(struct statements *s, const struct gradient_request *requests, struct gradient_result *results,
                         size_t n, struct err *e)
{
    struct kept *kept = calloc(n + 1, sizeof *kept);
    CHECK(n <= STATEMENTS_MAX_ITEMS);
    memset(results, 0, n * sizeof *results);
    if (!kept)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for gradients");
    pthread_mutex_lock(&s->gate);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = check_gradients(s, &requests[i], &kept[i], &results[i], e);
    if (rc == 0)
        rc = keep(s, requests, kept, n, e);
    pthread_mutex_unlock(&s->gate);
    if (rc == 0)
        crash_point(statements_gradients);
    for (size_t i = 0; i < n; i++)
        schema_free(&outbox_attribution_schema, &kept[i].row);
    free(kept);
    return rc;
}

/* ---- closing a batch */

/* The policy's sums, read once a batch. NULL: *e is filled. */
static struct policy *policy_of(struct statement_set *set, const uint8_t id[32], struct err *e)
{
    for (size_t i = 0; i < set->policies; i++)
        if (memcmp(set->policy[i].id, id, 32) == 0)
            return &set->policy[i];
    struct policy *grown = realloc(set->policy, (set->policies + 1) * sizeof *grown);
    if (!grown) {
        err_set(e, OL_ENOMEM, MODULE, "no memory for policies");
        return NULL;
    }
    set->policy = grown;
    struct policy *p = &grown[set->policies];
    *p = (struct policy){0};
    memcpy(p->id, id, 32);
    int rc = outbox_mean(set->owner->config.outbox, set->epoch, id, &p->before, e);
    p->has_mean = rc == 0;
    if (rc == 0)
        rc = outbox_mean(set->owner->config.outbox, set->epoch, id, &p->after, e);
    if (rc && rc != OL_ENOTFOUND) {
        schema_free(&outbox_mean_schema, &p->before);
        return NULL;
    }
    set->policies++;
    return p;
}

/* The next free place, zeroed; NULL without memory. */
static struct signed_statement *place_in(struct statement_set *set)
{
    if (set->n == set->cap) {
        size_t cap = set->cap ? 2 * set->cap : 64;
        void *grown = realloc(set->at, cap * sizeof *set->at);
        if (!grown)
            return NULL;
        set->at = grown;
        set->cap = cap;
    }
    set->at[set->n] = (struct signed_statement){0};
    return &set->at[set->n];
}

static int make(struct statement_set *set, const struct proof *p, const struct outbox_attribution *a, struct err *e)
{
    const struct statements_config *c = &set->owner->config;
    struct policy *policy = policy_of(set, p->attribution_policy, e);
    struct signed_statement *s = policy ? place_in(set) : NULL;
    uint8_t digest[HASH_BYTES];
    if (!s)
        return policy ? err_set(e, OL_ENOMEM, MODULE, "no memory for statements") : e->code;
    int rc = statement_make(p, a, policy->has_mean ? &policy->before : NULL, s, e);
    if (rc)
        return rc;
    set->n++;
    statement_digest(&s->statement, &c->domains, digest);
    rc = c->sign(c->user, digest, s->signature, e);
    if (rc || s->statement.kind != STATEMENT_GRADIENTS)
        return rc;
    rc = mean_add(&policy->after, a, e);
    policy->changed = policy->changed || rc == 0;
    return rc == OL_ELIMIT ? 0 : rc; /* the policy names more than it may: its mean stays as it is */
}

static int take_receipt(void *user, const struct outbox_receipt *r)
{
    struct statement_set *set = user;
    const struct proof *p = &r->proof;
    struct outbox *o = set->owner->config.outbox;
    struct outbox_attribution a;
    if (is_zero(p->attribution_policy) || outbox_has_statement(o, p->epoch, p->sequence))
        return 0;
    int rc = outbox_attribution(o, p->epoch, p->sequence, &a, set->err);
    if (rc)
        return err_prefix(set->err, "the attribution of receipt %llu", (unsigned long long)p->sequence);
    rc = make(set, p, &a, set->err);
    schema_free(&outbox_attribution_schema, &a);
    return rc;
}

int statements_begin(struct statements *s, uint64_t epoch, uint64_t first, uint64_t count, struct statement_set **out,
                     struct err *e)
{
    struct err local = {0};
    struct statement_set *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for statements");
    *set = (struct statement_set){.owner = s, .epoch = epoch, .err = e ? e : &local};
    pthread_mutex_lock(&s->gate);
    int rc = outbox_receipts(s->config.outbox, epoch, first, count, take_receipt, set, set->err);
    if (rc) {
        statements_end(set);
        return rc;
    }
    *out = set;
    crash_point(statements_made);
    return 0;
}

void statements_put(const struct statement_set *set, struct outbox_write *w)
{
    for (size_t i = 0; i < set->n; i++)
        outbox_put_statement(w, &set->at[i]);
    for (size_t i = 0; i < set->policies; i++)
        if (set->policy[i].changed)
            outbox_put_mean(w, set->epoch, set->policy[i].id, &set->policy[i].after);
}

void statements_end(struct statement_set *set)
{
    if (!set)
        return;
    pthread_mutex_unlock(&set->owner->gate);
    for (size_t i = 0; i < set->n; i++)
        schema_free(&signed_statement_schema, &set->at[i]);
    for (size_t i = 0; i < set->policies; i++) {
        schema_free(&outbox_mean_schema, &set->policy[i].before);
        schema_free(&outbox_mean_schema, &set->policy[i].after);
    }
    free(set->at);
    free(set->policy);
    free(set);
}
