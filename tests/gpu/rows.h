/* Rows of float32 for the tests of operations that work row by row: random, zeros, denormal, huge, and with padding that
 * stays NaN, so that what is read of it shows. */
#ifndef OPENLORA_TESTS_GPU_ROWS_H
#define OPENLORA_TESTS_GPU_ROWS_H

#include "pair.h"
#include "tests/unit/ops_fixture.h"

enum { ROW_KINDS = 5 };

/* Row i of a matrix: its scale is that of kind i % ROW_KINDS. */
static inline void fill_row(uint64_t *seed, float *row, int i, int64_t cols)
{
    static const float scale[ROW_KINDS] = {3.0f, 0.0f, 1e-39f, 1e17f, 1e-3f};
    for (int64_t c = 0; c < cols; c++)
        row[c] = scale[i % ROW_KINDS] * random_float(seed);
}

/* (rows, ld) on both devices; columns from `cols` on are NaN. */
static inline struct both rows_alloc(struct pair *p, uint64_t *seed, int rows, int64_t cols, int64_t ld)
{
    size_t bytes = (size_t)(rows * ld) * sizeof(float);
    float *x = malloc(bytes);
    memset(x, 0xff, bytes);
    for (int i = 0; i < rows; i++)
        fill_row(seed, x + i * ld, i, cols);
    struct both to = pair_alloc(p, bytes);
    pair_fill(p, to, x, bytes);
    free(x);
    return to;
}

/* A step of one sequence of `rows` rows, of which every second one wants logits; room for `most` rows. */
static inline struct step *rows_step(struct blocks *b, int rows, int most)
{
    struct step *s = new_step(b, (struct step_limits){.max_rows = most, .max_seqs = 1, .max_logits = most, .max_pages = 1});
    add_sequence(s, 0, rows, (int32_t[]){0}, 1);
    for (int i = 1; i < rows; i += 2)
        step_logit_row(s)[s->n_logits++] = i;
    return s;
}

#endif
