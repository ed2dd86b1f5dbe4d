/* Who is asking. A voucher goes before a key, because it is bound to this very body; a key that is sent and is nobody's is
 * an error, never "no key", or a revoked key would be served as anonymous. */
#include "api/auth.h"

#include "api/errors.h"
#include "api/json_text.h"
#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The token of "Authorization: Bearer …", or NULL. */
static const char *bearer(struct http_request *r)
{
    const char *header = http_request_header(r, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    header += 7;
    return header + strspn(header, " ");
}

static int no_key(struct refusal *r, const char *message)
{
    return refuse(r, 401, "invalid_api_key", NULL, "%s", message);
}

/* 1: the caller is known by a key; 0: there is none; −1: there is one, and it is nobody's. */
static int by_key(struct app *app, struct http_request *r, struct caller *c, struct refusal *refused)
{
    const char *token = app->keys ? bearer(r) : NULL;
    /* Stock clients must send something: where nobody needs a key, what does not look like one is none. */
    if (!token || (app->config->anonymous && strncmp(token, "ol-", 3) != 0))
        return 0;
    if (!keys_find(app->keys, token, &c->key))
        return no_key(refused, "the API key is unknown or was revoked; ask the operator for another");
    c->kind = CALLER_KEY;
    memcpy(c->tenant, c->key.tenant, sizeof c->tenant);
    return 1;
}

int auth_payer(struct app *app, struct http_request *r, const uint8_t *body_hash, struct caller *c,
               struct refusal *refused)
{
    struct payment payment;
    struct err why;
    *c = (struct caller){.kind = CALLER_ANONYMOUS};
    const char *header = app->billing ? http_request_header(r, "PAYMENT-SIGNATURE") : NULL;
    if (header) {
        if (payment_parse(header, &payment, &why) != 0)
            return refuse(refused, 400, "payment_malformed", NULL, "%s", why.message);
        return payer_check(app->billing, &payment, body_hash, c, refused);
    }
    int found = by_key(app, r, c, refused);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (!app->keys || app->config->anonymous) {
        memcpy(c->tenant, "anonymous", sizeof "anonymous");
        return 0;
    }
    c->kind = CALLER_UNPAID;
    return app->billing ? 0 : no_key(refused, "this node wants an API key: Authorization: Bearer ol-…");
}

int auth_reader(struct app *app, struct http_request *r, struct caller *c, struct refusal *refused)
{
    struct err why;
    *c = (struct caller){.kind = CALLER_UNPAID};
    const char *header = http_request_header(r, "OpenLoRA-Wallet");
    if (!app->billing)
        return refuse(refused, 404, "billing_off", NULL, "this node does not bill: there are no receipts");
    if (header) {
        if (wallet_check(app->billing->secp, header, http_request_path(r), (int64_t)time(NULL), c->wallet, &why) != 0)
            return refuse(refused, 401, "invalid_wallet", NULL, "%s", why.message);
        c->kind = CALLER_WALLET;
        memcpy(c->tenant, "0x", 3);
        hex_encode(c->wallet, ADDRESS_BYTES, c->tenant + 2);
        return 0;
    }
    int found = by_key(app, r, c, refused);
    if (found == 0)
        return no_key(refused, "receipts are shown to whom they are of: send the API key (Authorization: Bearer) or a "
                      "signed OpenLoRA-Wallet header");
    return found < 0 ? -1 : 0;
}

bool auth_admin(struct app *app, struct http_request *r)
{
    const char *token = bearer(r);
    struct refusal refused = {0};
    struct key key;
    if (!app->keys && app->config->hosts.n == 0)
        return true; /* a laptop: who reaches the loopback interface is at home */
    if (!app->keys)
        refuse(&refused, 403, "admin_key_required", NULL, "this node answers to other names than this machine's ([server] "
               "host), so only a key may change what it serves: openlora key add NAME --admin, and [auth] keys");
    else if (!token)
        no_key(&refused, "only the operator may change what this node serves: send a key that was made with --admin");
    else if (!keys_find(app->keys, token, &key))
        no_key(&refused, "the API key is unknown or was revoked");
    else if (!key.admin)
        refuse(&refused, 403, "not_an_admin", NULL, "the key %s is a user's; only one that was made with --admin may change "
               "what this node serves", key.id);
    else
        return true;
    refusal_respond(app, &refused, r);
    return false;
}

/* ---- saying no */

static json_t *error_json(const struct refusal *refused, const json_t *terms)
{
    const json_t *accept = json_array_get(json_object_get(terms, "accepts"), 0);
    const char *type = refused->status == 429   ? "rate_limit_error"
                       : refused->status == 401 ? "authentication_error"
                       : refused->status == 402 ? "insufficient_quota"
                       : refused->status == 403 ? "permission_error"
                       : refused->status < 500  ? "invalid_request_error"
                                                : "server_error";
    json_t *error = json_pack("{ss ss ss? ss?}", "message", refused->message, "type", type, "param", refused->param,
                              "code", refused->code);
    if (error && accept) {
        json_t *numbers = json_copy(json_object_get(accept, "extra"));
        json_object_set(numbers, "amount", json_object_get(accept, "amount"));
        json_object_set_new(error, "payment", numbers);
    }
    return json_pack("{so}", "error", error);
}

void refusal_respond(const struct app *app, const struct refusal *refused, struct http_request *r)
{
    struct catalog *catalog = refused->payment ? billing_catalog(app->billing) : NULL;
    json_t *terms = catalog ? payment_terms_json(&refused->terms, catalog) : NULL;
    json_t *body = error_json(refused, terms);
    if (terms) {
        struct buf header;
        buf_init(&header, PAYMENT_HEADER_BYTES);
        payment_header(terms, &header);
        if (!buf_failed(&header))
            http_respond_header(r, "PAYMENT-REQUIRED", buf_str(&header));
        buf_deinit(&header);
    }
    catalog_release(catalog);
    if (refused->status == 401)
        http_respond_header(r, "WWW-Authenticate", "Bearer");
    if (refused->status == 429 || refused->status == 409)
        http_respond_header(r, "Retry-After", "1");
    json_respond(r, refused->status, body);
}
