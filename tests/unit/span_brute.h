/* The rule of spans as docs/attribution.md §2 says it, in the slowest and plainest way, for small cases. */
#ifndef OPENLORA_TESTS_SPAN_BRUTE_H
#define OPENLORA_TESTS_SPAN_BRUTE_H

#include "attribution/span_rule.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct brute_documents {
    const int32_t *const *ids;
    const uint32_t *tokens;
    uint32_t n;
};

/* Tokens that a[0 ..) and b[0 ..) share, none of them a separator. */
static inline uint32_t brute_shared(const int32_t *a, size_t a_n, const int32_t *b, size_t b_n)
{
    uint32_t n = 0;
    while (n < a_n && n < b_n && a[n] == b[n] && a[n] != SPAN_SEPARATOR)
        n++;
    return n;
}

/* The longest match of x; of equally long ones the first document's, there the first place. */
static inline uint32_t brute_longest(const struct brute_documents *d, const int32_t *x, size_t n, uint32_t *document,
                                     uint32_t *offset)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < d->n; i++)
        for (uint32_t at = 0; at < d->tokens[i]; at++) {
            uint32_t shared = brute_shared(x, n, d->ids[i] + at, d->tokens[i] - at);
            if (shared > best) {
                best = shared;
                *document = i;
                *offset = at;
            }
        }
    return best;
}

struct brute_match {
    uint32_t start, tokens, document, offset;
    int64_t worth;
    bool kept;
};

static inline void brute_echo(const struct span_query *q, size_t from, size_t to, bool *echo)
{
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; j < q->prompt_tokens; j++) {
            uint32_t n = brute_shared(q->answer + i, to - i, q->prompt + j, q->prompt_tokens - j);
            for (uint32_t k = 0; n >= 8 && k < n; k++)
                echo[i + k] = true;
        }
}

/* All rules; returns the number of spans. */
static inline size_t brute_attribute(const struct brute_documents *d, const struct surprisal *s,
                                     const struct span_query *q, struct span *out, uint32_t *open_tokens)
{
    size_t t = q->answer_tokens, n_spans = 0;
    bool *echo = calloc(t + 1, sizeof *echo);
    struct brute_match *m = calloc(t + 1, sizeof *m); /* one per start; tokens 0: none */
    size_t *segment_end = calloc(t + 1, sizeof *segment_end), from = 0;
    for (size_t c = 0; c < (q->choices ? q->n_choices : 1); c++) {
        size_t to = from + (q->choices ? q->choices[c] : t);
        brute_echo(q, from, to, echo);
        for (size_t i = from; i < to; i++) {
            size_t end = i;
            while (end < to && !echo[end])
                end++;
            segment_end[i] = end;
        }
        from = to;
    }
    for (size_t i = 0; i < t; i++) {
        m[i].start = (uint32_t)i;
        m[i].tokens = brute_longest(d, q->answer + i, segment_end[i] - i, &m[i].document, &m[i].offset);
        for (uint32_t k = 0; k < m[i].tokens; k++)
            m[i].worth += s->millibits[q->answer[i + k]];
    }
    for (size_t i = 0; i < t; i++) {
        m[i].kept = m[i].tokens && m[i].worth - (int64_t)q->tau_millibits > 0;
        for (size_t j = 0; j < t; j++)
            if (j != i && m[j].start <= i && m[j].start + m[j].tokens >= i + m[i].tokens)
                m[i].kept = false;
    }
    *open_tokens = 0;
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < t; i++) {
        size_t best = SIZE_MAX;
        for (size_t j = 0; j < t; j++)
            if (m[j].kept && m[j].start <= i && i < m[j].start + m[j].tokens &&
                (best == SIZE_MAX || m[j].worth > m[best].worth))
                best = j;
        if (best == SIZE_MAX)
            *open_tokens += !echo[i];
        else if (best == last)
            out[n_spans - 1].tokens++;
        else
            out[n_spans++] = (struct span){(uint32_t)i, 1, m[best].document,
                                           m[best].offset + (uint32_t)(i - m[best].start), (uint32_t)m[best].worth};
        last = best;
    }
    free(echo);
    free(m);
    free(segment_end);
    return n_spans;
}

#endif
