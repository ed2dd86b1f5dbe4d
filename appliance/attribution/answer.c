#include "attribution/answer.h"

#include "chainlite/json/notation.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "attribution"

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, MODULE, "no memory for an answer's attribution"); }

/* ---- tokens */

int answer_tokens_of(const struct evidence *v, struct answer_tokens *out, struct err *e)
{
    const struct evidence_tokens *prompts = v->prompts.at;
    const struct evidence_choice *choices = v->choices.at;
    *out = (struct answer_tokens){.n_choices = v->choices.n};
    for (size_t i = 0; i < v->prompts.n; i++)
        out->prompt_tokens += prompts[i].ids.n;
    for (size_t i = 0; i < v->choices.n; i++)
        out->answer_tokens += choices[i].ids.n;
    out->ids = calloc(out->prompt_tokens + out->answer_tokens + 1, sizeof *out->ids);
    out->choices = calloc(v->choices.n + 1, sizeof *out->choices);
    if (!out->ids || !out->choices) {
        answer_tokens_deinit(out);
        return no_memory(e);
    }
    int32_t *at = out->ids;
    for (size_t i = 0; i < v->prompts.n; at += prompts[i].ids.n, i++)
        if (prompts[i].ids.n)
            memcpy(at, prompts[i].ids.at, prompts[i].ids.n * sizeof *at);
    for (size_t i = 0; i < v->choices.n; at += choices[i].ids.n, i++) {
        if (choices[i].ids.n)
            memcpy(at, choices[i].ids.at, choices[i].ids.n * sizeof *at);
        out->choices[i] = (uint32_t)choices[i].ids.n;
    }
    return 0;
}

void answer_tokens_deinit(struct answer_tokens *t)
{
    free(t->ids);
    free(t->choices);
    *t = (struct answer_tokens){0};
}

struct span_query answer_span_query(const struct answer_tokens *t, const struct policy *p)
{
    return (struct span_query){.prompt = t->ids, .prompt_tokens = t->prompt_tokens, .answer = t->ids + t->prompt_tokens,
                               .answer_tokens = t->answer_tokens, .choices = t->choices, .n_choices = t->n_choices,
                               .tau_millibits = p->document.spans.tau_millibits};
}

/* ---- spans */

static int take_spans(const struct policy *p, const struct span *spans, size_t n, struct evidence *v, struct err *e)
{
    struct receipt_span *rows = n <= RECEIPT_MAX_SPANS ? calloc(n + 1, sizeof *rows) : NULL;
    if (n > RECEIPT_MAX_SPANS)
        return err_set(e, OL_ELIMIT, MODULE, "an answer with %zu spans; %d at most", n, RECEIPT_MAX_SPANS);
    if (!rows)
        return no_memory(e);
    for (size_t i = 0; i < n; i++) {
        struct span_source source = span_sources_at(&p->sources, spans[i].document);
        rows[i] = (struct receipt_span){.start = spans[i].start, .tokens = spans[i].tokens, .row = source.row,
                                        .offset = spans[i].offset, .millibits = spans[i].millibits};
        memcpy(rows[i].contribution, source.contribution->id, 32);
        span_source_beneficiary(&source, v->payer, rows[i].beneficiary);
    }
    free(v->spans.at);
    v->spans = (struct list){rows, n};
    return 0;
}

int answer_spans(const struct policy *p, struct span_scratch *scratch, struct evidence *v, struct err *e)
{
    struct answer_tokens t;
    size_t n = 0;
    int rc = answer_tokens_of(v, &t, e);
    if (rc != 0)
        return rc;
    struct span_query query = answer_span_query(&t, p);
    struct span *spans = calloc(t.answer_tokens + 1, sizeof *spans);
    rc = spans ? span_attribute(p->index, &p->surprisal, &query, scratch, spans, t.answer_tokens, &n, &v->open_tokens, e)
               : no_memory(e);
    if (rc == 0)
        rc = take_spans(p, spans, n, v, e);
    free(spans);
    answer_tokens_deinit(&t);
    return rc;
}

/* ---- gradients */

static int query_choices(const struct policy *p, struct lora_model *m, const struct evidence *v, const bool *open,
                         int16_t *query, struct err *e)
{
    const struct evidence_tokens *prompts = v->prompts.at;
    const struct evidence_choice *choices = v->choices.at;
    struct gradient_choice *list = calloc(v->choices.n + 1, sizeof *list);
    if (!list)
        return no_memory(e);
    for (size_t i = 0; i < v->choices.n; open += choices[i].ids.n, i++) {
        const struct list *prompt = &prompts[choices[i].prompt].ids;
        list[i] = (struct gradient_choice){.prompt = prompt->at, .n_prompt = prompt->n, .answer = choices[i].ids.at,
                                           .n = choices[i].ids.n, .open = open};
    }
    int rc = gradient_query(m, &p->vectors.sketch, list, v->choices.n, query, e);
    free(list);
    return rc;
}

int answer_query(const struct policy *p, struct lora_model *m, const struct evidence *v, int16_t *query, struct err *e)
{
    struct answer_tokens t;
    struct span_scratch scratch = {0};
    int rc = answer_tokens_of(v, &t, e);
    if (rc != 0)
        return rc;
    struct span_query q = answer_span_query(&t, p);
    bool *open = calloc(t.answer_tokens + 1, sizeof *open);
    rc = open ? span_open_tokens(p->index, &p->surprisal, &q, &scratch, open, e) : no_memory(e);
    if (rc == 0)
        rc = query_choices(p, m, v, open, query, e);
    free(open);
    span_scratch_deinit(&scratch);
    answer_tokens_deinit(&t);
    return rc;
}

int answer_set_gradients(const struct policy *p, const int16_t *query, struct evidence *v, struct err *e)
{
    const size_t bytes = p->vectors.sketch.dimensions * sizeof *query;
    struct influence_answer a = {query, evidence_answer_tokens(v), v->open_tokens};
    struct gradient_units *units = calloc(p->vectors.n + 1, sizeof *units);
    uint8_t *copy = malloc(bytes);
    size_t n = 0;
    int rc = units && copy ? policy_gradient_units(p, &a, v->payer, units, &n, e) : no_memory(e);
    if (rc == 0 && n > RECEIPT_MAX_SHARES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%zu contributors of one answer; %d at most", n, RECEIPT_MAX_SHARES);
    if (rc != 0) {
        free(units);
        free(copy);
        return rc;
    }
    memcpy(copy, query, bytes);
    free(v->gradients.query.at);
    free(v->gradients.units.at);
    v->gradients = (struct evidence_gradients){.query = {copy, bytes}, .units = {units, n}};
    v->has_gradients = true;
    return 0;
}
