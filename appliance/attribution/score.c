/* Spans and gradient of one answer; see score.h. */
#include "attribution/score.h"

#include "attribution/influence.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "score"

static int find_spans(struct scorer *s, const struct scored_answer *a, struct score *out, bool *open, struct err *e)
{
    const struct span_query query = {.prompt = a->prompt, .prompt_tokens = a->n_prompt, .answer = a->answer,
                                     .answer_tokens = a->n, .tau_millibits = s->tau_millibits};
    struct span *spans = calloc(a->n + 1, sizeof *spans);
    size_t n = 0;
    int rc = spans ? span_attribute(s->index, s->surprisal, &query, &s->scratch, spans, a->n, &n, &out->open_tokens, e)
                   : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", a->n);
    for (size_t i = 0; i < a->n; i++)
        open[i] = true;
    for (size_t i = 0; i < n && !rc; i++) {
        memset(open + spans[i].start, 0, spans[i].tokens * sizeof *open);
        out->span_tokens += spans[i].tokens;
    }
    free(spans);
    return rc;
}

static int find_query(const struct scorer *s, const struct scored_answer *a, struct score *out, bool *open,
                      struct err *e)
{
    int64_t left = gradient_open(a->prompt, a->n_prompt, a->answer, a->n, open, e);
    if (left < 0)
        return (int)left;
    CHECK(left == out->open_tokens);
    const struct gradient_choice choice = {.prompt = (const uint32_t *)a->prompt, .answer = (const uint32_t *)a->answer,
                                           .n_prompt = a->n_prompt, .n = a->n, .open = open};
    int rc = gradient_query(s->model, &s->vectors->sketch, &choice, 1, out->query, e);
    for (uint32_t c = 0; c < s->vectors->n && !rc; c++) {
        uint32_t cosine = influence_cosine_ppb(s->vectors, out->query, c);
        out->cosine_ppb = cosine > out->cosine_ppb ? cosine : out->cosine_ppb;
    }
    out->has_query = !rc;
    return rc;
}

int score_answer(struct scorer *s, const struct scored_answer *a, struct score *out, struct err *e)
{
    bool *open = calloc(a->n + 1, sizeof *open);
    if (!open)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", a->n);
    out->tokens = (uint32_t)a->n;
    out->span_tokens = out->open_tokens = out->cosine_ppb = 0;
    out->has_query = false;
    int rc = find_spans(s, a, out, open, e);
    if (!rc && out->open_tokens && s->vectors)
        rc = find_query(s, a, out, open, e);
    free(open);
    return rc;
}
