/* The checks of a bundle's settlement: from the receipt through its batch to the block's state; see verify.h. */
#include "chainlite/verify/verify_internal.h"

#include <string.h>

static int no(struct err *e, const char *reason) { return err_set(e, OL_EFORMAT, "verify", "%s", reason); }

int check_position(struct verification *v, struct err *e)
{
    const struct bundle_settlement *s = &v->bundle->settlement;
    const struct proof *p = &v->bundle->proof;
    if (memcmp(s->batch.node, p->node, ADDRESS_BYTES) != 0)
        return no(e, "the batch is another node's");
    if (s->batch.epoch != p->epoch)
        return no(e, "the batch is of another epoch");
    if (s->index >= s->batch.count || p->sequence < s->batch.first_sequence ||
        p->sequence - s->batch.first_sequence != s->index)
        return no(e, "the index is not the receipt's place by its sequence");
    if (s->settled_wei != 0 && s->settled_wei != p->fee_wei)
        return no(e, "a receipt settles whole or not at all");
    return 0;
}

/* Of a leaf and the list of its path as the bundle has it. */
static int check_path(const struct sumnode *leaf, uint32_t index, uint32_t count, const struct list *path,
                      const uint8_t root_hash[HASH_BYTES], wei_t total_wei, struct err *e)
{
    struct sumpath siblings = {.depth = (int)path->n};
    struct sumnode root = {.sum_wei = total_wei};
    CHECK(path->n <= SUMTREE_MAX_DEPTH); /* by the schema */
    if (path->n)
        memcpy(siblings.node, path->at, path->n * sizeof *siblings.node);
    memcpy(root.hash, root_hash, HASH_BYTES);
    return sumtree_verify(leaf, index, count, &siblings, &root, NULL, e);
}

int check_receipt_path(struct verification *v, struct err *e)
{
    const struct bundle_settlement *s = &v->bundle->settlement;
    uint8_t hash[HASH_BYTES];
    struct sumnode leaf;
    proof_struct_hash(&v->bundle->proof, hash);
    receipt_leaf(hash, s->settled_wei, &leaf);
    return check_path(&leaf, s->index, s->batch.count, &s->receipt_path, s->batch.receipts_root,
                      s->batch.settled_total_wei, e);
}

static int check_posting(const struct verification *v, const struct bundle_posting *said, const struct part *part,
                         struct err *e)
{
    const struct batch *b = &v->bundle->settlement.batch;
    const struct posting *p = &said->posting;
    struct sumnode leaf;
    if (p->role != part->role || p->amount_wei != part->amount_wei || p->sequence != v->bundle->proof.sequence ||
        memcmp(p->beneficiary, part->beneficiary, ADDRESS_BYTES) != 0)
        return no(e, "is not the part that the split gives");
    posting_leaf(p, &leaf);
    return check_path(&leaf, said->index, b->postings_count, &said->path, b->postings_root, b->postings_total_wei, e);
}

/* One posting per part of what settled, in order; the data part waits in `pending` and is posted a batch later. */
int check_postings(struct verification *v, struct err *e)
{
    const struct bundle_settlement *s = &v->bundle->settlement;
    const struct bundle_posting *said = s->postings.at;
    struct part parts[MAX_PARTS_PER_RECEIPT];
    int n;
    size_t used = 0;
    int rc = verification_parts(v, parts, &n, e);
    if (rc)
        return rc;
    for (int i = 0; s->settled_wei != 0 && i < n; i++) {
        if (parts[i].role == ROLE_DATA)
            continue;
        if (used == s->postings.n)
            return err_set(e, OL_EFORMAT, "verify", "the posting of role %u is missing", parts[i].role);
        if (check_posting(v, &said[used], &parts[i], e))
            return err_prefix(e, "posting %zu", used + 1);
        used++;
    }
    if (used != s->postings.n)
        return err_set(e, OL_EFORMAT, "verify", "%zu postings; the receipt has %zu in its batch", s->postings.n, used);
    return 0;
}

int check_header(struct verification *v, struct err *e)
{
    const struct bundle_settlement *s = &v->bundle->settlement;
    struct header_rules rules;
    chain_file_rules(v->chain, &rules);
    int rc = header_parse(s->block_header.at, s->block_header.n, &rules, &v->header, e);
    if (rc)
        return rc;
    return memcmp(v->header.hash, s->block_hash, HASH_BYTES) ? no(e, "block_hash is not the hash of block_header") : 0;
}

struct nodes {
    struct mpt_node at[BUNDLE_MAX_NODES];
    size_t n;
};

static void nodes_of(const struct list *list, struct nodes *out)
{
    const struct node_element *element = list->at;
    CHECK(list->n <= BUNDLE_MAX_NODES); /* by the schema */
    for (out->n = 0; out->n < list->n; out->n++)
        out->at[out->n] = (struct mpt_node){element[out->n].rlp.at, element[out->n].rlp.n};
}

int check_account(struct verification *v, struct err *e)
{
    struct nodes nodes;
    nodes_of(&v->bundle->settlement.account_proof, &nodes);
    int rc = mpt_account(v->header.state_root, v->settlement, nodes.at, nodes.n, &v->contract, e);
    if (rc)
        return rc;
    return v->contract.exists ? 0 : no(e, "the Settlement contract is not there in this block");
}

int check_storage(struct verification *v, struct err *e)
{
    const struct batch *b = &v->bundle->settlement.batch;
    struct nodes nodes;
    uint8_t slot[32];
    nodes_of(&v->bundle->settlement.storage_proof, &nodes);
    slot_batch(b->node, b->number, slot);
    return mpt_storage(v->contract.storage_root, slot, nodes.at, nodes.n, v->slot_value, e);
}

int check_batch(struct verification *v, struct err *e)
{
    static const uint8_t none[32];
    uint8_t hash[HASH_BYTES];
    batch_hash(&v->bundle->settlement.batch, hash);
    if (memcmp(v->slot_value, none, 32) == 0)
        return no(e, "the contract holds no batch of this number: it was never submitted, or it is void");
    return memcmp(v->slot_value, hash, 32) ? no(e, "the contract holds another batch under this number") : 0;
}
