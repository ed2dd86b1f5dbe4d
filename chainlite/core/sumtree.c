/* Merkle-sum trees; see sumtree.h. */
#include "chainlite/core/sumtree.h"

#include <string.h>

enum { TAG_RECEIPT = 2, TAG_INNER = 3, TAG_POSTING = 4, TAG_CREDIT = 5 }; /* 6: shares.c, 7: spans.c */

static const struct field posting_fields[] = {
    FIELD(posting, ADDRESS, "beneficiary", beneficiary),
    FIELD(posting, U64, "sequence", sequence),
    FIELD(posting, U8, "role", role),
    FIELD(posting, WEI, "amount", amount_wei),
};
const struct schema posting_schema = SCHEMA_AS(ARRAY, "posting", posting, posting_fields);

static const struct field credit_fields[] = {
    FIELD(credit, ADDRESS, "beneficiary", beneficiary),
    FIELD(credit, WEI, "cumulative", cumulative_wei),
};
const struct schema credit_schema = SCHEMA_AS(ARRAY, "credit", credit, credit_fields);

static const struct field node_fields[] = {
    FIELD(sumnode, HASH, "hash", hash),
    FIELD(sumnode, WEI, "sum", sum_wei),
};
const struct schema sumnode_schema = SCHEMA_AS(ARRAY, "node", sumnode, node_fields);

static void begin(struct keccak *k, uint8_t tag)
{
    keccak_init(k);
    keccak_add(k, &tag, 1);
}

static void add_wei(struct keccak *k, wei_t value)
{
    uint8_t bytes[16];
    wei_to_be16(value, bytes);
    keccak_add(k, bytes, sizeof bytes);
}

static void add_u64(struct keccak *k, uint64_t value)
{
    uint8_t bytes[16];
    wei_to_be16(value, bytes);
    keccak_add(k, bytes + 8, 8);
}

void receipt_leaf(const uint8_t struct_hash[HASH_BYTES], wei_t settled_wei, struct sumnode *out)
{
    struct keccak k;
    begin(&k, TAG_RECEIPT);
    keccak_add(&k, struct_hash, HASH_BYTES);
    add_wei(&k, settled_wei);
    keccak_end(&k, out->hash);
    out->sum_wei = settled_wei;
}

void posting_leaf(const struct posting *p, struct sumnode *out)
{
    struct keccak k;
    begin(&k, TAG_POSTING);
    keccak_add(&k, p->beneficiary, ADDRESS_BYTES);
    add_u64(&k, p->sequence);
    keccak_add(&k, &p->role, 1);
    add_wei(&k, p->amount_wei);
    keccak_end(&k, out->hash);
    out->sum_wei = p->amount_wei;
}

int posting_order(const struct posting *a, const struct posting *b)
{
    int by_beneficiary = memcmp(a->beneficiary, b->beneficiary, ADDRESS_BYTES);
    if (by_beneficiary)
        return by_beneficiary;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return (int)a->role - (int)b->role;
}

void credit_leaf(const struct credit *c, struct sumnode *out)
{
    struct keccak k;
    begin(&k, TAG_CREDIT);
    keccak_add(&k, c->beneficiary, ADDRESS_BYTES);
    add_wei(&k, c->cumulative_wei);
    keccak_end(&k, out->hash);
    out->sum_wei = c->cumulative_wei;
}

static int inner(const struct sumnode *left, const struct sumnode *right, struct sumnode *out, struct err *e)
{
    struct keccak k;
    wei_t sum;
    if (!wei_add(left->sum_wei, right->sum_wei, &sum))
        return err_set(e, OL_ELIMIT, "sumtree", "the sum of a tree exceeds 128 bits");
    begin(&k, TAG_INNER);
    keccak_add(&k, left->hash, HASH_BYTES);
    add_wei(&k, left->sum_wei);
    keccak_add(&k, right->hash, HASH_BYTES);
    add_wei(&k, right->sum_wei);
    keccak_end(&k, out->hash);
    out->sum_wei = sum;
    return 0;
}

/* The level above n nodes, ⌈n/2⌉ of them; above = level folds in place. */
static int fold(const struct sumnode *level, size_t n, struct sumnode *above, struct err *e)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        int rc = inner(&level[i], &level[i + 1], &above[i / 2], e);
        if (rc)
            return rc;
    }
    if (n % 2)
        above[n / 2] = level[n - 1];
    return 0;
}

size_t sumtree_nodes(size_t n)
{
    size_t total = n;
    while (n > 1) {
        n = n / 2 + n % 2;
        total += n;
    }
    return total;
}

int sumtree_build(struct sumnode *nodes, size_t n, struct sumnode *root, struct err *e)
{
    struct sumnode *level = nodes;
    for (; n > 1; n = n / 2 + n % 2) {
        int rc = fold(level, n, level + n, e);
        if (rc)
            return rc;
        level += n;
    }
    *root = n ? *level : (struct sumnode){0};
    return 0;
}

int sumtree_root(struct sumnode *leaves, size_t n, struct sumnode *root, struct err *e)
{
    for (; n > 1; n = n / 2 + n % 2) {
        int rc = fold(leaves, n, leaves, e);
        if (rc)
            return rc;
    }
    *root = n ? *leaves : (struct sumnode){0};
    return 0;
}

void sumtree_path(const struct sumnode *nodes, size_t n, size_t index, struct sumpath *out)
{
    CHECK(index < n);
    out->depth = 0;
    for (; n > 1; nodes += n, n = n / 2 + n % 2, index /= 2) {
        size_t sibling = index ^ 1;
        if (sibling >= n)
            continue; /* an odd last node: moved up */
        CHECK(out->depth < SUMTREE_MAX_DEPTH);
        out->node[out->depth++] = nodes[sibling];
    }
}

int sumtree_verify(const struct sumnode *leaf, size_t index, size_t n, const struct sumpath *path,
                   const struct sumnode *root, wei_t *before_wei, struct err *e)
{
    struct sumnode at = *leaf;
    wei_t before = 0;
    int used = 0;
    if (index >= n)
        return err_set(e, OL_EFORMAT, "sumtree", "leaf %zu of a tree of %zu leaves", index, n);
    for (size_t last = n - 1; last > 0; last /= 2, index /= 2) {
        bool on_the_right = index % 2;
        if (!on_the_right && index == last)
            continue;
        if (used == path->depth)
            return err_set(e, OL_EFORMAT, "sumtree", "the path ends after %d nodes, below the root", used);
        const struct sumnode *sibling = &path->node[used++];
        if (on_the_right && !wei_add(before, sibling->sum_wei, &before))
            return err_set(e, OL_EFORMAT, "sumtree", "the sum before the leaf exceeds 128 bits");
        if (inner(on_the_right ? sibling : &at, on_the_right ? &at : sibling, &at, e))
            return err_set(e, OL_EFORMAT, "sumtree", "the sums of the path exceed 128 bits");
    }
    if (used != path->depth)
        return err_set(e, OL_EFORMAT, "sumtree", "the path has %d nodes, the tree needs %d", path->depth, used);
    if (memcmp(at.hash, root->hash, HASH_BYTES) != 0 || at.sum_wei != root->sum_wei)
        return err_set(e, OL_EFORMAT, "sumtree", "the path does not lead to the root and its total");
    if (before_wei)
        *before_wei = before;
    return 0;
}
