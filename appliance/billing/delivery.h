/* What of a streamed answer the client's socket has taken. Each event is noted with the offset of its end in the
 * stream; once the socket is past it, its text and tokens count as delivered. Text is hashed as it is delivered, so
 * only what is under way is kept. One thread at a time. */
#ifndef OPENLORA_BILLING_DELIVERY_H
#define OPENLORA_BILLING_DELIVERY_H

#include "base/buf.h"
#include "chainlite/core/keccak.h"

#include <stdbool.h>
#include <stdint.h>

struct delivery {
    int n;
    struct delivered { /* of a choice */
        struct keccak text;
        struct buf under_way;   /* text not taken yet, behind `taken` bytes that were */
        size_t taken;
        uint32_t noted_bytes;   /* of text, */
        uint32_t noted_tokens;  /* since the last event; they go with the next one */
        double noted_logprob;
        uint32_t *ids;          /* owned: of all tokens noted, if kept */
        uint32_t n_ids, cap_ids;
        uint32_t tokens;        /* of those, delivered */
    } *choices;                 /* owned, (n) */
    struct delivery_mark {
        size_t end;             /* offset in the stream */
        int choice;
        uint32_t text_bytes, tokens;
        double logprob;
    } *marks;                   /* owned ring */
    int first, n_marks, cap;
    uint32_t tokens;            /* delivered, over all choices */
    double sum_logprob;
    bool keeps_ids;
    bool failed;                /* no memory: what is delivered is not known any more */
};

/* keep_ids: what data influenced the answer will be asked. */
bool delivery_init(struct delivery *, int n_choices, bool keep_ids);
void delivery_deinit(struct delivery *);
/* A token of a choice, on its way into the next event. */
void delivery_token(struct delivery *, int choice, uint32_t id, float logprob);
void delivery_text(struct delivery *, int choice, const char *text, size_t n);
/* The event that carries a choice's text and tokens since its last ends at `end`. Ends never go down. */
void delivery_event(struct delivery *, int choice, size_t end);
/* The socket has taken `accepted` bytes. */
void delivery_accept(struct delivery *, size_t accepted);
/* keccak of each choice's delivered text, (n × 32) bytes. */
void delivery_hashes(const struct delivery *, uint8_t *out);

#endif
