/* Reading an audit's files; see audit_inputs.h. */
#include "cli/audit_inputs.h"

#include "base/file_map.h"
#include "base/sha256.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/notation.h"
#include "chainlite/verify/verify.h"
#include "model/adapter_file.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "audit"

enum { MAX_BODY_BYTES = 256 << 20 };

static void tell(struct audit *a, const char *path, const struct err *e)
{
    struct audit_subject subject = {.kind = AUDIT_OF_FILE, .name = path};
    subject.check[AUDIT_FILE].outcome = AUDIT_DIFFERS;
    snprintf(subject.check[AUDIT_FILE].reason, sizeof subject.check[AUDIT_FILE].reason, "%s", e->message);
    a->report(a->user, &subject);
}

/* Room for one more element in a list; NULL without memory. The new one is zeroed. */
static void *more(void **list, size_t n, size_t bytes)
{
    char *grown = (n & (n - 1)) == 0 ? realloc(*list, (n ? 2 * n : 1) * bytes) : *list;
    if (!grown)
        return NULL;
    *list = grown;
    return memset(grown + n * bytes, 0, bytes);
}

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, MODULE, "no memory for the audit's files"); }

/* ---- bodies and bundles */

static void add_header(const char *path, struct audit_body *b)
{
    char header[PATH_MAX];
    struct file_map file;
    const char *end = strstr(path, ".body.json");
    struct err e = {0};
    if (!end || end[10] || snprintf(header, sizeof header, "%.*s.batch.json", (int)(end - path), path) >= PATH_MAX ||
        file_map_init(&file, header, &e))
        return;
    b->has_header = notation_parse(&batch_schema, (const char *)file.data, file.len, &b->header, &e) == 0;
    file_map_deinit(&file);
}

static int add_body(struct audit *a, const char *path, const struct file_map *file, struct err *e)
{
    struct err why = {0};
    struct audit_body *b = more((void **)&a->bodies, a->n_bodies, sizeof *b);
    struct sha256 sha;
    if (!b)
        return no_memory(e);
    if (notation_parse(&body_schema, (const char *)file->data, file->len, &b->body, &why)) {
        tell(a, path, &why);
        return OL_OK;
    }
    b->path = strdup(path);
    if (!b->path) {
        schema_free(&body_schema, &b->body);
        return no_memory(e);
    }
    sha256_init(&sha);
    sha256_add(&sha, file->data, file->len);
    sha256_end(&sha, b->hash);
    a->n_bodies++;
    add_header(path, b);
    return OL_OK;
}

static int add_bundle(struct audit *a, const char *path, const struct file_map *file, struct err *e)
{
    struct verify_report report;
    struct audit_bundle *b = more((void **)&a->bundles, a->n_bundles, sizeof *b);
    if (!b)
        return no_memory(e);
    verify_bundle((const char *)file->data, file->len, a->chain, a->secp, &b->bundle, &report);
    for (int c = VERIFY_CHECKS - 1; c >= 0; c--)
        if (report.check[c].outcome == VERIFY_FAILED)
            snprintf(b->fault, sizeof b->fault, "%s: %.200s", verify_check_name((enum verify_check)c),
                     report.check[c].reason);
    if (report.check[VERIFY_SCHEMA].outcome != VERIFY_OK) {
        struct err why = {0};
        err_set(&why, OL_EFORMAT, MODULE, "%s", b->fault);
        tell(a, path, &why);
        return OL_OK;
    }
    b->path = strdup(path);
    if (!b->path) {
        schema_free(&bundle_schema, &b->bundle);
        return no_memory(e);
    }
    a->n_bundles++;
    return OL_OK;
}

/* A body has a batch at its top, a bundle has a proof. */
static int add_file(struct audit *a, const char *path, struct err *e)
{
    struct file_map file;
    struct err why = {0};
    int opened = file_map_init(&file, path, &why);
    if (!opened && file.len > MAX_BODY_BYTES) {
        opened = err_set(&why, OL_ELIMIT, MODULE, "%zu bytes; a body has %d at most", file.len, MAX_BODY_BYTES);
        file_map_deinit(&file);
    }
    if (opened) {
        tell(a, path, &why);
        return OL_OK;
    }
    static const char body[] = "{\"version\":1,\"batch\":";
    bool is_body = file.len > sizeof body && memcmp(file.data, body, sizeof body - 1) == 0;
    int rc = is_body ? add_body(a, path, &file, e) : add_bundle(a, path, &file, e);
    file_map_deinit(&file);
    return rc;
}

/* ---- folders */

typedef int (*add_one)(struct audit *, const char *path, struct err *);

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A file, or the files of a folder that end so. */
static int add_all(struct audit *a, const char *path, const char *end, add_one add, struct err *e)
{
    struct stat is;
    struct dirent **names;
    if (stat(path, &is) != 0 || !S_ISDIR(is.st_mode))
        return add(a, path, e);
    int n = scandir(path, &names, NULL, alphasort),
        rc = n < 0 ? err_set(e, OL_EIO, MODULE, "%s cannot be listed", path) : 0;
    for (int i = 0; i < n; i++) {
        char *name = NULL;
        if (rc == 0 && ends_with(names[i]->d_name, end))
            rc = asprintf(&name, "%s/%s", path, names[i]->d_name) < 0 ? no_memory(e) : add(a, name, e);
        free(name);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return rc;
}

/* ---- evidence, policies, Datanets, model */

/* Evidence by itself, or in what `openlora wallet attribution ID --evidence` prints. */
static int add_evidence(struct audit *a, const char *path, struct err *e)
{
    struct file_map file;
    struct err why = {0};
    struct evidence *v = more((void **)&a->evidence, a->n_evidence, sizeof *v);
    if (!v)
        return no_memory(e);
    int rc = file_map_init(&file, path, &why);
    json_t *root = rc ? NULL : notation_load((const char *)file.data, file.len, &why),
           *inner = json_object_get(root, "evidence");
    if (!rc && !root)
        rc = OL_EFORMAT;
    char *text = inner ? json_dumps(inner, JSON_COMPACT) : NULL;
    if (!rc)
        rc = inner ? (text ? evidence_parse(text, strlen(text), v, &why) : no_memory(&why))
                   : evidence_parse((const char *)file.data, file.len, v, &why);
    free(text);
    json_decref(root);
    file_map_deinit(&file);
    if (rc)
        tell(a, path, &why);
    a->n_evidence += !rc;
    return OL_OK;
}

static int add_policy(struct audit *a, const char *path, struct err *e)
{
    struct err why = {0};
    struct audit_policy *p = more((void **)&a->policies, a->n_policies, sizeof *p);
    if (!p)
        return no_memory(e);
    p->folder = path;
    if (policy_open(path, &p->policy, &why))
        tell(a, path, &why);
    else
        a->n_policies++;
    return OL_OK;
}

static int add_datanet(struct audit *a, const char *path, struct err *e)
{
    struct err why = {0};
    struct audit_datanet *d = more((void **)&a->datanets, a->n_datanets, sizeof *d);
    if (!d)
        return no_memory(e);
    d->folder = path;
    if (datanet_version_open(path, &d->version, &why))
        tell(a, path, &why);
    else
        a->n_datanets++;
    return OL_OK;
}

static int open_model(const struct audit_inputs *in, struct audit *a, struct err *e)
{
    struct audit_model *m = &a->model;
    char hash[SHA256_HEX_BYTES];
    if (!in->model)
        return in->adapter ? err_set(e, OL_EINVAL, MODULE, "--adapter needs --model, its base") : OL_OK;
    int rc = model_file_open(in->model, &m->file, e);
    if (!rc)
        rc = model_file_gguf(m->file) ? tokenizer_open_gguf(model_file_gguf(m->file), &m->tokenizer, e)
                                      : tokenizer_open_dir(model_file_dir(m->file), &m->tokenizer, e);
    if (!rc)
        rc = model_file_version(m->file, hash, e);
    if (rc)
        return rc;
    CHECK(hex_decode(hash, m->version, sizeof m->version));
    m->adapter = in->adapter;
    if (!in->adapter)
        return OL_OK;
    rc = adapter_file_hash(in->adapter, model_file_config(m->file), hash, e);
    if (rc)
        return rc;
    CHECK(hex_decode(hash, m->adapter_hash, sizeof m->adapter_hash));
    return OL_OK;
}

int audit_inputs_read(const struct audit_inputs *in, struct audit *a, struct err *e)
{
    int rc = open_model(in, a, e);
    for (int i = 0; i < in->n_paths && !rc; i++)
        rc = add_all(a, in->paths[i], ".body.json", add_file, e);
    for (int i = 0; i < in->policies.n && !rc; i++)
        rc = add_policy(a, in->policies.items[i], e);
    for (int i = 0; i < in->datanets.n && !rc; i++)
        rc = add_datanet(a, in->datanets.items[i], e);
    for (int i = 0; i < in->evidence.n && !rc; i++)
        rc = add_all(a, in->evidence.items[i], ".json", add_evidence, e);
    return rc;
}
