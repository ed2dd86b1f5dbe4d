#include "model/hf_dir.h"

#include "model/json_file.h"
#include "model/name_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_INDEX_BYTES = 32 << 20, MAX_SHARDS = 1024 };

char *hf_dir_join(const char *directory, const char *name)
{
    char *out = NULL;
    return asprintf(&out, "%s/%s", directory, name) < 0 ? NULL : out;
}

static int read_json(const char *directory, const char *name, size_t max_bytes, json_t **out, struct err *e)
{
    char *path = hf_dir_join(directory, name);
    if (!path)
        return err_set(e, OL_ENOMEM, "model", "no memory");
    int rc = json_file_read(path, max_bytes, out, e);
    free(path);
    return rc;
}

/* A shard is a file of this folder: no path, no hidden file, no other type. */
static int check_shard_name(const char *name, struct err *e)
{
    size_t len = strlen(name), ending = strlen(".safetensors");
    if (len <= ending || len > 200 || name[0] == '.' || strchr(name, '/') || !name_is_plain(name, len) ||
        strcmp(name + len - ending, ".safetensors") != 0)
        return err_set(e, OL_EFORMAT, "model", "model.safetensors.index.json: \"%.100s\" is not a plain name of a "
                       "safetensors file", name);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct hf_shard *)a)->name, ((const struct hf_shard *)b)->name);
}

static struct hf_shard *find_shard(const struct hf_dir *d, const char *name)
{
    for (size_t i = 0; i < d->n_shards; i++)
        if (!strcmp(d->shards[i].name, name))
            return &d->shards[i];
    return NULL;
}

/* Takes a name into the list, once. */
static int add_shard(struct hf_dir *d, const char *name, struct err *e)
{
    if (find_shard(d, name))
        return 0;
    if (d->n_shards == MAX_SHARDS)
        return err_set(e, OL_ELIMIT, "model", "model.safetensors.index.json lists more than %d files", MAX_SHARDS);
    struct hf_shard *more = realloc(d->shards, (d->n_shards + 1) * sizeof *more);
    if (more)
        d->shards = more;
    char *copy = more ? strdup(name) : NULL;
    if (!copy)
        return err_set(e, OL_ENOMEM, "model", "no memory");
    d->shards[d->n_shards++] = (struct hf_shard){.name = copy};
    return 0;
}

/* The distinct files of weight_map (tensor name → file name), sorted, so that the model's version does not depend on
 * the order of the map. */
static int list_shards(struct hf_dir *d, const json_t *map, struct err *e)
{
    const char *tensor;
    json_t *shard;
    if (!json_object_size(map))
        return err_set(e, OL_EFORMAT, "model", "model.safetensors.index.json: \"weight_map\" is missing or empty");
    json_object_foreach((json_t *)map, tensor, shard) {
        if (!json_is_string(shard))
            return err_set(e, OL_EFORMAT, "model", "model.safetensors.index.json: no file name for %.100s", tensor);
        int rc = check_shard_name(json_string_value(shard), e);
        if (!rc)
            rc = add_shard(d, json_string_value(shard), e);
        if (rc)
            return rc;
    }
    qsort(d->shards, d->n_shards, sizeof *d->shards, by_name);
    return 0;
}

static int open_shards(struct hf_dir *d, const char *directory, struct err *e)
{
    for (size_t i = 0; i < d->n_shards; i++) {
        char *path = hf_dir_join(directory, d->shards[i].name);
        if (!path)
            return err_set(e, OL_ENOMEM, "model", "no memory");
        int rc = safetensors_open(path, &d->shards[i].file, e);
        free(path);
        if (rc)
            return rc;
    }
    return 0;
}

/* Every tensor must be where the index says: otherwise the files are of different models. */
static int check_index(const struct hf_dir *d, const json_t *map, struct err *e)
{
    const char *tensor;
    json_t *shard;
    json_object_foreach((json_t *)map, tensor, shard) if (
        !safetensors_find(find_shard(d, json_string_value(shard))->file,
                          tensor)) return err_set(e, OL_EFORMAT, "model",
                                                  "%.80s lacks tensor %.100s, which model.safetensors.index.json lists",
                                                  json_string_value(shard), tensor);
    return 0;
}

static int open_indexed(struct hf_dir *d, const char *directory, struct err *e)
{
    json_t *index;
    int rc = read_json(directory, "model.safetensors.index.json", MAX_INDEX_BYTES, &index, e);
    if (rc)
        return rc;
    const json_t *map = json_object_get(index, "weight_map");
    rc = list_shards(d, map, e);
    if (!rc)
        rc = open_shards(d, directory, e);
    if (!rc)
        rc = check_index(d, map, e);
    json_decref(index);
    return rc;
}

/* model.safetensors, if there is one, is the whole model. */
static int open_tensors(struct hf_dir *d, const char *directory, struct err *e)
{
    char *single = hf_dir_join(directory, "model.safetensors");
    char *index = hf_dir_join(directory, "model.safetensors.index.json");
    int rc;
    if (!single || !index)
        rc = err_set(e, OL_ENOMEM, "model", "no memory");
    else if (!access(single, F_OK))
        rc = (rc = add_shard(d, "model.safetensors", e)) ? rc : open_shards(d, directory, e);
    else if (!access(index, F_OK))
        rc = open_indexed(d, directory, e);
    else
        rc = err_set(e, OL_ENOTFOUND, "model", "no model.safetensors and no model.safetensors.index.json there");
    free(single);
    free(index);
    return rc;
}

int hf_dir_init(struct hf_dir *d, const char *path, struct err *e)
{
    *d = (struct hf_dir){0};
    int rc = read_json(path, "config.json", MAX_CONFIG_BYTES, &d->config, e);
    if (!rc)
        rc = open_tensors(d, path, e);
    if (rc)
        hf_dir_deinit(d);
    return rc;
}

void hf_dir_deinit(struct hf_dir *d)
{
    for (size_t i = 0; i < d->n_shards; i++) {
        safetensors_close(d->shards[i].file);
        free(d->shards[i].name);
    }
    free(d->shards);
    json_decref(d->config);
    *d = (struct hf_dir){0};
}

bool hf_dir_has(const struct hf_dir *d, const char *tensor)
{
    for (size_t i = 0; i < d->n_shards; i++)
        if (safetensors_find(d->shards[i].file, tensor))
            return true;
    return false;
}

void hf_dir_drop_pages(struct hf_dir *d)
{
    for (size_t i = 0; i < d->n_shards; i++)
        safetensors_drop_pages(d->shards[i].file);
}
