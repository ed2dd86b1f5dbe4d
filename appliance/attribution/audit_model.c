/* The canonical pass that an audit computes vectors with, and how near two vectors are; see audit.h. */
#include "attribution/audit_internal.h"

#include <math.h>
#include <string.h>

#define MODULE "audit"

static int check_given(const struct audit_model *m, const struct row_version *adapter, const struct row_version *model,
                       struct err *e)
{
    char x[12], y[12];
    if (!m->file || !m->adapter)
        return err_set(e, OL_ENOTFOUND, MODULE, "--%s was not given: no vector can be computed again",
                       m->file ? "adapter" : "model");
    if (model && memcmp(model->content_hash, m->version, 32) != 0)
        return err_set(e, OL_ENOTFOUND, MODULE, "--model is %s…, not the base %s… that answered",
                       audit_short(m->version, x), audit_short(model->content_hash, y));
    if (adapter && memcmp(adapter->content_hash, m->adapter_hash, 32) != 0)
        return err_set(e, OL_ENOTFOUND, MODULE, "--adapter is %s…, not the adapter %s… that answered",
                       audit_short(m->adapter_hash, x), audit_short(adapter->content_hash, y));
    return OL_OK;
}

int audit_model_lora(struct audit *a, const struct row_version *adapter, const struct row_version *model, int32_t rows,
                     struct lora_model **out, struct err *e)
{
    struct audit_model *m = &a->model;
    const int32_t least = rows > LORA_DEFAULT_ROWS ? rows : LORA_DEFAULT_ROWS;
    const struct train_config config = {.threads = m->threads, .max_rows = least, .isa = m->isa};
    *out = NULL;
    int rc = check_given(m, adapter, model, e);
    if (rc)
        return rc;
    if (m->lora && least > m->rows) {
        lora_model_close(m->lora);
        m->lora = NULL;
    }
    if (!m->lora) {
        rc = lora_model_open(m->file, &config, &m->lora, e);
        if (!rc)
            rc = lora_model_load_adapter(m->lora, m->adapter, e);
        m->rows = least;
    }
    if (rc) {
        lora_model_close(m->lora);
        m->lora = NULL;
        return rc == OL_ENOTFOUND ? OL_EIO : rc;
    }
    *out = m->lora;
    return OL_OK;
}

double audit_cosine(const int16_t *a, const int16_t *b, size_t n)
{
    int64_t dot = 0, aa = 0, bb = 0; /* at most 4,096 · 2^30 */
    for (size_t i = 0; i < n; i++) {
        dot += (int32_t)a[i] * b[i];
        aa += (int32_t)a[i] * a[i];
        bb += (int32_t)b[i] * b[i];
    }
    if (aa == 0 || bb == 0)
        return aa == bb ? 1 : 0;
    return (double)dot / (sqrt((double)aa) * sqrt((double)bb));
}
