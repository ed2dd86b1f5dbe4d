/* A plan becomes a step: the flat arrays that the device reads. */
#include "engine/engine_internal.h"

#include <string.h>

static int32_t add_pages(struct step *s, int32_t *all, const int32_t *pages, int32_t n)
{
    int32_t at = s->n_pages;
    CHECK(n <= s->limits.max_pages - at);
    memcpy(all + at, pages, (size_t)n * sizeof *pages);
    s->n_pages += n;
    return at;
}

static void fill_sample(struct step *s, struct step_sample *out, const struct sequence *q)
{
    const struct sampling *p = &q->sampling;
    *out = (struct step_sample){
        .temperature = p->temperature, .top_p = p->top_p, .min_p = p->min_p, .top_k = p->top_k,
        .repetition = p->repetition, .frequency = p->frequency, .presence = p->presence,
        .seed_lo = (uint32_t)p->seed, .seed_hi = (uint32_t)(p->seed >> 32), .choice = (uint32_t)q->choice,
        /* Counted in output tokens: neither batching nor preemption changes what is drawn. */
        .position = (uint32_t)sequence_outputs(q),
        .history0 = s->n_history, .n_history = q->n_history, .bias0 = s->n_bias, .n_bias = p->n_bias,
        .n_top = p->n_top,
    };
    CHECK(q->n_history <= s->limits.max_history - s->n_history && p->n_bias <= s->limits.max_bias - s->n_bias);
    if (q->n_history)
        memcpy(step_history(s) + s->n_history, q->history, (size_t)q->n_history * sizeof *q->history);
    if (p->n_bias)
        memcpy(step_bias(s) + s->n_bias, p->bias, (size_t)p->n_bias * sizeof *p->bias);
    s->n_history += q->n_history;
    s->n_bias += p->n_bias;
}

void step_fill(struct step *s, const struct plan *p)
{
    int32_t *token = step_token(s), *pos = step_pos(s), *row_seq = step_row_seq(s), *pages = step_pages(s);
    struct step_seq *seqs = step_seqs(s);
    struct step_segment *segments = step_segments(s);
    const struct residency *segment_of = NULL;
    s->n_rows = s->n_seqs = s->n_segments = s->n_logits = s->n_pages = s->n_history = s->n_bias = 0;
    s->n_copies = p->n_copies;
    memcpy(step_copies(s), p->copies, (size_t)p->n_copies * sizeof *p->copies);
    for (int32_t i = 0; i < p->n_items; i++) {
        const struct plan_item *item = &p->items[i];
        const struct sequence *q = item->seq;
        if (q->residency && q->residency != segment_of) {
            segment_of = q->residency;
            segments[s->n_segments++] = (struct step_segment){
                .row0 = s->n_rows,
                .page0 = add_pages(s, pages, segment_of->pages, segment_of->n_pages),
                .n_pages = segment_of->n_pages,
            };
        }
        if (q->residency)
            segments[s->n_segments - 1].n_rows += item->n_rows;
        int32_t n_pages = pages_of_tokens(q->n_computed + item->n_rows);
        seqs[s->n_seqs] = (struct step_seq){
            .row0 = s->n_rows, .n_rows = item->n_rows, .pos0 = q->n_computed,
            .page0 = add_pages(s, pages, q->pages, n_pages), .n_pages = n_pages,
        };
        for (int32_t r = 0; r < item->n_rows; r++, s->n_rows++) {
            token[s->n_rows] = q->tokens[q->n_computed + r];
            pos[s->n_rows] = q->n_computed + r;
            row_seq[s->n_rows] = s->n_seqs;
        }
        s->n_seqs++;
        if (item->logits) {
            step_logit_row(s)[s->n_logits] = s->n_rows - 1;
            fill_sample(s, &step_samples(s)[s->n_logits++], q);
        }
    }
}
