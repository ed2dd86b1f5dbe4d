/* What an endpoint adds to a bundle's checks: whether the block is on the chain, whether the batch still stands, and
 * whether somebody who signed the voucher for the payer may. The endpoint is believed in what it names the newest block
 * and the block of a height; all else is proven against those. */
#ifndef OPENLORA_VERIFY_VERIFY_CHAIN_H
#define OPENLORA_VERIFY_VERIFY_CHAIN_H

#include "chainlite/verify/verify.h"

struct verify_place { /* informative */
    uint64_t block_number, head_number;
    int64_t block_age_s;
    bool past_window; /* the dispute window has passed by the newest block's time; false also if it is not known */
};

/* Sets VERIFY_BLOCK, and VERIFY_VOUCHER_SIGNATURE where another signer is authorised. What cannot be asked fails. A
 * bundle that is not settled asks nothing but the latter. The program calls curl_global_init first. */
void verify_on_chain(const struct bundle *, const struct chain_file *, const char *url, struct verify_report *,
                     struct verify_place *);

#endif
