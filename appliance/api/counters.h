/* What only the API sees of requests, for /metrics. */
#ifndef OPENLORA_API_COUNTERS_H
#define OPENLORA_API_COUNTERS_H

#include <pthread.h>
#include <stdint.h>

enum { COUNTER_BUCKETS = 16 };

struct counter_histogram {
    uint64_t count[COUNTER_BUCKETS + 1]; /* the last: above every bound */
    double sum;
};

struct counters {
    pthread_mutex_t lock;
    struct counter_histogram n, max_tokens;
};

extern const double counter_bounds_n[COUNTER_BUCKETS], counter_bounds_tokens[COUNTER_BUCKETS];

void counters_init(struct counters *);
void counters_deinit(struct counters *);
void counters_request(struct counters *, int n, int64_t max_tokens); /* one admitted request */

#endif
