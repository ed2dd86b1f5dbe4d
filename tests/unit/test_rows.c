/* The fee rule and the split rule: exactness near 128 bits, sums, refusals. Ids and hashes: test_protocol.c. */
#include "chainlite/core/rows.h"

#include "unit/vectors.h"

static const struct row_split split = {400000000, 300000000, 200000000, 100000000, {1}, {2}, {3}};

/* ⌊(uncached·input + cached·cached_price + output·output_price) / 10⁶⌋ by addition, for small counts. */
static wei_t by_addition(const struct row_price *p, uint32_t uncached, uint32_t cached, uint32_t output)
{
    wei_t whole = 0, rest = 0; /* of a million */
    const struct {
        uint32_t n;
        wei_t wei;
    } terms[] = {{uncached, p->input_wei}, {cached, p->cached_wei}, {output, p->output_wei}};
    for (size_t t = 0; t < 3; t++)
        for (uint32_t i = 0; i < terms[t].n; i++) {
            whole += terms[t].wei / 1000000;
            rest += terms[t].wei % 1000000;
        }
    return whole + rest / 1000000;
}

START_TEST(test_fee)
{
    struct row_price p = {.input_wei = ((wei_t)1 << 126) + 12345, .cached_wei = 999999, .output_wei = 7777777777};
    struct fee fee;
    for (uint32_t prompt = 0; prompt < 40; prompt++)
        for (uint32_t cached = 0; cached <= prompt; cached += 3) {
            ck_assert_int_eq(fee_of(&p, prompt, cached, 11, STATUS_STOP, &fee, NULL), 0);
            ck_assert(fee.royalty_wei == by_addition(&p, prompt - cached, cached, 11) && fee.compute_wei == 0);
        }
    p.floor_wei = 5;
    p.compute_wei = 1500000;
    ck_assert_int_eq(fee_of(&p, 3, 3, 1, STATUS_CANCELLED, &fee, NULL), 0);
    ck_assert(fee.royalty_wei == 7780 && fee.compute_wei == 1);
    p.floor_wei = 1000000;
    ck_assert_int_eq(fee_of(&p, 3, 3, 1, STATUS_STOP, &fee, NULL), 0);
    ck_assert(fee.royalty_wei == 1000000);
    ck_assert_int_eq(fee_of(&p, 3, 0, 0, STATUS_STOP, &fee, NULL), 0);
    ck_assert(fee.royalty_wei == 0 && fee.compute_wei == 0);
    ck_assert_int_eq(fee_of(&p, 3, 0, 9, STATUS_FAILED, &fee, NULL), 0);
    ck_assert(fee.royalty_wei == 0 && fee.compute_wei == 0);
    ck_assert_int_eq(fee_of(&p, 3, 4, 9, STATUS_STOP, &fee, NULL), OL_EINVAL);
}
END_TEST

START_TEST(test_fee_limits)
{
    struct row_price p = {.input_wei = ~(wei_t)0};
    struct fee fee;
    ck_assert_int_eq(fee_of(&p, 1000000, 0, 1, STATUS_STOP, &fee, NULL), 0);
    ck_assert(fee.royalty_wei == ~(wei_t)0);
    ck_assert_int_eq(fee_of(&p, 1000001, 0, 1, STATUS_STOP, &fee, NULL), OL_ELIMIT);
    ck_assert_int_eq(fee_of(&p, UINT32_MAX, 0, 1, STATUS_STOP, &fee, NULL), OL_ELIMIT);
    p.compute_wei = 1000000;
    ck_assert_int_eq(fee_of(&p, 1000000, 0, 1, STATUS_STOP, &fee, NULL), OL_ELIMIT); /* the two lines together */
    p = (struct row_price){.input_wei = ~(wei_t)0, .cached_wei = ~(wei_t)0, .output_wei = ~(wei_t)0};
    ck_assert_int_eq(fee_of(&p, UINT32_MAX, 1, UINT32_MAX, STATUS_STOP, &fee, NULL), OL_ELIMIT);
}
END_TEST

static wei_t sum_of(const struct part *parts, int n)
{
    wei_t sum = 0;
    for (int i = 0; i < n; i++) {
        ck_assert(parts[i].amount_wei != 0 && (i == 0 || parts[i].role > parts[i - 1].role));
        sum += parts[i].amount_wei;
    }
    return sum;
}

/* Whatever the amount, the parts sum to the fee and each is within one wei of its share. */
START_TEST(test_parts)
{
    struct row_version top = {.payee = {9}, .base_ppb = 333333333}, base = {.payee = {8}};
    const uint8_t node[ADDRESS_BYTES] = {7};
    struct part parts[MAX_PARTS_PER_RECEIPT];
    int n;
    for (int shift = 0; shift < 127; shift++) {
        struct fee fee = {((wei_t)1 << shift) - 1 + (wei_t)shift, (wei_t)shift % 3};
        ck_assert_int_eq(parts_of(&fee, &split, &top, &base, node, parts, &n, NULL), 0);
        ck_assert(sum_of(parts, n) == fee.royalty_wei + fee.compute_wei);
    }
    struct fee fee = {1000000000, 5};
    ck_assert_int_eq(parts_of(&fee, &split, &top, &base, node, parts, &n, NULL), 0);
    ck_assert_int_eq(n, 6);
    const struct part expected[] = {{{9}, ROLE_MODEL, 400000000 - 133333333}, {{8}, ROLE_BASE, 133333333},
                                    {{2}, ROLE_DATA, 300000000},              {{1}, ROLE_VALIDATORS, 200000000},
                                    {{7}, ROLE_NODE, 100000000},              {{7}, ROLE_COMPUTE, 5}};
    for (int i = 0; i < n; i++) {
        ck_assert_mem_eq(parts[i].beneficiary, expected[i].beneficiary, ADDRESS_BYTES);
        ck_assert(parts[i].role == expected[i].role && parts[i].amount_wei == expected[i].amount_wei);
    }
    ck_assert_int_eq(parts_of(&fee, &split, &base, NULL, node, parts, &n, NULL), 0);
    ck_assert(n == 5 && parts[0].role == ROLE_MODEL && parts[0].amount_wei == 400000000);
    memset(top.payee, 0, ADDRESS_BYTES);
    ck_assert_int_eq(parts_of(&fee, &split, &top, &base, node, parts, &n, NULL), 0);
    ck_assert_uint_eq(parts[0].beneficiary[0], 3); /* the treasury */
    ck_assert_int_eq(parts_of(&(struct fee){0}, &split, &top, &base, node, parts, &n, NULL), 0);
    ck_assert_int_eq(n, 0);
}
END_TEST

START_TEST(test_refused_rows)
{
    struct row_version top = {.base_ppb = PPB + 1};
    struct row_split other = split;
    struct part parts[MAX_PARTS_PER_RECEIPT];
    int n;
    const uint8_t node[ADDRESS_BYTES] = {7};
    ck_assert_int_eq(parts_of(&(struct fee){1, 0}, &split, &top, NULL, node, parts, &n, NULL), OL_EINVAL);
    top.base_ppb = PPB;
    ck_assert_int_eq(parts_of(&(struct fee){1, 0}, &split, &top, NULL, node, parts, &n, NULL), 0);
    other.node_ppb++;
    ck_assert_int_eq(parts_of(&(struct fee){1, 0}, &other, &top, NULL, node, parts, &n, NULL), OL_EINVAL);
    other.model_ppb = UINT32_MAX;
    ck_assert_int_eq(parts_of(&(struct fee){1, 0}, &other, &top, NULL, node, parts, &n, NULL), OL_EINVAL);
}
END_TEST

int main(void) { return RUN_SUITE("rows", test_fee, test_fee_limits, test_parts, test_refused_rows); }
