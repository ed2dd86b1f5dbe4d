/* openlora chat: a streaming client of a node's /v1/chat/completions. */
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/http_client.h"
#include "cli/pay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chat {
    struct http_client *http;
    char *model; /* owned: what the "model" field says */
    int64_t max_tokens, seed;
    double temperature;
    const char *attribution; /* NULL, "spans" or "full" */
    struct payer *payer; /* NULL: nobody pays, or an API key does */
};

struct turn { /* one answer being read */
    struct answer *answer;
    json_t *usage; /* owned */
};

/* The node's base model: the listed one without a parent. */
static int use_base_model(struct chat *c, struct err *e)
{
    json_t *reply, *entry;
    size_t i;
    int rc = http_json(c->http, "GET", "/v1/models", NULL, &reply, e);
    if (rc)
        return rc;
    json_array_foreach(json_object_get(reply, "data"), i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "id"));
        if (id && !json_is_string(json_object_get(entry, "parent"))) {
            free(c->model);
            c->model = strdup(id);
            break;
        }
    }
    json_decref(reply);
    return c->model ? OL_OK : err_set(e, OL_EFORMAT, "chat", "the node lists no base model");
}

static int use_adapter(void *user, const char *name, struct err *e)
{
    struct chat *c = user;
    if (!name)
        return use_base_model(c, e);
    char *path = http_path(c->http, "/v1/models/", name);
    json_t *reply = NULL;
    int rc = path ? http_json(c->http, "GET", path, NULL, &reply, e) : err_set(e, OL_ENOMEM, "chat", "no memory");
    if (!rc) {
        free(c->model);
        c->model = strdup(name);
    }
    json_decref(reply);
    free(path);
    return rc;
}

/* One chat.completion.chunk: a piece of text, the reason of its end, or the usage. */
static bool on_event(void *user, const char *data)
{
    struct turn *t = user;
    struct answer *a = t->answer;
    json_t *chunk = json_loads(data, 0, NULL);
    json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    json_t *usage = json_object_get(chunk, "usage");
    if (json_string_length(content))
        answer_add(a, json_string_value(content), json_string_length(content));
    if (finish)
        snprintf(a->finish, sizeof a->finish, "%s", finish);
    if (json_is_object(usage)) {
        a->prompt_tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
        a->tokens = json_integer_value(json_object_get(usage, "completion_tokens"));
        json_decref(t->usage);
        t->usage = json_incref(usage);
    }
    json_decref(chunk);
    return true;
}

/* What the answer cost; with a wallet also what it owes now. */
static int take_bill(struct chat *c, const json_t *usage, struct answer *out, struct err *e)
{
    char coins[WEI_TEXT_BYTES + 2];
    struct bill bill;
    int rc = c->payer ? pay_settle(c->payer, usage, &bill, e) : 0;
    if (rc != 0 || !c->payer || !bill.known)
        return rc;
    wei_format_coin(bill.fee_wei, coins);
    snprintf(out->cost, sizeof out->cost, "%.31s %.11s", coins, c->payer->chain.coin);
    snprintf(out->receipt_id, sizeof out->receipt_id, "%s", bill.receipt_id);
    return 0;
}

/* How much of the answer contributors' spans own. */
static void take_spans(const json_t *usage, struct answer *out)
{
    const json_t *a = json_object_get(json_object_get(usage, "openlora"), "attribution");
    json_int_t tokens = 0;
    size_t i;
    json_t *span;
    if (!json_is_object(a))
        return;
    json_array_foreach(json_object_get(a, "spans"), i, span)
        tokens += json_integer_value(json_array_get(span, 1));
    snprintf(out->data, sizeof out->data, "%lld of %lld tokens in %zu spans of contributors' data", (long long)tokens,
             (long long)json_integer_value(json_object_get(a, "answer_tokens")), json_array_size(json_object_get(a, "spans")));
}

static int reply(void *user, const json_t *messages, struct answer *out, const volatile bool *stop, struct err *e)
{
    struct chat *c = user;
    json_t *body = json_pack("{ss sO sb s{sb} sI sf}", "model", c->model, "messages", (json_t *)(uintptr_t)messages,
                             "stream", 1, "stream_options", "include_usage", 1, "max_tokens", (json_int_t)c->max_tokens,
                             "temperature", c->temperature);
    if (!body)
        return err_set(e, OL_ENOMEM, "chat", "no memory for the request");
    if (c->seed >= 0)
        json_object_set_new(body, "seed", json_integer(c->seed));
    if (c->attribution)
        json_object_set_new(body, "attribution", json_string(c->attribution));
    struct turn turn = {.answer = out};
    int rc = c->payer ? pay_stream(c->payer, c->http, "/v1/chat/completions", body, on_event, &turn, stop, e)
                      : http_stream(c->http, "/v1/chat/completions", body, on_event, &turn, stop, e);
    if (rc == 0)
        rc = take_bill(c, turn.usage, out, e);
    take_spans(turn.usage, out);
    json_decref(turn.usage);
    json_decref(body);
    return rc;
}

/* Who pays: a wallet's vouchers, or whom an API key names. */
struct payment {
    bool wallet;
    const char *file, *password_file, *chain, *max_fee, *key;
};

static int open_payment(struct chat *c, const struct payment *p, struct payer *payer, struct err *e)
{
    if (!p->wallet)
        return http_use_key(c->http, p->key, e);
    int rc = payer_open(p->file, p->password_file, p->chain, p->max_fee, payer, e);
    c->payer = rc == 0 ? payer : NULL;
    return rc;
}

int command_chat(const struct command *command, int argc, char **argv)
{
    struct chat c = {.max_tokens = 512, .temperature = 0, .seed = -1};
    struct payment payment = {.chain = "devnet", .max_fee = "0.01"};
    struct payer payer = {0};
    const char *url = http_node_url(NULL), *model = NULL, *system = NULL;
    bool json = false;
    const struct option options[] = {
        TEXT("url", &url, "URL", "the node"),
        TEXT("model", &model, "NAME", "model or adapter to speak to (default: the node's base model)"),
        TEXT("system", &system, "TEXT", "system message"),
        INT("max-tokens", &c.max_tokens, "N", "longest answer", 1, 1 << 20),
        REAL("temperature", &c.temperature, "T", "0: always the most likely token", 0, 2),
        INT("seed", &c.seed, "N", "make sampling repeatable, -1: off", -1, INT32_MAX),
        TEXT("key", &payment.key, "KEY", "API key (default: $OPENLORA_API_KEY)"),
        FLAG("wallet", &payment.wallet, "pay each message with a voucher of your wallet (see openlora wallet)"),
        TEXT("wallet-file", &payment.file, "FILE", "the wallet's key file"),
        TEXT("password-file", &payment.password_file, "FILE", "its first line is the wallet's password (default: asked)"),
        TEXT("chain", &payment.chain, "NAME", "chain data that the wallet trusts"),
        TEXT("max-fee", &payment.max_fee, "COINS", "most that one message may cost"),
        TEXT("attribution", &c.attribution, "WORD",
             "spans: say how much of the answer stands in contributors' data; full: by gradients first, too"),
        FLAG("json", &json, "print one JSON object per answer instead of a stream"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    struct err e = {0};
    int rc = http_open(url, &c.http, &e);
    if (!rc)
        rc = open_payment(&c, &payment, &payer, &e);
    if (!rc && model)
        rc = (c.model = strdup(model)) ? OL_OK : err_set(&e, OL_ENOMEM, "chat", "no memory");
    else if (!rc)
        rc = use_base_model(&c, &e);
    struct conversation conversation = {reply, use_adapter, &c, system, json};
    int code = rc ? fail(command, EXIT_FAILED, "%s", e.message)
                  : conversation_run(command, &conversation, words ? argv[1] : NULL);
    payer_close(&payer);
    http_close(c.http);
    free(c.model);
    return code;
}
