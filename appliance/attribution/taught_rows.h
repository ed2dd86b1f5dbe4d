/* The rows that contributors are credited for: of Datanet versions in document order every row that teaches something,
 * copies of an earlier row left out (docs/attribution.md §3: canonical representatives). Then ordered by contribution
 * id and row, so that sums over them do not depend on when a contribution was registered, unless that decides who was
 * first. */
#ifndef OPENLORA_ATTRIBUTION_TAUGHT_ROWS_H
#define OPENLORA_ATTRIBUTION_TAUGHT_ROWS_H

#include "attribution/datanet.h"
#include "attribution/gradient.h"
#include "training/row_tokens.h"

enum { TAUGHT_MAX_ROWS = 1 << 17 }; /* their sketched gradients take 4 GiB */

struct taught_rows {
    struct gradient_row *rows;    /* (n) owned, with their tokens */
    uint32_t *owners;             /* (n) index among the contributors */
    size_t n, tokens;             /* tokens: of all rows */
    struct vectors_owner *owner;  /* (n_owners) owned, in their order; each has a row */
    uint32_t n_owners;
    size_t copies, empty, withdrawn; /* rows left out, and contributions without their text */
};

/* OL_ELIMIT: more than TAUGHT_MAX_ROWS rows or VECTORS_MAX contributors. An error names contribution and row. */
int taught_rows_load(const struct row_encoder *, struct datanet_version *const *versions, uint32_t n_versions,
                     struct taught_rows *out, struct err *) __attribute__((warn_unused_result));
void taught_rows_deinit(struct taught_rows *);

#endif
