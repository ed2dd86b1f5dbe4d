/* The rule of spans. Matches come in order of their starts and, as none contains another, of their ends: at any token
 * those that cover it are neighbours, and a queue that keeps only possible winners names the best in constant time. */
#include "attribution/span_rule.h"

#include "attribution/span_echo.h"
#include "attribution/span_rule_internal.h"

#include <stdlib.h>
#include <string.h>

void span_scratch_deinit(struct span_scratch *s)
{
    free(s->memory);
    *s = (struct span_scratch){0};
}

static int check_query(const struct span_index *x, const struct surprisal *s, const struct span_query *q, struct err *e)
{
    if (s->vocab != span_index_vocab(x))
        return err_set(e, OL_EINVAL, "spans", "the index is for %u tokens, the table of surprisal for %u",
                       span_index_vocab(x), s->vocab);
    if (q->answer_tokens > SPAN_MAX_ANSWER || q->prompt_tokens > SPAN_MAX_PROMPT)
        return err_set(e, OL_ELIMIT, "spans", "an answer of %zu tokens to %zu; at most %d to %d", q->answer_tokens,
                       q->prompt_tokens, SPAN_MAX_ANSWER, SPAN_MAX_PROMPT);
    uint64_t sum = q->choices ? 0 : q->answer_tokens;
    for (size_t i = 0; q->choices && i < q->n_choices; i++)
        sum += q->choices[i];
    if (sum != q->answer_tokens)
        return err_set(e, OL_EINVAL, "spans", "the choices have %llu tokens, the answer %zu", (unsigned long long)sum,
                       q->answer_tokens);
    for (size_t i = 0; i < q->answer_tokens; i++)
        if (q->answer[i] < 0)
            return err_set(e, OL_EINVAL, "spans", "token %zu of the answer is %d", i, q->answer[i]);
    return 0;
}

/* Cuts the scratch into the answer's arrays and, behind them, places for the prompt's windows. */
static int set_up(struct span_scratch *scratch, const struct span_query *q, struct span_answer *a, uint32_t **places,
                  struct err *e)
{
    size_t t = q->answer_tokens, match_bytes = t * sizeof *a->matches, array_bytes = t * sizeof(uint32_t);
    size_t need = match_bytes + 3 * array_bytes + q->prompt_tokens * sizeof **places + t * sizeof *a->echo + 1;
    if (need > scratch->bytes) {
        void *grown = realloc(scratch->memory, need);
        if (!grown)
            return err_set(e, OL_ENOMEM, "spans", "no memory for an answer of %zu tokens", t);
        *scratch = (struct span_scratch){grown, need};
    }
    char *at = scratch->memory;
    *a = (struct span_answer){.tokens = (uint32_t)t};
    a->matches = (void *)at;
    a->worth = (void *)(at + match_bytes);
    a->payer = a->worth + t;
    a->queue = a->payer + t;
    *places = a->queue + t;
    a->echo = (void *)(*places + q->prompt_tokens);
    memset(a->echo, 0, t * sizeof *a->echo);
    return 0;
}

/* The matches of answer tokens [from, to), a segment. */
static int match_segment(const struct span_index *x, const struct surprisal *s, const int32_t *answer, uint32_t from,
                         uint32_t to, struct span_answer *a, struct err *e)
{
    uint32_t start = 0, end = 0;
    struct span_match m;
    int rc;
    while ((rc = span_match_next(x, answer + from, to - from, &start, &end, &m, e)) > 0) {
        m.start += from;
        uint32_t worth = 0;
        for (uint32_t i = 0; i < m.tokens; i++)
            worth += surprisal_of(s, answer[m.start + i]);
        a->worth[a->n_matches] = worth;
        a->matches[a->n_matches++] = m;
    }
    return rc;
}

int span_answer_match(const struct span_index *x, const struct surprisal *s, const struct span_query *q,
                      struct span_scratch *scratch, struct span_answer *a, struct err *e)
{
    uint32_t *places = NULL;
    int rc = check_query(x, s, q, e);
    if (!rc)
        rc = set_up(scratch, q, a, &places, e);
    if (rc || !a->tokens)
        return rc;
    uint32_t windows = span_echo_sort(q->prompt, q->prompt_tokens, places), from = 0;
    for (size_t c = 0; !rc && c < (q->choices ? q->n_choices : 1); c++) {
        uint32_t to = from + (q->choices ? q->choices[c] : a->tokens);
        span_echo_mark(q->prompt, places, windows, q->answer + from, to - from, a->echo + from);
        for (uint32_t end; from < to && !rc; from = end) {
            for (end = from; end < to && a->echo[end] == a->echo[from];)
                end++;
            if (!a->echo[from])
                rc = match_segment(x, s, q->answer, from, end, a, e);
        }
        from = to;
    }
    return rc;
}

void span_answer_pay(struct span_answer *a, uint32_t tau_millibits)
{
    uint32_t first = 0, last = 0, next = 0; /* queue[first .. last): by start, worth not ascending */
    for (uint32_t t = 0; t < a->tokens; t++) {
        for (; next < a->n_matches && a->matches[next].start <= t; next++) {
            if (a->worth[next] <= tau_millibits)
                continue;
            while (last > first && a->worth[a->queue[last - 1]] < a->worth[next])
                last--;
            a->queue[last++] = next;
        }
        while (first < last && a->matches[a->queue[first]].start + a->matches[a->queue[first]].tokens <= t)
            first++;
        a->payer[t] = first < last ? a->queue[first] : SPAN_NOBODY;
    }
}

int span_attribute(const struct span_index *x, const struct surprisal *s, const struct span_query *q,
                   struct span_scratch *scratch, struct span *out, size_t cap, size_t *n, uint32_t *open_tokens,
                   struct err *e)
{
    struct span_answer a;
    *n = 0;
    *open_tokens = 0;
    int rc = span_answer_match(x, s, q, scratch, &a, e);
    if (rc)
        return rc;
    span_answer_pay(&a, q->tau_millibits);
    uint32_t open = 0;
    size_t spans = 0;
    for (uint32_t t = 0; t < a.tokens; t++) {
        uint32_t payer = a.payer[t];
        open += payer == SPAN_NOBODY && !a.echo[t];
        if (payer == SPAN_NOBODY)
            continue;
        if (t && a.payer[t - 1] == payer) {
            out[spans - 1].tokens++;
            continue;
        }
        if (spans == cap)
            return err_set(e, OL_ELIMIT, "spans", "more than %zu spans", cap);
        const struct span_match *m = &a.matches[payer];
        out[spans++] = (struct span){t, 1, m->document, m->offset + (t - m->start), a.worth[payer]};
    }
    *n = spans;
    *open_tokens = open;
    return 0;
}

int span_open_tokens(const struct span_index *x, const struct surprisal *s, const struct span_query *q,
                     struct span_scratch *scratch, bool *open, struct err *e)
{
    struct span_answer a;
    int rc = span_answer_match(x, s, q, scratch, &a, e);
    if (rc)
        return rc;
    span_answer_pay(&a, q->tau_millibits);
    for (uint32_t t = 0; t < a.tokens; t++)
        open[t] = a.payer[t] == SPAN_NOBODY && !a.echo[t];
    return 0;
}
