/* Delivered is what the socket took, and a socket takes bytes, not tokens: so each event leaves a mark at the byte where it
 * ends, and an event counts once the last of its bytes is taken. Marks are a ring in the order of the stream. */
#include "billing/delivery.h"

#include <stdlib.h>

enum { MAX_UNDER_WAY_BYTES = 64 << 20 };

bool delivery_init(struct delivery *d, int n_choices, bool keep_ids)
{
    *d = (struct delivery){.n = n_choices, .keeps_ids = keep_ids};
    d->choices = calloc((size_t)n_choices, sizeof *d->choices);
    for (int i = 0; d->choices && i < n_choices; i++) {
        keccak_init(&d->choices[i].text);
        buf_init(&d->choices[i].under_way, MAX_UNDER_WAY_BYTES);
    }
    return d->choices != NULL;
}

void delivery_deinit(struct delivery *d)
{
    for (int i = 0; d->choices && i < d->n; i++) {
        buf_deinit(&d->choices[i].under_way);
        free(d->choices[i].ids);
    }
    free(d->choices);
    free(d->marks);
    *d = (struct delivery){0};
}

static bool keep_id(struct delivered *c, uint32_t id)
{
    if (c->n_ids == c->cap_ids) {
        uint32_t cap = c->cap_ids ? 2 * c->cap_ids : 256;
        uint32_t *more = realloc(c->ids, cap * sizeof *more);
        if (!more)
            return false;
        c->ids = more;
        c->cap_ids = cap;
    }
    c->ids[c->n_ids++] = id;
    return true;
}

void delivery_token(struct delivery *d, int choice, uint32_t id, float logprob)
{
    struct delivered *c = &d->choices[choice];
    c->noted_tokens++;
    c->noted_logprob += (double)logprob;
    if (d->keeps_ids && !keep_id(c, id))
        d->failed = true;
}

static bool grow(struct delivery *d)
{
    int cap = d->cap ? 2 * d->cap : 64;
    struct delivery_mark *more = malloc((size_t)cap * sizeof *more);
    if (!more)
        return false;
    for (int i = 0; i < d->n_marks; i++)
        more[i] = d->marks[(d->first + i) % d->cap];
    free(d->marks);
    d->marks = more;
    d->first = 0;
    d->cap = cap;
    return true;
}

void delivery_text(struct delivery *d, int choice, const char *text, size_t n)
{
    struct delivered *c = &d->choices[choice];
    buf_add(&c->under_way, text, n);
    c->noted_bytes += (uint32_t)n; /* the buffer's maximum is far below */
    d->failed = d->failed || buf_failed(&c->under_way);
}

void delivery_event(struct delivery *d, int choice, size_t end)
{
    struct delivered *c = &d->choices[choice];
    if (d->n_marks == d->cap && !grow(d)) {
        d->failed = true;
        return;
    }
    d->marks[(d->first + d->n_marks++) % d->cap] =
        (struct delivery_mark){end, choice, c->noted_bytes, c->noted_tokens, c->noted_logprob};
    c->noted_bytes = c->noted_tokens = 0;
    c->noted_logprob = 0;
}

void delivery_accept(struct delivery *d, size_t accepted)
{
    while (!d->failed && d->n_marks > 0 && d->marks[d->first].end <= accepted) {
        const struct delivery_mark *m = &d->marks[d->first];
        struct delivered *c = &d->choices[m->choice];
        keccak_add(&c->text, buf_str(&c->under_way) + c->taken, m->text_bytes);
        c->taken += m->text_bytes;
        if (c->taken >= c->under_way.len / 2) { /* moving at most as much as was taken keeps this linear */
            buf_drop_front(&c->under_way, c->taken);
            c->taken = 0;
        }
        c->tokens += m->tokens;
        d->tokens += m->tokens;
        d->sum_logprob += m->logprob;
        d->first = (d->first + 1) % d->cap;
        d->n_marks--;
    }
}

void delivery_hashes(const struct delivery *d, uint8_t *out)
{
    for (int i = 0; i < d->n; i++) {
        struct keccak k = d->choices[i].text;
        keccak_end(&k, out + (size_t)i * HASH_BYTES);
    }
}
