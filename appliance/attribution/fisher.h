/* Damped solves with the empirical Fisher matrix of one block (docs/attribution.md §3): F = (1/n) Σ φφᵀ over n rows of
 * K numbers, λ = 0.1·tr(F)/K, x = (F + λI)⁻¹ b. Everything in float64, sums in a fixed order.
 *
 * Known pitfalls: a block whose rows are all zero has λ = 0, and its solution is defined as 0. DataInf swaps inverse
 * and mean, which is wrong by O(K²): it is here to be measured against, nothing is paid by it. */
#ifndef OPENLORA_ATTRIBUTION_FISHER_H
#define OPENLORA_ATTRIBUTION_FISHER_H

#include "base/err.h"

#include <stddef.h>

struct fisher_rows {
    const double *at; /* (n, K), `stride` numbers from row to row; borrowed */
    size_t n, k, stride;
};

enum fisher_form {
    FISHER_BY_SIZE, /* primal if K ≤ n, else dual: the smaller matrix */
    FISHER_PRIMAL,  /* Cholesky of F + λI */
    FISHER_DUAL,    /* Woodbury: (b − Φᵀ(nλI + ΦΦᵀ)⁻¹Φb) / λ */
    FISHER_DATAINF, /* (1/n) Σ (φφᵀ + λI)⁻¹ b */
};

double fisher_damping(const struct fisher_rows *); /* λ */

/* x (m, K) of b (m, K), both with `stride` numbers from row to row; x may be b. Allocates n numbers and
 * the form's square matrix. OL_ENOMEM. OL_EINVAL: numbers that are not finite. */
int fisher_solve(const struct fisher_rows *, enum fisher_form, const double *b, size_t m, size_t stride, double *x,
                 struct err *) __attribute__((warn_unused_result));

#endif
