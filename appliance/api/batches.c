/* GET /v1/batches, /v1/batches/{number}/body: what the node settled, for everybody. Bodies are public by design (their
 * hash is on the chain); they are handed on from chainlited unread and in pieces, so that nobody makes this process hold
 * a whole one. */
#include "api/auth.h"
#include "api/chain_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 4 << 20, PAGE = 100 };

static void nothing(void *user) { (void)user; }

/* A number up to 64 bits, or `otherwise` without the parameter; false: something else stands there. */
static bool read_number(const char *text, uint64_t otherwise, uint64_t *out)
{
    char *end;
    *out = otherwise;
    if (!text)
        return true;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

static void refuse_request(struct app *app, struct http_request *r, int status, const char *code, const char *message)
{
    struct refusal refused;
    refuse(&refused, status, code, NULL, "%s", message);
    refusal_respond(app, &refused, r);
}

static bool bills(struct app *app, struct http_request *r)
{
    if (!app->billing)
        refuse_request(app, r, 404, "billing_off", "this node does not bill: it settles nothing");
    return app->billing != NULL;
}

static int give_list(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    return chain_answer_give_json(a, json_incref((json_t *)(uintptr_t)body), r);
}

void batches_list(void *user, struct http_request *r)
{
    struct app *app = user;
    uint64_t after, limit;
    char path[96];
    if (!bills(app, r))
        return;
    if (!read_number(http_request_query(r, "after"), 0, &after) ||
        !read_number(http_request_query(r, "limit"), PAGE, &limit)) {
        refuse_request(app, r, 400, "unsupported_value", "after and limit are numbers");
        return;
    }
    snprintf(path, sizeof path, "/v1/batches?after=%llu&limit=%llu", (unsigned long long)after,
             (unsigned long long)(limit < PAGE ? limit : PAGE));
    chain_answer_start(app, r, path, give_list, NULL, nothing);
}

static int give_piece(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    struct buf bytes;
    buf_init(&bytes, PIECE_BYTES + 1);
    buf_add(&bytes, json_string_value(body), json_string_length(body));
    if (buf_failed(&bytes)) {
        buf_deinit(&bytes);
        return refuse(r, 503, "no_memory", NULL, "no memory for the answer");
    }
    chain_answer_give(a, "application/json", &bytes);
    return 0;
}

void batches_body(void *user, struct http_request *r)
{
    struct app *app = user;
    const char *rest = http_request_rest(r), *slash = strchr(rest, '/');
    uint64_t number, from, bytes;
    char digits[24], path[128];
    if (!bills(app, r))
        return;
    snprintf(digits, sizeof digits, "%.*s", (int)(slash && slash - rest < 21 ? slash - rest : 0), rest);
    if (!slash || strcmp(slash, "/body") != 0 || !read_number(digits, 0, &number)) {
        refuse_request(app, r, 404, "not_found", "no such path: /v1/batches/NUMBER/body");
        return;
    }
    if (!read_number(http_request_query(r, "from"), 0, &from) ||
        !read_number(http_request_query(r, "bytes"), PIECE_BYTES, &bytes)) {
        refuse_request(app, r, 400, "unsupported_value", "from and bytes are numbers");
        return;
    }
    snprintf(path, sizeof path, "/v1/batches/%llu/body?from=%llu&bytes=%llu", (unsigned long long)number,
             (unsigned long long)from, (unsigned long long)(bytes < PIECE_BYTES ? bytes : PIECE_BYTES));
    chain_answer_start_bytes(app, r, path, give_piece, NULL, nothing);
}
