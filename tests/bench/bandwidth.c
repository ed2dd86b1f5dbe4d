/* Read bandwidth of this machine: every thread sums its own buffer again and again.
 *
 *   bandwidth THREADS MEBIBYTES_PER_THREAD      prints GB/s of all threads together, best of 5 passes */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PASSES = 5, MIN_BYTES_PER_PASS = 1 << 30, MAX_THREADS = 64, LANES = 8 };

typedef uint64_t vec __attribute__((vector_size(64)));

struct reader {
    pthread_t thread;
    pthread_barrier_t *barrier;
    vec *data;
    size_t n;       /* vecs */
    size_t repeats; /* of one pass */
    uint64_t sum;   /* keeps the reads alive */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void read_once(struct reader *r)
{
    vec sum[LANES] = {0};
    for (size_t i = 0; i < r->n; i += LANES)
        for (int j = 0; j < LANES; j++)
            sum[j] += r->data[i + (size_t)j];
    for (int j = 0; j < LANES; j++)
        r->sum += sum[j][0];
}

static void *read_passes(void *arg)
{
    struct reader *r = arg;
    for (int pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(r->barrier);
        for (size_t i = 0; i < r->repeats; i++)
            read_once(r);
        pthread_barrier_wait(r->barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct reader readers[MAX_THREADS];
    long threads = argc == 3 ? strtol(argv[1], NULL, 10) : 0, mebibytes = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (threads < 1 || threads > MAX_THREADS || mebibytes < 1 || mebibytes > 1 << 16) {
        fprintf(stderr, "usage: bandwidth THREADS MEBIBYTES_PER_THREAD\n");
        return 2;
    }
    size_t bytes = (size_t)mebibytes << 20;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; i++) {
        readers[i] = (struct reader){.barrier = &barrier, .data = aligned_alloc(4096, bytes), .n = bytes / sizeof(vec),
                                     .repeats = bytes < MIN_BYTES_PER_PASS ? MIN_BYTES_PER_PASS / bytes : 1};
        if (!readers[i].data)
            return 1;
        memset(readers[i].data, (int)i + 1, bytes);
        if (pthread_create(&readers[i].thread, NULL, read_passes, &readers[i]))
            return 1;
    }
    double best = 0, total = (double)bytes * (double)readers[0].repeats * (double)threads;
    for (int pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(&barrier);
        double start = now_s();
        pthread_barrier_wait(&barrier);
        double rate = total / (now_s() - start);
        best = rate > best ? rate : best;
    }
    uint64_t sum = 0;
    for (long i = 0; i < threads; i++) {
        pthread_join(readers[i].thread, NULL);
        sum += readers[i].sum;
        free(readers[i].data);
    }
    fprintf(stderr, "checksum %llx\n", (unsigned long long)sum);
    printf("%.1f\n", best / 1e9);
    return 0;
}
