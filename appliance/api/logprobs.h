/* Log probabilities of output tokens in OpenAI's two shapes.
 *
 * A token's entry comes out together with the text it begins, so that entries and text agree when a stop string
 * cuts the text: tokens that lie wholly behind the cut give no entry. */
#ifndef OPENLORA_API_LOGPROBS_H
#define OPENLORA_API_LOGPROBS_H

#include "base/buf.h"
#include "kernels/step.h"
#include "model/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

struct logprob_entry {
    size_t start;   /* bytes of the answer's text in front of the token's */
    size_t start_chars; /* the same in characters, as OpenAI counts */
    struct step_result token;
};

struct logprobs {
    bool chat;      /* which shape */
    const struct tokenizer *tokenizer; /* borrowed */
    struct logprob_entry *waiting;     /* owned: tokens whose text is not out yet, in order */
    int n_waiting, cap;
    struct buf content;                           /* chat: entries, separated by commas */
    struct buf tokens, values, tops, offsets;     /* completions: four parallel lists */
};

void logprobs_init(struct logprobs *, bool chat, const struct tokenizer *);
void logprobs_deinit(struct logprobs *);
/* False: no memory. */
bool logprobs_add(struct logprobs *, const struct step_result *, size_t start, size_t start_chars);
/* `out` bytes of text are out: writes the entries of tokens that start in front of it (all: of every token). */
void logprobs_release(struct logprobs *, size_t out, bool all);
bool logprobs_pending(const struct logprobs *); /* has entries that logprobs_take would write */
/* The JSON value of "logprobs" with all entries since the last take. */
void logprobs_take(struct logprobs *, struct buf *json);

#endif
