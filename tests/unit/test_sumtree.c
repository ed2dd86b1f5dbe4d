/* Merkle-sum trees: the levels give the recursive definition's roots, every path verifies at its own place only. */
#include "chainlite/core/sumtree.h"

#include "unit/vectors.h"

enum { MOST_LEAVES = 67 };

static void fill(struct sumnode *leaves, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t hash[HASH_BYTES] = {(uint8_t)i, (uint8_t)n};
        receipt_leaf(hash, 1000 * i + 7, &leaves[i]);
    }
}

/* RFC 6962's definition, with sums. */
static struct sumnode by_definition(const struct sumnode *leaves, size_t n)
{
    if (n == 1)
        return leaves[0];
    size_t left = 1;
    while (left * 2 < n)
        left *= 2;
    struct sumnode a = by_definition(leaves, left), b = by_definition(leaves + left, n - left), out;
    uint8_t text[97] = {3};
    memcpy(text + 1, a.hash, 32);
    wei_to_be16(a.sum_wei, text + 33);
    memcpy(text + 49, b.hash, 32);
    wei_to_be16(b.sum_wei, text + 81);
    keccak256(text, sizeof text, out.hash);
    out.sum_wei = a.sum_wei + b.sum_wei;
    return out;
}

START_TEST(test_roots)
{
    struct sumnode nodes[2 * MOST_LEAVES + SUMTREE_MAX_DEPTH], leaves[MOST_LEAVES], root, in_place;
    for (size_t n = 1; n <= MOST_LEAVES; n++) {
        fill(leaves, n);
        memcpy(nodes, leaves, n * sizeof *leaves);
        struct sumnode expected = by_definition(leaves, n);
        ck_assert_uint_lt(sumtree_nodes(n), 2 * n + SUMTREE_MAX_DEPTH);
        ck_assert_int_eq(sumtree_build(nodes, n, &root, NULL), 0);
        ck_assert_int_eq(sumtree_root(leaves, n, &in_place, NULL), 0);
        ck_assert_mem_eq(root.hash, expected.hash, 32);
        ck_assert_mem_eq(in_place.hash, expected.hash, 32);
        ck_assert(root.sum_wei == expected.sum_wei && in_place.sum_wei == expected.sum_wei);
    }
    ck_assert_int_eq(sumtree_build(nodes, 0, &root, NULL), 0);
    ck_assert(root.sum_wei == 0 && root.hash[0] == 0);
}
END_TEST

START_TEST(test_paths)
{
    struct sumnode nodes[2 * MOST_LEAVES + SUMTREE_MAX_DEPTH], root;
    struct sumpath path;
    for (size_t n = 1; n <= MOST_LEAVES; n++) {
        fill(nodes, n);
        ck_assert_int_eq(sumtree_build(nodes, n, &root, NULL), 0);
        wei_t sum_before = 0, before = 1;
        for (size_t i = 0; i < n; i++) {
            sumtree_path(nodes, n, i, &path);
            ck_assert_int_eq(sumtree_verify(&nodes[i], i, n, &path, &root, &before, NULL), 0);
            ck_assert(before == sum_before);
            sum_before += nodes[i].sum_wei;
            for (size_t other = 0; other < n + 2; other++)
                if (other != i)
                    ck_assert_int_ne(sumtree_verify(&nodes[i], other, n, &path, &root, NULL, NULL), 0);
        }
    }
}
END_TEST

/* Each part of a proof counts: leaf, its sum, siblings, their sums, their number, root, total. */
START_TEST(test_altered_paths)
{
    enum { LEAVES = 21, INDEX = 19 };
    struct sumnode nodes[2 * LEAVES + SUMTREE_MAX_DEPTH], root, leaf;
    struct sumpath path;
    fill(nodes, LEAVES);
    ck_assert_int_eq(sumtree_build(nodes, LEAVES, &root, NULL), 0);
    sumtree_path(nodes, LEAVES, INDEX, &path);
    leaf = nodes[INDEX];
    struct sumnode *parts[SUMTREE_MAX_DEPTH + 2] = {&leaf, &root};
    size_t n_parts = 2;
    for (int i = 0; i < path.depth; i++)
        parts[n_parts++] = &path.node[i];
    for (size_t i = 0; i < n_parts; i++) {
        for (int byte = 0; byte < HASH_BYTES; byte++) {
            parts[i]->hash[byte] ^= 0x10;
            ck_assert_int_ne(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
            parts[i]->hash[byte] ^= 0x10;
        }
        parts[i]->sum_wei ^= 1;
        ck_assert_int_ne(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
        parts[i]->sum_wei ^= 1;
        parts[i]->sum_wei |= (wei_t)1 << 127; /* overflows somewhere, or gives another total */
        ck_assert_int_ne(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
        parts[i]->sum_wei &= ~((wei_t)1 << 127);
    }
    path.depth--;
    ck_assert_int_ne(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
    path.depth += 2;
    ck_assert_int_ne(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
    path.depth--;
    ck_assert_int_eq(sumtree_verify(&leaf, INDEX, LEAVES, &path, &root, NULL, NULL), 0);
    ck_assert_int_ne(sumtree_verify(&leaf, INDEX, 0, &path, &root, NULL, NULL), 0);
}
END_TEST

START_TEST(test_overflow)
{
    struct sumnode nodes[3] = {0}, root;
    struct err e;
    nodes[0].sum_wei = ~(wei_t)0;
    nodes[1].sum_wei = 1;
    ck_assert_int_eq(sumtree_build(nodes, 2, &root, &e), OL_ELIMIT);
    ck_assert_int_eq(sumtree_root(nodes, 2, &root, &e), OL_ELIMIT);
}
END_TEST

START_TEST(test_posting_order)
{
    struct posting a = {{1}, 5, 2, 9}, b = a;
    ck_assert_int_eq(posting_order(&a, &b), 0);
    b.role = 3;
    ck_assert_int_lt(posting_order(&a, &b), 0);
    a.sequence = 6;
    ck_assert_int_gt(posting_order(&a, &b), 0);
    b.beneficiary[19] = 1;
    ck_assert_int_lt(posting_order(&a, &b), 0);
}
END_TEST

int main(void)
{
    return RUN_SUITE("sumtree", test_roots, test_paths, test_altered_paths, test_overflow, test_posting_order);
}
