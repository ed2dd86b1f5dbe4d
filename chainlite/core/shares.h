/* Shares of an answer's data part in units of 10⁻⁹ (docs/attribution.md §4): the division rule, what spans and gradients
 * give to whom, the mean of a policy, the tree of shares, and the postings that follow. Integers only; every figure fits
 * as long as the bounds stated here hold. Pure: the caller gives the memory. */
#ifndef OPENLORA_CORE_SHARES_H
#define OPENLORA_CORE_SHARES_H

#include "chainlite/core/spans.h"

enum { UNITS = 1000000000, RECEIPT_MAX_SHARES = 1024 }; /* the whole; beneficiaries of one answer */

/* One of those among whom units are divided. */
struct division {
    uint64_t weight;
    uint32_t units;  /* out */
    wei_t remainder; /* scratch */
};
/* Largest remainder: everybody gets ⌊units · weight / Σ⌋, and the units left go one each to the largest remainders,
 * ties to the lower index (by address, if the caller sorted by it). The parts sum to `units`, or to 0 if Σ is 0. */
void units_divide(uint32_t units, struct division *, size_t n);

/* ⌊10⁹ · tokens / answer_tokens⌋; 0 for an answer without tokens. tokens ≤ answer_tokens. */
uint32_t units_of_tokens(uint32_t tokens, uint32_t answer_tokens);

struct gradient_units { /* what gradients give one beneficiary; in JSON an array */
    uint8_t beneficiary[ADDRESS_BYTES];
    uint32_t units;
};
/* The same summed over statements of one policy, for its mean. */
struct gradient_sum {
    uint8_t beneficiary[ADDRESS_BYTES];
    uint64_t units;
};

struct share {
    uint8_t beneficiary[ADDRESS_BYTES];
    uint32_t span_units, gradient_units; /* not both 0 */
};
extern const struct schema gradient_schema, share_schema;

/* Span units by beneficiary, strictly ascending: P = ⌊10⁹ · Σ tokens / answer_tokens⌋ divided by tokens; the zero
 * address takes part and its units are nobody's. The spans were checked. out, scratch: room for n + 1 of each (and never
 * for more than RECEIPT_MAX_SHARES + 1). OL_ELIMIT: more beneficiaries than RECEIPT_MAX_SHARES. */
int shares_of_spans(const struct receipt_span *, size_t n, uint32_t answer_tokens, struct share *out,
                    struct division *scratch, size_t *n_out, struct err *);

/* OL_EFORMAT unless the units are strictly by beneficiary, of no zero address, none of them 0, and together within
 * ⌊10⁹ · open / answer⌋; OL_ELIMIT: more than RECEIPT_MAX_SHARES. */
int gradients_check(const struct gradient_units *, size_t n, uint32_t open_tokens, uint32_t answer_tokens, struct err *);

/* G = ⌊⌊10⁹ · open / answer⌋ · Σ / sum_open⌋ units, divided by the sums; sum_open = ΣV of the same statements, so that
 * Σ ≤ sum_open. out: room for n, by beneficiary as the sums are; those who get none are left out. */
void gradients_mean(const struct gradient_sum *, size_t n, uint64_t sum_open, uint32_t open_tokens,
                    uint32_t answer_tokens, struct gradient_units *out, struct division *scratch, size_t *n_out);

/* Both into one list, strictly by beneficiary. shares: n_spans of them in room for RECEIPT_MAX_SHARES. OL_ELIMIT: more
 * than that come together. */
int shares_merge(struct share *shares, size_t *n, const struct gradient_units *, size_t n_gradients, struct err *);

void share_leaf(const struct share *, struct sumnode *out);
/* sharesRoot and sharesTotal; nodes: room for n. OL_EFORMAT: not strictly by beneficiary, the zero address, nothing, or
 * more than the whole. */
int shares_root(const struct share *, size_t n, struct sumnode *nodes, uint8_t root[HASH_BYTES], uint32_t *total,
                struct err *);

/* Postings of a receipt's data part: leaf i gets ⌊A·(s + shareᵢ)/10⁹⌋ − ⌊A·s/10⁹⌋ under ROLE_DATA with s the units before
 * it, the pool what is left under ROLE_UNATTRIBUTED; none of 0. out: room for n + 1. They sum to data_wei. */
size_t shares_postings(const struct share *, size_t n, wei_t data_wei, const uint8_t pool[ADDRESS_BYTES],
                       uint64_t sequence, struct posting *out);

#endif
