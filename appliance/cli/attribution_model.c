#include "cli/attribution.h"

int attribution_model_open(const struct model_file *file, const char *adapter, int threads, int32_t max_rows,
                           struct lora_model **out, struct err *e)
{
    const struct train_config config = {.threads = threads, .max_rows = max_rows};
    int rc = lora_model_open(file, &config, out, e);
    if (rc)
        return rc;
    rc = lora_model_load_adapter(*out, adapter, e);
    if (rc) {
        lora_model_close(*out);
        *out = NULL;
    }
    return rc;
}
