/* GGUF adapters as llama.cpp's converter writes them: for each adapted weight NAME the tensors NAME.lora_a
 * (in columns, rank rows) and NAME.lora_b (rank columns, out rows). */
#include "model/adapter_build.h"

#include <string.h>

static bool is(const struct gguf *g, const char *key, const char *value)
{
    struct text t;
    return gguf_text(g, key, &t) && t.len == strlen(value) && !memcmp(t.data, value, t.len);
}

/* An adapter, of plain LoRA, for the architecture that GGUF files of this base model would have. */
static int check_header(const struct gguf *g, const struct model_config *model, const struct arch **found,
                        struct err *e)
{
    struct text arch = {"", 0};
    const char *expected = arch_gguf_name(model->arch);
    if (!is(g, "general.type", "adapter") || !is(g, "adapter.type", "lora"))
        return err_set(e, OL_EUNSUPPORTED, "adapter", "not a LoRA adapter: general.type must be \"adapter\" and "
                       "adapter.type \"lora\"");
    gguf_text(g, "general.architecture", &arch);
    *found = arch_find_gguf(arch);
    if (!*found || !is(g, "general.architecture", expected))
        return err_set(e, OL_EINVAL, "adapter", "made for architecture \"%.*s\", the model is \"%s\"",
                       (int)(arch.len < 40 ? arch.len : 40), arch.data, expected);
    if (gguf_array_len(g, "adapter.alora.invocation_tokens"))
        return err_set(e, OL_EUNSUPPORTED, "adapter", "activated LoRA (adapter.alora.invocation_tokens) is not "
                       "supported");
    return 0;
}

/* Gives a tensor its place. `permuted`: q and k of this architecture are in pair order in GGUF files. */
static int add_tensor(struct lora_pairs *p, const struct gguf_tensor *t, bool permuted, struct err *e)
{
    static const size_t ending = sizeof ".lora_a" - 1;
    int shown = (int)(t->name.len < 100 ? t->name.len : 100);
    struct text weight = {t->name.data, t->name.len > ending ? t->name.len - ending : 0};
    const char *suffix = t->name.data + weight.len;
    bool b = weight.len && !memcmp(suffix, ".lora_b", ending);
    if (!b && !(weight.len && !memcmp(suffix, ".lora_a", ending)))
        return err_set(e, OL_EUNSUPPORTED, "adapter", "tensor %.*s is neither a lora_a nor a lora_b", shown,
                       t->name.data);
    struct lora_pair *pair = lora_pairs_find(p, FORMAT_GGUF, weight, e);
    if (!pair)
        return e ? e->code : OL_EUNSUPPORTED;
    if (t->dims[2] != 1 || t->dims[3] != 1)
        return err_set(e, OL_EFORMAT, "adapter", "tensor %.*s has more than 2 dimensions", shown, t->name.data);
    *(b ? &pair->b : &pair->a) = (struct lora_side){t->dtype, t->dims[1], t->dims[0], t->data, t->bytes};
    enum lora_target target = lora_pair_target(p, pair);
    if (permuted && target == LORA_Q)
        pair->unpermute_heads = p->model->n_heads;
    if (permuted && target == LORA_K)
        pair->unpermute_heads = p->model->n_kv_heads;
    return 0;
}

/* As llama.cpp: alpha / rank, or 1 where alpha is missing or zero. */
static void set_scales(struct lora_pairs *p, const struct gguf *g)
{
    double alpha = 0;
    gguf_f64(g, "adapter.lora.alpha", &alpha);
    for (int32_t i = 0; i < p->n_pairs; i++)
        if (p->pairs[i].a.data)
            p->pairs[i].scale = alpha != 0 ? alpha / (double)p->pairs[i].a.rows : 1;
}

int adapter_gguf_build(const struct gguf *g, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                       struct err *e)
{
    const struct arch *arch = NULL;
    int rc = check_header(g, p->model, &arch, e);
    for (size_t i = 0; !rc && i < gguf_tensor_count(g); i++)
        rc = add_tensor(p, gguf_tensor_at(g, i), arch->gguf_permuted_qk, e);
    if (rc)
        return rc;
    set_scales(p, g);
    rc = lora_pairs_check(p, e);
    return rc ? rc : adapter_image_build(p, page_bytes, out, e);
}

int adapter_gguf_read(const char *path, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                      struct err *e)
{
    struct gguf *g;
    int rc = gguf_open(path, &g, e);
    if (rc)
        return rc;
    rc = adapter_gguf_build(g, p, page_bytes, out, e);
    gguf_close(g);
    return rc;
}
