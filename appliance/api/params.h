/* Parameters of /v1/chat/completions and /v1/completions: one table says which exist, of which type and range, for
 * which route. What is not in the table, or asks for what we do not do, is refused by name. */
#ifndef OPENLORA_API_PARAMS_H
#define OPENLORA_API_PARAMS_H

#include "api/errors.h"
#include "api/stop.h"
#include "engine/engine.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What the client wants to know of the data behind its answer; who is paid does not depend on it. */
enum attribution_wish { ATTRIBUTION_OFF, ATTRIBUTION_SPANS, ATTRIBUTION_FULL };

enum route { ROUTE_CHAT = 1, ROUTE_COMPLETIONS = 2 };

struct params { /* strings and JSON are borrowed from the body */
    const char *model;         /* NULL: the base model */
    const char *user;          /* tenant, or NULL */
    bool stream, include_usage, ignore_eos;
    int32_t n;                 /* choices per prompt */
    int32_t max_tokens;        /* 0: not given */
    bool has_seed;
    int64_t seed;
    struct sampling sampling;  /* bias points to `bias`; seed is filled by the generation */
    struct step_bias *bias;    /* owned */
    int tier;                  /* enum tier (chainlite/core/rows.h); −1: "auto" or not given */
    enum attribution_wish attribution;
    bool logprobs;
    int32_t top_logprobs;
    struct stop_list stop;     /* owned */
    const json_t *messages, *tools, *prompt;
};

/* Checks a whole body. vocab bounds the tokens of logit_bias. On failure *out is empty. */
int params_parse(const json_t *body, enum route, int32_t vocab, struct params *out, struct api_error *e)
    __attribute__((warn_unused_result));
void params_deinit(struct params *);

#endif
