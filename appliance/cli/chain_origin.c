#include "cli/chain_origin.h"

#include <string.h>
#include <sys/stat.h>

#define MODULE "register"

int origin_read(const char *path, const uint8_t content[32], const uint8_t base[32], struct origin *out, struct err *e)
{
    struct stat is;
    *out = (struct origin){0};
    if (stat(path, &is) != 0 || !S_ISDIR(is.st_mode)) /* a GGUF adapter is one file */
        return 0;
    int rc = training_record_read(path, &out->record, e);
    if (rc == OL_ENOTFOUND)
        return 0;
    if (rc == 0 && memcmp(out->record.adapter, content, 32) != 0)
        rc = err_set(e, OL_EINVAL, MODULE, "%s/%s is the record of another adapter: remove it, or train again", path,
                     RECORD_NAME);
    if (rc == 0 && memcmp(out->record.base, base, 32) != 0)
        rc = err_set(e, OL_EINVAL, MODULE, "%s was trained on another base model, says its %s", path, RECORD_NAME);
    if (rc != 0)
        training_record_deinit(&out->record);
    out->known = rc == 0;
    return rc;
}

struct version_sources origin_sources(const struct origin *o)
{
    return (struct version_sources){.data_roots = (const uint8_t(*)[32])o->record.roots, .n_roots = o->record.n_roots,
                                    .training_record = o->record.hash};
}

void origin_metadata(const struct origin *o, uint8_t out[32])
{
    version_metadata(NULL, 0, (const uint8_t(*)[32])o->record.roots, o->record.n_roots, o->record.hash, out);
}

bool origin_matches(const struct origin *o, const uint8_t metadata[32])
{
    uint8_t of[32];
    origin_metadata(o, of);
    return memcmp(of, metadata, sizeof of) == 0;
}

const struct origin *origin_find(const struct origin *origins, size_t n, const uint8_t metadata[32])
{
    static const struct origin none;
    for (size_t i = 0; i < n; i++)
        if (origin_matches(&origins[i], metadata))
            return &origins[i];
    return origin_matches(&none, metadata) ? &none : NULL;
}
