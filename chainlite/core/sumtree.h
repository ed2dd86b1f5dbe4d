/* The Merkle-sum tree of docs/protocol.md §4: leaves with a hash and a sum, RFC 6962 shape. Pure: the caller gives the
 * memory. Building costs one keccak per inner node. A level has half the nodes of the one below, rounded up: an odd
 * last node moves up as it is, which is RFC 6962's split at the largest power of two. */
#ifndef OPENLORA_CORE_SUMTREE_H
#define OPENLORA_CORE_SUMTREE_H

#include "base/err.h"
#include "chainlite/core/rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sumnode {
    uint8_t hash[HASH_BYTES];
    wei_t sum_wei;
};

enum { SUMTREE_MAX_DEPTH = 32 }; /* up to 2^32 leaves */

struct sumpath { /* siblings from the leaf upwards */
    struct sumnode node[SUMTREE_MAX_DEPTH];
    int depth;
};

void receipt_leaf(const uint8_t struct_hash[HASH_BYTES], wei_t settled_wei, struct sumnode *out);

struct posting {
    uint8_t beneficiary[ADDRESS_BYTES];
    uint64_t sequence;
    uint8_t role;
    wei_t amount_wei;
};
void posting_leaf(const struct posting *, struct sumnode *out);
int posting_order(const struct posting *a, const struct posting *b); /* <0, 0, >0 */

struct credit {
    uint8_t beneficiary[ADDRESS_BYTES];
    wei_t cumulative_wei;
};
void credit_leaf(const struct credit *, struct sumnode *out);

extern const struct schema posting_schema, credit_schema, sumnode_schema; /* JSON arrays */

/* Nodes of all levels of a tree of n leaves, the leaves first: fewer than 2n + SUMTREE_MAX_DEPTH. */
size_t sumtree_nodes(size_t n);
/* nodes[0 … n) are the leaves; fills the other levels behind them (sumtree_nodes(n) in all), from which every path is
 * then read. Root and total; n = 0: zero root. OL_ELIMIT when the sum leaves 128 bits. */
int sumtree_build(struct sumnode *nodes, size_t n, struct sumnode *root, struct err *);
/* The path of leaf `index` < n of a tree that sumtree_build made. */
void sumtree_path(const struct sumnode *nodes, size_t n, size_t index, struct sumpath *out);
/* As sumtree_build where no path is asked for: needs no memory, overwrites the leaves. */
int sumtree_root(struct sumnode *leaves, size_t n, struct sumnode *root, struct err *);
/* OL_EFORMAT unless leaf stands at index of the tree of n leaves with this root and total. before_wei (may be NULL):
 * the sum of all leaves before it. */
int sumtree_verify(const struct sumnode *leaf, size_t index, size_t n, const struct sumpath *, const struct sumnode *root,
                   wei_t *before_wei, struct err *);

#endif
