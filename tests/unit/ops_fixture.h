/* What the tests of single operations share: the variants of a phase, guarded memory full of NaN, steps put
 * together row by row, and phases run tile by tile without a device. */
#ifndef OPENLORA_TESTS_OPS_FIXTURE_H
#define OPENLORA_TESTS_OPS_FIXTURE_H

#include "kernels/cpu/phases.h"
#include "weights.h"

#include <check.h>
#include <stdio.h>
#include <time.h>

enum { GUARD_BYTES = 256, MAX_BLOCKS = 64 };

/* --- The instruction sets of one phase, the reference first. --- */

struct variant {
    const char *isa;
    const struct cpu_phase *phase;
    bool usable;
};

#define VARIANTS(name)                              \
    {                                               \
        {"ref", &name##_ref, true},                 \
        {"avx2", &name##_avx2, cpu_has_avx2()},     \
        {"avx512", &name##_avx512, cpu_has_avx512()}, \
    }
enum { N_VARIANTS = 3 };

/* All tiles as `threads` threads would share them, in an order that depends on the number of threads. */
static inline void run_phase(const struct cpu_phase *phase, const void *op, int threads)
{
    int tiles = phase->tiles(op, threads);
    for (int i = 0; i < tiles; i++)
        phase->run(op, threads % 2 ? i : tiles - 1 - i, tiles, i % threads);
}

/* --- Guarded memory: 64-byte aligned, every byte 0xff (NaN in F32 and in F16), checked when released. --- */

struct block {
    unsigned char *base;
    size_t bytes;
};

struct blocks {
    struct block block[MAX_BLOCKS];
    int n;
};

static inline void *take(struct blocks *b, size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    ck_assert_int_lt(b->n, MAX_BLOCKS);
    unsigned char *base = aligned_alloc(64, rounded + 2 * GUARD_BYTES);
    ck_assert_ptr_nonnull(base);
    memset(base, 0xff, rounded + 2 * GUARD_BYTES);
    b->block[b->n++] = (struct block){base, bytes};
    return base + GUARD_BYTES;
}

static inline float *take_floats(struct blocks *b, int64_t n) { return take(b, (size_t)n * sizeof(float)); }

static inline void release(struct blocks *b)
{
    for (; b->n; free(b->block[b->n].base)) {
        struct block *last = &b->block[--b->n];
        for (size_t i = 0; i < GUARD_BYTES; i++) {
            ck_assert_msg(last->base[i] == 0xff, "block %d: write %zu bytes before its start", b->n, GUARD_BYTES - i);
            ck_assert_msg(last->base[GUARD_BYTES + last->bytes + i] == 0xff, "block %d: write %zu bytes beyond its end",
                          b->n, i);
        }
    }
}

static inline dptr at(const void *p) { return (dptr)(uintptr_t)p; }

/* --- Random numbers; the seed is printed, and OPENLORA_TEST_SEED repeats a run. --- */

static inline uint64_t test_seed(void)
{
    const char *given = getenv("OPENLORA_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("OPENLORA_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed * 2654435769u + 1;
}

static inline void fill_random(uint64_t *state, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = random_float(state);
}

/* The same float for the same three numbers: data that does not depend on the order in which it is asked for. */
static inline float hashed_float(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t state = ((uint64_t)a << 40 ^ (uint64_t)b << 20 ^ c) * 0x9e3779b97f4a7c15u + 1;
    random_u32(&state);
    return random_float(&state);
}

/* --- Steps. --- */

static inline struct step *new_step(struct blocks *b, struct step_limits limits)
{
    struct step *s = take(b, step_layout(&limits).bytes);
    memset(s, 0, sizeof *s);
    s->limits = limits;
    return s;
}

static inline void add_sequence(struct step *s, int pos0, int n_rows, const int32_t *pages, int n_pages)
{
    struct step_seq *seq = &step_seqs(s)[s->n_seqs];
    *seq = (struct step_seq){s->n_rows, n_rows, pos0, s->n_pages, n_pages};
    memcpy(step_pages(s) + s->n_pages, pages, (size_t)n_pages * sizeof *pages);
    s->n_pages += n_pages;
    for (int i = 0; i < n_rows; i++, s->n_rows++) {
        step_pos(s)[s->n_rows] = pos0 + i;
        step_row_seq(s)[s->n_rows] = s->n_seqs;
        step_token(s)[s->n_rows] = 0;
    }
    s->n_seqs++;
}

/* --- A Check program of one suite. --- */

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
