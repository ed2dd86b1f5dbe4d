/* Deposits: source hashes of the reference implementation's tests, attributes transactions of public chains in each
 * form, output and super roots, and refusals. */
#include "unit/chain_json.h"
#include "chainlite/core/deposit.h"
#include "chainlite/core/output_root.h"

/* Attributes deposits of OP Mainnet and others, from op-alloy's tests. */
static const char *const published[] = {
    "7ef8f8a0871ec5fb6afe7e5ae950bbb4cfd7d7cb277b413e67da806d50834a814b14c9f494deaddeaddeaddeaddeaddeaddeaddeaddead00"
    "019442000000000000000000000000000000000000158080830f424080b8a4440a5e20000008dd00101c1200000000000000040000000068"
    "1c941f0000000001566261000000000000000000000000000000000000000000000000000000005f629c0200000000000000000000000000"
    "00000000000000000000000000000000000001937badfbcce566e0ba932a3f7659644aa0c6ef019541d3134a1d8cb9f84d45c70000000000"
    "000000000000005050f69a9786f081509234f1a7f4684b5e5b76c9",
    "7ef8f8a0417d134467f4737fcdf2475f0ecdd2a0ed6d87ecffc888ba9f60ee7e3b8ac26a94deaddeaddeaddeaddeaddeaddeaddeaddead00"
    "019442000000000000000000000000000000000000158080830f424080b8a4440a5e20000008dd00101c1200000000000000040000000066"
    "c352bb000000000139c4f500000000000000000000000000000000000000000000000000000000c0cff14600000000000000000000000000"
    "00000000000000000000000000000000000001d4c88f4065ac9671e8b1329b90773e89b5ddff9cf8675b2b5e9c1b28320609930000000000"
    "000000000000005050f69a9786f081509234f1a7f4684b5e5b76c9"};

/* BOB 38821851: the call data of its attributes deposit. */
static const char jovian_data[] =
    "3db6be2b001e8480000955060000000000000004000000006ab8f29700000000018dc5200000000000000000000000000000000000000000"
    "000000000000000003ea758700000000000000000000000000000000000000000000000000000000003b927cc8d0ea7508cfe24b335f09e9"
    "85abf1e80cc7bc6996339304fe6698e418be29aa00000000000000000000000008f9f14ff43e112b18c96f0986f28cb1878f1d1100000000"
    "00000da475abf0000190";

START_TEST(test_sources)
{
    uint8_t out[32];
    struct bytes hash = bytes_of_hex("c00e5d67c2755389aded7d8b151cbd5bcdf7ed275ad5e028b664880fc7581c77");
    deposit_upgrade_source("Ecotone: L1 Block Proxy Update", out);
    ck_assert_hex(out, 32, "18acb38c5ff1c238a7460ebc1b421fa49ec4874bdf1e0a530d234104e5e67dbc");
    deposit_upgrade_source("Ecotone: beacon block roots contract deployment", out);
    ck_assert_hex(out, 32, "69b763c48478b9dc2f65ada09b3d92133ec592ea715ec65ad6e7f3dc519dc00c");
    deposit_upgrade_source("Jovian: L1Block Deployment", out);
    ck_assert_hex(out, 32, "98faf23b9795967bc0b1c543144739d50dba3ea40420e77ad6ca9848dbfb62e8");
    deposit_l1_info_source(hash.data, 4, out);
    ck_assert_hex(out, 32, "0586c503340591999b8b38bc9834bb16aec7d5bc00eb5587ab139c9ddab81977");
    free(hash.data);
}
END_TEST

START_TEST(test_published)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct bytes tx = bytes_of_hex(published[i]);
        struct deposit d;
        struct l1_attributes a;
        struct err e = {0};
        ck_assert_msg(deposit_parse(tx.data, tx.len, &d, &e) == 0, "%s", e.message);
        ck_assert(d.gas == 1000000 && d.mint_wei == 0 && d.value_wei == 0 && !d.is_system && !d.create);
        ck_assert_msg(deposit_l1_attributes(&d, &a, &e) == 0, "%s", e.message);
        ck_assert(a.form == ATTRIBUTES_ECOTONE && a.base_fee_scalar == 2269 && a.blob_base_fee_scalar == 1055762);
        ck_assert(a.sequence_number == 4 && a.blob_base_fee_wei == 1 && a.operator_fee_constant == 0);
        ck_assert_uint_eq(a.number, i ? 20563189 : 22438497);
        for (size_t cut = 0; cut < tx.len; cut++)
            ck_assert_int_ne(deposit_parse(tx.data, cut, &d, NULL), 0);
        for (size_t at = 0; at < tx.len; at++) { /* only fields that the source hash does not cover may change */
            tx.data[at] ^= 1;
            struct l1_attributes b;
            if (deposit_parse(tx.data, tx.len, &d, NULL) == 0 && deposit_l1_attributes(&d, &b, NULL) == 0)
                ck_assert(b.sequence_number == a.sequence_number && memcmp(b.hash, a.hash, 32) == 0);
            tx.data[at] ^= 1;
        }
        free(tx.data);
    }
}
END_TEST

/* The attributes transaction around some call data. */
static struct deposit around(const struct bytes *data, const uint8_t l1_hash[32], uint64_t sequence_number)
{
    struct bytes from = bytes_of_hex("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
    struct bytes to = bytes_of_hex("4200000000000000000000000000000000000015");
    struct deposit d = {.data = data->data, .data_len = data->len};
    memcpy(d.from, from.data, 20);
    memcpy(d.to, to.data, 20);
    deposit_l1_info_source(l1_hash, sequence_number, d.source_hash);
    free(from.data);
    free(to.data);
    return d;
}

START_TEST(test_jovian)
{
    struct bytes data = bytes_of_hex(jovian_data);
    struct deposit d = around(&data, data.data + 100, 4), other;
    struct l1_attributes a;
    ck_assert_uint_eq(data.len, 178);
    ck_assert_int_eq(deposit_l1_attributes(&d, &a, NULL), 0);
    ck_assert(a.form == ATTRIBUTES_JOVIAN && a.base_fee_scalar == 2000000 && a.blob_base_fee_scalar == 611590);
    ck_assert(a.operator_fee_scalar == 0 && a.operator_fee_constant == 15000000000000);
    ck_assert(a.da_footprint_gas_scalar == 400 && a.number == 26068256 && a.base_fee_wei == 65697159);
    other = d;
    other.from[19] ^= 1;
    ck_assert_int_eq(deposit_l1_attributes(&other, &a, NULL), OL_EFORMAT);
    other = d;
    other.to[19] ^= 1;
    ck_assert_int_eq(deposit_l1_attributes(&other, &a, NULL), OL_EFORMAT);
    other = d;
    other.source_hash[0] ^= 1;
    ck_assert_int_eq(deposit_l1_attributes(&other, &a, NULL), OL_EFORMAT);
    other = d;
    other.data_len--;
    ck_assert_int_eq(deposit_l1_attributes(&other, &a, NULL), OL_EUNSUPPORTED);
    data.data[36] = 1; /* the base fee's highest byte */
    ck_assert_int_eq(deposit_l1_attributes(&d, &a, NULL), OL_EFORMAT);
    data.data[36] = 0;
    data.data[0] ^= 1;
    ck_assert_int_eq(deposit_l1_attributes(&d, &a, NULL), OL_EUNSUPPORTED);
    free(data.data);
}
END_TEST

/* Output roots: computed again with the formula over bytes laid out by hand; the real header of a chain. */
START_TEST(test_output_roots)
{
    uint8_t bytes[128] = {0}, expected[32], out[32], rlp[1024];
    json_t *headers = vectors_load("tests/unit/data/headers.json");
    struct header_rules isthmus = rules_at(FORK_ISTHMUS), holocene = rules_at(FORK_HOLOCENE);
    struct header h;
    size_t len = header_of_json(json_object_get(headers, "MegaETH 11603812 (Isthmus)"), rlp, sizeof rlp);
    ck_assert_int_eq(header_parse(rlp, len, &isthmus, &h, NULL), 0);
    memcpy(bytes + 32, h.state_root, 32);
    memcpy(bytes + 64, h.withdrawals_root, 32);
    memcpy(bytes + 96, h.hash, 32);
    keccak256(bytes, sizeof bytes, expected);
    ck_assert_int_eq(output_root_of_header(&h, &isthmus, out, NULL), 0);
    ck_assert_mem_eq(out, expected, 32);
    ck_assert_int_eq(output_root_of_header(&h, &holocene, out, NULL), OL_EUNSUPPORTED);
    json_decref(headers);

    struct super_chain chains[2] = {{.chain_id = 10}, {.chain_id = 130}};
    uint8_t super[1 + 8 + 2 * 64] = {1, [5] = 0x6a, 0x90, 0xd6, 0x45, [9 + 31] = 10, [9 + 64 + 31] = 130};
    memset(chains[0].output_root, 0xaa, 32);
    memset(chains[1].output_root, 0xbb, 32);
    memset(super + 9 + 32, 0xaa, 32);
    memset(super + 9 + 96, 0xbb, 32);
    keccak256(super, sizeof super, expected);
    ck_assert_int_eq(super_root_v1(0x6a90d645, chains, 2, out, NULL), 0);
    ck_assert_mem_eq(out, expected, 32);
    ck_assert_int_eq(super_root_v1(1, chains, 0, out, NULL), OL_EINVAL);
    chains[1].chain_id = 10;
    ck_assert_int_eq(super_root_v1(1, chains, 2, out, NULL), OL_EINVAL);
}
END_TEST

START_TEST(test_refused)
{
    static const char *const texts[] = {"7e", "7ec0", "7e80", "02c0", "7ed58080808080808080808080808080808080808080"};
    struct deposit d;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bytes b = bytes_of_hex(texts[i]);
        ck_assert_int_ne(deposit_parse(b.data, b.len, &d, NULL), 0);
        free(b.data);
    }
    ck_assert_int_eq(deposit_parse(NULL, 0, &d, NULL), OL_EUNSUPPORTED);
}
END_TEST

int main(void)
{
    return RUN_SUITE("deposit", test_sources, test_published, test_jovian, test_output_roots, test_refused);
}
