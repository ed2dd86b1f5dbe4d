/* Versions of a Datanet: who is in, their row, their exported form; and contents on disk. See datanet_state.h. */
#include "attribution/datanet_state.h"

#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "datanet"

static bool is_member(const struct proposal *p, uint64_t sequence)
{
    return p->approved_at && p->approved_at < sequence && (!p->withdrawn_at || p->withdrawn_at > sequence);
}

static int by_order(const void *a, const void *b) { return contribution_order(a, b); }

int datanet_members(const struct datanet *d, uint64_t sequence, struct contribution **out, size_t *n, struct err *e)
{
    *n = 0;
    *out = calloc(d->n_proposals ? d->n_proposals : 1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu contributions", d->n_proposals);
    for (size_t i = 0; i < d->n_proposals; i++)
        if (is_member(&d->proposals[i], sequence))
            (*out)[(*n)++] = d->proposals[i].contribution;
    qsort(*out, *n, sizeof **out, by_order);
    return 0;
}

int datanet_next_row(const struct datanet *d, struct log_publish *out, struct err *e)
{
    struct contribution *members;
    struct sumnode root;
    size_t n;
    memset(out, 0, sizeof *out);
    int rc = datanet_members(d, d->sequence + 1, &members, &n, e);
    if (rc != 0)
        return rc;
    rc = n ? contributions_root(members, n, &root, e)
           : err_set(e, OL_EINVAL, MODULE, "no contribution is approved; `openlora datanet review` decides on them");
    if (rc == 0 && root.sum_wei > DATANET_MAX_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "the contents have more than %d bytes together", DATANET_MAX_BYTES);
    free(members);
    if (rc != 0)
        return rc;
    struct catalogued_version *v = &out->row;
    if (d->n_versions)
        memcpy(out->parent, d->versions[d->n_versions - 1].is.row.id, 32);
    v->kind = ITEM_DATANET;
    memcpy(v->name, d->settings.name, sizeof v->name);
    memcpy(v->owner, d->owner, ADDRESS_BYTES);
    memcpy(v->row.item, d->item, 32);
    v->row.number = (uint32_t)d->n_versions + 1;
    memcpy(v->row.content_hash, root.hash, 32);
    memcpy(v->row.payee, d->owner, ADDRESS_BYTES);
    datanet_metadata(out->parent, d->head, v->row.metadata);
    version_id(&v->row, v->id);
    return 0;
}

/* ---- contents */

int datanet_load_contents(struct datanet *d, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < d->n_proposals && rc == 0; i++) {
        struct proposal *p = &d->proposals[i];
        if (p->status <= PROPOSAL_APPROVED && !p->contribution.text)
            rc = content_load(d->folder, &p->contribution, e);
    }
    return rc;
}

/* Written beside its place and then renamed: a file of that name is whole. */
int content_store(const char *folder, const char *text, size_t bytes, const uint8_t sha256[32], struct err *e)
{
    char path[PATH_MAX - 16], draft[PATH_MAX];
    if (!content_path(folder, sha256, path, sizeof path))
        return err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", folder);
    snprintf(draft, sizeof draft, "%s.new", path);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < bytes;) {
        ssize_t n = write(fd, text + done, bytes - done);
        ok = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    if (ok && rename(draft, path) == 0)
        return 0;
    int why = errno;
    unlink(draft);
    return err_set(e, OL_EIO, MODULE, "cannot write %s: %s", path, strerror(why));
}

int datanet_drop_content(const struct datanet *d, const uint8_t sha256[32], struct err *e)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < d->n_proposals; i++)
        if (d->proposals[i].status != PROPOSAL_WITHDRAWN &&
            memcmp(d->proposals[i].contribution.sha256, sha256, 32) == 0)
            return 0;
    if (!content_path(d->folder, sha256, path, sizeof path))
        return err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", d->folder);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, OL_EIO, MODULE, "the content is withdrawn but %s cannot be deleted: %s", path,
                       strerror(errno));
    return 0;
}

/* ---- export */

static int copy_content(const struct datanet *d, const struct contribution *c, const char *to, struct err *e)
{
    struct contribution copy = *c;
    copy.text = NULL;
    int rc = content_load(d->folder, &copy, e);
    if (rc == 0)
        rc = content_store(to, copy.text, copy.bytes, copy.sha256, e);
    free(copy.text);
    return rc;
}

/* rmdir takes only an empty folder: what is there already is never mixed with the export. */
static int make_empty(const char *to, struct err *e)
{
    char contents[PATH_MAX];
    int n = snprintf(contents, sizeof contents, "%s/content", to);
    if (n < 0 || n >= PATH_MAX)
        return err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", to);
    if (rmdir(to) != 0 && errno == ENOTEMPTY)
        return err_set(e, OL_EEXIST, MODULE, "%s is not empty; give a new folder", to);
    if (mkdir(to, 0755) != 0 || mkdir(contents, 0755) != 0)
        return err_set(e, OL_EIO, MODULE, "cannot make the folder %s: %s", to, strerror(errno));
    return 0;
}

int datanet_export(const struct datanet *d, uint32_t number, const char *to, struct err *e)
{
    char path[PATH_MAX + 16];
    struct datanet_manifest m = {.version = MANIFEST_VERSION};
    struct contribution *members;
    size_t n;
    if (d->n_versions == 0)
        return err_set(e, OL_EINVAL, MODULE, "no version is published yet");
    if (number > d->n_versions)
        return err_set(e, OL_ENOTFOUND, MODULE, "there is no version %u; the newest is %zu", number, d->n_versions);
    const struct published_version *v = &d->versions[number ? number - 1 : d->n_versions - 1];
    int rc = datanet_members(d, v->sequence, &members, &n, e);
    if (rc != 0)
        return rc;
    m.row = v->is.row;
    memcpy(m.parent, v->is.parent, 32);
    memcpy(m.log_head, v->log_head, 32);
    m.contributions = (struct list){members, n};
    rc = make_empty(to, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (!members[i].withdrawn)
            rc = copy_content(d, &members[i], to, e);
    snprintf(path, sizeof path, "%s/manifest.json", to); /* last: a folder with one is complete */
    if (rc == 0)
        rc = notation_write_file(&datanet_manifest_schema, &m, path, MANIFEST_MAX_BYTES, e);
    free(members);
    return rc;
}
