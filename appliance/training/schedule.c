#include "training/schedule.h"

#include <string.h>

static const char *const names[SCHEDULES] = {"constant", "linear", "cosine"};

const char *schedule_name(enum schedule_kind kind) { return names[kind]; }

enum schedule_kind schedule_find(const char *name)
{
    int kind = 0;
    while (kind < SCHEDULES && strcmp(name, names[kind]) != 0)
        kind++;
    return (enum schedule_kind)kind;
}

/* cos(π·x) for 0 ≤ x ≤ 1, by the Taylor series on [0, π/2]: twelve terms leave less than 1e-16. */
static double cos_pi(double x)
{
    if (x > 0.5)
        return -cos_pi(1 - x);
    double y = 3.14159265358979323846 * x, square = y * y, term = 1, sum = 1;
    for (int k = 1; k < 12; k++) {
        term *= -square / ((2 * k - 1) * (2 * k));
        sum += term;
    }
    return sum;
}

double schedule_rate(const struct schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->peak * ((double)(step + 1) / (double)s->warmup);
    double span = (double)(s->steps - s->warmup);
    switch (s->kind) {
    case SCHEDULE_LINEAR:
        return s->peak * ((double)(s->steps - step) / span);
    case SCHEDULE_COSINE:
        return s->peak * (0.5 * (1 + cos_pi((double)(step - s->warmup) / span)));
    default:
        return s->peak;
    }
}
