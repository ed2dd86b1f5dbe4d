/* The parts of billing and their order: the ledger before what stands on it, the client of chainlited before the keeper,
 * which asks it. */
#include "billing/billing.h"

#include "billing/bill.h"
#include "billing/idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define MODULE "billing"

struct catalog *billing_catalog(struct billing *b) { return keeper_catalog(b->keeper); }
bool billing_reachable(struct billing *b, struct err *why) { return keeper_reachable(b->keeper, why); }
void billing_health(struct billing *b, struct billing_health *out) { keeper_health(b->keeper, out); }

void billing_set_numerics(struct billing *b, const char *id) { snprintf(b->numerics, sizeof b->numerics, "%s", id); }

static int open_parts(struct billing *b, struct err *e)
{
    char folder[4096];
    uint8_t random[32];
    const struct billing_config *c = &b->config;
    struct chain_config chain = {.socket = c->socket, .record_s = (int)c->record_s, .before_record = bill_before_record,
                                 .ctx = b};
    int n = snprintf(folder, sizeof folder, "%s/ledger", c->state_dir);
    if (n < 0 || (size_t)n >= sizeof folder)
        return err_set(e, OL_ELIMIT, MODULE, "%.120s: the path is too long", c->state_dir);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(e, OL_EIO, MODULE, "the system gives no random bytes");
    b->secp = secp_open(random);
    int rc = b->secp ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    if (rc == 0)
        rc = ledger_open(folder, &b->ledger, e);
    if (rc == 0)
        rc = spend_open(b->ledger, &b->spend, e);
    if (rc == 0)
        rc = arrears_open(b->ledger, &b->arrears, e);
    if (rc == 0)
        rc = idempotency_open(b, &b->idempotency, e);
    if (rc == 0)
        rc = chain_client_open(&chain, &b->chain, e);
    return rc == 0 ? keeper_open(b, &b->keeper, e) : rc;
}

int billing_open(const struct billing_config *config, struct billing **out, struct err *e)
{
    *out = NULL;
    struct billing *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    b->config = *config;
    int rc = open_parts(b, e);
    if (rc != 0) {
        billing_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

void billing_stop(struct billing *b)
{
    if (!b)
        return;
    keeper_stop(b->keeper);
    chain_client_stop(b->chain);
}

void billing_close(struct billing *b)
{
    if (!b)
        return;
    billing_stop(b);
    keeper_close(b->keeper);
    chain_client_close(b->chain);
    idempotency_close(b->idempotency);
    spend_close(b->spend);
    arrears_close(b->arrears);
    ledger_close(b->ledger);
    secp_close(b->secp);
    free(b);
}
