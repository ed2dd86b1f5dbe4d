/* From rows' sketched gradients to contributors' vectors; see gradient.h. */
#include "attribution/fisher.h"
#include "attribution/gradient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "gradient"

static const double clip_medians = 3;

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The middle norm, of an even number the mean of both. */
static int median(const double *norms, size_t n, double *out, struct err *e)
{
    double *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu rows", n);
    memcpy(sorted, norms, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    *out = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    free(sorted);
    return OL_OK;
}

/* A single row cannot outweigh the others: outliers, made to be or not, keep their direction and lose their length. */
static void clip(double *phi, const double *norms, size_t n, size_t k, double bound)
{
    for (size_t r = 0; r < n; r++)
        if (norms[r] > bound)
            for (size_t i = 0; i < k; i++)
                phi[r * k + i] *= bound / norms[r];
}

int gradient_solve(const struct sketch *s, double *phi, const double *norms, const uint32_t *owners, size_t n,
                   uint32_t m, double *u, double *clip_norm, struct err *e)
{
    size_t k = s->dimensions;
    if (n < 1)
        return err_set(e, OL_EINVAL, MODULE, "no rows: nothing teaches");
    for (size_t r = 0; r < n; r++)
        if (!isfinite(norms[r]))
            return err_set(e, OL_EINVAL, MODULE, "row %zu has a gradient that is not finite", r);
    int rc = median(norms, n, clip_norm, e);
    if (rc)
        return rc;
    *clip_norm *= clip_medians;
    if (!(*clip_norm > 0))
        return err_set(e, OL_EINVAL, MODULE, "most rows have no gradient");
    clip(phi, norms, n, k, *clip_norm);
    memset(u, 0, m * k * sizeof *u);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < k; i++)
            u[owners[r] * k + i] += phi[r * k + i];
    for (uint32_t block = 0, at = 0; block < s->n_blocks && !rc; at += s->block_dimensions[block++]) {
        struct fisher_rows rows = {phi + at, n, s->block_dimensions[block], k};
        rc = fisher_solve(&rows, FISHER_BY_SIZE, u + at, m, k, u + at, e);
    }
    return rc;
}
