/* Trees of a batch; see batch_trees.h. */
#include "chainlite/settle/batch_trees.h"

#include <stdlib.h>
#include <string.h>

struct building {
    struct outbox *outbox;
    const struct row_source *rows;
    const struct outbox_batch *batch; /* whose receipts are being scanned */
    struct batch_trees *trees;
    bool data_only; /* receipts of the batch before: only what waited in pending */
    uint64_t next;  /* sequence that the scan must come to */
    struct err *err;
};

static const uint8_t no_id[32];

/* Fee and parts of a receipt by its rows; what the recorder signed must follow from them. */
static int parts_of_receipt(const struct building *b, const struct proof *p, struct part *parts, int *n)
{
    struct row_price price;
    struct row_split split;
    struct row_version top, base;
    struct fee fee;
    bool adapter = memcmp(p->adapter_version, no_id, sizeof no_id) != 0;
    int rc = b->rows->price(b->rows->user, p->price_id, &price, b->err);
    if (!rc)
        rc = b->rows->split(b->rows->user, p->split_id, &split, b->err);
    if (!rc)
        rc = b->rows->version(b->rows->user, adapter ? p->adapter_version : p->model_version, &top, b->err);
    if (!rc && adapter)
        rc = b->rows->version(b->rows->user, p->model_version, &base, b->err);
    if (!rc)
        rc = fee_of(&price, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status, &fee,
                    b->err);
    if (!rc && fee.royalty_wei + fee.compute_wei != p->fee_wei)
        rc = err_set(b->err, OL_EFORMAT, "batch", "the signed fee is not the price's");
    if (!rc)
        rc = parts_of(&fee, &split, &top, adapter ? &base : NULL, p->node, parts, n, b->err);
    return rc ? err_prefix(b->err, "receipt %llu", (unsigned long long)p->sequence) : 0;
}

/* Room for n more postings. */
static int make_room(struct batch_trees *t, size_t n, struct err *e)
{
    if (t->room - t->n_postings >= n)
        return 0;
    size_t room = 2 * t->room + n;
    void *grown = realloc(t->posting, room * sizeof *t->posting);
    if (!grown)
        return err_set(e, OL_ENOMEM, "batch", "no memory for %zu postings", room);
    t->posting = grown;
    t->room = room;
    return 0;
}

static int add_posting(struct batch_trees *t, const struct part *part, uint64_t sequence, struct err *e)
{
    int rc = make_room(t, 1, e);
    if (rc)
        return rc;
    struct posting *posting = &t->posting[t->n_postings++];
    memcpy(posting->beneficiary, part->beneficiary, ADDRESS_BYTES);
    posting->sequence = sequence;
    posting->role = part->role;
    posting->amount_wei = part->amount_wei;
    return 0;
}

/* The data part of a receipt of the batch before. */
static int add_data(const struct building *b, const struct proof *p, const struct part *data)
{
    struct batch_trees *t = b->trees;
    struct signed_statement s;
    if (memcmp(p->attribution_policy, no_id, sizeof no_id) == 0)
        return add_posting(t, data, p->sequence, b->err);
    int rc = outbox_statement(b->outbox, p->epoch, p->sequence, &s, b->err);
    if (rc)
        return err_prefix(b->err, "the statement of receipt %llu", (unsigned long long)p->sequence);
    rc = make_room(t, s.shares.n + 1, b->err);
    if (!rc)
        t->n_postings += shares_postings(s.shares.at, s.shares.n, data->amount_wei, data->beneficiary, p->sequence,
                                         &t->posting[t->n_postings]);
    schema_free(&signed_statement_schema, &s);
    return rc;
}

static int add_receipt(void *user, const struct outbox_receipt *r)
{
    struct building *b = user;
    struct batch_trees *t = b->trees;
    const struct proof *p = &r->proof;
    if (p->sequence != b->next)
        return err_set(b->err, OL_EFORMAT, "batch", "receipt %llu is missing from the outbox",
                       (unsigned long long)b->next);
    b->next++;
    wei_t settled_wei = batch_settles(b->batch, p->sequence) ? p->fee_wei : 0;
    if (!b->data_only) {
        uint8_t hash[HASH_BYTES];
        proof_struct_hash(p, hash);
        receipt_leaf(hash, settled_wei, &t->receipts[t->n_receipts++]);
    }
    if (settled_wei == 0)
        return 0;
    struct part parts[MAX_PARTS_PER_RECEIPT];
    int n = 0, rc = parts_of_receipt(b, p, parts, &n);
    if (rc)
        return rc;
    for (int i = 0; i < n && !rc; i++) {
        bool data = parts[i].role == ROLE_DATA;
        if (data && !b->data_only && !wei_add(t->pending_wei, parts[i].amount_wei, &t->pending_wei))
            return err_set(b->err, OL_ELIMIT, "batch", "the pending total exceeds 128 bits");
        if (data == b->data_only)
            rc = data ? add_data(b, p, &parts[i]) : add_posting(t, &parts[i], p->sequence, b->err);
    }
    return rc;
}

static int scan(struct outbox *outbox, struct building *b, const struct outbox_batch *batch, bool data_only)
{
    b->batch = batch;
    b->data_only = data_only;
    b->next = batch->batch.first_sequence;
    int rc = outbox_receipts(outbox, batch->batch.epoch, b->next, batch->batch.count, add_receipt, b, b->err);
    if (!rc && b->next != batch->batch.first_sequence + batch->batch.count)
        rc = err_set(b->err, OL_EFORMAT, "batch", "receipt %llu is missing from the outbox",
                     (unsigned long long)b->next);
    return rc;
}

static int compare_postings(const void *a, const void *b) { return posting_order(a, b); }

/* Merges what the batch before credited with the postings, both by beneficiary. */
static int add_credits(struct batch_trees *t, const struct credits *before, struct err *e)
{
    size_t i = 0, j = 0;
    while (i < before->n || j < t->n_postings) {
        const struct credit *old = i < before->n ? &before->at[i] : NULL;
        const struct posting *posting = j < t->n_postings ? &t->posting[j] : NULL;
        int order = !old ? 1 : !posting ? -1 : memcmp(old->beneficiary, posting->beneficiary, ADDRESS_BYTES);
        struct credit *c = &t->credit[t->n_credits++];
        *c = (struct credit){0};
        memcpy(c->beneficiary, order <= 0 ? old->beneficiary : posting->beneficiary, ADDRESS_BYTES);
        if (order <= 0) {
            c->cumulative_wei = old->cumulative_wei;
            i++;
        }
        for (; j < t->n_postings && memcmp(t->posting[j].beneficiary, c->beneficiary, ADDRESS_BYTES) == 0; j++)
            if (!wei_add(c->cumulative_wei, t->posting[j].amount_wei, &c->cumulative_wei))
                return err_set(e, OL_ELIMIT, "batch", "a credit exceeds 128 bits");
    }
    return 0;
}

static int build_trees(struct batch_trees *t, struct err *e)
{
    for (size_t i = 0; i < t->n_postings; i++)
        posting_leaf(&t->posting[i], &t->postings[i]);
    for (size_t i = 0; i < t->n_credits; i++)
        credit_leaf(&t->credit[i], &t->credits[i]);
    int rc = sumtree_build(t->receipts, t->n_receipts, &t->receipts_root, e);
    if (!rc)
        rc = sumtree_build(t->postings, t->n_postings, &t->postings_root, e);
    if (!rc)
        rc = sumtree_build(t->credits, t->n_credits, &t->credits_root, e);
    return rc;
}

/* Room for every receipt with all its parts, and the data parts of the batch before; shares make their own. */
static bool reserve(struct batch_trees *t, size_t count, size_t previous)
{
    t->room = count * MAX_PARTS_PER_RECEIPT + previous + 1;
    t->receipts = calloc(sumtree_nodes(count) + 1, sizeof *t->receipts);
    t->posting = calloc(t->room, sizeof *t->posting);
    return t->receipts && t->posting;
}

int batch_trees_build(struct outbox *outbox, const struct row_source *rows, const struct outbox_batch *batch,
                      const struct outbox_batch *previous, const struct credits *before, struct batch_trees *out,
                      struct err *e)
{
    struct err local = {0};
    struct building b = {.outbox = outbox, .rows = rows, .trees = out, .err = e ? e : &local};
    *out = (struct batch_trees){0};
    int rc = 0;
    if (!reserve(out, batch->batch.count, previous ? previous->batch.count : 0))
        rc = err_set(e, OL_ENOMEM, "batch", "no memory for a batch of %u receipts", batch->batch.count);
    if (!rc && previous)
        rc = scan(outbox, &b, previous, true);
    if (!rc)
        rc = scan(outbox, &b, batch, false);
    if (!rc) {
        qsort(out->posting, out->n_postings, sizeof *out->posting, compare_postings);
        out->postings = calloc(sumtree_nodes(out->n_postings) + 1, sizeof *out->postings);
        size_t credits = before->n + out->n_postings;
        out->credit = calloc(credits + 1, sizeof *out->credit);
        rc = out->postings && out->credit ? add_credits(out, before, e)
                                          : err_set(e, OL_ENOMEM, "batch", "no memory for the postings");
    }
    if (!rc) {
        out->credits = calloc(sumtree_nodes(out->n_credits) + 1, sizeof *out->credits);
        rc = out->credits ? build_trees(out, e) : err_set(e, OL_ENOMEM, "batch", "no memory for the credits");
    }
    if (rc)
        batch_trees_deinit(out);
    return rc;
}

void batch_trees_deinit(struct batch_trees *t)
{
    free(t->receipts);
    free(t->posting);
    free(t->postings);
    free(t->credit);
    free(t->credits);
    *t = (struct batch_trees){0};
}

void batch_trees_header(const struct batch_trees *t, struct batch *b)
{
    memcpy(b->receipts_root, t->receipts_root.hash, HASH_BYTES);
    b->settled_total_wei = t->receipts_root.sum_wei;
    memcpy(b->postings_root, t->postings_root.hash, HASH_BYTES);
    b->postings_count = (uint32_t)t->n_postings;
    b->postings_total_wei = t->postings_root.sum_wei;
    memcpy(b->credits_root, t->credits_root.hash, HASH_BYTES);
    b->credits_count = (uint32_t)t->n_credits;
    b->credits_total_wei = t->credits_root.sum_wei;
    b->pending_total_wei = t->pending_wei;
}
