/* Opens a base model of either format: reads its configuration, then gives every tensor of the file its role. A
 * tensor without a role, a role without a tensor, and a wrong shape are refused by name. */
#include "base/file_hash.h"
#include "model/arch.h"
#include "model/config_read.h"
#include "model/hf_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_BYTES = 80 };

struct slot { /* the tensor of one (layer, role) */
    struct weight_part part; /* data is NULL while there is none */
    char name[NAME_BYTES];   /* part.name points here */
};

struct model_file {
    struct model_config config;
    const struct arch *arch;
    enum file_format format;
    struct gguf *gguf;  /* owned; NULL for a directory */
    struct hf_dir dir;  /* owned; empty for a GGUF file */
    char *path;         /* owned */
    struct slot *slots; /* owned; (n_layers, T_ROLES), roles of the whole model in layer 0 */
};

struct file_tensor { /* a tensor as either format gives it; rows is 1 for vectors */
    struct text name;
    enum dtype dtype;
    int n_dims;
    int64_t rows, cols;
    const void *data;
    size_t bytes;
};

static struct slot *slot_at(const struct model_file *m, enum tensor_role role, int32_t layer)
{
    return &m->slots[(size_t)layer * T_ROLES + role];
}

/* For weight_part.unpermute_heads. */
static int32_t permuted_heads(const struct model_file *m, enum tensor_role role)
{
    if (!model_file_permuted_qk(m))
        return 0;
    switch (role) {
    case T_Q: case T_Q_BIAS: return m->config.n_heads;
    case T_K: case T_K_BIAS: return m->config.n_kv_heads;
    default: return 0;
    }
}

/* The shape that the configuration asks of this role; vectors must have one dimension and a plain type. */
static int check_shape(const struct model_file *m, const struct file_tensor *t, enum tensor_role role, const char *name,
                       struct err *e)
{
    int64_t rows, cols;
    arch_role_shape(&m->config, role, &rows, &cols);
    bool vector = arch_role_is_vector(role);
    if (t->n_dims != (vector ? 1 : 2))
        return err_set(e, OL_EFORMAT, "model", "%s has %d dimensions, expected %d", name, t->n_dims, vector ? 1 : 2);
    if (vector && t->cols != cols)
        return err_set(e, OL_EFORMAT, "model", "%s has %lld values, expected %lld", name, (long long)t->cols,
                       (long long)cols);
    if (t->rows != rows || t->cols != cols)
        return err_set(e, OL_EFORMAT, "model", "%s is %lldx%lld, expected %lldx%lld", name, (long long)t->rows,
                       (long long)t->cols, (long long)rows, (long long)cols);
    if (vector && dtype_is_quantized(t->dtype))
        return err_set(e, OL_EUNSUPPORTED, "model", "%s has type %s; vectors are supported as F32, F16 and BF16", name,
                       dtype_info(t->dtype)->name);
    return 0;
}

/* Gives a tensor of the file its slot. A tensor we do not know would be a part of the computation that we leave out,
 * so it is refused. */
static int add_tensor(struct model_file *m, const struct file_tensor *t, struct err *e)
{
    enum tensor_role role;
    int32_t layer;
    int shown = (int)(t->name.len < NAME_BYTES ? t->name.len : NAME_BYTES);
    if (arch_ignores_tensor(m->format, t->name))
        return 0;
    bool known = arch_match_tensor(m->format, t->name, &role, &layer);
    if (known && role == T_HEAD && m->config.tied)
        return 0; /* some writers store the tied head once more */
    if (!known || !arch_role_wanted(&m->config, role))
        return err_set(e, OL_EUNSUPPORTED, "model", "tensor %.*s: a %s model as configured here has no such part",
                       shown, t->name.data, m->config.arch);
    if (layer >= m->config.n_layers)
        return err_set(e, OL_EFORMAT, "model", "tensor %.*s: the model has only %d layers", shown, t->name.data,
                       m->config.n_layers);
    struct slot *s = slot_at(m, role, layer);
    if (s->part.data)
        return err_set(e, OL_EFORMAT, "model", "tensor %.*s appears twice", shown, t->name.data);
    arch_tensor_name(m->format, role, layer, s->name, sizeof s->name);
    int rc = check_shape(m, t, role, s->name, e);
    if (rc)
        return rc;
    s->part = (struct weight_part){.name = s->name, .dtype = t->dtype, .rows = t->rows, .cols = t->cols,
                                   .data = t->data, .bytes = t->bytes, .unpermute_heads = permuted_heads(m, role)};
    return 0;
}

/* Every role that the configuration wants has its tensor, in every layer. */
static int check_complete(const struct model_file *m, struct err *e)
{
    char name[NAME_BYTES];
    for (int32_t layer = 0; layer < m->config.n_layers; layer++)
        for (int r = 0; r < T_ROLES; r++) {
            enum tensor_role role = (enum tensor_role)r;
            if (!arch_role_wanted(&m->config, role) || (layer && !arch_role_per_layer(role)) ||
                slot_at(m, role, layer)->part.data)
                continue;
            arch_tensor_name(m->format, role, layer, name, sizeof name);
            return err_set(e, OL_EFORMAT, "model", "tensor %s is missing", name);
        }
    return 0;
}

static int alloc_slots(struct model_file *m, struct err *e)
{
    m->slots = calloc((size_t)m->config.n_layers * T_ROLES, sizeof *m->slots);
    return m->slots ? 0 : err_set(e, OL_ENOMEM, "model", "no memory for the tensor table");
}

static int open_gguf(struct model_file *m, struct err *e)
{
    m->format = FORMAT_GGUF;
    int rc = gguf_open(m->path, &m->gguf, e);
    if (!rc)
        rc = config_from_gguf(m->gguf, &m->config, &m->arch, e);
    if (!rc)
        rc = alloc_slots(m, e);
    for (size_t i = 0; !rc && i < gguf_tensor_count(m->gguf); i++) {
        const struct gguf_tensor *g = gguf_tensor_at(m->gguf, i);
        struct file_tensor t = {.name = g->name, .dtype = g->dtype, .n_dims = g->n_dims, .rows = g->dims[1],
                                .cols = g->dims[0], .data = g->data, .bytes = g->bytes};
        rc = add_tensor(m, &t, e);
    }
    return rc;
}

/* As open_gguf; the head's presence is asked first because config.json may not say whether it is tied. */
static int open_directory(struct model_file *m, struct err *e)
{
    char head[NAME_BYTES];
    m->format = FORMAT_HF;
    arch_tensor_name(FORMAT_HF, T_HEAD, 0, head, sizeof head);
    int rc = hf_dir_init(&m->dir, m->path, e);
    if (!rc)
        rc = config_from_hf(m->dir.config, hf_dir_has(&m->dir, head), &m->config, &m->arch, e);
    if (!rc)
        rc = alloc_slots(m, e);
    for (size_t i = 0; !rc && i < m->dir.n_shards; i++)
        for (size_t j = 0; !rc && j < safetensors_count(m->dir.shards[i].file); j++) {
            const struct safetensor *s = safetensors_at(m->dir.shards[i].file, j);
            bool vector = s->n_dims == 1;
            struct file_tensor t = {.name = s->name, .dtype = s->dtype, .n_dims = s->n_dims,
                                    .rows = vector ? 1 : s->dims[0], .cols = s->dims[vector ? 0 : 1],
                                    .data = s->data, .bytes = s->bytes};
            rc = add_tensor(m, &t, e);
        }
    return rc;
}

int model_file_open(const char *path, struct model_file **out, struct err *e)
{
    *out = NULL;
    struct model_file *m = calloc(1, sizeof *m);
    if (!m || !(m->path = strdup(path))) {
        free(m);
        return err_set(e, OL_ENOMEM, "model", "no memory");
    }
    struct stat st;
    bool directory = !stat(path, &st) && S_ISDIR(st.st_mode);
    int rc = directory ? open_directory(m, e) : open_gguf(m, e);
    if (!rc)
        rc = check_complete(m, e);
    if (rc) {
        if (e && e->module && strcmp(e->module, "file") != 0 && !strstr(e->message, path))
            err_prefix(e, "%s", path);
        model_file_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void model_file_close(struct model_file *m)
{
    if (!m)
        return;
    gguf_close(m->gguf);
    hf_dir_deinit(&m->dir);
    free(m->slots);
    free(m->path);
    free(m);
}

const struct model_config *model_file_config(const struct model_file *m) { return &m->config; }

int model_file_tensor(const struct model_file *m, enum tensor_role role, int layer, struct weight_part *out,
                      struct err *e)
{
    if (!arch_role_per_layer(role))
        layer = 0;
    if (layer < 0 || layer >= m->config.n_layers)
        return err_set(e, OL_EINVAL, "model", "layer %d of a model of %d layers", layer, m->config.n_layers);
    char name[NAME_BYTES];
    arch_tensor_name(m->format, role, layer, name, sizeof name);
    if (!arch_role_wanted(&m->config, role))
        return err_set(e, OL_ENOTFOUND, "model", "this model has no %s", name);
    *out = slot_at(m, role, layer)->part;
    return 0;
}

const struct gguf *model_file_gguf(const struct model_file *m) { return m->gguf; }
const char *model_file_dir(const struct model_file *m) { return m->gguf ? NULL : m->path; }
bool model_file_permuted_qk(const struct model_file *m)
{
    return m->format == FORMAT_GGUF && m->arch->gguf_permuted_qk;
}

void model_file_drop_pages(struct model_file *m)
{
    if (m->gguf)
        gguf_drop_pages(m->gguf);
    hf_dir_drop_pages(&m->dir);
}

/* The directory's version covers config.json and each shard, under their names. */
static int add_file(struct sha256 *h, const char *directory, const char *name, struct err *e)
{
    char digest[SHA256_HEX_BYTES];
    char *path = hf_dir_join(directory, name);
    if (!path)
        return err_set(e, OL_ENOMEM, "model", "no memory");
    int rc = file_hash(path, digest, e);
    free(path);
    if (rc)
        return rc;
    sha256_add_str(h, name);
    sha256_add_str(h, digest);
    return 0;
}

int model_file_version(const struct model_file *m, char out[65], struct err *e)
{
    if (m->format == FORMAT_GGUF)
        return file_hash(m->path, out, e);
    struct sha256 h;
    sha256_init(&h);
    int rc = add_file(&h, m->path, "config.json", e);
    for (size_t i = 0; !rc && i < m->dir.n_shards; i++)
        rc = add_file(&h, m->path, m->dir.shards[i].name, e);
    sha256_hex(&h, out);
    return rc;
}
