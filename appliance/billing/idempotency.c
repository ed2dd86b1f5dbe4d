/* The order that makes a repeated request safe: a ticket is taken first and the ledger read then, so of two requests with
 * one key that come together the later sees either the ticket or the answer. */
#include "billing/idempotency.h"

#include "chainlite/json/values.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct idempotency {
    struct billing *billing; /* borrowed */
    pthread_mutex_t lock;
    struct idempotency_ticket *in_flight; /* few: as many as requests run */
};

int idempotency_open(struct billing *b, struct idempotency **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, "billing", "no memory for billing");
    (*out)->billing = b;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

void idempotency_close(struct idempotency *i)
{
    if (!i)
        return;
    CHECK(!i->in_flight);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

/* The length in front keeps (ab, c) apart from (a, bc). */
static void scope_of(const char *tenant, const char *key, uint8_t out[LEDGER_KEY_BYTES])
{
    struct keccak k;
    size_t n = strlen(tenant);
    keccak_init(&k);
    keccak_add(&k, &n, sizeof n);
    keccak_add(&k, tenant, n);
    keccak_add(&k, key, strlen(key));
    keccak_end(&k, out);
}

void kept_answer_deinit(struct kept_answer *k)
{
    json_decref(k->answer);
    buf_deinit(&k->before);
    buf_deinit(&k->after);
    buf_deinit(&k->outcome);
    *k = (struct kept_answer){0};
}

/* OL_ENOTFOUND: nothing is kept under this scope. */
static int load(struct ledger *l, const uint8_t scope[LEDGER_KEY_BYTES], struct kept_answer *out, struct err *e)
{
    struct buf answer;
    *out = (struct kept_answer){0};
    memcpy(out->scope, scope, sizeof out->scope);
    buf_init(&answer, LEDGER_MAX_VALUE_BYTES);
    buf_init(&out->before, LEDGER_MAX_VALUE_BYTES);
    buf_init(&out->after, LEDGER_MAX_VALUE_BYTES);
    buf_init(&out->outcome, LEDGER_MAX_VALUE_BYTES);
    int rc = ledger_get(l, LEDGER_ANSWER, scope, &answer, e);
    if (rc == 0) {
        out->answer = json_loadb(buf_str(&answer), answer.len, 0, NULL);
        rc = out->answer ? 0 : err_set(e, OL_EFORMAT, "billing", "a kept answer cannot be read");
    }
    if (rc == 0)
        rc = ledger_get(l, LEDGER_BEFORE, scope, &out->before, e);
    if (rc == 0)
        rc = ledger_get(l, LEDGER_AFTER, scope, &out->after, e);
    if (rc == 0) {
        int found = ledger_get(l, LEDGER_OUTCOME, scope, &out->outcome, e);
        rc = found == OL_ENOTFOUND ? 0 : found;
    }
    buf_deinit(&answer);
    if (rc != 0)
        kept_answer_deinit(out);
    return rc;
}

static bool is_request(const struct kept_answer *k, const uint8_t request[32])
{
    uint8_t kept[32];
    return hex_from_json(json_object_get(k->answer, "request"), kept, 32) && memcmp(kept, request, 32) == 0;
}

static struct idempotency_ticket *find(struct idempotency *i, const uint8_t scope[LEDGER_KEY_BYTES])
{
    struct idempotency_ticket *t = i->in_flight;
    while (t && memcmp(t->scope, scope, sizeof t->scope) != 0)
        t = t->next;
    return t;
}

/* A ticket, or what stands against it. */
static enum idempotency_state enter(struct idempotency *i, struct idempotency_ticket *t)
{
    pthread_mutex_lock(&i->lock);
    const struct idempotency_ticket *other = find(i, t->scope);
    enum idempotency_state state = !other                                        ? IDEMPOTENCY_NEW
                                   : memcmp(other->request, t->request, 32) == 0 ? IDEMPOTENCY_IN_FLIGHT
                                                                                 : IDEMPOTENCY_CONFLICT;
    if (!other) {
        t->next = i->in_flight;
        i->in_flight = t;
    }
    pthread_mutex_unlock(&i->lock);
    return state;
}

enum idempotency_state idempotency_begin(struct idempotency *i, const char *tenant, const char *key,
                                         const uint8_t request[32], struct idempotency_ticket **ticket,
                                         struct kept_answer *kept, struct err *e)
{
    struct idempotency_ticket *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(e, OL_ENOMEM, "billing", "no memory for the request");
        return IDEMPOTENCY_FAILED;
    }
    t->of = i;
    memcpy(t->request, request, 32);
    scope_of(tenant, key, t->scope);
    enum idempotency_state state = enter(i, t);
    if (state != IDEMPOTENCY_NEW) {
        free(t);
        return state;
    }
    int rc = load(i->billing->ledger, t->scope, kept, e); /* after entering: whoever finished did so before */
    if (rc == 0 && !is_request(kept, request)) {
        kept_answer_deinit(kept);
        state = IDEMPOTENCY_CONFLICT;
    } else if (rc == 0) {
        state = IDEMPOTENCY_FINISHED;
    } else if (rc != OL_ENOTFOUND) {
        state = IDEMPOTENCY_FAILED;
    } else if (ledger_bytes(i->billing->ledger) > (uint64_t)i->billing->config.kept_bytes) {
        state = IDEMPOTENCY_FULL;
    }
    if (state == IDEMPOTENCY_NEW)
        *ticket = t;
    else
        idempotency_end(t);
    return state;
}

void idempotency_end(struct idempotency_ticket *t)
{
    if (!t)
        return;
    struct idempotency *i = t->of;
    pthread_mutex_lock(&i->lock);
    struct idempotency_ticket **link = &i->in_flight;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    pthread_mutex_unlock(&i->lock);
    free(t);
}
