#include "training/record.h"

#include "base/clock.h"
#include "base/file_map.h"
#include "base/file_replace.h"
#include "base/sha256.h"
#include "chainlite/core/hex.h"
#include "model/hf_dir.h"
#include "model/json_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "record"

enum { FILE_MODE = 0644, HASH_TEXT_BYTES = 67 };

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* ---- writing */

static json_t *hash_json(const uint8_t hash[32])
{
    char text[HASH_TEXT_BYTES] = "0x";
    hex_encode(hash, 32, text + 2);
    return json_string(text);
}

static json_t *content_json(const char *hex) /* NULL: null */
{
    return hex ? json_sprintf("0x%s", hex) : json_null();
}

static json_t *source_json(const struct dataset_source *s)
{
    if (!s->datanet)
        return json_pack("{ss so sI sI}", "name", s->name, "sha256", hash_json(s->sha256), "rows", (json_int_t)s->rows,
                         "examples", (json_int_t)s->examples);
    return json_pack("{ss so so sI sI sI sI}", "name", s->name, "version", hash_json(s->version), "root",
                     hash_json(s->root), "contributions", (json_int_t)s->contributions, "withdrawn",
                     (json_int_t)s->withdrawn, "rows", (json_int_t)s->rows, "examples", (json_int_t)s->examples);
}

static json_t *sources_json(const struct dataset *d)
{
    json_t *list = json_array();
    for (int i = 0; d && i < d->n_sources; i++)
        json_array_append_new(list, source_json(&d->sources[i]));
    return list;
}

json_t *record_identity(const struct record_base *base, const char *start, const struct dataset *data,
                        const struct dataset *evaluation, const struct train_settings *settings)
{
    return json_pack("{s{ss so} so so so so}", "base", "name", base->name, "content", content_json(base->content),
                     "start", content_json(start), "data", sources_json(data), "evaluation_data",
                     sources_json(evaluation), "settings", train_settings_json(settings));
}

static json_t *loss_json(double loss) { return isnan(loss) ? json_null() : train_real_json(loss); }

static json_t *epochs_json(const struct trainer_result *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->epochs; i++)
        json_array_append_new(list, json_pack("{so so}", "loss", loss_json(r->epochs_done[i].loss), "evaluation",
                                              loss_json(r->epochs_done[i].evaluation)));
    return list;
}

static json_int_t contributions_of(const json_t *data)
{
    json_int_t sum = 0;
    for (size_t i = 0; i < json_array_size(data); i++)
        sum += json_integer_value(json_object_get(json_array_get(data, i), "contributions"));
    return sum;
}

/* The identity with what came of it. */
static json_t *record_json(const json_t *identity, const struct record_run *run)
{
    const struct trainer_result *r = run->result;
    json_t *record = json_copy((json_t *)(uintptr_t)identity);
    json_t *outcome = json_pack(
        "{si so s{ss ss ss} sI sI sI sI sI sI sI so so sI}", "version", RECORD_VERSION, "adapter",
        content_json(run->adapter), "build", "version", OPENLORA_VERSION, "compiler", COMPILER, "arithmetic",
        run->arithmetic, "started", (json_int_t)r->started, "ended", (json_int_t)(clock_unix_ms() / 1000), "seconds",
        (json_int_t)r->seconds, "resumed", (json_int_t)r->resumed, "steps", (json_int_t)r->steps, "examples",
        (json_int_t)r->trained, "held_out", (json_int_t)r->held_out, "epochs", epochs_json(r), "evaluation_before",
        loss_json(r->before->evaluation), "contributions", contributions_of(json_object_get(identity, "data")));
    bool ok = record && outcome && json_object_update(record, outcome) == 0;
    json_decref(outcome);
    if (ok)
        return record;
    json_decref(record);
    return NULL;
}

int record_write(const char *folder, const json_t *identity, const struct record_run *run, struct err *e)
{
    char *path = hf_dir_join(folder, RECORD_NAME);
    json_t *record = record_json(identity, run);
    char *text = record ? json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int rc = OL_ENOMEM;
    if (path && text) {
        struct iovec parts[] = {{text, strlen(text)}, {(void *)(uintptr_t)"\n", 1}};
        rc = file_replace_parts(path, parts, 2, FILE_MODE, e);
    } else {
        err_set(e, rc, MODULE, "no memory for the record");
    }
    free(path);
    free(text);
    json_decref(record);
    return rc;
}

/* ---- reading */

/* "settings.rank": what the user must repeat as it was. Objects lie two deep at most. */
static int differs(const char *path, const char *key, const json_t *old, const json_t *now, struct err *e)
{
    char *was = old ? json_dumps(old, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *is = json_dumps(now, JSON_COMPACT | JSON_ENCODE_ANY);
    int rc = err_set(e, OL_EINVAL, MODULE, "the training was begun with another %s%s%s: %.60s, now %.60s", path,
                     *path ? "." : "", key, was ? was : "none", is ? is : "");
    free(was);
    free(is);
    return rc;
}

int record_compare(const json_t *old, const json_t *now, struct err *e)
{
    const char *key, *inner;
    json_t *value, *part;
    json_object_foreach((json_t *)(uintptr_t)now, key, value) {
        const json_t *before = json_object_get(old, key);
        if (json_equal(before, value))
            continue;
        json_object_foreach(value, inner, part)
            if (!json_equal(json_object_get(before, inner), part))
                return differs(key, inner, json_object_get(before, inner), part, e);
        return differs("", key, before, value, e);
    }
    return 0;
}

int record_check(const char *folder, const json_t *identity, struct err *e)
{
    char *path = hf_dir_join(folder, RECORD_NAME);
    json_t *record = NULL;
    int rc = path ? json_file_read(path, RECORD_MAX_BYTES, &record, e) : err_set(e, OL_ENOMEM, MODULE, "no memory");
    if (!rc)
        rc = record_compare(record, identity, e);
    json_decref(record);
    free(path);
    return rc;
}

static int read_hash(const json_t *value, const char *what, uint8_t out[32], struct err *e)
{
    const char *text = json_string_value(value);
    return text && strlen(text) == HASH_TEXT_BYTES - 1 && hex_decode(text, out, 32)
               ? 0
               : err_set(e, OL_EFORMAT, MODULE, "\"%s\" is not a hash", what);
}

static int read_roots(const json_t *data, struct training_record *r, struct err *e)
{
    size_t n = json_array_size(data);
    if (n > DATASET_MAX_SOURCES)
        return err_set(e, OL_ELIMIT, MODULE, "%zu sources; %d at most", n, DATASET_MAX_SOURCES);
    r->roots = calloc(n ? n : 1, sizeof *r->roots);
    if (!r->roots)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu roots", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *root = json_object_get(json_array_get(data, i), "root");
        int rc = root ? read_hash(root, "root", r->roots[r->n_roots], e) : 0;
        if (rc)
            return rc;
        r->n_roots += root != NULL;
    }
    return 0;
}

int training_record_parse(const char *text, size_t n, struct training_record *r, struct err *e)
{
    json_t *record;
    struct sha256 h;
    *r = (struct training_record){0};
    int rc = json_text_read(text, n, RECORD_NAME, &record, e);
    if (rc)
        return rc;
    sha256_init(&h);
    sha256_add(&h, text, n);
    sha256_end(&h, r->hash);
    if (json_integer_value(json_object_get(record, "version")) != RECORD_VERSION)
        rc = err_set(e, OL_EUNSUPPORTED, MODULE, "its \"version\" is not %d", RECORD_VERSION);
    if (!rc)
        rc = read_hash(json_object_get(record, "adapter"), "adapter", r->adapter, e);
    if (!rc)
        rc = read_hash(json_object_get(json_object_get(record, "base"), "content"), "base.content", r->base, e);
    if (!rc)
        rc = read_roots(json_object_get(record, "data"), r, e);
    json_decref(record);
    if (rc)
        training_record_deinit(r);
    return rc;
}

int training_record_read(const char *folder, struct training_record *out, struct err *e)
{
    struct file_map map;
    char *path = hf_dir_join(folder, RECORD_NAME);
    *out = (struct training_record){0};
    int rc = !path                    ? err_set(e, OL_ENOMEM, MODULE, "no memory")
             : access(path, F_OK) != 0 ? err_set(e, OL_ENOTFOUND, MODULE, "%s: there is none", path)
                                       : file_map_init(&map, path, e);
    if (!rc) {
        if (map.len > RECORD_MAX_BYTES)
            rc = err_set(e, OL_ELIMIT, MODULE, "%zu bytes; %d at most", map.len, RECORD_MAX_BYTES);
        else
            rc = training_record_parse((const char *)map.data, map.len, out, e);
        if (rc)
            err_prefix(e, "%s", path);
        file_map_deinit(&map);
    }
    free(path);
    return rc;
}

void training_record_deinit(struct training_record *r)
{
    free(r->roots);
    *r = (struct training_record){0};
}
