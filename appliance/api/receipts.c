/* GET /v1/receipts, /v1/receipts/{id}: bills, for those who pay them. Whose a receipt is was written down before it was
 * asked for; somebody else's is as if it were not there. */
#include "api/auth.h"
#include "api/chain_answer.h"
#include "api/json_text.h"
#include "api/receipts.h"
#include "chainlite/json/values.h"
#include "chainlite/core/hex.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EXTRAS_BYTES = 1 << 20, LIMIT = 100 };

/* ---- one */

static bool is_theirs(const struct caller *c, const json_t *extras)
{
    const char *tenant = json_string_value(json_object_get(extras, "tenant"));
    uint8_t payer[ADDRESS_BYTES];
    if (c->kind == CALLER_KEY)
        return tenant && strcmp(tenant, c->tenant) == 0;
    return hex_from_json(json_object_get(extras, "payer"), payer, sizeof payer) &&
           memcmp(payer, c->wallet, sizeof payer) == 0;
}

/* What we wrote down of a receipt of the caller's; NULL: nothing, or it is somebody else's. */
static json_t *load_extras(struct app *app, const struct caller *c, const uint8_t id[32])
{
    struct buf value;
    json_t *extras = NULL;
    buf_init(&value, MAX_EXTRAS_BYTES);
    if (ledger_get(app->billing->ledger, LEDGER_RECEIPT, id, &value, NULL) == 0)
        extras = json_loadb(buf_str(&value), value.len, 0, NULL);
    buf_deinit(&value);
    if (extras && is_theirs(c, extras))
        return extras;
    json_decref(extras);
    return NULL;
}

/* chainlited's bundle with what only we know (docs/protocol.md §10), in the bundle's order. */
static int add_extras(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    static const char *const ours[] = {"salt", "request_body_hash", "response_text_hashes"};
    const json_t *extras = chain_answer_user(a);
    json_t *bundle = json_object(), *value;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        json_object_set(bundle, name, value);
        for (size_t i = 0; i < 3 && strcmp(name, "signature") == 0; i++)
            json_object_set(bundle, ours[i], json_object_get(extras, ours[i]));
    }
    for (size_t i = 0; i < 3; i++) /* chainlited's own, if it had any, were nothing */
        json_object_set(bundle, ours[i], json_object_get(extras, ours[i]));
    return chain_answer_give_json(a, bundle, r);
}

static void free_json(void *user) { json_decref(user); }

static bool read_caller(struct app *app, struct http_request *r, struct caller *c)
{
    struct refusal refused;
    if (auth_reader(app, r, c, &refused) == 0)
        return true;
    refusal_respond(app, &refused, r);
    return false;
}

/* "0x<64 digits>" and what follows it. */
static bool parse_path(const char *rest, uint8_t id[32], const char **behind)
{
    char digits[2 + 64 + 1];
    if (strnlen(rest, sizeof digits) < sizeof digits - 1 || strncmp(rest, "0x", 2) != 0)
        return false;
    snprintf(digits, sizeof digits, "%s", rest);
    *behind = rest + sizeof digits - 1;
    return hex_decode(digits, id, 32);
}

void receipts_get(void *user, struct http_request *r)
{
    struct app *app = user;
    struct caller c;
    char path[128];
    uint8_t id[32];
    const char *behind = "";
    if (!read_caller(app, r, &c))
        return;
    json_t *extras = parse_path(http_request_rest(r), id, &behind) ? load_extras(app, &c, id) : NULL;
    if (extras && !*behind) {
        snprintf(path, sizeof path, "/v1/receipts/%s", http_request_rest(r));
        chain_answer_start(app, r, path, add_extras, extras, free_json);
        return;
    }
    bool attribution = extras && strcmp(behind, "/attribution") == 0;
    json_decref(extras);
    if (attribution) {
        receipts_attribution(app, r, id);
        return;
    }
    struct refusal refused;
    refuse(&refused, 404, "not_found", NULL, "there is no such receipt of yours");
    refusal_respond(app, &refused, r);
}

/* ---- many */

static int give_list(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    json_t *list = json_object_get(body, "receipts"), *next = json_object_get(body, "next");
    return chain_answer_give_json(a, json_pack("{ss sO sO?}", "object", "list", "data", list, "next", next), r);
}

/* Into a query string: our filters are plain words and numbers. */
static bool add_filter(struct http_request *r, const char *name, struct buf *path)
{
    const char *value = http_request_query(r, name);
    if (!value)
        return true;
    for (const char *p = value; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
            return false;
    buf_printf(path, "&%s=%s", name, value);
    return !buf_failed(path);
}

static void nothing(void *user) { (void)user; }

/* "/v1/receipts?tenant=acme" or "…payer=0x…". */
void receipts_path(const struct caller *c, struct buf *path)
{
    char wallet[2 * ADDRESS_BYTES + 1];
    hex_encode(c->wallet, ADDRESS_BYTES, wallet);
    if (c->kind == CALLER_KEY)
        buf_printf(path, "/v1/receipts?tenant=%s", c->tenant);
    else
        buf_printf(path, "/v1/receipts?payer=0x%s", wallet);
}

void receipts_list(void *user, struct http_request *r)
{
    struct app *app = user;
    struct caller c;
    struct buf path;
    struct refusal refused;
    const char *limit = http_request_query(r, "limit");
    if (!read_caller(app, r, &c))
        return;
    buf_init(&path, 1024);
    receipts_path(&c, &path);
    bool plain = add_filter(r, "state", &path) && add_filter(r, "after", &path) && add_filter(r, "limit", &path);
    if (!limit)
        buf_printf(&path, "&limit=%d", LIMIT);
    if (plain) {
        chain_answer_start(app, r, buf_str(&path), give_list, NULL, nothing);
    } else {
        refuse(&refused, 400, NULL, "state", "the filters are state, after and limit: words of letters, digits, - . _");
        refusal_respond(app, &refused, r);
    }
    buf_deinit(&path);
}
