/* Contributor vectors. Input: a vectors.bin. One that is accepted gives units that add up. */
#include "attribution/influence.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vectors v;
    struct err e = {0};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    int rc = vectors_parse(copy, size, &v, &e);
    CHECK(rc == 0 || (rc == OL_EFORMAT && e.message[0]));
    if (rc == 0) {
        const struct influence_rule rule = {1000, 1 << 20};
        const struct influence_answer answer = {v.values, 7, 5};
        struct influence_result r;
        uint64_t sum = 0;
        CHECK(influence_units(&v, &rule, &answer, &r, &e) == 0);
        for (uint32_t c = 0; c < v.n; c++)
            sum += r.rows[c].units;
        CHECK(sum == r.units && r.units <= 714285714); /* 5/7 of the whole */
        influence_result_deinit(&r);
        vectors_close(&v);
    }
    free(copy);
    return 0;
}
