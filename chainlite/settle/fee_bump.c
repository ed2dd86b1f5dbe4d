/* Fees of replacements; see fee_bump.h. */
#include "chainlite/settle/fee_bump.h"

static wei_t raised(wei_t old)
{
    wei_t more = old / 10 + (old % 10 != 0); /* a tenth, rounded up */
    wei_t sum;
    if (more == 0)
        more = 1; /* a tip of 0 is not raised by a tenth of it */
    return wei_add(old, more, &sum) ? sum : ~(wei_t)0;
}

static wei_t larger(wei_t a, wei_t b) { return a > b ? a : b; }

enum fee_bump fee_bump(const struct fees *old, const struct fees *suggested, wei_t max_cap_wei, struct fees *out)
{
    out->tip_wei = larger(raised(old->tip_wei), suggested->tip_wei);
    out->cap_wei = larger(larger(raised(old->cap_wei), suggested->cap_wei), out->tip_wei);
    if (out->cap_wei <= max_cap_wei)
        return BUMP_READY;
    /* A suggestion above the limit must not keep the least possible raise from going out. */
    out->tip_wei = raised(old->tip_wei);
    out->cap_wei = larger(raised(old->cap_wei), out->tip_wei);
    return out->cap_wei <= max_cap_wei ? BUMP_READY : BUMP_CAPPED;
}
