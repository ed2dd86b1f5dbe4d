/* Opens exported versions; see datanet.h. */
#include "attribution/datanet.h"

#include "base/file_map.h"
#include "chainlite/core/hex.h"
#include "model/utf8.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "datanet"

static const struct field manifest_fields[] = {
    FIELD_BOUNDED(datanet_manifest, VERSION, "version", version, MANIFEST_VERSION),
    FIELD_NESTED(datanet_manifest, "row", row, &catalogued_version_schema),
    FIELD(datanet_manifest, HASH, "parent", parent),
    FIELD(datanet_manifest, HASH, "log_head", log_head),
    FIELD_MANY(datanet_manifest, "contributions", contributions, &contribution_schema, DATANET_MAX_CONTRIBUTIONS),
};
const struct schema datanet_manifest_schema = SCHEMA("manifest", datanet_manifest, manifest_fields);

void datanet_metadata(const uint8_t parent[32], const uint8_t log_head[32], uint8_t out[32])
{
    static const uint8_t none[32];
    version_metadata((const uint8_t(*)[32])parent, memcmp(parent, none, 32) != 0, NULL, 0, log_head, out);
}

static int differs(struct err *e, const char *what) { return err_set(e, OL_EFORMAT, MODULE, "%s", what); }

static int check_row(const struct datanet_manifest *m, struct err *e)
{
    uint8_t item[32], id[32], metadata[32];
    const struct row_version *row = &m->row.row;
    if (m->row.kind != ITEM_DATANET)
        return differs(e, "the row is not that of a Datanet");
    item_id(ITEM_DATANET, m->row.owner, m->row.name, item);
    if (memcmp(item, row->item, sizeof item) != 0)
        return differs(e, "the row's item is not that of this owner and name");
    datanet_metadata(m->parent, m->log_head, metadata);
    if (memcmp(metadata, row->metadata, sizeof metadata) != 0)
        return differs(e, "the row's metadata are not those of this parent and log head");
    version_id(row, id);
    return memcmp(id, m->row.id, sizeof id) ? differs(e, "the row's id is not the hash of its fields") : 0;
}

static int check_contribution(const struct contribution *c, const uint8_t item[32], struct err *e)
{
    uint8_t id[32];
    contribution_id(item, c->contributor, c->sha256, id);
    if (memcmp(id, c->id, sizeof id) != 0)
        return differs(e, "the id is not that of this Datanet, contributor and SHA-256");
    if (c->bytes == 0 || c->bytes > CONTENT_MAX_BYTES)
        return err_set(e, OL_ELIMIT, MODULE, "%llu bytes; 1 to %d are allowed", (unsigned long long)c->bytes,
                       CONTENT_MAX_BYTES);
    return labels_check(&c->labels, e);
}

int datanet_manifest_check(const struct datanet_manifest *m, struct err *e)
{
    const struct contribution *c = m->contributions.at;
    struct sumnode root;
    uint64_t bytes = 0;
    int rc = check_row(m, e);
    for (size_t i = 0; i < m->contributions.n && rc == 0; i++, bytes += c->bytes, c++) {
        rc = check_contribution(c, m->row.row.item, e);
        if (rc == 0 && i && contribution_order(c - 1, c) >= 0)
            rc = differs(e, "is not behind the one before by registration time and id");
        if (rc != 0)
            return err_prefix(e, "contribution %zu", i);
    }
    if (rc == 0 && bytes > DATANET_MAX_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%llu bytes of contents; %d at most", (unsigned long long)bytes,
                     DATANET_MAX_BYTES);
    if (rc == 0)
        rc = contributions_root(m->contributions.at, m->contributions.n, &root, e);
    if (rc == 0 && memcmp(root.hash, m->row.row.content_hash, sizeof root.hash) != 0)
        rc = differs(e, "the contributions do not hash to the row's content hash");
    return rc;
}

int datanet_manifest_parse(const char *text, size_t n, struct datanet_manifest *out, struct err *e)
{
    return notation_parse(&datanet_manifest_schema, text, n, out, e);
}

bool content_path(const char *folder, const uint8_t sha256[32], char *out, size_t room)
{
    char hex[65];
    hex_encode(sha256, 32, hex);
    int n = snprintf(out, room, "%s/content/%s", folder, hex);
    return n > 0 && (size_t)n < room;
}

static int check_content(const struct file_map *file, const struct contribution *c, struct err *e)
{
    const char *text = (const char *)file->data;
    uint8_t hash[32];
    if (file->len != c->bytes)
        return err_set(e, OL_EFORMAT, MODULE, "%zu bytes; the manifest says %llu", file->len,
                       (unsigned long long)c->bytes);
    content_hash(text, file->len, hash);
    if (memcmp(hash, c->sha256, sizeof hash) != 0)
        return differs(e, "its SHA-256 is not its name");
    if (utf8_valid_prefix(text, file->len) != file->len || memchr(text, '\0', file->len))
        return differs(e, "not UTF-8 without NUL");
    return 0;
}

int content_load(const char *folder, struct contribution *c, struct err *e)
{
    char path[PATH_MAX];
    struct file_map file;
    if (!content_path(folder, c->sha256, path, sizeof path))
        return err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", folder);
    int rc = file_map_init(&file, path, e);
    if (rc != 0)
        return rc;
    rc = check_content(&file, c, e);
    if (rc != 0)
        err_prefix(e, "%s", path);
    else if (!(c->text = strndup((const char *)file.data, file.len)))
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %zu bytes", file.len);
    file_map_deinit(&file);
    return rc;
}

static int load_contents(const char *folder, struct datanet_version *v, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        v->bytes += v->contributions[i].bytes;
        if (!v->contributions[i].withdrawn)
            rc = content_load(folder, &v->contributions[i], e);
    }
    return rc;
}

static void take_manifest(struct datanet_version *v, struct datanet_manifest *m)
{
    memcpy(v->item, m->row.row.item, sizeof v->item);
    memcpy(v->id, m->row.id, sizeof v->id);
    memcpy(v->root, m->row.row.content_hash, sizeof v->root);
    memcpy(v->name, m->row.name, sizeof v->name);
    memcpy(v->owner, m->row.owner, sizeof v->owner);
    v->number = m->row.row.number;
    v->contributions = m->contributions.at;
    v->n = m->contributions.n;
    m->contributions = (struct list){0};
}

int datanet_version_open(const char *exported_folder, struct datanet_version **out, struct err *e)
{
    char path[PATH_MAX];
    struct datanet_manifest manifest;
    int n = snprintf(path, sizeof path, "%s/manifest.json", exported_folder);
    *out = NULL;
    if (n < 0 || n >= PATH_MAX)
        return err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", exported_folder);
    int rc = notation_read_file(&datanet_manifest_schema, path, MANIFEST_MAX_BYTES, &manifest, e);
    if (rc != 0)
        return rc;
    rc = datanet_manifest_check(&manifest, e);
    if (rc != 0)
        err_prefix(e, "%s", path);
    struct datanet_version *v = rc == 0 ? calloc(1, sizeof *v) : NULL;
    if (rc == 0 && !v)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for a Datanet");
    if (v) {
        take_manifest(v, &manifest);
        rc = load_contents(exported_folder, v, e);
    }
    schema_free(&datanet_manifest_schema, &manifest);
    if (rc != 0)
        datanet_version_close(v);
    else
        *out = v;
    return rc;
}

void datanet_version_close(struct datanet_version *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n; i++)
        free(v->contributions[i].text);
    free(v->contributions);
    free(v);
}
