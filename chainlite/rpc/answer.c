#include "chainlite/rpc/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const fault_names[RPC_FAULT_COUNT] = {
    [RPC_FINE] = "fine",
    [RPC_NOT_ASKED] = "not_asked",
    [RPC_CONNECTION] = "connection",
    [RPC_TIMEOUT] = "timeout",
    [RPC_RATE_LIMITED] = "rate_limited",
    [RPC_HTTP] = "http",
    [RPC_TRUNCATED] = "truncated",
    [RPC_TOO_LARGE] = "too_large",
    [RPC_NOT_JSON] = "not_json",
    [RPC_MALFORMED] = "malformed",
    [RPC_WRONG_ID] = "wrong_id",
    [RPC_REFUSED] = "refused",
    [RPC_WRONG_CHAIN] = "wrong_chain",
    [RPC_STALE] = "stale",
    [RPC_BEHIND] = "behind",
    [RPC_DISAGREES] = "disagrees",
    [RPC_BAD_HEADER] = "bad_header",
    [RPC_BAD_PROOF] = "bad_proof",
};

const char *rpc_fault_name(enum rpc_fault fault)
{
    return (unsigned)fault < RPC_FAULT_COUNT ? fault_names[fault] : "unknown";
}

void clean_text(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    for (; text[n] && n + 1 < cap; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : ' ';
    out[n] = '\0';
}

void answer_deinit(struct rpc_answer *a)
{
    json_decref(a->result);
    a->result = NULL;
}

void rpc_answers_deinit(struct rpc_answers *answers)
{
    for (size_t i = 0; i < answers->n; i++)
        answer_deinit(&answers->of[i]);
    answers->n = 0;
}

void answer_fault(struct rpc_answer *out, enum rpc_fault fault, const char *format, ...)
{
    memset(out, 0, sizeof *out);
    out->fault = fault;
    va_list args;
    va_start(args, format);
    vsnprintf(out->message, sizeof out->message, format, args);
    va_end(args);
}

/* Providers that answer 200 to everything say this in words. */
static bool sounds_rate_limited(const char *message)
{
    return strcasestr(message, "rate limit") || strcasestr(message, "too many requests") ||
           strcasestr(message, "request limit");
}

static void parse_error(const json_t *error, struct rpc_answer *out)
{
    const json_t *code = json_object_get(error, "code"), *data = json_object_get(error, "data");
    const char *message = json_string_value(json_object_get(error, "message"));
    if (!json_is_integer(code) || !message) {
        answer_fault(out, RPC_MALFORMED, "its error has no code or no message");
        return;
    }
    out->fault = sounds_rate_limited(message) ? RPC_RATE_LIMITED : RPC_REFUSED;
    out->code = json_integer_value(code);
    clean_text(message, out->message, sizeof out->message);
    if (json_is_object(data)) /* Nethermind and some proxies wrap it once more */
        data = json_object_get(data, "data");
    if (json_is_string(data))
        clean_text(json_string_value(data), out->data, sizeof out->data);
}

static bool id_is(const json_t *id, uint64_t wanted)
{
    return json_is_integer(id) && json_integer_value(id) >= 0 && (uint64_t)json_integer_value(id) == wanted;
}

static void parse_object(json_t *root, uint64_t id, struct rpc_answer *out)
{
    const char *version = json_string_value(json_object_get(root, "jsonrpc"));
    json_t *result = json_object_get(root, "result"), *error = json_object_get(root, "error");
    if (error && !json_is_null(error) && json_is_null(json_object_get(root, "id"))) {
        parse_error(error, out); /* the specification's answer to a question whose id the server could not read */
        return;
    }
    if (!version || strcmp(version, "2.0"))
        answer_fault(out, RPC_MALFORMED, "not JSON-RPC 2.0");
    else if (!id_is(json_object_get(root, "id"), id))
        answer_fault(out, RPC_WRONG_ID, "an answer to another question");
    else if (error && !json_is_null(error))
        parse_error(error, out);
    else if (!result)
        answer_fault(out, RPC_MALFORMED, "neither a result nor an error");
    else
        out->result = json_incref(result);
}

void answer_parse(const char *body, size_t len, uint64_t id, struct rpc_answer *out)
{
    memset(out, 0, sizeof *out);
    json_error_t at;
    /* NUL: some nodes put a revert's bytes into the error's message. Texts that count are checked by their length. */
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &at);
    if (!root) {
        bool started = len && (body[0] == '{' || body[0] == '[');
        enum json_error_code code = json_error_code(&at);
        if (started && code == json_error_premature_end_of_input)
            answer_fault(out, RPC_TRUNCATED, "the answer ends after %zu bytes", len);
        else if (!len)
            answer_fault(out, RPC_TRUNCATED, "the answer is empty");
        else
            answer_fault(out, RPC_NOT_JSON, "not JSON from byte %d on", at.position);
        return;
    }
    if (json_is_object(root))
        parse_object(root, id, out);
    else
        answer_fault(out, RPC_MALFORMED, "not a JSON object");
    json_decref(root);
}
