/* training.json beside an adapter that somebody else made. Input: the file. */
#include "training/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct training_record r, again;
    struct err e = {0};
    int rc = training_record_parse((const char *)data, size, &r, &e);
    if (rc != 0) {
        CHECK(rc < 0 && e.code == rc && *e.message && !r.roots && !r.n_roots);
        return 0;
    }
    CHECK(r.n_roots <= DATASET_MAX_SOURCES);
    CHECK(training_record_parse((const char *)data, size, &again, &e) == 0);
    CHECK(again.n_roots == r.n_roots && memcmp(again.hash, r.hash, sizeof r.hash) == 0);
    CHECK(r.n_roots == 0 || memcmp(again.roots, r.roots, r.n_roots * sizeof *r.roots) == 0);
    training_record_deinit(&r);
    training_record_deinit(&again);
    return 0;
}
