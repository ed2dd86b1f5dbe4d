/* Reading and appending to a Datanet's log; see datanet_state.h. */
#include "attribution/datanet_state.h"

#include "base/file_map.h"
#include "chainlite/core/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "datanet"

static int log_path(const char *folder, char out[PATH_MAX], struct err *e)
{
    int n = snprintf(out, PATH_MAX, "%s/log.jsonl", folder);
    return n > 0 && n < PATH_MAX - 80 ? 0 : err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", folder);
}

/* The signature must be the actor's, over the item that the first line makes. */
static int check_signature(const struct secp *secp, const struct datanet *d, const struct log_entry *entry,
                           struct err *e)
{
    uint8_t digest[32], by[ADDRESS_BYTES];
    int rc = log_entry_digest(entry, d->item, d->settings.chain_id, digest, e);
    if (rc == 0)
        rc = secp_recover(secp, digest, entry->signature, by, e);
    if (rc == 0 && memcmp(by, entry->actor, ADDRESS_BYTES) != 0)
        rc = err_set(e, OL_EFORMAT, MODULE, "the signature is not the actor's");
    return rc;
}

/* A line must be written as we write it: what was signed and hashed is then the text itself. */
static int check_form(const struct log_entry *entry, const char *line, size_t n, struct err *e)
{
    struct buf text;
    buf_init(&text, LOG_LINE_MAX_BYTES);
    log_entry_write(entry, &text);
    bool same = !buf_failed(&text) && text.len == n && memcmp(text.data, line, n) == 0;
    buf_deinit(&text);
    return same ? 0 : err_set(e, OL_EFORMAT, MODULE, "the line is not in its one form");
}

struct reading {
    struct datanet *datanet;
    const struct secp *secp;
    int (*each)(void *user, const struct log_entry *);
    void *user;
};

static int read_line(struct reading *r, const char *line, size_t n, struct err *e)
{
    struct log_entry entry;
    int rc = log_entry_parse(line, n, &entry, e);
    if (rc != 0)
        return rc;
    rc = check_form(&entry, line, n, e);
    if (rc == 0)
        rc = datanet_apply(r->datanet, &entry, e);
    if (rc == 0)
        rc = check_signature(r->secp, r->datanet, &entry, e);
    if (rc == 0)
        keccak256(line, n, r->datanet->head);
    if (rc == 0 && r->each)
        rc = r->each(r->user, &entry);
    log_entry_deinit(&entry);
    return rc;
}

static int read_lines(struct reading *r, const char *text, size_t n, struct err *e)
{
    size_t at = 0;
    unsigned long number = 1;
    for (const char *newline; (newline = memchr(text + at, '\n', n - at));
         at = (size_t)(newline - text) + 1, number++) {
        int rc = read_line(r, text + at, (size_t)(newline - text) - at, e);
        if (rc != 0)
            return err_prefix(e, "line %lu", number);
    }
    r->datanet->log_bytes = at;
    return at ? 0 : err_set(e, OL_EFORMAT, MODULE, "the log has no whole line");
}

static int read_log(struct datanet *d, const char *path, int (*each)(void *, const struct log_entry *), void *user,
                    struct err *e)
{
    static const uint8_t unblinded[32]; /* signatures are checked here, not made */
    struct file_map map;
    int rc = file_map_init(&map, path, e);
    if (rc == OL_ENOTFOUND)
        return err_set(e, rc, MODULE, "there is no Datanet in %s; `openlora datanet create` makes one", d->folder);
    if (rc != 0)
        return rc;
    struct secp *secp = secp_open(unblinded);
    if (!secp)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for signatures");
    else if (map.len > LOG_MAX_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%zu bytes; %d at most", map.len, LOG_MAX_BYTES);
    else
        rc = read_lines(&(struct reading){d, secp, each, user}, (const char *)map.data, map.len, e);
    if (secp)
        secp_close(secp);
    file_map_deinit(&map);
    return rc == 0 ? 0 : err_prefix(e, "%s", path);
}

static struct datanet *new_datanet(const char *folder, struct err *e)
{
    struct datanet *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, OL_ENOMEM, MODULE, "no memory for a Datanet");
        return NULL;
    }
    d->file = -1;
    snprintf(d->folder, sizeof d->folder, "%s", folder);
    return d;
}

static int open_for_writing(struct datanet *d, const char *path, struct err *e)
{
    d->file = open(path, O_WRONLY | O_CLOEXEC);
    if (d->file < 0 && errno == ENOENT)
        return 0; /* reading says so */
    if (d->file < 0 || flock(d->file, LOCK_EX) != 0)
        return err_set(e, OL_EIO, MODULE, "cannot open %s for writing: %s", path, strerror(errno));
    return 0;
}

static int open_datanet(const char *folder, bool for_writing, int (*each)(void *, const struct log_entry *), void *user,
                        struct datanet **out, struct err *e)
{
    char path[PATH_MAX];
    *out = NULL;
    int rc = log_path(folder, path, e);
    if (rc != 0)
        return rc;
    struct datanet *d = new_datanet(folder, e);
    if (!d)
        return OL_ENOMEM;
    if (for_writing)
        rc = open_for_writing(d, path, e);
    if (rc == 0)
        rc = read_log(d, path, each, user, e);
    if (rc != 0)
        datanet_close(d);
    else
        *out = d;
    return rc;
}

int datanet_open(const char *folder, bool for_writing, struct datanet **out, struct err *e)
{
    return open_datanet(folder, for_writing, NULL, NULL, out, e);
}

int datanet_log_each(const char *folder, int (*each)(void *user, const struct log_entry *), void *user, struct err *e)
{
    struct datanet *d;
    int rc = open_datanet(folder, false, each, user, &d, e);
    datanet_close(d);
    return rc;
}

void datanet_close(struct datanet *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_proposals; i++)
        free(d->proposals[i].contribution.text);
    free(d->proposals);
    free(d->commitments);
    free(d->versions);
    free(d->settings.members.reviewers.at);
    free(d->settings.members.contributors.at);
    if (d->file >= 0)
        close(d->file);
    free(d);
}

/* ---- writing */

static int append(struct datanet *d, const struct buf *line, struct err *e)
{
    size_t done = 0;
    bool ok = ftruncate(d->file, (off_t)d->log_bytes) == 0;
    while (ok && done < line->len) {
        ssize_t n = pwrite(d->file, line->data + done, line->len - done, (off_t)(d->log_bytes + done));
        ok = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    if (!ok || fdatasync(d->file) != 0)
        return err_set(e, OL_EIO, MODULE, "cannot write the log in %s: %s", d->folder, strerror(errno));
    d->log_bytes += line->len;
    return 0;
}

static int sign(struct datanet *d, struct log_entry *entry, const struct datanet_signer *by, struct err *e)
{
    uint8_t digest[32];
    int rc = log_entry_digest(entry, d->item, d->settings.chain_id, digest, e);
    return rc == 0 ? secp_sign(by->secp, by->secret, digest, entry->signature, e) : rc;
}

uint64_t datanet_next_time(const struct datanet *d, uint64_t now) { return now > d->time ? now : d->time + 1; }

int datanet_act(struct datanet *d, enum datanet_action action, const void *body, const struct datanet_signer *by,
                uint64_t now, struct err *e)
{
    struct log_entry entry;
    struct buf line;
    CHECK(d->file >= 0);
    int rc = log_entry_init(&entry, action, body, e);
    if (rc != 0)
        return rc;
    buf_init(&line, LOG_LINE_MAX_BYTES);
    entry.sequence = d->sequence + 1;
    entry.time = datanet_next_time(d, now);
    memcpy(entry.previous, d->head, 32);
    memcpy(entry.actor, by->address, ADDRESS_BYTES);
    rc = datanet_apply(d, &entry, e);
    if (rc == 0)
        rc = sign(d, &entry, by, e);
    if (rc == 0) {
        log_entry_write(&entry, &line);
        if (buf_failed(&line))
            rc = err_set(e, OL_ELIMIT, MODULE, "a log entry is too long");
        keccak256(buf_str(&line), line.len, d->head);
        buf_add_char(&line, '\n');
    }
    if (rc == 0)
        rc = append(d, &line, e);
    buf_deinit(&line);
    log_entry_deinit(&entry);
    return rc;
}

static int make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "cannot make the folder %s: %s", path, strerror(errno));
    return 0;
}

int datanet_create(const char *folder, const struct log_create *settings, const struct datanet_signer *by, uint64_t now,
                   struct datanet **out, struct err *e)
{
    char path[PATH_MAX], contents[PATH_MAX + 16];
    *out = NULL;
    int rc = log_path(folder, path, e);
    snprintf(contents, sizeof contents, "%s/content", folder);
    if (rc == 0)
        rc = make_folder(folder, e);
    if (rc == 0)
        rc = make_folder(contents, e);
    if (rc != 0)
        return rc;
    struct datanet *d = new_datanet(folder, e);
    if (!d)
        return OL_ENOMEM;
    d->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (d->file < 0 && errno == EEXIST)
        rc = err_set(e, OL_EEXIST, MODULE, "there is a Datanet in %s already", folder);
    else if (d->file < 0 || flock(d->file, LOCK_EX) != 0)
        rc = err_set(e, OL_EIO, MODULE, "cannot write %s: %s", path, strerror(errno));
    if (rc == 0) {
        rc = datanet_act(d, ACT_CREATE, settings, by, now, e);
        if (rc != 0)
            unlink(path);
    }
    if (rc != 0)
        datanet_close(d);
    else
        *out = d;
    return rc;
}
