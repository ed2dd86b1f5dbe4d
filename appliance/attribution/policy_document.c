/* policy.json, read and written; see policy_document.h. */
#include "attribution/policy_document.h"

#include "attribution/sketch.h"
#include "base/file_map.h"
#include "chainlite/core/rows.h"

#include <string.h>

#define MODULE "policy"

static const struct field datanet_fields[] = {
    FIELD(policy_datanet, HASH, "version", version),
    FIELD(policy_datanet, HASH, "root", root),
};
static const struct schema datanet_schema = SCHEMA("datanet", policy_datanet, datanet_fields);

static const struct field spans_fields[] = {
    FIELD(policy_spans, HASH, "index", index),
    FIELD(policy_spans, HASH, "surprisal", surprisal),
    FIELD(policy_spans, HASH, "sources", sources),
    FIELD(policy_spans, U32, "tau_millibits", tau_millibits),
};
static const struct schema spans_schema = SCHEMA("spans", policy_spans, spans_fields);

static const struct field gradients_fields[] = {
    FIELD(policy_gradients, HASH, "vectors", vectors),
    FIELD(policy_gradients, U32, "dimensions", dimensions),
    FIELD(policy_gradients, U64, "seed", seed),
    FIELD_BOUNDED(policy_gradients, TEXT, "clip_norm", clip_norm, POLICY_TEXT_BYTES),
    FIELD(policy_gradients, U32, "kappa_ppb", kappa_ppb),
    FIELD(policy_gradients, WEI, "s0", s0),
};
static const struct schema gradients_schema = SCHEMA("gradients", policy_gradients, gradients_fields);

static const struct field calibration_fields[] = {
    FIELD(policy_calibration, U32, "null_prompts", null_prompts),
    FIELD(policy_calibration, U32, "false_tokens_ppm", false_tokens_ppm),
    FIELD(policy_calibration, U32, "any_credit_ppm", any_credit_ppm),
};
static const struct schema calibration_schema = SCHEMA("calibration", policy_calibration, calibration_fields);

static const struct field version_id_fields[] = {FIELD(policy_version_id, HASH, "version", id)};
static const struct schema version_id_schema = SCHEMA_AS(BARE, "version", policy_version_id, version_id_fields);

static const struct field document_fields[] = {
    FIELD_BOUNDED(policy_document, VERSION, "version", version, POLICY_VERSION),
    FIELD(policy_document, HASH, "model_version", model_version),
    FIELD_NULLABLE(policy_document, "adapter_version", adapter_version, has_adapter, &version_id_schema),
    FIELD_BOUNDED(policy_document, TEXT, "numerics", numerics, POLICY_TEXT_BYTES),
    FIELD_MANY(policy_document, "datanets", datanets, &datanet_schema, POLICY_MAX_DATANETS),
    FIELD_NESTED(policy_document, "spans", spans, &spans_schema),
    FIELD_NULLABLE(policy_document, "gradients", gradients, has_gradients, &gradients_schema),
    FIELD_NESTED(policy_document, "calibration", calibration, &calibration_schema),
    FIELD(policy_document, U32, "sampling_ppb", sampling_ppb),
};
const struct schema policy_document_schema = SCHEMA("policy", policy_document, document_fields);

static int check(const struct policy_document *d, int code, struct err *e)
{
    const struct policy_gradients *g = &d->gradients;
    if (strcmp(d->numerics, POLICY_NUMERICS) != 0)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "numerics \"%s\"; this program has " POLICY_NUMERICS, d->numerics);
    if (d->datanets.n < 1)
        return err_set(e, code, MODULE, "datanets: none");
    if (d->sampling_ppb > PPB)
        return err_set(e, code, MODULE, "sampling_ppb: at most %d", PPB);
    if (!d->has_gradients)
        return OL_OK;
    if (g->dimensions < 1 || g->dimensions > SKETCH_MAX_DIMENSIONS)
        return err_set(e, code, MODULE, "gradients: dimensions: 1 to %d", SKETCH_MAX_DIMENSIONS);
    if (g->kappa_ppb > PPB)
        return err_set(e, code, MODULE, "gradients: kappa_ppb: at most %d", PPB);
    if (g->s0 < 1 || g->s0 > INT64_MAX)
        return err_set(e, code, MODULE, "gradients: s0: 1 to 2^63 - 1");
    return OL_OK;
}

static void hash_of(const void *text, size_t n, uint8_t out[SHA256_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, text, n);
    sha256_end(&h, out);
}

int policy_document_parse(const char *text, size_t n, struct policy_document *out, uint8_t hash[SHA256_BYTES],
                          struct err *e)
{
    int rc = notation_parse(&policy_document_schema, text, n, out, e);
    if (rc)
        return rc;
    hash_of(text, n, hash);
    rc = check(out, OL_EFORMAT, e);
    if (rc)
        policy_document_deinit(out);
    return rc;
}

int policy_document_load(const char *path, struct policy_document *out, uint8_t hash[SHA256_BYTES], struct err *e)
{
    struct file_map file;
    int rc = file_map_init(&file, path, e);
    memset(out, 0, sizeof *out);
    if (rc)
        return rc;
    if (file.len > POLICY_MAX_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%zu bytes; %d at most", file.len, POLICY_MAX_BYTES);
    else
        rc = policy_document_parse((const char *)file.data, file.len, out, hash, e);
    file_map_deinit(&file);
    if (rc)
        err_prefix(e, "%s", path);
    return rc;
}

int policy_document_save(const struct policy_document *d, const char *path, uint8_t hash[SHA256_BYTES], struct err *e)
{
    struct policy_document again;
    int rc = check(d, OL_EINVAL, e);
    if (!rc)
        rc = notation_write_file(&policy_document_schema, d, path, POLICY_MAX_BYTES, e);
    if (!rc)
        rc = policy_document_load(path, &again, hash, e);
    if (!rc)
        policy_document_deinit(&again);
    return rc;
}

void policy_document_deinit(struct policy_document *d) { schema_free(&policy_document_schema, d); }
