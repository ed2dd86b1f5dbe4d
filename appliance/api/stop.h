/* Stop strings: ends an answer at the first one to be completed, whatever token borders lie in between.
 *
 * Every string is a Knuth-Morris-Pratt automaton; text that may still turn out to be the beginning of a stop string
 * is held back until it is settled. What comes out depends on the text alone, not on how it is cut into pieces.
 * Text and stop strings are UTF-8, so nothing is ever cut inside a character. */
#ifndef OPENLORA_API_STOP_H
#define OPENLORA_API_STOP_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STOP_MAX = 16, STOP_MAX_BYTES = 512 };

/* The strings of one request, shared by its choices. Immutable after stop_list_add. */
struct stop_list {
    int n;
    struct stop_string {
        size_t len;
        char text[STOP_MAX_BYTES];
        uint16_t back[STOP_MAX_BYTES]; /* back[i]: longest proper border of text[0..i] */
    } *strings; /* owned */
};

/* False: no memory, more than STOP_MAX strings, or an empty or too long one. */
bool stop_list_add(struct stop_list *, const char *text, size_t len);
void stop_list_deinit(struct stop_list *);

/* One choice's progress: plain data but for `held`. */
struct stop_matcher {
    const struct stop_list *list; /* borrowed */
    uint16_t state[STOP_MAX];     /* bytes of each string matched at the end of the text */
    struct buf held;              /* text held back */
};

void stop_matcher_init(struct stop_matcher *, const struct stop_list *);
void stop_matcher_deinit(struct stop_matcher *);
/* Appends what is settled to `out`. True: a stop string is complete; nothing after or of it comes out, ever. */
bool stop_matcher_feed(struct stop_matcher *, const char *text, size_t len, struct buf *out);
void stop_matcher_finish(struct stop_matcher *, struct buf *out); /* the text ended: held text comes out */

#endif
