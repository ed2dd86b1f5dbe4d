#include "training/checkpoint.h"

#include "base/sha256.h"
#include "model/json_file.h"
#include "model/safetensors_write.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "checkpoint"

enum { VECTORS = 3 };

static const char *const names[VECTORS] = {"params", "moment1", "moment2"};

static void digest(const void *const data[VECTORS], size_t bytes, const char *state, char out[SHA256_HEX_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add_str(&h, state);
    for (int i = 0; i < VECTORS; i++)
        sha256_add(&h, data[i], bytes);
    sha256_hex(&h, out);
}

int checkpoint_write(const char *path, const struct checkpoint_vectors *v, const json_t *state, struct err *e)
{
    const void *const data[VECTORS] = {v->params, v->moment1, v->moment2};
    size_t bytes = (size_t)v->n * sizeof(float);
    char sum[SHA256_HEX_BYTES];
    char *text = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a checkpoint");
    digest(data, bytes, text, sum);
    struct safetensor tensors[VECTORS];
    for (int i = 0; i < VECTORS; i++)
        tensors[i] = (struct safetensor){.name = {names[i], strlen(names[i])}, .dtype = DTYPE_F32,
                                         .dims = {v->n, 1, 1, 1}, .n_dims = 1, .data = data[i], .bytes = bytes};
    const struct safetensors_note notes[] = {{"state", text}, {"sha256", sum}};
    int rc = safetensors_write(path, tensors, VECTORS, notes, 2, e);
    free(text);
    return rc;
}

static int check(const char *path, const struct safetensors *s, const void *data[VECTORS], size_t *bytes, struct err *e)
{
    const char *state = safetensors_note(s, "state"), *sum = safetensors_note(s, "sha256");
    char found[SHA256_HEX_BYTES];
    bool whole = state && sum && safetensors_count(s) == VECTORS;
    for (int i = 0; i < VECTORS && whole; i++) {
        const struct safetensor *t = safetensors_find(s, names[i]);
        whole = t && t->dtype == DTYPE_F32 && t->n_dims == 1 && (i == 0 || t->bytes == *bytes);
        if (whole) {
            data[i] = t->data;
            *bytes = t->bytes;
        }
    }
    if (whole) {
        digest(data, *bytes, state, found);
        whole = strcmp(found, sum) == 0;
    }
    return whole ? 0 : err_set(e, OL_EFORMAT, MODULE, "%s is damaged, or no checkpoint: remove it to start anew", path);
}

static int load_state(const struct safetensors *s, json_t **state, struct err *e)
{
    const char *text = safetensors_note(s, "state");
    return json_text_read(text ? text : "", text ? strlen(text) : 0, "the checkpoint's state", state, e);
}

int checkpoint_read(const char *path, const struct checkpoint_vectors *v, json_t **state, struct err *e)
{
    float *const to[VECTORS] = {v->params, v->moment1, v->moment2};
    const void *data[VECTORS];
    size_t bytes = 0;
    struct safetensors *s;
    int rc = safetensors_open(path, &s, e);
    if (rc)
        return rc;
    rc = check(path, s, data, &bytes, e);
    if (!rc && bytes != (size_t)v->n * sizeof(float))
        rc = err_set(e, OL_EFORMAT, MODULE, "%s is of an adapter of another size", path);
    if (!rc)
        rc = load_state(s, state, e);
    for (int i = 0; i < VECTORS && !rc; i++)
        memcpy(to[i], data[i], bytes);
    safetensors_close(s);
    return rc;
}

int checkpoint_read_state(const char *path, json_t **state, struct err *e)
{
    const void *data[VECTORS];
    size_t bytes = 0;
    struct safetensors *s;
    int rc = safetensors_open(path, &s, e);
    if (rc)
        return rc;
    rc = check(path, s, data, &bytes, e);
    if (!rc)
        rc = load_state(s, state, e);
    safetensors_close(s);
    return rc;
}
