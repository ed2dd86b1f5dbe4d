/* PEFT adapters: adapter_config.json and adapter_model.safetensors.
 *
 * PEFT has many LoRA variants, each switched on by a key of its own. We know the keys that do not change the result;
 * any other key that is set to something is a variant we would compute wrongly, and is refused by name. */
#include "model/adapter_build.h"
#include "model/hf_dir.h"
#include "model/json_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20 };

struct peft_config {
    int32_t r;
    double alpha;
    bool rslora;
    const json_t *rank_pattern, *alpha_pattern; /* module name or its ending → number; may be NULL */
};

/* Set to null, false, "none", zero-length: the variant is off. */
static bool is_off(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_string(v) && !strcmp(json_string_value(v), "none")) ||
           (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v));
}

static int check_keys(const json_t *j, struct err *e)
{
    static const char *const known[] = {
        "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "peft_type", "init_lora_weights",
        /* where and how it was trained */
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "base_model_name_or_path",
        "auto_mapping", "revision", "task_type", "inference_mode", "lora_dropout", "megatron_core", "peft_version",
        "qalora_group_size", "ensure_weight_tying", "runtime_config", "loftq_config", "eva_config",
    };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)j, key, value) {
        bool ok = is_off(value);
        for (size_t i = 0; !ok && i < sizeof known / sizeof *known; i++)
            ok = !strcmp(key, known[i]);
        if (!ok)
            return err_set(e, OL_EUNSUPPORTED, "adapter", "adapter_config.json sets \"%.60s\": not supported", key);
    }
    return 0;
}

/* Some initializations also change the base weights; without their converted form the adapter fits no base model. */
static int check_init(const json_t *j, struct err *e)
{
    static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
    const json_t *v = json_object_get(j, "init_lora_weights");
    if (!json_is_string(v))
        return 0;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strcmp(json_string_value(v), harmless[i]))
            return 0;
    return err_set(e, OL_EUNSUPPORTED, "adapter",
                   "adapter_config.json: \"init_lora_weights\" is \"%.40s\", which changes "
                   "the base model; save the adapter converted to plain LoRA",
                   json_string_value(v));
}

/* PEFT matches patterns as regular expressions. Names and endings of names are what is written in practice; anything
 * that only a regular expression engine could match is refused instead of being matched differently. */
static int read_pattern(const json_t *j, const char *key, const json_t **out, struct err *e)
{
    const char *module;
    json_t *value;
    *out = json_object_get(j, key);
    if (*out && !json_is_null(*out) && !json_is_object(*out))
        return err_set(e, OL_EFORMAT, "adapter", "adapter_config.json: \"%s\" is not an object", key);
    json_object_foreach((json_t *)*out, module, value) {
        if (strpbrk(module, "*+?()[]{}|\\$"))
            return err_set(e, OL_EUNSUPPORTED, "adapter", "adapter_config.json: \"%s\" has the regular expression "
                           "\"%.80s\"; only module names and their endings are supported", key, module);
        if (!json_is_number(value))
            return err_set(e, OL_EFORMAT, "adapter", "adapter_config.json: \"%s\" of \"%.80s\" is not a number", key,
                           module);
    }
    return 0;
}

/* Checks that it is plain LoRA, then takes the numbers that scales and ranks follow from. */
static int read_config(const json_t *j, struct peft_config *c, struct err *e)
{
    const char *type = NULL;
    int rc;
    *c = (struct peft_config){0};
    if ((rc = json_get_text(j, "peft_type", &type, e)) < 0)
        return rc;
    if (!type || strcmp(type, "LORA") != 0)
        return err_set(e, OL_EUNSUPPORTED, "adapter", "adapter_config.json: \"peft_type\" is \"%.40s\"; only LORA is "
                       "supported", type ? type : "");
    if ((rc = check_keys(j, e)) < 0 || (rc = check_init(j, e)) < 0 || (rc = json_get_i32(j, "r", &c->r, e)) < 0 ||
        (rc = json_get_f64(j, "lora_alpha", &c->alpha, e)) < 0 ||
        (rc = json_get_bool(j, "use_rslora", &c->rslora, e)) < 0 ||
        (rc = read_pattern(j, "rank_pattern", &c->rank_pattern, e)) < 0 ||
        (rc = read_pattern(j, "alpha_pattern", &c->alpha_pattern, e)) < 0)
        return rc;
    if (c->r < 1 || !json_object_get(j, "lora_alpha"))
        return err_set(e, OL_EFORMAT, "adapter",
                       "adapter_config.json: \"r\" or \"lora_alpha\" is missing or not positive");
    return 0;
}

/* PEFT's rule: a key stands for a module if it is its whole name or its ending after a dot; "^" asks for the whole
 * name. The first key that fits counts. */
static double from_pattern(const json_t *pattern, struct text module, double otherwise)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)pattern, key, value) {
        bool whole = key[0] == '^';
        const char *name = key + whole;
        size_t len = strlen(name);
        if (!len || len > module.len || memcmp(module.data + module.len - len, name, len) != 0)
            continue;
        if (len == module.len || (!whole && module.data[module.len - len - 1] == '.'))
            return json_number_value(value);
    }
    return otherwise;
}

static bool ends_with(struct text t, const char *ending, size_t *rest)
{
    size_t len = strlen(ending);
    *rest = t.len - len;
    return t.len > len && !memcmp(t.data + *rest, ending, len);
}

/* "base_model.model.MODULE.lora_A[.default].weight" → MODULE and side. */
static int split_name(struct text name, struct text *module, bool *b, struct err *e)
{
    static const char prefix[] = "base_model.model.";
    static const struct { const char *ending; bool b; } sides[] = {
        {".lora_A.weight", false}, {".lora_A.default.weight", false},
        {".lora_B.weight", true},  {".lora_B.default.weight", true},
    };
    size_t skip = sizeof prefix - 1, rest;
    if (name.len > skip && !memcmp(name.data, prefix, skip))
        for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
            if (ends_with(name, sides[i].ending, &rest) && rest > skip) {
                *module = (struct text){name.data + skip, rest - skip};
                *b = sides[i].b;
                return 0;
            }
    return err_set(e, OL_EUNSUPPORTED, "adapter",
                   "tensor %.*s is neither a lora_A nor a lora_B of a linear layer: biases, "
                   "embeddings, DoRA and whole modules are not supported",
                   (int)(name.len < 100 ? name.len : 100), name.data);
}

/* Gives a tensor its place and its pair the scale; ranks are checked against the configuration, as PEFT would. */
static int add_tensor(struct lora_pairs *p, const struct safetensor *t, const struct peft_config *c, struct err *e)
{
    struct text module;
    bool b = false;
    char weight[320];
    int rc = split_name(t->name, &module, &b, e);
    if (rc)
        return rc;
    int shown = (int)(t->name.len < 100 ? t->name.len : 100);
    int len = snprintf(weight, sizeof weight, "%.*s.weight", (int)module.len, module.data);
    struct lora_pair *pair = lora_pairs_find(p, FORMAT_HF, (struct text){weight, (size_t)len}, e);
    if (!pair)
        return e ? e->code : OL_EUNSUPPORTED;
    struct lora_side *side = b ? &pair->b : &pair->a;
    if (t->n_dims != 2)
        return err_set(e, OL_EFORMAT, "adapter", "tensor %.*s has %d dimensions, expected 2", shown, t->name.data,
                       t->n_dims);
    if (side->data)
        return err_set(e, OL_EFORMAT, "adapter", "tensor %.*s appears twice", shown, t->name.data);
    *side = (struct lora_side){t->dtype, t->dims[0], t->dims[1], t->data, t->bytes};
    double rank = from_pattern(c->rank_pattern, module, c->r), alpha = from_pattern(c->alpha_pattern, module, c->alpha);
    int64_t stored = b ? t->dims[1] : t->dims[0];
    if ((double)stored != rank)
        return err_set(e, OL_EFORMAT, "adapter", "tensor %.*s has rank %lld, adapter_config.json says %g", shown,
                       t->name.data, (long long)stored, rank);
    pair->scale = alpha / (c->rslora ? sqrt(rank) : rank);
    return 0;
}

int adapter_peft_build(const json_t *config, const struct safetensors *s, struct lora_pairs *p, size_t page_bytes,
                       struct adapter_image *out, struct err *e)
{
    struct peft_config c;
    int rc = read_config(config, &c, e);
    for (size_t i = 0; !rc && i < safetensors_count(s); i++)
        rc = add_tensor(p, safetensors_at(s, i), &c, e);
    if (!rc)
        rc = lora_pairs_check(p, e);
    return rc ? rc : adapter_image_build(p, page_bytes, out, e);
}

int adapter_peft_read(const char *directory, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                      struct err *e)
{
    char *config_path = hf_dir_join(directory, "adapter_config.json");
    char *tensors_path = hf_dir_join(directory, "adapter_model.safetensors");
    json_t *config = NULL;
    struct safetensors *s = NULL;
    int rc = config_path && tensors_path ? json_file_read(config_path, MAX_CONFIG_BYTES, &config, e)
                                         : err_set(e, OL_ENOMEM, "adapter", "no memory");
    if (!rc)
        rc = safetensors_open(tensors_path, &s, e);
    if (!rc)
        rc = adapter_peft_build(config, s, p, page_bytes, out, e);
    safetensors_close(s);
    json_decref(config);
    free(config_path);
    free(tensors_path);
    return rc;
}
