#include "billing/health.h"

#include <stdio.h>
#include <string.h>

const char *const billing_refusals[] = {"chainlited_away", "disk_full",      "chain_stale",     "epoch_closed",
                                        "clock_skew",      "prices_missing", "receipts_waiting"};
const int n_billing_refusals = sizeof billing_refusals / sizeof *billing_refusals;

static int64_t number_or(const json_t *j, int64_t otherwise)
{
    return json_is_integer(j) && json_integer_value(j) >= 0 ? json_integer_value(j) : otherwise;
}

/* A code of chainlited's that this build has no name for counts as chain_stale. */
void readiness_read(const json_t *answer, struct readiness *out)
{
    const json_t *refusal = json_object_get(answer, "refusal"), *lane = json_object_get(answer, "lane");
    const char *code = json_string_value(json_object_get(refusal, "code"));
    const char *message = json_string_value(json_object_get(refusal, "message"));
    *out = (struct readiness){.missing_prices = number_or(json_object_get(lane, "missing_prices"), -1),
                              .gas_pays_batches = number_or(json_object_get(lane, "gas_pays_batches"), -1)};
    if (!json_is_object(refusal))
        return;
    out->refusal = "chain_stale";
    for (int i = 0; code && i < n_billing_refusals; i++)
        if (strcmp(code, billing_refusals[i]) == 0)
            out->refusal = billing_refusals[i];
    snprintf(out->message, sizeof out->message, "%s", message ? message : "chainlited does not say why");
}

static int64_t own_prices(const struct catalog *c)
{
    const struct catalogued_price *p = c->served.rows.prices.at;
    int64_t n = 0;
    for (size_t i = 0; i < c->served.rows.prices.n; i++)
        n += memcmp(p[i].row.node, c->served.node, ADDRESS_BYTES) == 0;
    return n;
}

static void refuse_all(struct billing_health *h, const char *refusal, const char *message)
{
    h->refusal = refusal;
    snprintf(h->message, sizeof h->message, "%s", message);
}

void billing_health_of(const struct catalog *c, const struct readiness *ready, const char *away, size_t receipts_waiting,
                       size_t max, struct billing_health *h)
{
    *h = (struct billing_health){.prices = c ? own_prices(c) : -1, .missing_prices = ready->missing_prices,
                                 .gas_pays_batches = ready->gas_pays_batches, .receipts_waiting = receipts_waiting};
    if (away)
        refuse_all(h, "chainlited_away", away);
    else if (ready->refusal)
        refuse_all(h, ready->refusal, ready->message);
    else if (h->prices == 0)
        refuse_all(h, "prices_missing", "the catalog has no price of this node; openlora chain register makes one");
    else if (h->prices > 0 && h->missing_prices >= h->prices)
        refuse_all(h, "prices_missing", "no price of this node is registered on the chain yet");
    else if (receipts_waiting >= max)
        refuse_all(h, "receipts_waiting", "too many receipts of delivered answers wait to be signed");
}
