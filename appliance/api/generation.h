/* One API request being generated: n choices for each of its prompts, every choice one request to the engine.
 *
 *   HTTP thread                          engine's thread
 *   generation_answer ────────────────►  on_token: choice → event → stream
 *   (asleep)                             on_end:   finish reason; after the last: usage, end of stream
 *   ready: head of the answer, or all    ◄── wake
 *   gone: cancels the engine's requests
 *
 * With billing the bill is opened first, and the parts are submitted when chainlited has made the reservation; at the
 * end the last chunk (or the whole answer) waits for the signed receipt: see generation_bill.c.
 *
 * A streamed answer's head goes out at once, except when the adapter still has to be read from disk: then it waits
 * for the first token, so that a broken adapter is a proper error status. */
#ifndef OPENLORA_API_GENERATION_H
#define OPENLORA_API_GENERATION_H

#include "api/app.h"
#include "api/params.h"
#include "billing/bill.h"

struct prompts { /* token ids of one or more prompts */
    int n;
    struct prompt {
        int32_t *ids; /* owned */
        size_t n, cap;
    } *list; /* owned */
};
void prompts_deinit(struct prompts *);

/* Takes over *params and *prompts, even on failure. */
int generation_answer(struct app *, struct http_request *, enum route, struct params *, struct prompts *,
                      const struct caller *, struct api_error *e) __attribute__((warn_unused_result));

#endif
