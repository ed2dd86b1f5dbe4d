#include "engine/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sequence_has_penalties(const struct sequence *s)
{
    const struct sampling *p = &s->sampling;
    return p->repetition != 1.0f || p->frequency != 0.0f || p->presence != 0.0f;
}

static int check_sampling(const struct sampling *p, int32_t vocab, struct err *e)
{
    if (!(p->temperature >= 0 && isfinite(p->temperature)))
        return err_set(e, OL_EINVAL, "engine", "temperature must be a number of at least 0");
    if (!(p->top_p > 0 && p->top_p <= 1))
        return err_set(e, OL_EINVAL, "engine", "top_p must be above 0 and at most 1");
    if (!(p->min_p >= 0 && p->min_p <= 1))
        return err_set(e, OL_EINVAL, "engine", "min_p must be between 0 and 1");
    if (p->top_k < 0)
        return err_set(e, OL_EINVAL, "engine", "top_k must be at least 0");
    if (!(p->repetition > 0 && isfinite(p->repetition)))
        return err_set(e, OL_EINVAL, "engine", "repetition penalty must be above 0");
    if (!isfinite(p->frequency) || !isfinite(p->presence))
        return err_set(e, OL_EINVAL, "engine", "frequency and presence penalties must be numbers");
    if (p->n_top < 0 || p->n_top > STEP_TOP_LOGPROBS)
        return err_set(e, OL_EINVAL, "engine", "at most %d alternatives per token", STEP_TOP_LOGPROBS);
    if (p->n_bias < 0 || p->n_bias > SEQUENCE_MAX_BIAS)
        return err_set(e, OL_ELIMIT, "engine", "at most %d logit bias entries", SEQUENCE_MAX_BIAS);
    if (p->n_bias && !p->bias)
        return err_set(e, OL_EINVAL, "engine", "logit bias entries are missing");
    for (int32_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].token < 0 || p->bias[i].token >= vocab || isnan(p->bias[i].add))
            return err_set(e, OL_EINVAL, "engine", "logit bias entry %d is not a token id below %d and a number",
                           (int)i, (int)vocab);
    return 0;
}

static int check_request(const struct engine_request *r, int32_t vocab, struct err *e)
{
    if (!r->prompt || r->n_prompt < 1)
        return err_set(e, OL_EINVAL, "engine", "the prompt has no tokens");
    if (r->max_tokens < 1)
        return err_set(e, OL_EINVAL, "engine", "max_tokens must be at least 1");
    for (int32_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= vocab)
            return err_set(e, OL_EINVAL, "engine", "prompt token %d is %d, outside of the vocabulary of %d", (int)i,
                           (int)r->prompt[i], (int)vocab);
    if (r->tenant && strlen(r->tenant) >= TENANT_NAME_BYTES)
        return err_set(e, OL_EINVAL, "engine", "a tenant's name has at most %d bytes", TENANT_NAME_BYTES - 1);
    if ((unsigned)r->tier >= SERVICE_TIERS)
        return err_set(e, OL_EINVAL, "engine", "%d is no service tier", (int)r->tier);
    return check_sampling(&r->sampling, vocab, e);
}

/* The history entry of a token, added if it is new. */
static struct step_history *history_entry(struct sequence *s, int32_t token)
{
    uint32_t i = ((uint32_t)token * 0x9e3779b1u >> 7) & s->history_mask;
    while (s->history_index[i]) {
        struct step_history *h = &s->history[s->history_index[i] - 1];
        if (h->token == token)
            return h;
        i = (i + 1) & s->history_mask;
    }
    s->history[s->n_history] = (struct step_history){.token = token};
    s->history_index[i] = ++s->n_history;
    return &s->history[s->n_history - 1];
}

static int alloc_history(struct sequence *s, int32_t vocab)
{
    int32_t distinct = s->max_total < vocab ? s->max_total : vocab;
    uint32_t slots = 16;
    while (slots < (uint32_t)distinct * 2)
        slots *= 2;
    s->history_mask = slots - 1;
    s->history = malloc((size_t)distinct * sizeof *s->history);
    s->history_index = calloc(slots, sizeof *s->history_index);
    if (!s->history || !s->history_index)
        return OL_ENOMEM;
    if (s->sampling.repetition != 1.0f) /* the other two penalties look at the output alone */
        for (int32_t i = 0; i < s->n_prompt; i++)
            history_entry(s, s->tokens[i]);
    return 0;
}

int sequence_create(const struct engine_request *r, int32_t vocab, int32_t max_total, struct sequence **out,
                    struct err *e)
{
    *out = NULL;
    int rc = check_request(r, vocab, e);
    if (rc)
        return rc;
    CHECK(max_total > r->n_prompt);
    struct sequence *s = calloc(1, sizeof *s);
    if (!s)
        goto no_memory;
    s->sampling = r->sampling;
    s->sampling.bias = NULL;
    s->choice = r->choice;
    s->tier = r->tier;
    s->adapter = r->adapter;
    s->on_token = r->on_token;
    s->on_end = r->on_end;
    s->user = r->user;
    if (r->tenant)
        memcpy(s->tenant_name, r->tenant, strlen(r->tenant));
    s->n_prompt = s->n_tokens = s->usage.prompt_tokens = r->n_prompt;
    s->max_total = max_total;
    s->tokens = malloc((size_t)max_total * sizeof *s->tokens);
    s->pages = malloc((size_t)pages_of_tokens(max_total) * sizeof *s->pages);
    struct step_bias *bias = malloc((size_t)r->sampling.n_bias * sizeof *bias + 1);
    s->sampling.bias = bias;
    if (!s->tokens || !s->pages || !bias)
        goto no_memory;
    memcpy(s->tokens, r->prompt, (size_t)r->n_prompt * sizeof *s->tokens);
    if (r->sampling.n_bias)
        memcpy(bias, r->sampling.bias, (size_t)r->sampling.n_bias * sizeof *bias);
    if (sequence_has_penalties(s) && alloc_history(s, vocab))
        goto no_memory;
    *out = s;
    return 0;
no_memory:
    sequence_free(s);
    return err_set(e, OL_ENOMEM, "engine", "no memory for a sequence of %d tokens", (int)max_total);
}

void sequence_free(struct sequence *s)
{
    if (!s)
        return;
    free(s->tokens);
    free(s->pages);
    free(s->history);
    free(s->history_index);
    free((struct step_bias *)(uintptr_t)s->sampling.bias);
    free(s);
}

void sequence_append(struct sequence *s, int32_t token)
{
    CHECK(s->n_tokens < s->max_total);
    s->tokens[s->n_tokens++] = token;
    s->usage.output_tokens++;
    if (s->history)
        history_entry(s, token)->output_count++;
}
