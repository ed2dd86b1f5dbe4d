/* Figures of calibration; see calibration.h. */
#include "attribution/calibration.h"

#include <math.h>
#include <stdlib.h>

enum { MILLION = 1000000, ONE_IN = 200 };

static const double tail = 0.025;

static const struct field null_fields[] = {
    FIELD(null_test, U32, "prompts", prompts),
    FIELD(null_test, U32, "paid_ppm", paid_ppm),
    FIELD(null_test, U32, "any", any),
    FIELD(null_test, U32, "any_low_ppm", any_low_ppm),
    FIELD(null_test, U32, "any_high_ppm", any_high_ppm),
    FIELD(null_test, U32, "largest_ppm", largest_ppm),
};
static const struct schema null_schema = SCHEMA("fresh", null_test, null_fields);

static const struct field gradients_fields[] = {
    FIELD(calibration_gradients, U32, "kappa_ppb", kappa_ppb),
    FIELD(calibration_gradients, U64, "s0", s0),
    FIELD(calibration_gradients, U32, "domain_prompts", domain_prompts),
    FIELD(calibration_gradients, U32, "domain_paid_ppm", domain_paid_ppm),
};
static const struct schema gradients_schema = SCHEMA("gradients", calibration_gradients, gradients_fields);

static const struct field calibration_fields[] = {
    FIELD_BOUNDED(calibration, VERSION, "version", version, CALIBRATION_VERSION),
    FIELD(calibration, U32, "tau_millibits", tau_millibits),
    FIELD_NULLABLE(calibration, "gradients", gradients, has_gradients, &gradients_schema),
    FIELD(calibration, U32, "null_prompts", null_prompts),
    FIELD(calibration, U32, "answer_tokens", answer_tokens),
    FIELD_NESTED(calibration, "fresh", fresh, &null_schema),
};
const struct schema calibration_schema = SCHEMA("calibration", calibration, calibration_fields);

static int ascending32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int ascending64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint32_t calibration_kappa(uint32_t *cosines_ppb, size_t n)
{
    size_t rank = n + 1 - (n + 1) / ONE_IN; /* ⌈(n + 1)·199/200⌉ */
    qsort(cosines_ppb, n, sizeof *cosines_ppb, ascending32);
    return cosines_ppb[(rank < n ? rank : n) - 1];
}

uint64_t calibration_median(uint64_t *totals, size_t n)
{
    qsort(totals, n, sizeof *totals, ascending64);
    return totals[(n - 1) / 2];
}

/* P(at most `hits` of n) where each is one with probability p. */
static double at_most(uint32_t hits, uint32_t n, double p)
{
    double sum = 0;
    if (p <= 0 || hits >= n)
        return 1;
    if (p >= 1)
        return 0;
    for (uint32_t k = 0; k <= hits; k++)
        sum += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) + (n - k) * log1p(-p));
    return sum < 1 ? sum : 1;
}

/* The p in 0 … 1 at which a falling P(at most `hits`) passes `level`. */
static double crossing(uint32_t hits, uint32_t n, double level)
{
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (at_most(hits, n, middle) > level)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

void calibration_interval(uint32_t hits, uint32_t n, uint32_t *low_ppm, uint32_t *high_ppm)
{
    double low = hits ? crossing(hits - 1, n, 1 - tail) : 0, high = hits < n ? crossing(hits, n, tail) : 1;
    *low_ppm = (uint32_t)floor(MILLION * low);
    *high_ppm = n ? (uint32_t)ceil(MILLION * high) : MILLION;
}
