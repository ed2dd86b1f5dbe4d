/* GET /v1/receipts/{id}/attribution: whose data influenced an answer, for who paid for it; with ?evidence=true also what
 * an auditor needs (`openlora audit`). GET /v1/contributors/{address}: every use of a contributor's data. The latter is
 * public, as the bodies of batches are. */
#include "api/auth.h"
#include "api/chain_answer.h"
#include "api/receipts.h"
#include "attributor/explain.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/notation.h"
#include "chainlite/json/values.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asked { /* about one receipt */
    bool has_evidence, wants_evidence;
    bool waits; /* for gradients; looked at before the evidence, which has them when it waits no more */
    struct evidence evidence;
};

static void free_asked(void *user)
{
    struct asked *q = user;
    if (q->has_evidence)
        evidence_deinit(&q->evidence);
    free(q);
}

static bool load_evidence(struct app *app, const uint8_t id[32], struct evidence *out)
{
    struct buf text;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    bool there = ledger_get(app->billing->ledger, LEDGER_EVIDENCE, id, &text, NULL) == 0 &&
                 evidence_parse(buf_str(&text), text.len, out, NULL) == 0;
    buf_deinit(&text);
    return there;
}

static bool gradients_wait(struct app *app, const uint8_t id[32])
{
    struct buf nothing;
    buf_init(&nothing, 1);
    bool waits = ledger_get(app->billing->ledger, LEDGER_OPEN, id, &nothing, NULL) == 0;
    buf_deinit(&nothing);
    return waits;
}

/* The receipt's data part, from the bundle's parts. */
static wei_t data_part(const json_t *bundle)
{
    wei_t wei = 0;
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(bundle, "parts"), i, part)
        if (json_integer_value(json_object_get(part, "role")) == ROLE_DATA)
            (void)!wei_from_json(json_object_get(part, "amount"), &wei);
    return wei;
}

/* Shares of a signed statement; NULL: it is not signed yet, or there is no memory. */
static struct share *read_shares(const json_t *attribution, size_t *n)
{
    const json_t *list = json_object_get(attribution, "shares");
    size_t count = json_array_size(list);
    struct share *shares = json_is_object(json_object_get(attribution, "statement")) && count <= RECEIPT_MAX_SHARES
                               ? calloc(count + 1, sizeof *shares) : NULL;
    *n = count;
    for (size_t i = 0; shares && i < count; i++)
        if (notation_read(&share_schema, json_array_get(list, i), &shares[i], &(struct err){0}) != 0) {
            free(shares);
            return NULL;
        }
    return shares;
}

static json_t *evidence_json(const struct evidence *v)
{
    struct buf text;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    evidence_write(v, &text);
    json_t *j = buf_failed(&text) ? NULL : json_loadb(buf_str(&text), text.len, 0, NULL);
    buf_deinit(&text);
    return j;
}

/* Of this answer's own gradients. */
static const char *gradients_state(const struct asked *q)
{
    return q->evidence.has_gradients ? "computed" : q->waits ? "waiting" : "none";
}

static int give_attribution(struct chain_answer *a, const json_t *bundle, struct refusal *r)
{
    const struct asked *q = chain_answer_user(a);
    const struct app *app = chain_answer_app(a);
    json_t *attribution = json_object_get(bundle, "attribution");
    json_t *out = json_pack("{ss ss sO? sO? sO? so?}", "object", "attribution", "currency", app->billing->config.currency, "receipt_id",
                            json_object_get(json_object_get(bundle, "proof"), "receipt_id"), "statement",
                            json_object_get(attribution, "statement"), "signature",
                            json_object_get(attribution, "signature"), "data_wei", wei_to_json(data_part(bundle)));
    const struct policy *policy = q->has_evidence && app->attributor ? attributor_policy(app->attributor, q->evidence.policy)
                                                                     : NULL;
    if (!json_is_object(attribution)) {
        json_object_set_new(out, "why", json_string("no policy covers this answer: its data part goes to the unattributed "
                                                    "pool"));
    } else if (!policy) {
        json_object_set_new(out, "why", json_string("the evidence is gone (evidence_days), or its policy is not served here "
                                                    "any more"));
    } else {
        size_t n = 0;
        struct share *shares = read_shares(attribution, &n);
        struct explanation x = {.policy = policy, .tokenizer = app->tokenizer, .evidence = &q->evidence, .shares = shares,
                                .n_shares = n, .data_wei = data_part(bundle)};
        json_t *explained = explain(&x);
        json_object_update(out, explained);
        json_decref(explained);
        free(shares);
        json_object_set_new(out, "gradients", json_string(gradients_state(q)));
        if (q->wants_evidence)
            json_object_set_new(out, "evidence", evidence_json(&q->evidence));
    }
    return chain_answer_give_json(a, out, r);
}

/* The receipt is the caller's. */
void receipts_attribution(struct app *app, struct http_request *r, const uint8_t id[32])
{
    struct asked *q = calloc(1, sizeof *q);
    struct refusal refused;
    const char *evidence = http_request_query(r, "evidence");
    char path[128], hex[65];
    if (!q) {
        refuse(&refused, 503, "no_memory", NULL, "no memory for the answer");
        refusal_respond(app, &refused, r);
        return;
    }
    q->wants_evidence = evidence && strcmp(evidence, "true") == 0;
    q->waits = gradients_wait(app, id);
    q->has_evidence = load_evidence(app, id, &q->evidence);
    hex_encode(id, 32, hex);
    snprintf(path, sizeof path, "/v1/receipts/0x%s", hex);
    chain_answer_start(app, r, path, give_attribution, q, free_asked);
}

/* ---- contributors */

static int give_contributor(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    return chain_answer_give_json(a, json_deep_copy(body), r);
}

static void nothing(void *user) { (void)user; }

static bool plain(const char *text)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '.')
            return false;
    return true;
}

void contributors_get(void *user, struct http_request *r)
{
    struct app *app = user;
    const char *after = http_request_query(r, "after"), *limit = http_request_query(r, "limit");
    const char *address = http_request_rest(r);
    uint8_t parsed[ADDRESS_BYTES];
    struct refusal refused = {0};
    char path[256];
    if (!app->billing)
        refuse(&refused, 404, "not_found", NULL, "this node does not bill");
    else if (strncmp(address, "0x", 2) != 0 || !hex_decode(address, parsed, sizeof parsed))
        refuse(&refused, 400, "invalid_address", NULL, "name the contributor: 0x and 40 hexadecimal digits");
    else if ((after && (!plain(after) || strlen(after) > 80)) || (limit && (!plain(limit) || strlen(limit) > 6)))
        refuse(&refused, 400, NULL, "after", "after and limit are a page's own values");
    if (refused.status) {
        refusal_respond(app, &refused, r);
        return;
    }
    snprintf(path, sizeof path, "/v1/contributors/%s?limit=%s%s%s", address, limit ? limit : "100", after ? "&after=" : "",
             after ? after : "");
    chain_answer_start(app, r, path, give_contributor, NULL, nothing);
}
