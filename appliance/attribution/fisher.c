/* Damped Fisher solves; see fisher.h. */
#include "attribution/fisher.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "fisher"

static const double damping = 0.1;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

double fisher_damping(const struct fisher_rows *f)
{
    double trace = 0;
    for (size_t i = 0; i < f->n; i++)
        trace += dot(f->at + i * f->stride, f->at + i * f->stride, f->k);
    return f->n && f->k ? damping * (trace / (double)f->n) / (double)f->k : 0;
}

/* Lower triangle of the symmetric positive definite a (n, n) becomes L of LLᵀ. */
static int cholesky(double *a, size_t n, struct err *e)
{
    for (size_t j = 0; j < n; j++) {
        double pivot = a[j * n + j] - dot(a + j * n, a + j * n, j);
        if (!(pivot > 0) || !isfinite(pivot))
            return err_set(e, OL_EINVAL, MODULE, "the gradients are not finite numbers or too far apart in size");
        a[j * n + j] = sqrt(pivot);
        for (size_t i = j + 1; i < n; i++)
            a[i * n + j] = (a[i * n + j] - dot(a + i * n, a + j * n, j)) / a[j * n + j];
    }
    return OL_OK;
}

/* x = (LLᵀ)⁻¹ x */
static void substitute(const double *l, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - dot(l + i * n, x, i)) / l[i * n + i];
    for (size_t i = n; i-- > 0;) {
        x[i] /= l[i * n + i];
        for (size_t j = 0; j < i; j++)
            x[j] -= l[i * n + j] * x[i];
    }
}

/* Lower triangle of F + λI. */
static void fill_primal(const struct fisher_rows *f, double lambda, double *a)
{
    for (size_t r = 0; r < f->n; r++) {
        const double *row = f->at + r * f->stride;
        for (size_t i = 0; i < f->k; i++)
            for (size_t j = 0; j <= i; j++)
                a[i * f->k + j] += row[i] * row[j];
    }
    for (size_t i = 0; i < f->k; i++) {
        for (size_t j = 0; j <= i; j++)
            a[i * f->k + j] /= (double)f->n;
        a[i * f->k + i] += lambda;
    }
}

/* Lower triangle of nλI + ΦΦᵀ. */
static void fill_dual(const struct fisher_rows *f, double lambda, double *a)
{
    for (size_t i = 0; i < f->n; i++) {
        for (size_t j = 0; j <= i; j++)
            a[i * f->n + j] = dot(f->at + i * f->stride, f->at + j * f->stride, f->k);
        a[i * f->n + i] += (double)f->n * lambda;
    }
}

/* x = (x − Φᵀw) / λ */
static void combine(const struct fisher_rows *f, double lambda, const double *w, double *x)
{
    for (size_t r = 0; r < f->n; r++)
        for (size_t i = 0; i < f->k; i++)
            x[i] -= w[r] * f->at[r * f->stride + i];
    for (size_t i = 0; i < f->k; i++)
        x[i] /= lambda;
}

static void solve_one(const struct fisher_rows *f, enum fisher_form form, double lambda, const double *l, double *w,
                      double *x)
{
    if (form == FISHER_PRIMAL) {
        substitute(l, f->k, x);
        return;
    }
    for (size_t r = 0; r < f->n; r++)
        w[r] = dot(f->at + r * f->stride, x, f->k);
    if (form == FISHER_DUAL)
        substitute(l, f->n, w);
    else /* Sherman and Morrison, row by row */
        for (size_t r = 0; r < f->n; r++) {
            const double *row = f->at + r * f->stride;
            w[r] /= (lambda + dot(row, row, f->k)) * (double)f->n;
        }
    combine(f, lambda, w, x);
}

static int factor(const struct fisher_rows *f, enum fisher_form form, double lambda, double **l, struct err *e)
{
    size_t n = form == FISHER_PRIMAL ? f->k : f->n, cells;
    *l = NULL;
    if (form == FISHER_DATAINF)
        return OL_OK;
    if (!__builtin_mul_overflow(n, n, &cells))
        *l = calloc(cells, sizeof **l);
    if (!*l)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a matrix of %zu x %zu", n, n);
    if (form == FISHER_PRIMAL)
        fill_primal(f, lambda, *l);
    else
        fill_dual(f, lambda, *l);
    return cholesky(*l, n, e);
}

int fisher_solve(const struct fisher_rows *f, enum fisher_form form, const double *b, size_t m, size_t stride,
                 double *x, struct err *e)
{
    double lambda = fisher_damping(f), *l = NULL;
    if (!isfinite(lambda))
        return err_set(e, OL_EINVAL, MODULE, "the gradients are not finite numbers");
    if (form == FISHER_BY_SIZE)
        form = f->k <= f->n ? FISHER_PRIMAL : FISHER_DUAL;
    if (lambda == 0) { /* no gradient at all, or one too small for its square */
        for (size_t i = 0; i < m; i++)
            memset(x + i * stride, 0, f->k * sizeof *x);
        return OL_OK;
    }
    double *w = malloc(f->n * sizeof *w);
    int rc = w ? factor(f, form, lambda, &l, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu numbers", f->n);
    for (size_t i = 0; i < m && !rc; i++) {
        memmove(x + i * stride, b + i * stride, f->k * sizeof *x);
        solve_one(f, form, lambda, l, w, x + i * stride);
    }
    free(l);
    free(w);
    return rc;
}
