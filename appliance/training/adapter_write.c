#include "training/adapter_write.h"

#include "base/file_replace.h"
#include "kernels/dequant.h"
#include "model/hf_dir.h"
#include "model/safetensors_write.h"
#include "training/random.h"
#include "training/settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "adapter"

enum { FILE_MODE = 0644 };

void adapter_initialise(const struct lora_layout *layout, uint64_t seed, float *params)
{
    for (int32_t i = 0; i < layout->n_places; i++) {
        const struct lora_place *p = &layout->places[i];
        struct random r = random_start(seed, RANDOM_INIT, (uint64_t)i);
        float bound = 1.0f / sqrtf((float)p->in);
        for (int64_t k = 0; k < (int64_t)p->rank * p->in; k++)
            params[p->a + k] = random_signed_unit(&r) * bound;
        memset(params + p->b, 0, (size_t)p->rank * (size_t)p->out * sizeof *params);
    }
}

static struct safetensor tensor(const char *name, int64_t rows, int64_t cols, enum dtype dtype,
                                const unsigned char *data, int64_t first)
{
    size_t element = (size_t)dtype_info(dtype)->bytes;
    return (struct safetensor){.name = {name, strlen(name)}, .dtype = dtype, .dims = {rows, cols, 1, 1}, .n_dims = 2,
                               .data = data + (size_t)first * element, .bytes = (size_t)(rows * cols) * element};
}

static int write_tensors(const char *path, const struct lora_layout *layout, const void *data, enum dtype dtype,
                         struct err *e)
{
    static const struct safetensors_note format = {"format", "pt"};
    size_t n = 2 * (size_t)layout->n_places;
    struct safetensor *tensors = calloc(n, sizeof *tensors);
    char (*names)[LORA_NAME_BYTES] = calloc(n, sizeof *names);
    int rc = tensors && names ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tensors", n);
    for (int32_t i = 0; i < layout->n_places && !rc; i++) {
        const struct lora_place *p = &layout->places[i];
        lora_place_name(p, 'A', names[2 * i]);
        lora_place_name(p, 'B', names[2 * i + 1]);
        tensors[2 * i] = tensor(names[2 * i], p->rank, p->in, dtype, data, p->a);
        tensors[2 * i + 1] = tensor(names[2 * i + 1], p->out, p->rank, dtype, data, p->b);
    }
    if (!rc)
        rc = safetensors_write(path, tensors, n, &format, 1, e);
    free(tensors);
    free(names);
    return rc;
}

static int write_halves(const char *path, const struct lora_layout *layout, const float *params, struct err *e)
{
    uint16_t *halves = malloc((size_t)layout->n_params * sizeof *halves);
    int rc = OL_ENOMEM;
    if (!halves)
        err_set(e, rc, MODULE, "no memory for %lld parameters", (long long)layout->n_params);
    else if (!half_row(params, halves, layout->n_params))
        rc = err_set(e, OL_EINVAL, MODULE, "a parameter is not finite or too large for F16: write F32");
    else
        rc = write_tensors(path, layout, halves, DTYPE_F16, e);
    free(halves);
    return rc;
}

static json_t *config_json(const struct adapter_description *d)
{
    bool whole = d->alpha == rint(d->alpha) && d->alpha < 1e9;
    return json_pack("{ss ss ss ss so sf si sb so sb sb sb sn sn}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                     "base_model_name_or_path", d->base_name, "bias", "none", "lora_alpha",
                     whole ? json_integer((json_int_t)d->alpha) : json_real(d->alpha), "lora_dropout", d->dropout, "r",
                     d->rank, "use_rslora", d->rslora, "target_modules", train_targets_json(d->targets),
                     "fan_in_fan_out", false, "inference_mode", true, "init_lora_weights", true, "modules_to_save",
                     "layers_to_transform");
}

static int write_config(const char *path, const struct adapter_description *d, struct err *e)
{
    json_t *config = config_json(d);
    char *text = config ? json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    int rc = OL_ENOMEM;
    if (text) {
        struct iovec parts[] = {{text, strlen(text)}, {(void *)(uintptr_t)"\n", 1}};
        rc = file_replace_parts(path, parts, 2, FILE_MODE, e);
    } else {
        err_set(e, rc, MODULE, "no memory for adapter_config.json, or the base's name is not UTF-8");
    }
    free(text);
    json_decref(config);
    return rc;
}

int adapter_write(const char *folder, const struct lora_layout *layout, const float *params,
                  const struct adapter_description *d, struct err *e)
{
    char *weights = hf_dir_join(folder, "adapter_model.safetensors");
    char *config = hf_dir_join(folder, "adapter_config.json");
    int rc = weights && config ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory");
    for (int64_t i = 0; i < layout->n_params && !rc; i++)
        if (!isfinite(params[i]))
            rc = err_set(e, OL_EINVAL, MODULE, "parameter %lld is not finite", (long long)i);
    if (!rc)
        rc = d->dtype == DTYPE_F16 ? write_halves(weights, layout, params, e)
                                   : write_tensors(weights, layout, params, DTYPE_F32, e);
    if (!rc)
        rc = write_config(config, d, e);
    free(weights);
    free(config);
    return rc;
}
