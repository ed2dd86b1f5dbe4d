/* Publishing prices: those of ours in the catalog that the registry does not have. Whoever offers them wants them to
 * count, and nothing is promised at a price that is not registered. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { PUBLISH_GAS = 150000, PUBLISH_LOOK_MS = 5000 };

struct prices { /* the node's own, in the catalog's order; owned */
    struct row_price *at;
    bool registered[LIGHT_MAX_SLOTS];
    size_t n;
};

static int own_prices(struct lane *l, struct prices *out, struct err *e)
{
    uint8_t(*ids)[32] = calloc(LIGHT_MAX_SLOTS, sizeof *ids);
    const struct row_source *rows = &l->config.rows;
    *out = (struct prices){.at = calloc(LIGHT_MAX_SLOTS, sizeof *out->at)};
    int rc = ids && out->at ? 0 : err_set(e, OL_ENOMEM, "lane", "no memory for prices");
    for (size_t i = 0; !rc && out->n < LIGHT_MAX_SLOTS && rows->nth_price(rows->user, i, &out->at[out->n]); i++)
        if (memcmp(out->at[out->n].node, l->config.node, ADDRESS_BYTES) == 0)
            price_id(&out->at[out->n], ids[out->n]), out->n++;
    if (!rc && out->n)
        rc = chain_registered(l, (const uint8_t(*)[32])ids, out->n, out->registered, e);
    free(ids);
    return rc;
}

static int publish_price(struct lane *l, const struct row_price *price, struct err *e)
{
    uint8_t data[4 + 9 * ABI_WORD_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, data, sizeof data);
    call_registry_publish_price(&w, price);
    CHECK(!w.failed);
    struct lane_request r = {.purpose = TX_OTHER, .to = l->config.registry, .data = data, .len = w.len,
                             .gas_bound = PUBLISH_GAS};
    return lane_send(l, &r, e);
}

/* Sends as many as one step may; one that the registry refuses does not hold up the others. */
static int publish_missing(struct lane *l, const struct prices *p, size_t *sent, struct err *e)
{
    for (size_t i = 0; i < p->n && *sent < LANE_MAX_BURST; i++) {
        if (p->registered[i])
            continue;
        int rc = publish_price(l, &p->at[i], e);
        if (rc == OL_EINVAL)
            lane_warn(l, "a price cannot be published: %s", e->message);
        else if (rc)
            return rc;
        else
            ++*sent;
    }
    return 0;
}

int publish_step(struct lane *l, bool *sent, struct err *e)
{
    struct prices prices;
    size_t missing = 0, published = 0;
    *sent = false;
    if (!l->config.rows.nth_price || clock_unix_ms() < l->publish_again_ms)
        return 0;
    int rc = own_prices(l, &prices, e);
    for (size_t i = 0; i < prices.n && !rc; i++)
        missing += !prices.registered[i];
    if (!rc) {
        pthread_mutex_lock(&l->mutex);
        l->missing_prices = (int64_t)missing;
        pthread_mutex_unlock(&l->mutex);
        rc = publish_missing(l, &prices, &published, e);
    }
    free(prices.at);
    *sent = published;
    if (!rc && !published)
        l->publish_again_ms = clock_unix_ms() + (missing ? LANE_BACKOFF_MS : PUBLISH_LOOK_MS);
    return rc;
}
