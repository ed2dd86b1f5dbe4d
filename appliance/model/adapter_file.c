#include "model/adapter_build.h"

#include <string.h>
#include <sys/stat.h>

int adapter_file_load(const char *path, const struct model_config *model, size_t page_bytes, struct adapter_image *out,
                      struct err *e)
{
    *out = (struct adapter_image){0};
    if (page_bytes < adapter_min_page_bytes(model) || page_bytes > INT32_MAX || page_bytes % 64)
        return err_set(e, OL_EINVAL, "adapter", "pages of %zu bytes: adapters of this model need %zu, in steps of 64",
                       page_bytes, adapter_min_page_bytes(model));
    struct lora_pairs pairs;
    int rc = lora_pairs_init(&pairs, model, e);
    if (rc)
        return rc;
    struct stat st;
    bool directory = !stat(path, &st) && S_ISDIR(st.st_mode);
    rc = directory ? adapter_peft_read(path, &pairs, page_bytes, out, e)
                   : adapter_gguf_read(path, &pairs, page_bytes, out, e);
    lora_pairs_deinit(&pairs);
    if (rc && e && !strstr(e->message, path))
        err_prefix(e, "%s", path);
    return rc;
}

int adapter_file_hash(const char *path, const struct model_config *model, char out[65], struct err *e)
{
    struct adapter_image image;
    int rc = adapter_file_load(path, model, (adapter_min_page_bytes(model) + 63) / 64 * 64, &image, e);
    if (rc)
        return rc;
    memcpy(out, image.hash, sizeof image.hash);
    adapter_image_deinit(&image);
    return OL_OK;
}
