#include "api/counters.h"

const double counter_bounds_n[COUNTER_BUCKETS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
const double counter_bounds_tokens[COUNTER_BUCKETS] = {1,   2,   5,    10,   20,   50,    100,   200,
                                                       500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

static void observe(struct counter_histogram *h, const double *bounds, double value)
{
    int i = 0;
    while (i < COUNTER_BUCKETS && value > bounds[i])
        i++;
    h->count[i]++;
    h->sum += value;
}

void counters_init(struct counters *c)
{
    *c = (struct counters){0};
    pthread_mutex_init(&c->lock, NULL);
}

void counters_deinit(struct counters *c) { pthread_mutex_destroy(&c->lock); }

void counters_request(struct counters *c, int n, int64_t max_tokens)
{
    pthread_mutex_lock(&c->lock);
    observe(&c->n, counter_bounds_n, n);
    observe(&c->max_tokens, counter_bounds_tokens, (double)max_tokens);
    pthread_mutex_unlock(&c->lock);
}
