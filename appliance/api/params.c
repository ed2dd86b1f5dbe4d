/* Request parameters against one table: a row says on which routes there is one, its type and range, and where it goes.
 * What is not in the table is an error that names it: a parameter that is silently ignored changes an answer that somebody
 * pays for. */
#include "api/params.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BIAS = 1024, MAX_CHOICES = 16 };

enum kind {
    INTEGER, /* int32_t */
    REAL,    /* float */
    BOOLEAN, /* bool */
    TEXT,    /* const char * */
    JSON,    /* const json_t *, looked at later */
    ONLY,    /* accepted for compatibility with the values of `only`, and of no effect */
    IGNORED, /* accepted with any value, and of no effect */
    OTHER,   /* `parse` */
};

struct param {
    const char *name;
    unsigned routes; /* bits of enum route */
    enum kind kind;
    size_t offset;
    double min, max;
    const char *only; /* a JSON array */
    int (*parse)(struct params *, const json_t *, int32_t vocab, struct api_error *);
};

/* ---- parameters that need more than a type and a range */

static int parse_seed(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    if (!json_is_integer(v))
        return api_fail(e, 400, "seed", NULL, "'seed' must be an integer");
    p->has_seed = true;
    p->seed = json_integer_value(v);
    return 0;
}

static int parse_top_p(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    double x = json_is_number(v) ? json_number_value(v) : -1;
    if (!(x > 0 && x <= 1))
        return api_fail(e, 400, "top_p", NULL, "'top_p' must be a number above 0 and at most 1");
    p->sampling.top_p = (float)x;
    return 0;
}

static int parse_top_k(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    json_int_t k = json_is_integer(v) ? json_integer_value(v) : -2;
    if (k < -1 || k > INT32_MAX)
        return api_fail(e, 400, "top_k", NULL, "'top_k' must be a positive integer, or 0 or -1 for off");
    p->sampling.top_k = k < 0 || k >= vocab ? 0 : (int32_t)k;
    return 0;
}

static int add_stop(struct params *p, const json_t *v, struct api_error *e)
{
    size_t len = json_string_length(v);
    if (!json_is_string(v) || len == 0 || len > STOP_MAX_BYTES)
        return api_fail(e, 400, "stop", NULL, "'stop' must be a string of 1 to %d bytes, or an array of them",
                        STOP_MAX_BYTES);
    if (!stop_list_add(&p->stop, json_string_value(v), len))
        return api_fail(e, 503, "stop", "no_memory", "no memory for the stop strings");
    return 0;
}

static int parse_stop(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    if (!json_is_array(v))
        return add_stop(p, v, e);
    if (json_array_size(v) > STOP_MAX)
        return api_fail(e, 400, "stop", NULL, "'stop' takes at most %d strings", STOP_MAX);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (add_stop(p, json_array_get(v, i), e) != 0)
            return -1;
    return 0;
}

static int parse_logit_bias(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v) || json_object_size(v) > MAX_BIAS)
        return api_fail(e, 400, "logit_bias", NULL, "'logit_bias' must be an object of at most %d token ids", MAX_BIAS);
    p->bias = calloc(json_object_size(v) + 1, sizeof *p->bias);
    if (!p->bias)
        return api_fail(e, 503, "logit_bias", "no_memory", "no memory for 'logit_bias'");
    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        char *end;
        errno = 0;
        long token = strtol(key, &end, 10);
        if (key[0] < '0' || key[0] > '9' || (key[0] == '0' && key[1]) || *end || errno || token >= vocab)
            return api_fail(e, 400, "logit_bias", NULL, "'logit_bias' has a key that is not a token id below %d",
                            vocab);
        double add = json_is_number(value) ? json_number_value(value) : NAN;
        if (!(add >= -100 && add <= 100))
            return api_fail(e, 400, "logit_bias", NULL, "'logit_bias' of token %ld must be a number from -100 to 100",
                            token);
        p->bias[p->sampling.n_bias++] = (struct step_bias){(int32_t)token, (float)add};
    }
    p->sampling.bias = p->bias;
    return 0;
}

/* Chat: a switch, with top_logprobs beside it. */
static int parse_chat_logprobs(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    if (!json_is_boolean(v))
        return api_fail(e, 400, "logprobs", NULL, "'logprobs' must be true or false");
    p->logprobs = json_is_true(v);
    return 0;
}

/* Completions: how many alternatives; 0 still means the chosen tokens' own. */
static int parse_logprobs(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (n < 0 || n > STEP_TOP_LOGPROBS)
        return api_fail(e, 400, "logprobs", NULL, "'logprobs' must be an integer from 0 to %d", STEP_TOP_LOGPROBS);
    p->logprobs = true;
    p->top_logprobs = (int32_t)n;
    return 0;
}

/* Which tiers there are depends on prices: whoever bills says no to one that has none. */
static int parse_service_tier(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    static const char *const names[] = {"auto", "default", "flex", "priority"};
    (void)vocab;
    for (int i = 0; i < 4; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), names[i]) == 0) {
            p->tier = i - 1;
            return 0;
        }
    return api_fail(e, 400, "service_tier", "unsupported_value", "'service_tier' supports only these values: auto, "
                    "default, flex, priority");
}

static int parse_attribution(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    static const char *const names[] = {"off", "spans", "full"};
    (void)vocab;
    for (int i = 0; i < 3; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), names[i]) == 0) {
            p->attribution = (enum attribution_wish)i;
            return 0;
        }
    return api_fail(e, 400, "attribution", "unsupported_value", "'attribution' supports only these values: off, "
                    "spans, full");
}

static int parse_stream_options(struct params *p, const json_t *v, int32_t vocab, struct api_error *e)
{
    (void)vocab;
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return api_fail(e, 400, "stream_options", NULL, "'stream_options' must be an object");
    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        bool usage = strcmp(key, "include_usage") == 0;
        if (!usage && strcmp(key, "include_obfuscation") != 0)
            return api_fail(e, 400, "stream_options", "unknown_parameter", "unknown parameter: 'stream_options.%s'",
                            key);
        if (!json_is_boolean(value))
            return api_fail(e, 400, "stream_options", NULL, "'stream_options.%s' must be true or false", key);
        if (usage)
            p->include_usage = json_is_true(value);
    }
    return 0;
}

/* ---- the table */

enum { BOTH = ROUTE_CHAT | ROUTE_COMPLETIONS };
#define AT(field) .offset = offsetof(struct params, field)

static const struct param params[] = {
    {"model", BOTH, TEXT, AT(model)},
    {"messages", ROUTE_CHAT, JSON, AT(messages)},
    {"prompt", ROUTE_COMPLETIONS, JSON, AT(prompt)},
    {"tools", ROUTE_CHAT, JSON, AT(tools)},
    {"stream", BOTH, BOOLEAN, AT(stream)},
    {"stream_options", BOTH, OTHER, .parse = parse_stream_options},
    {"max_tokens", BOTH, INTEGER, AT(max_tokens), 1, INT32_MAX},
    {"max_completion_tokens", ROUTE_CHAT, INTEGER, AT(max_tokens), 1, INT32_MAX},
    {"n", BOTH, INTEGER, AT(n), 1, MAX_CHOICES},
    {"temperature", BOTH, REAL, AT(sampling.temperature), 0, 2},
    {"top_p", BOTH, OTHER, .parse = parse_top_p},
    {"top_k", BOTH, OTHER, .parse = parse_top_k},
    {"min_p", BOTH, REAL, AT(sampling.min_p), 0, 1},
    {"repetition_penalty", BOTH, REAL, AT(sampling.repetition), 0.01, 10},
    {"frequency_penalty", BOTH, REAL, AT(sampling.frequency), -2, 2},
    {"presence_penalty", BOTH, REAL, AT(sampling.presence), -2, 2},
    {"logit_bias", BOTH, OTHER, .parse = parse_logit_bias},
    {"seed", BOTH, OTHER, .parse = parse_seed},
    {"stop", BOTH, OTHER, .parse = parse_stop},
    {"logprobs", ROUTE_CHAT, OTHER, .parse = parse_chat_logprobs},
    {"logprobs", ROUTE_COMPLETIONS, OTHER, .parse = parse_logprobs},
    {"top_logprobs", ROUTE_CHAT, INTEGER, AT(top_logprobs), 0, STEP_TOP_LOGPROBS},
    {"ignore_eos", BOTH, BOOLEAN, AT(ignore_eos)},
    {"user", BOTH, TEXT, AT(user)},
    {"tool_choice", ROUTE_CHAT, ONLY, .only = "[\"none\",\"auto\"]"},
    {"parallel_tool_calls", ROUTE_CHAT, ONLY, .only = "[true,false]"},
    {"response_format", ROUTE_CHAT, ONLY, .only = "[{\"type\":\"text\"}]"},
    {"modalities", ROUTE_CHAT, ONLY, .only = "[[\"text\"]]"},
    {"service_tier", BOTH, OTHER, .parse = parse_service_tier},
    {"attribution", BOTH, OTHER, .parse = parse_attribution},
    {"store", ROUTE_CHAT, ONLY, .only = "[false]"},
    {"metadata", ROUTE_CHAT, IGNORED, .only = NULL},
    {"prompt_cache_key", ROUTE_CHAT, IGNORED, .only = NULL},
    {"safety_identifier", ROUTE_CHAT, IGNORED, .only = NULL},
    {"echo", ROUTE_COMPLETIONS, ONLY, .only = "[false]"},
    {"suffix", ROUTE_COMPLETIONS, ONLY, .only = "[\"\"]"},
    {"best_of", ROUTE_COMPLETIONS, ONLY, .only = "[1]"},
};

static int parse_only(const struct param *param, const json_t *v, struct api_error *e)
{
    json_t *allowed = json_loads(param->only, 0, NULL);
    bool found = false;
    for (size_t i = 0; i < json_array_size(allowed) && !found; i++)
        found = json_equal(json_array_get(allowed, i), v);
    json_decref(allowed);
    if (found)
        return 0;
    return api_fail(e, 400, param->name, "unsupported_value", "'%s' supports only these values: %s", param->name,
                    param->only);
}

static int parse_integer(const struct param *param, const json_t *v, int32_t *to, struct api_error *e)
{
    json_int_t x = json_integer_value(v);
    if (!json_is_integer(v) || (double)x < param->min || (double)x > param->max)
        return api_fail(e, 400, param->name, NULL, "'%s' must be an integer from %.0f to %.0f", param->name, param->min,
                        param->max);
    *to = (int32_t)x;
    return 0;
}

static int parse_real(const struct param *param, const json_t *v, float *to, struct api_error *e)
{
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(x >= param->min && x <= param->max))
        return api_fail(e, 400, param->name, NULL, "'%s' must be a number from %g to %g", param->name, param->min,
                        param->max);
    *to = (float)x;
    return 0;
}

static int parse_one(const struct param *param, const json_t *v, int32_t vocab, struct params *p, struct api_error *e)
{
    void *to = (char *)p + param->offset;
    switch (param->kind) {
    case INTEGER:
        return parse_integer(param, v, to, e);
    case REAL:
        return parse_real(param, v, to, e);
    case BOOLEAN:
        if (!json_is_boolean(v))
            return api_fail(e, 400, param->name, NULL, "'%s' must be true or false", param->name);
        *(bool *)to = json_is_true(v);
        return 0;
    case TEXT:
        if (!json_is_string(v))
            return api_fail(e, 400, param->name, NULL, "'%s' must be a string", param->name);
        *(const char **)to = json_string_value(v);
        return 0;
    case JSON:
        *(const json_t **)to = v;
        return 0;
    case ONLY:
        return parse_only(param, v, e);
    case OTHER:
        return param->parse(p, v, vocab, e);
    case IGNORED:
        break;
    }
    return 0;
}

static const struct param *find(const char *name, enum route route)
{
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        if ((params[i].routes & route) && strcmp(params[i].name, name) == 0)
            return &params[i];
    return NULL;
}

static int parse_all(const json_t *body, enum route route, int32_t vocab, struct params *p, struct api_error *e)
{
    const char *name;
    json_t *value;
    if (!json_is_object(body))
        return api_fail(e, 400, NULL, NULL, "the body must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        const struct param *param = find(name, route);
        if (!param)
            return api_fail(e, 400, name, "unknown_parameter", "unknown or unsupported parameter: '%.200s'", name);
        if (!json_is_null(value) && parse_one(param, value, vocab, p, e) != 0)
            return -1;
    }
    /* max_completion_tokens is the newer name and wins, whichever comes first in the body. */
    const json_t *newer = json_object_get(body, "max_completion_tokens");
    if (json_is_integer(newer))
        p->max_tokens = (int32_t)json_integer_value(newer);
    if (p->top_logprobs > 0 && !p->logprobs)
        return api_fail(e, 400, "top_logprobs", NULL, "'top_logprobs' needs 'logprobs' to be true");
    if (json_object_get(body, "stream_options") && !json_is_null(json_object_get(body, "stream_options")) && !p->stream)
        return api_fail(e, 400, "stream_options", NULL, "'stream_options' needs 'stream' to be true");
    p->sampling.n_top = p->top_logprobs;
    return 0;
}

int params_parse(const json_t *body, enum route route, int32_t vocab, struct params *out, struct api_error *e)
{
    *out = (struct params){.n = 1, .tier = -1, .sampling = {.temperature = 1, .top_p = 1, .repetition = 1}};
    int rc = parse_all(body, route, vocab, out, e);
    if (rc != 0)
        params_deinit(out);
    return rc;
}

void params_deinit(struct params *p)
{
    free(p->bias);
    stop_list_deinit(&p->stop);
    *p = (struct params){0};
}
