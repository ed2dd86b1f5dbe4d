/* Fees of replacements: always a tenth more, rounded up, never above the limit. */
#include "unit/vectors.h"
#include "chainlite/settle/fee_bump.h"

static const wei_t HUGE_LIMIT = ~(wei_t)0;

START_TEST(test_a_tenth)
{
    struct fees out;
    for (wei_t old = 0; old < 2000; old++) {
        struct fees fees = {old, old + 7}, quiet = {0, 0};
        ck_assert_int_eq(fee_bump(&fees, &quiet, HUGE_LIMIT, &out), BUMP_READY);
        ck_assert(out.tip_wei * 10 >= fees.tip_wei * 11 && out.tip_wei > fees.tip_wei);
        ck_assert(out.cap_wei * 10 >= fees.cap_wei * 11 && out.cap_wei > fees.cap_wei);
        ck_assert((out.tip_wei - 1) * 10 < fees.tip_wei * 11 || fees.tip_wei == 0); /* and no wei more */
        ck_assert(out.tip_wei <= out.cap_wei);
    }
}
END_TEST

START_TEST(test_suggested)
{
    struct fees old = {100, 1000}, out;
    struct fees higher = {150, 5000};
    ck_assert_int_eq(fee_bump(&old, &higher, HUGE_LIMIT, &out), BUMP_READY);
    ck_assert(out.tip_wei == 150 && out.cap_wei == 5000);
    struct fees lower = {1, 2};
    ck_assert_int_eq(fee_bump(&old, &lower, HUGE_LIMIT, &out), BUMP_READY);
    ck_assert(out.tip_wei == 110 && out.cap_wei == 1100);
    struct fees tip = {3000, 2000}; /* a tip above the cap raises the cap */
    ck_assert_int_eq(fee_bump(&old, &tip, HUGE_LIMIT, &out), BUMP_READY);
    ck_assert(out.tip_wei == 3000 && out.cap_wei == 3000);
}
END_TEST

START_TEST(test_limit)
{
    struct fees old = {100, 1000}, quiet = {0, 0}, high = {0, 9000}, out;
    ck_assert_int_eq(fee_bump(&old, &quiet, 1099, &out), BUMP_CAPPED);
    ck_assert_int_eq(fee_bump(&old, &quiet, 1100, &out), BUMP_READY);
    ck_assert_int_eq(fee_bump(&old, &high, 1100, &out), BUMP_READY); /* the suggestion is over it, the least raise is not */
    ck_assert(out.cap_wei == 1100);
    struct fees top = {HUGE_LIMIT, HUGE_LIMIT}; /* no overflow */
    ck_assert_int_eq(fee_bump(&top, &quiet, HUGE_LIMIT - 1, &out), BUMP_CAPPED);
    /* Bump after bump comes to the limit and stops there. */
    struct fees fees = {1, 1};
    int bumps = 0;
    while (fee_bump(&fees, &quiet, 1000000, &out) == BUMP_READY && ++bumps < 1000)
        fees = out;
    ck_assert_int_lt(bumps, 1000);
    ck_assert(fees.cap_wei <= 1000000);
}
END_TEST

int main(void) { return RUN_SUITE("fee_bump", test_a_tenth, test_suggested, test_limit); }
