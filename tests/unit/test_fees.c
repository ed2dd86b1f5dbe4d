/* Fees: the sizes and fees of op-geth's tests, a receipt of OP Mainnet, and the formulas at their edges. */
#include "unit/vectors.h"
#include "chainlite/core/fees.h"

/* OP Mainnet 0x8eb9dd4e…b594, a contract call. */
static const char contract_call[] =
    "02f901550a758302df1483be21b88304743f94f80e51afb613d764fa61751affd3313c190a86bb870151bd62fd12adb8e41ef24f3f000000"
    "000000000000000000000000000000000000000000000000000000006e000000000000000000000000af88d065e77c8cc2239327c5edb3a4"
    "32268e5831000000000000000000000000000000000000000000000000000000000003c1e500000000000000000000000000000000000000"
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000a0000000000000"
    "000000000000000000000000000000000000000000000000000000148c89ed219d02f1a5be012c689b4f5b731827bebe0000000000000000"
    "00000000c001a033fd89cb37c31b2cba46b6466e040c61fc9b2a3675a7f5f493ebd5ad77c497f8a07cdf65680e238392693019b4092f6102"
    "22e71b7cec06449cb922b93b6a12744e";

START_TEST(test_flz)
{
    static uint8_t bytes[1000];
    ck_assert_uint_eq(fees_flz_bytes(bytes, 0), 0);
    ck_assert_uint_eq(fees_flz_bytes(bytes, 1000), 21);
    memset(bytes, 1, sizeof bytes);
    ck_assert_uint_eq(fees_flz_bytes(bytes, 1000), 21);
    struct bytes call = bytes_of_hex(contract_call);
    ck_assert_uint_eq(fees_flz_bytes(call.data, call.len), 202);
    free(call.data);
    /* A match in the last place does not count; 24 is also what Solady's LibZip 0.1.26 makes of it. */
    struct bytes last = bytes_of_hex("0404040404040f03070f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
    ck_assert_uint_eq(fees_flz_bytes(last.data, last.len), 24);
    free(last.data);
    for (size_t n = 0; n < 40; n++) { /* short and without repetition: literals only */
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(i * 37 + 1);
        ck_assert_uint_eq(fees_flz_bytes(bytes, n), n + (n + 31) / 32);
    }
}
END_TEST

START_TEST(test_l1)
{
    struct l1_attributes a = {
        .base_fee_scalar = 20, .blob_base_fee_scalar = 15, .base_fee_wei = 2000000, .blob_base_fee_wei = 3000000};
    wei_t fee;
    ck_assert(fees_l1_wei(&a, 235, &fee) && fee == 105484); /* the Solidity parity test of op-geth */
    a = (struct l1_attributes){
        .base_fee_scalar = 2, .blob_base_fee_scalar = 3, .base_fee_wei = 1000000000, .blob_base_fee_wei = 10000000};
    static const uint32_t least[] = {0, 100, 150, 170}, more[] = {171, 175, 200};
    for (int i = 0; i < 4; i++)
        ck_assert(fees_l1_wei(&a, least[i], &fee) && fee == 3203000);
    for (int i = 0; i < 3; i++)
        ck_assert(fees_l1_wei(&a, more[i], &fee) && fee > 3203000);
    /* A receipt of OP Mainnet. */
    a = (struct l1_attributes){.base_fee_scalar = 5227,
                               .blob_base_fee_scalar = 1014213,
                               .base_fee_wei = 40583973580,
                               .blob_base_fee_wei = 111685752};
    ck_assert(fees_l1_wei(&a, 0, &fee) && fee == 350739202003);
    a.base_fee_wei = ~(wei_t)0;
    ck_assert(!fees_l1_wei(&a, 0, &fee));
    a = (struct l1_attributes){.blob_base_fee_scalar = UINT32_MAX, .blob_base_fee_wei = (wei_t)1 << 95};
    ck_assert(!fees_l1_wei(&a, UINT32_MAX, &fee));
    ck_assert_uint_eq(fees_da_size_e6(170), 100000000);
    ck_assert_uint_eq(fees_da_size_e6(171), 100455900);
}
END_TEST

START_TEST(test_operator)
{
    struct l1_attributes a = {
        .form = ATTRIBUTES_ISTHMUS, .operator_fee_scalar = 1439103868, .operator_fee_constant = 1256417826609331460u};
    ck_assert(fees_operator_wei(&a, 1000) ==
              (wei_t)1256417826609331460u + 1439103); /* by hand: floor(1439103868000/10^6) */
    a.form = ATTRIBUTES_JOVIAN;
    ck_assert(fees_operator_wei(&a, 1000) == (wei_t)1256417826609331460u + (wei_t)143910386800000);
    a = (struct l1_attributes){.form = ATTRIBUTES_JOVIAN, .operator_fee_constant = 15000000000000};
    ck_assert(fees_operator_wei(&a, 169661) == 15000000000000); /* BOB 38821851 paid this into its vault */
    a = (struct l1_attributes){
        .form = ATTRIBUTES_JOVIAN, .operator_fee_scalar = UINT32_MAX, .operator_fee_constant = UINT64_MAX};
    ck_assert(fees_operator_wei(&a, UINT64_MAX) == (wei_t)UINT64_MAX * UINT32_MAX * 100 + UINT64_MAX);
}
END_TEST

START_TEST(test_footprint_and_floor)
{
    struct l1_attributes a = {.da_footprint_gas_scalar = 0};
    ck_assert_uint_eq(fees_da_footprint_gas(&a, 0), 40000); /* 100 bytes * the default 400 */
    ck_assert_uint_eq(fees_da_footprint_gas(&a, 202), 126 * 400);
    a.da_footprint_gas_scalar = 7;
    ck_assert_uint_eq(fees_da_footprint_gas(&a, 202), 126 * 7);
    const uint8_t data[] = {0, 1, 0, 2, 3};
    ck_assert_uint_eq(fees_floor_gas(data, 0), 21000);
    ck_assert_uint_eq(fees_floor_gas(data, 5), 21000 + 2 * 10 + 3 * 40);
}
END_TEST

int main(void) { return RUN_SUITE("fees", test_flz, test_l1, test_operator, test_footprint_and_floor); }
