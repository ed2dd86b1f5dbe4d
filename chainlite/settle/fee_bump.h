/* What a replacement must pay: pools take a transaction in the place of another one of the same nonce only if tip and
 * fee cap are both a tenth higher. Pure. */
#ifndef OPENLORA_SETTLE_FEE_BUMP_H
#define OPENLORA_SETTLE_FEE_BUMP_H

#include "chainlite/core/wei.h"

struct fees { /* per gas */
    wei_t tip_wei, cap_wei;
};

enum fee_bump {
    BUMP_READY,   /* *out replaces `old` */
    BUMP_CAPPED,  /* it would have to pay more than `max`: keep the old one, wait */
};

/* Both at least ceil(1.1 · old) and at least what is suggested now; tip ≤ cap ≤ max_cap. */
enum fee_bump fee_bump(const struct fees *old, const struct fees *suggested, wei_t max_cap_wei, struct fees *out);

#endif
