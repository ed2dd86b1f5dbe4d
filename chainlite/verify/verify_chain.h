/* What endpoints add to a bundle's checks: whether the block is on the chain, whether the batch still stands, and whether
 * somebody who signed the voucher for the payer may. They are believed, as many as must agree, in what they name the
 * newest block and the block of a height; all else is proven against those. */
#ifndef OPENLORA_VERIFY_VERIFY_CHAIN_H
#define OPENLORA_VERIFY_VERIFY_CHAIN_H

#include "chainlite/verify/verify.h"

struct verify_place { /* informative */
    uint64_t block_number, head_number;
    int64_t block_age_s;
    bool past_window; /* the dispute window has passed by the contracts' clock, which pauses stop, at the newest block;
                         false also if it is not known */
};

/* Sets VERIFY_BLOCK, and VERIFY_VOUCHER_SIGNATURE where another signer is authorised. What cannot be asked fails. A
 * bundle that is not settled asks nothing but the latter. quorum: how many of the endpoints must agree, 0: more than
 * half. The program calls curl_global_init first. */
void verify_on_chain(const struct bundle *, const struct chain_file *, const char *const *urls, size_t n_urls,
                     unsigned quorum, struct verify_report *, struct verify_place *);

#endif
