/* Finds rows that say what an earlier row says.
 *
 * A row is its words: runs of letters, digits and bytes above 127, ASCII letters in lower case; case, punctuation and
 * blanks do not make a difference. Three relations to one other row, the strongest counts:
 *   same      all words in order;
 *   near      the sets of its 5-word runs have a Jaccard index of at least 0.8; found by MinHash (128 values in 32
 *             bands of 4: a pair at 0.8 is missed once in 20 million), confirmed on the sets;
 *   overlap   it holds a run of at least 50 words of the other; found by winnowing (25-word fingerprints, one of
 *             every 26 kept, which every run of 50 words has), confirmed word by word.
 * "same" and "near" look at everything said but system messages, "overlap" only at what the row teaches: prompts may
 * well be shared. Deterministic. So that no text makes the search slow, what many rows share is compared with the
 * first 256 of them, and overlaps are no longer told apart by row after 200 comparisons per word. */
#ifndef OPENLORA_ATTRIBUTION_DUPLICATES_H
#define OPENLORA_ATTRIBUTION_DUPLICATES_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OVERLAP_WORDS = 50 };

enum duplicate_kind { DUPLICATE_NONE, DUPLICATE_OVERLAP, DUPLICATE_NEAR, DUPLICATE_SAME };

struct duplicate_row { /* a row's words, hashed */
    uint64_t *said, *taught; /* owned, one block */
    size_t n_said, n_taught;
    uint64_t band[32]; /* of its MinHash */
};
/* said: UTF-8; taught: its part that is trained on. OL_ENOMEM. Free with duplicate_row_free. */
int duplicate_row_init(struct duplicate_row *, const char *said, size_t said_bytes, const char *taught,
                       size_t taught_bytes, struct err *) __attribute__((warn_unused_result));
void duplicate_row_free(struct duplicate_row *);

struct duplicates; /* the rows so far */
struct duplicates *duplicates_open(void); /* NULL without memory */
void duplicates_close(struct duplicates *);

struct duplicate {
    enum duplicate_kind kind;
    size_t of;    /* the number that duplicates_add gave the other row; the earliest of the strongest kind */
    size_t words; /* overlap: words of what the row teaches that stand in such runs, of whatever row */
};
int duplicates_find(const struct duplicates *, const struct duplicate_row *, struct duplicate *out, struct err *)
    __attribute__((warn_unused_result));
/* Takes the row over (also on failure) and numbers it: 0, 1, … */
int duplicates_add(struct duplicates *, struct duplicate_row *, struct err *) __attribute__((warn_unused_result));

#endif
