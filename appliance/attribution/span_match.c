/* Descents of the suffix array. Both neighbours of the interval that is left share a prefix with the pattern; every
 * suffix between them shares the shorter of the two, so comparing goes on behind it. */
#include "attribution/span_match.h"

#include "attribution/span_index_internal.h"

struct pattern {
    const int32_t *ids;
    uint32_t tokens;
};

/* Where among the suffixes [low, high) the pattern belongs. low_shared, high_shared: symbols that it shares with the
 * suffixes before and behind that place, 0 where there is none. */
struct place {
    uint32_t low, high, low_shared, high_shared;
};

/* Symbols from `from` on that pattern and suffix at `at` share, counted from the pattern's start; *less: is the suffix
 * smaller than the pattern? One that begins with the whole pattern is not. */
static uint32_t compare(const struct span_index *x, struct pattern p, uint32_t at, uint32_t from, bool *less)
{
    uint32_t i = from;
    while (i < p.tokens && i < x->n - at && span_symbol(x, at + i) == (uint32_t)p.ids[i] + 1)
        i++;
    *less = i < p.tokens && (i >= x->n - at || span_symbol(x, at + i) < (uint32_t)p.ids[i] + 1);
    return i;
}

static int damaged(struct err *e)
{
    return err_set(e, OL_EFORMAT, "spans", "the index is damaged: its suffix array is not one; build it again");
}

/* Narrows *place to the first suffix that is not smaller than the pattern, or, with `behind`, to the first that is
 * larger and does not begin with it. */
static int descend(const struct span_index *x, struct pattern p, bool behind, struct place *place, struct err *e)
{
    while (place->low < place->high) {
        uint32_t middle = place->low + (place->high - place->low) / 2, at = x->level[0][middle];
        if (at >= x->n)
            return damaged(e);
        bool less;
        uint32_t from = place->low_shared < place->high_shared ? place->low_shared : place->high_shared;
        uint32_t shared = compare(x, p, at, from, &less);
        if (less || (behind && shared == p.tokens)) {
            place->low = middle + 1;
            place->low_shared = shared;
        } else {
            place->high = middle;
            place->high_shared = shared;
        }
    }
    return 0;
}

/* The earliest place of a pattern that occurs, known to lie around *place of a longer one. What the minima say is not
 * believed but looked up. */
static int earliest(const struct span_index *x, struct pattern p, const struct place *place, struct span_match *out,
                    struct err *e)
{
    struct place first = {.high = place->low}, last = {.low = place->low, .high = x->n};
    int rc = descend(x, p, false, &first, e);
    if (!rc)
        rc = descend(x, p, true, &last, e);
    if (rc)
        return rc;
    uint32_t at = first.low < last.low ? span_earliest(x, first.low, last.low) : x->n;
    bool less;
    if (at >= x->n || compare(x, p, at, 0, &less) < p.tokens)
        return damaged(e);
    out->document = span_document_at(x, at);
    out->offset = at - x->starts[out->document];
    return 0;
}

int span_match_next(const struct span_index *x, const int32_t *segment, uint32_t tokens, uint32_t *start, uint32_t *end,
                    struct span_match *out, struct err *e)
{
    /* Ends never go back: what begins later and is not contained ends later. */
    for (; *end < tokens && *start < tokens; ++*start) {
        struct place place = {.high = x->n};
        int rc = descend(x, (struct pattern){segment + *start, tokens - *start}, false, &place, e);
        if (rc)
            return rc;
        uint32_t longest = place.low_shared > place.high_shared ? place.low_shared : place.high_shared;
        if (!longest || *start + longest <= *end)
            continue;
        *out = (struct span_match){.start = *start, .tokens = longest};
        rc = earliest(x, (struct pattern){segment + *start, longest}, &place, out, e);
        if (rc)
            return rc;
        *end = ++*start - 1 + longest;
        return 1;
    }
    return 0;
}
