/* Whose data influenced the answer: spans when it has ended, before its receipt; see attributor/attributor.h. */
#include "api/generation_internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Delivered tokens of each choice. Lock held. */
static void list_choices(const struct generation *g, struct attributor_choice *choices)
{
    for (int i = 0; i < g->n_parts; i++) {
        const struct delivered *d = &g->delivery.choices[i];
        choices[i] = (struct attributor_choice){(uint32_t)(i / g->params.n), d->ids, d->tokens};
    }
}

static int attribute(struct generation *g, struct evidence *out, bool *covered, struct err *e)
{
    struct attributor_prompt *prompts = calloc((size_t)g->prompts.n, sizeof *prompts);
    struct attributor_choice *choices = calloc((size_t)g->n_parts, sizeof *choices);
    int rc = prompts && choices ? 0 : err_set(e, OL_ENOMEM, "api", "no memory for the answer's tokens");
    for (int i = 0; i < g->prompts.n && rc == 0; i++)
        prompts[i] = (struct attributor_prompt){g->prompts.list[i].ids, g->prompts.list[i].n};
    if (rc == 0) {
        struct attributor_answer answer = {.receipt_id = bill_receipt_id(g->bill), .payer = bill_payer(g->bill),
                                           .model_version = bill_model_version(g->bill),
                                           .adapter_version = bill_adapter_version(g->bill), .prompts = prompts,
                                           .n_prompts = (size_t)g->prompts.n, .choices = choices,
                                           .n_choices = (size_t)g->n_parts};
        list_choices(g, choices);
        rc = attributor_answer(g->app->attributor, &answer, out, covered, e);
    }
    free(prompts);
    free(choices);
    return rc;
}

/* An answer whose spans cannot be told is billed all the same; its data part is nobody's. */
void generation_attribute(struct generation *g)
{
    struct err e = {0};
    if (!g->app->attributor)
        return;
    if (attribute(g, &g->evidence, &g->covered, &e) != 0) {
        g->covered = false;
        log_line(LOG_WARN, "api", "an answer stays unattributed: %s", e.message);
    }
}

struct bill_attribution generation_bill_attribution(const struct generation *g)
{
    const struct evidence *v = &g->evidence;
    struct bill_attribution a = {0};
    if (!g->covered)
        return a;
    memcpy(a.policy, v->policy, sizeof a.policy);
    a.answer_tokens = evidence_answer_tokens(v);
    a.open_tokens = v->open_tokens;
    a.spans = v->spans.at;
    a.n_spans = v->spans.n;
    return a;
}

void generation_attribution_recorded(struct generation *g)
{
    if (g->covered)
        attributor_recorded(g->app->attributor, &g->evidence, bill_signature(g->bill),
                            g->params.attribution == ATTRIBUTION_FULL);
}
