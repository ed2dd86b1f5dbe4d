/* sincos_, the contract's own sine and cosine: the nearest float32, as libm's float64 functions rounded to float32 are. */
#include "ops_fixture.h"

#include "kernels/sincos.h"

enum { RANDOM_ANGLES = 1 << 20 };

static void expect_libm(float x)
{
    float s, c;
    sincos_(x, &s, &c);
    ck_assert_msg(s == (float)sin((double)x) && c == (float)cos((double)x), "sincos_(%a) is %a, %a", (double)x,
                  (double)s, (double)c);
}

/* Angles of a model: positions times frequencies, to the end of a context of 131,072 tokens. */
START_TEST(angles_of_models)
{
    static const float bases[] = {1e4f, 1e5f, 5e5f, 1e6f};
    for (int half = 32; half <= 64; half += 16)
        for (int j = 0; j < half; j += 3) {
            float inv_freq = powf(bases[_i], -(float)j / (float)half);
            for (int pos = 0; pos < 131072; pos += pos < 4096 ? 1 : 67)
                expect_libm((float)pos * inv_freq);
        }
}
END_TEST

/* Every size up to 2^27, where the reduction ends to be exact; around multiples of π/4 the quarter changes. */
START_TEST(any_angle)
{
    for (uint32_t i = 0; i < RANDOM_ANGLES; i++)
        expect_libm(ldexpf(1.0f + fabsf(hashed_float(1, 2, i)), (int)(i % 40) - 14));
    for (int n = 0; n < 100000; n++)
        for (int ulps = -2; ulps <= 2; ulps++) {
            float x = (float)(n * 0.78539816339744831);
            for (int k = 0; k < abs(ulps); k++)
                x = nextafterf(x, ulps < 0 ? -1e9f : 1e9f);
            expect_libm(x);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sincos");
    TCase *tests = tcase_create("sincos");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, angles_of_models, 0, 4);
    tcase_add_test(tests, any_angle);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
