/* Float64 vectors as int16 with a power-of-two scale: ldexp and rint are exact, so the integers follow from the numbers
 * alone. See vectors.h. */
#include "attribution/vectors.h"

#include <math.h>

#define MODULE "vectors"

int vectors_quantize(const double *u, size_t n, int16_t *out, int32_t *exponent, struct err *e)
{
    double greatest = 0;
    int power = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(u[i]))
            return err_set(e, OL_EINVAL, MODULE, "a contributor's vector is not finite");
        greatest = fmax(greatest, fabs(u[i]));
    }
    if (greatest > 0) {
        frexp(greatest, &power); /* greatest < 2^power */
        power = 15 - power;
        if (rint(ldexp(greatest, power)) > VECTOR_LIMIT)
            power--;
    }
    if (power < -VECTOR_MAX_EXPONENT || power > VECTOR_MAX_EXPONENT)
        return err_set(e, OL_EINVAL, MODULE, "the greatest of the contributors' numbers, %g, is out of range",
                       greatest);
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)rint(ldexp(u[i], power));
    *exponent = power;
    return OL_OK;
}

int query_quantize(const double *v, size_t n, int16_t *out, struct err *e)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += v[i] * v[i];
    if (!(square > 0) || !isfinite(square))
        return err_set(e, OL_EINVAL, MODULE, "the answer's gradient is zero or not finite");
    double norm = sqrt(square);
    for (size_t i = 0; i < n; i++) {
        double value = rint(ldexp(v[i] / norm, QUERY_EXPONENT));
        out[i] = (int16_t)fmax(-VECTOR_LIMIT, fmin(VECTOR_LIMIT, value));
    }
    return OL_OK;
}

void query_hash(const int16_t *query, size_t n, uint8_t out[HASH_BYTES])
{
    keccak256(query, n * sizeof *query, out);
}
