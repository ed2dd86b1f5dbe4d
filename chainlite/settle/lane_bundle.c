/* The settlement of one receipt as a bundle shows it (docs/protocol.md §10); see lane.h. */
#include "chainlite/settle/lane_internal.h"

#include <stdlib.h>
#include <string.h>

/* Trees of the batch, from the last time or new; the caller holds trees_mutex. */
static int trees_of(struct lane *l, const struct outbox_batch *batch, struct err *e)
{
    uint8_t hash[HASH_BYTES];
    struct outbox_batch before;
    batch_hash(&batch->batch, hash);
    if (memcmp(hash, l->trees_of, sizeof hash) == 0)
        return 0;
    batch_trees_deinit(&l->trees);
    memset(l->trees_of, 0, sizeof l->trees_of);
    int rc = lane_trees(l, batch, &before, &l->trees, e);
    if (rc)
        return rc;
    if (memcmp(l->trees.receipts_root.hash, batch->batch.receipts_root, HASH_BYTES) != 0 ||
        memcmp(l->trees.postings_root.hash, batch->batch.postings_root, HASH_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "lane", "the outbox no longer gives the trees of batch %llu",
                       (unsigned long long)batch->batch.number);
    memcpy(l->trees_of, hash, sizeof hash);
    return 0;
}

/* The path as an owned list of its siblings. */
static bool path_list(const struct sumnode *nodes, size_t n, size_t index, struct list *out)
{
    struct sumpath path;
    sumtree_path(nodes, n, index, &path);
    *out = (struct list){calloc((size_t)path.depth + 1, sizeof(struct sumnode)), (size_t)path.depth};
    if (out->at)
        memcpy(out->at, path.node, (size_t)path.depth * sizeof(struct sumnode));
    return out->at != NULL;
}

/* The postings of the receipt in its own batch, by role. */
static bool add_postings(const struct batch_trees *t, uint64_t sequence, struct list *out)
{
    struct bundle_posting *at = calloc(MAX_PARTS_PER_RECEIPT, sizeof *at);
    *out = (struct list){at, 0};
    if (!at)
        return false;
    for (int role = ROLE_MODEL; role < ROLE_END; role++)
        for (size_t i = 0; i < t->n_postings; i++) {
            if (t->posting[i].sequence != sequence || t->posting[i].role != role)
                continue;
            struct bundle_posting *posting = &at[out->n++];
            posting->posting = t->posting[i];
            posting->index = (uint32_t)i;
            if (!path_list(t->postings, t->n_postings, i, &posting->path))
                return false;
        }
    return true;
}

static int fill(struct lane *l, const struct outbox_receipt *receipt, const struct outbox_batch *batch,
                struct bundle_settlement *s, struct err *e)
{
    uint64_t sequence = receipt->proof.sequence;
    s->batch = batch->batch;
    s->index = (uint32_t)(sequence - batch->batch.first_sequence);
    s->settled_wei = batch_settles(batch, sequence) ? receipt->proof.fee_wei : 0;
    pthread_mutex_lock(&l->trees_mutex);
    int rc = trees_of(l, batch, e);
    if (!rc && (!path_list(l->trees.receipts, l->trees.n_receipts, s->index, &s->receipt_path) ||
                !add_postings(&l->trees, sequence, &s->postings)))
        rc = err_set(e, OL_ENOMEM, "lane", "no memory for the paths of a receipt");
    pthread_mutex_unlock(&l->trees_mutex);
    return rc;
}

int lane_settlement(struct lane *l, const struct outbox_receipt *receipt, const struct outbox_batch *batch,
                    struct buf *out, struct err *e)
{
    struct bundle_settlement s = {0};
    struct stored_proof proof = {0};
    uint64_t index = receipt->proof.sequence - batch->batch.first_sequence;
    if (batch->state < BATCH_UNSAFE || batch->state > BATCH_ANCHORED || batch->batch.epoch != receipt->proof.epoch ||
        index >= batch->batch.count)
        return err_set(e, OL_ENOTFOUND, "lane", "no proven batch holds the receipt");
    int rc = load_proof(l->proofs, batch->batch.number, &proof, e);
    if (!rc)
        rc = fill(l, receipt, batch, &s, e);
    if (!rc) { /* moved: freed with the settlement */
        memcpy(s.block_hash, proof.block_hash, HASH_BYTES);
        s.block_header = proof.block_header;
        s.account_proof = proof.account_proof;
        s.storage_proof = proof.storage_proof;
        proof = (struct stored_proof){0};
        notation_write(&bundle_settlement_schema, &s, out);
        if (buf_failed(out))
            rc = err_set(e, OL_ENOMEM, "lane", "no memory for a bundle");
    }
    schema_free(&bundle_settlement_schema, &s);
    schema_free(&stored_proof_schema, &proof);
    return rc;
}
