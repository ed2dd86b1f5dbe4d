/* The three trees of a batch (docs/protocol.md §4, §5) from what the outbox holds.
 *
 * - Receipts settle their fee, or 0 where the batch's `unsettled` bit says so; postings are the parts of what settled.
 * - The data part of a receipt waits in `pending` in its own batch and is posted in the node's next batch of the epoch: with
 *   policy 0 to the split's unattributed pool, else to the shares of its statement, which was written with that batch.
 * - Credits are those of the batch before plus this batch's postings; the first batch of an epoch starts at 0.
 *
 * The same inputs give the same trees at any time: paths for a bundle are made from trees built again. */
#ifndef OPENLORA_SETTLE_BATCH_TREES_H
#define OPENLORA_SETTLE_BATCH_TREES_H

#include "chainlite/settle/outbox_attribution.h"

/* Where rows are found by id; OL_ENOTFOUND names what is missing. Rows of receipts must stay findable after they are
 * no longer offered. */
struct row_source {
    void *user;
    int (*version)(void *user, const uint8_t id[32], struct row_version *out, struct err *);
    int (*price)(void *user, const uint8_t id[32], struct row_price *out, struct err *);
    int (*split)(void *user, const uint8_t id[32], struct row_split *out, struct err *);
    /* The prices of the catalog, one after the other: false behind the last. NULL: none are published from here. */
    bool (*nth_price)(void *user, size_t index, struct row_price *out);
};

struct credits { /* strictly by beneficiary; owned */
    struct credit *at;
    size_t n;
};

struct batch_trees {
    size_t n_receipts, n_postings, n_credits;
    size_t room; /* of postings, in posting */
    struct sumnode *receipts; /* nodes of all levels (sumtree_build) */
    struct posting *posting;
    struct sumnode *postings;
    struct credit *credit;
    struct sumnode *credits;
    struct sumnode receipts_root, postings_root, credits_root; /* sums are the totals */
    wei_t pending_wei;
};

/* batch: epoch, first_sequence, count and unsettled are read. previous: the batch before if it is of the same epoch,
 * else NULL, and then `before` is empty. Costs two keccaks per leaf; memory about 1 kB per receipt. */
int batch_trees_build(struct outbox *, const struct row_source *, const struct outbox_batch *batch,
                      const struct outbox_batch *previous, const struct credits *before, struct batch_trees *out,
                      struct err *) __attribute__((warn_unused_result));
void batch_trees_deinit(struct batch_trees *); /* also right after = {0} */

/* Roots, counts and totals of the trees into the header; pending, too. */
void batch_trees_header(const struct batch_trees *, struct batch *);

static inline bool batch_settles(const struct outbox_batch *b, uint64_t sequence)
{
    uint64_t i = sequence - b->batch.first_sequence;
    return !(b->unsettled[i / 8] >> (i % 8) & 1);
}

#endif
