/* GET /v1/account: what the caller has and owes. GET /v1/prices: what everything costs; for everybody. */
#include "api/auth.h"
#include "api/chain_answer.h"
#include "api/json_text.h"
#include "billing/bill_internal.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- /v1/account */

static json_t *limit_json(bool has, wei_t wei) { return has ? wei_to_json(wei) : json_null(); }

static json_t *key_account(struct app *app, const struct key *k)
{
    struct spend_sums sums = spend_sums(app->billing->spend, k->id, (int64_t)time(NULL));
    return json_pack("{ss ss ss ss so so so so so}", "object", "account", "tenant", k->tenant, "key", k->id, "currency",
                     app->config->currency, "spent_wei", wei_to_json(sums.total_wei), "spent_today_wei",
                     wei_to_json(sums.day_wei), "reserved_wei", wei_to_json(sums.reserved_wei), "limit_total_wei",
                     limit_json(k->has_total, k->total_wei), "limit_day_wei", limit_json(k->has_day, k->day_wei));
}

static int give_account(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    const struct caller *c = chain_answer_user(a);
    json_t *payer = json_copy((json_t *)(uintptr_t)body), *answer = payer;
    if (c->kind == CALLER_KEY) {
        answer = key_account(chain_answer_app(a), &c->key);
        json_object_set_new(answer, "wallet", payer);
    } else {
        json_object_set_new(answer, "object", json_string("account"));
        json_object_set_new(answer, "currency", json_string(chain_answer_app(a)->config->currency));
    }
    return chain_answer_give_json(a, answer, r);
}

void account(void *user, struct http_request *r)
{
    struct app *app = user;
    struct caller c, *copy;
    struct refusal refused = {0};
    char path[96] = "/v1/payers/0x";
    if (auth_reader(app, r, &c, &refused) != 0) {
        refusal_respond(app, &refused, r);
        return;
    }
    if (c.kind == CALLER_KEY && !c.key.has_wallet) { /* the operator's wallet is not the tenant's to look into */
        json_respond(r, 200, key_account(app, &c.key));
        return;
    }
    hex_encode(c.kind == CALLER_KEY ? c.key.wallet : c.wallet, ADDRESS_BYTES, path + strlen(path));
    copy = malloc(sizeof *copy);
    if (copy) {
        *copy = c;
        chain_answer_start(app, r, path, give_account, copy, free);
        return;
    }
    refuse(&refused, 503, "no_memory", NULL, "no memory for the answer");
    refusal_respond(app, &refused, r);
}

/* ---- /v1/prices */

static json_t *price_json(const struct catalog *c, const struct catalogued_price *p, bool in_force)
{
    const struct catalogued_version *v = chain_catalog_version(&c->served.rows, p->row.version);
    const struct row_price *row = &p->row;
    return json_pack("{so so ss? ss sI so so so so so sb}", "id", hex_to_json(p->id, 32), "version",
                     hex_to_json(row->version, 32), "name", v ? v->name : NULL, "tier", tier_name(row->tier),
                     "effective_time", (json_int_t)row->effective_time, "input_wei", wei_to_json(row->input_wei),
                     "cached_wei", wei_to_json(row->cached_wei), "output_wei", wei_to_json(row->output_wei),
                     "floor_wei", wei_to_json(row->floor_wei), "compute_wei", wei_to_json(row->compute_wei),
                     "in_force", in_force);
}

static json_t *prices_json(const struct app *app, const struct catalog *c)
{
    json_t *data = json_array();
    char node[ADDRESS_TEXT_BYTES];
    uint64_t now = (uint64_t)time(NULL);
    const struct catalogued_price *prices = c->served.rows.prices.at;
    for (size_t i = 0; i < c->served.rows.prices.n; i++) {
        const struct catalogued_price *p = &prices[i];
        bool in_force =
            catalog_price_now(c, p->row.version, (enum tier)p->row.tier, now) == p;
        if (memcmp(p->row.node, c->served.node, ADDRESS_BYTES) == 0 && (in_force || p->row.effective_time > now))
            json_array_append_new(data, price_json(c, p, in_force));
    }
    address_format(c->served.node, node);
    return json_pack("{ss ss sI ss ss so}", "object", "list", "node", node, "chain_id", (json_int_t)c->served.chain_id,
                     "currency", app->config->currency, "unit", "wei per million tokens; floor per answer", "data",
                     data);
}

void prices(void *user, struct http_request *r)
{
    struct app *app = user;
    struct catalog *c = app->billing ? billing_catalog(app->billing) : NULL;
    struct refusal refused;
    if (c) {
        json_respond(r, 200, prices_json(app, c));
    } else {
        refuse(&refused, app->billing ? 503 : 404, app->billing ? "billing_unavailable" : "billing_off", NULL, "%s",
               app->billing ? "chainlited has not been there yet" : "this node does not bill: nothing has a price");
        refusal_respond(app, &refused, r);
    }
    catalog_release(c);
}
