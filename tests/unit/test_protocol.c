/* docs/protocol.md against another implementation: tests/vectors (viem's ABI, EIP-712 and Keccak). Values are read by the
 * schemas themselves, so the keys of JSON are compared on the way. */
#include "chainlite/core/batch.h"
#include "chainlite/json/notation.h"
#include "unit/vectors.h"

static struct secp *secp;

static json_t *load(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "tests/vectors/%s.json", name);
    return vectors_load(path);
}

static json_t *list_at(const json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);
    ck_assert_msg(json_array_size(list) > 0, "no list \"%s\"", key);
    return list;
}

static void read_into(const struct schema *s, const json_t *value, void *out)
{
    struct err e = {0};
    ck_assert_msg(notation_read(s, value, out, &e) == 0, "%s: %s", s->name, e.message);
}

static void fixed_at(const json_t *object, const char *key, void *out, size_t n)
{
    struct bytes b = bytes_at(object, key);
    ck_assert_uint_eq(b.len, n);
    memcpy(out, b.data, n);
    free(b.data);
}

static wei_t wei_at(const json_t *object, const char *key)
{
    wei_t wei;
    ck_assert(wei_parse(text_at(object, key), &wei));
    return wei;
}

static uint32_t number_at(const json_t *object, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(object, key));
}

static void domains_of(const json_t *file, const json_t *item, struct domains *out)
{
    const json_t *d = json_array_get(list_at(file, "deployments"), number_at(item, "deployment"));
    uint8_t settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES];
    fixed_at(d, "settlement", settlement, sizeof settlement);
    fixed_at(d, "escrow", escrow, sizeof escrow);
    domains_make((uint64_t)json_integer_value(json_object_get(d, "chain_id")), settlement, escrow, out);
    ck_assert_hex(out->settlement, 32, text_at(d, "settlement_domain"));
    ck_assert_hex(out->escrow, 32, text_at(d, "escrow_domain"));
}

static void check_signed(const json_t *item, const uint8_t digest[32])
{
    uint8_t key[32], signer[ADDRESS_BYTES], signature[SIGNATURE_BYTES];
    struct err e = {0};
    ck_assert_hex(digest, 32, text_at(item, "digest"));
    fixed_at(item, "private_key", key, 32);
    ck_assert_int_eq(secp_address(secp, key, signer, NULL), 0);
    ck_assert_hex(signer, sizeof signer, text_at(item, "signer"));
    ck_assert_int_eq(secp_sign(secp, key, digest, signature, NULL), 0);
    ck_assert_hex(signature, sizeof signature, text_at(item, "signature"));
    ck_assert_int_eq(signature_check(secp, digest, signature, signer, "it", &e), 0);
    signer[3] ^= 1;
    ck_assert_int_eq(signature_check(secp, digest, signature, signer, "it", &e), OL_EFORMAT);
    ck_assert(strncmp(e.message, "it is signed by 0x", 18) == 0);
}

START_TEST(test_typed_data)
{
    json_t *file = load("typed_data"), *item;
    uint8_t key[32] = {1}, hash[32], content[32];
    size_t i;
    secp = secp_open(key);
    json_array_foreach(list_at(file, "proofs"), i, item) {
        struct proof p;
        struct domains d;
        read_into(&proof_schema, json_object_get(item, "value"), &p);
        domains_of(file, item, &d);
        proof_struct_hash(&p, hash);
        ck_assert_hex(hash, 32, text_at(item, "struct_hash"));
        proof_digest(&p, &d, hash);
        check_signed(item, hash);
    }
    json_array_foreach(list_at(file, "vouchers"), i, item) {
        struct voucher v;
        struct domains d;
        read_into(&voucher_schema, json_object_get(item, "value"), &v);
        domains_of(file, item, &d);
        voucher_digest(&v, &d, hash);
        check_signed(item, hash);
    }
    json_array_foreach(list_at(file, "salted"), i, item) {
        fixed_at(item, "salt", key, 32);
        fixed_at(item, "content_hash", content, 32);
        salted_hash(key, content, hash);
        ck_assert_hex(hash, 32, text_at(item, "hash"));
    }
    secp_close(secp);
    json_decref(file);
}
END_TEST

static void check_ids(const json_t *file, const char *key, const struct schema *s, void *row,
                      void (*id)(const void *, uint8_t *))
{
    json_t *item;
    size_t i;
    json_array_foreach(list_at(file, key), i, item) {
        uint8_t hash[32];
        read_into(s, json_object_get(item, "value"), row);
        id(row, hash);
        ck_assert_hex(hash, 32, text_at(item, "id"));
    }
}

static void id_of_version(const void *row, uint8_t *out) { version_id(row, out); }
static void id_of_price(const void *row, uint8_t *out) { price_id(row, out); }
static void id_of_split(const void *row, uint8_t *out) { split_id(row, out); }

static size_t hashes_at(const json_t *item, const char *key, uint8_t (*out)[32], size_t max)
{
    json_t *list = json_object_get(item, key), *hash;
    size_t i;
    ck_assert_uint_le(json_array_size(list), max);
    json_array_foreach(list, i, hash)
        ck_assert(hex_decode(json_string_value(hash), out[i], 32));
    return json_array_size(list);
}

START_TEST(test_row_ids)
{
    enum { MOST = 64 };
    json_t *file = load("rows"), *item;
    struct row_version version;
    struct row_price price;
    struct row_split split;
    size_t i;
    check_ids(file, "versions", &version_schema, &version, id_of_version);
    check_ids(file, "prices", &price_schema, &price, id_of_price);
    check_ids(file, "splits", &split_schema, &split, id_of_split);
    json_array_foreach(list_at(file, "items"), i, item) {
        uint8_t owner[ADDRESS_BYTES], id[32];
        fixed_at(item, "owner", owner, sizeof owner);
        item_id((enum item_kind)number_at(item, "kind"), owner, text_at(item, "name"), id);
        ck_assert_hex(id, 32, text_at(item, "id"));
    }
    json_array_foreach(list_at(file, "metadata"), i, item) {
        uint8_t parents[MOST][32], roots[MOST][32], record[32], hash[32];
        size_t n_parents = hashes_at(item, "parents", parents, MOST), n_roots = hashes_at(item, "data_roots", roots, MOST);
        fixed_at(item, "training_record", record, 32);
        version_metadata(parents, n_parents, roots, n_roots, record, hash);
        ck_assert_hex(hash, 32, text_at(item, "hash"));
    }
    json_decref(file);
}
END_TEST

static int fee_at(const json_t *item, struct fee *fee)
{
    struct row_price price;
    read_into(&price_schema, json_object_get(item, "price"), &price);
    return fee_of(&price, number_at(item, "prompt_tokens"), number_at(item, "cached_tokens"),
                  number_at(item, "output_tokens"), (enum proof_status)number_at(item, "status"), fee, NULL);
}

START_TEST(test_fees)
{
    json_t *file = load("fees"), *item;
    struct fee fee;
    size_t i;
    json_array_foreach(list_at(file, "fees"), i, item) {
        ck_assert_int_eq(fee_at(item, &fee), 0);
        ck_assert(fee.royalty_wei == wei_at(item, "royalty") && fee.compute_wei == wei_at(item, "compute"));
    }
    json_array_foreach(list_at(file, "refused"), i, item)
        ck_assert_int_lt(fee_at(item, &fee), 0);
    json_decref(file);
}
END_TEST

START_TEST(test_parts)
{
    json_t *file = load("fees"), *item, *expected;
    size_t i, k;
    json_array_foreach(list_at(file, "parts"), i, item) {
        struct fee fee = {wei_at(item, "royalty"), wei_at(item, "compute")};
        struct row_split split;
        struct row_version top, base;
        struct part parts[MAX_PARTS_PER_RECEIPT], part;
        uint8_t node[ADDRESS_BYTES];
        int n;
        bool has_base = !json_is_null(json_object_get(item, "base"));
        read_into(&split_schema, json_object_get(item, "split"), &split);
        read_into(&version_schema, json_object_get(item, "top"), &top);
        if (has_base)
            read_into(&version_schema, json_object_get(item, "base"), &base);
        fixed_at(item, "node", node, sizeof node);
        ck_assert_int_eq(parts_of(&fee, &split, &top, has_base ? &base : NULL, node, parts, &n, NULL), 0);
        ck_assert_int_eq(n, (int)json_array_size(json_object_get(item, "parts")));
        json_array_foreach(json_object_get(item, "parts"), k, expected) {
            read_into(&part_schema, expected, &part);
            ck_assert(part.role == parts[k].role && part.amount_wei == parts[k].amount_wei);
            ck_assert_mem_eq(part.beneficiary, parts[k].beneficiary, ADDRESS_BYTES);
        }
    }
    json_decref(file);
}
END_TEST

static void check_path(const json_t *expected, const struct sumpath *path)
{
    json_t *node;
    size_t i;
    ck_assert_uint_eq(json_array_size(expected), (size_t)path->depth);
    json_array_foreach(expected, i, node) {
        struct sumnode sibling;
        read_into(&sumnode_schema, node, &sibling);
        ck_assert_mem_eq(sibling.hash, path->node[i].hash, 32);
        ck_assert(sibling.sum_wei == path->node[i].sum_wei);
    }
}

START_TEST(test_trees)
{
    enum { MOST = 128 };
    json_t *file = load("trees"), *item, *path;
    struct sumnode leaves[MOST], nodes[2 * MOST + SUMTREE_MAX_DEPTH], root, expected;
    size_t n, i;
    json_array_foreach(list_at(file, "leaves"), i, item)
        read_into(&sumnode_schema, item, &leaves[i]);
    ck_assert_uint_lt(i, MOST);
    json_array_foreach(list_at(file, "trees"), n, item) {
        memcpy(nodes, leaves, n * sizeof *leaves);
        ck_assert_int_eq(sumtree_build(nodes, n, &root, NULL), 0);
        read_into(&sumnode_schema, json_object_get(item, "root"), &expected);
        ck_assert_mem_eq(root.hash, expected.hash, 32);
        ck_assert(root.sum_wei == expected.sum_wei);
        json_array_foreach(json_object_get(item, "paths"), i, path) {
            struct sumpath ours;
            wei_t before;
            size_t index = number_at(path, "index");
            sumtree_path(nodes, n, index, &ours);
            check_path(json_object_get(path, "siblings"), &ours);
            ck_assert_int_eq(sumtree_verify(&leaves[index], index, n, &ours, &root, &before, NULL), 0);
            ck_assert(before == wei_at(path, "before"));
        }
    }
    json_array_foreach(list_at(file, "overflow"), n, item) {
        json_array_foreach(list_at(item, "leaves"), i, path)
            read_into(&sumnode_schema, path, &nodes[i]);
        ck_assert_int_eq(sumtree_build(nodes, i, &root, NULL), OL_ELIMIT);
    }
    json_decref(file);
}
END_TEST

START_TEST(test_leaves)
{
    json_t *file = load("trees"), *item;
    struct sumnode leaf;
    size_t i;
    json_array_foreach(list_at(file, "receipt_leaves"), i, item) {
        uint8_t hash[32];
        fixed_at(item, "struct_hash", hash, 32);
        receipt_leaf(hash, wei_at(item, "settled"), &leaf);
        ck_assert_hex(leaf.hash, 32, text_at(item, "hash"));
    }
    json_array_foreach(list_at(file, "posting_leaves"), i, item) {
        struct posting p;
        read_into(&posting_schema, json_object_get(item, "value"), &p);
        posting_leaf(&p, &leaf);
        ck_assert_hex(leaf.hash, 32, text_at(item, "hash"));
        ck_assert(leaf.sum_wei == p.amount_wei);
    }
    json_array_foreach(list_at(file, "credit_leaves"), i, item) {
        struct credit c;
        read_into(&credit_schema, json_object_get(item, "value"), &c);
        credit_leaf(&c, &leaf);
        ck_assert_hex(leaf.hash, 32, text_at(item, "hash"));
        ck_assert(leaf.sum_wei == c.cumulative_wei);
    }
    json_decref(file);
}
END_TEST

START_TEST(test_batches)
{
    enum { MOST = 512 };
    json_t *file = load("batches"), *item, *pair;
    uint8_t hash[32];
    size_t i, k;
    json_array_foreach(list_at(file, "batches"), i, item) {
        struct batch b;
        read_into(&batch_schema, json_object_get(item, "value"), &b);
        batch_hash(&b, hash);
        ck_assert_hex(hash, 32, text_at(item, "hash"));
    }
    const json_t *claims = json_object_get(file, "claims");
    fixed_at(claims, "start", hash, 32);
    json_array_foreach(list_at(claims, "chunks"), i, item) {
        struct credit accepted[MOST];
        json_array_foreach(list_at(item, "accepted"), k, pair)
            read_into(&credit_schema, pair, &accepted[k]);
        claims_hash_next(hash, accepted, k, hash);
        ck_assert_hex(hash, 32, text_at(item, "claims_hash"));
    }
    json_decref(file);
}
END_TEST

int main(void)
{
    return RUN_SUITE("protocol", test_typed_data, test_row_ids, test_fees, test_parts, test_trees, test_leaves,
                     test_batches);
}
