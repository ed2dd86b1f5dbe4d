/* Group commit. Writes stand in line by their tickets, which outbox_begin gave out. Whoever waits and finds the head of
 * the line ready leads: it merges all ready writes from the head on, syncs once, and wakes the rest.
 *
 * A ticket that is never committed would stop the line, so outbox_cancel stands in line too. After a failure every
 * ticket given out so far is dead: what those writes were built on may not be on disk. */
#include "base/clock.h"
#include "base/log.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/outbox_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define MODULE "outbox"

enum { RECOVER_EVERY_MS = 500, ROOM_EVERY_MS = 100 };
enum { MAX_WRITE_BYTES = 32 << 20, MAX_GROUP_BYTES = 8 << 20 };

int outbox_open(const struct outbox_config *config, struct outbox **out, struct err *e)
{
    *out = NULL;
    struct outbox *o = calloc(1, sizeof *o);
    char *path = strdup(config->path);
    if (!o || !path) {
        free(o);
        free(path);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the outbox");
    }
    o->config = *config;
    o->config.path = o->path = path;
    o->config.min_free_bytes = config->min_free_bytes ? config->min_free_bytes : (uint64_t)64 << 20;
    o->config.cache_bytes = config->cache_bytes ? config->cache_bytes : (size_t)16 << 20;
    o->config.buffer_bytes = config->buffer_bytes ? config->buffer_bytes : (size_t)16 << 20;
    pthread_rwlock_init(&o->db_lock, NULL);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->turn, NULL);
    atomic_init(&o->generation, 1);
    int rc = db_open(&o->config, &o->db, e);
    if (rc != 0) {
        outbox_close(o);
        return rc;
    }
    *out = o;
    return 0;
}

static void free_write(struct outbox_write *w)
{
    buf_deinit(&w->ops);
    free(w);
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    while (o->queue) { /* only cancelled ones can be left */
        struct outbox_write *w = o->queue;
        o->queue = w->next;
        free_write(w);
    }
    db_close(&o->db);
    pthread_cond_destroy(&o->turn);
    pthread_mutex_destroy(&o->lock);
    pthread_rwlock_destroy(&o->db_lock);
    free(o->path);
    free(o);
}

uint64_t outbox_generation(const struct outbox *o) { return atomic_load(&o->generation); }

/* ---- room and recovery; with o->lock held */

static int check_space(struct outbox *o)
{
    int64_t now = clock_mono_ns();
    if (now < o->room_until_ns)
        return o->room_rc;
    struct statvfs s;
    o->room_until_ns = now + (int64_t)ROOM_EVERY_MS * 1000000;
    o->room_rc = 0;
    if (statvfs(o->path, &s) != 0) {
        o->room_rc = err_set(&o->room, OL_EIO, MODULE, "asking for the free space of %.120s: %s", o->path,
                             strerror(errno));
    } else {
        uint64_t free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
        if (free_bytes < o->config.min_free_bytes)
            o->room_rc = err_set(&o->room, OL_ELIMIT, MODULE, "disk_full: %llu MiB are free at %.100s and %llu MiB are "
                                 "kept for answers in progress: free some", (unsigned long long)(free_bytes >> 20),
                                 o->path, (unsigned long long)(o->config.min_free_bytes >> 20));
    }
    return o->room_rc;
}

/* Reads the folder again: what is on disk then is the truth, acknowledged or not. */
static void recover(struct outbox *o)
{
    int64_t now = clock_mono_ns();
    struct err e;
    if (now < o->recover_at_ns || o->writing)
        return;
    o->recover_at_ns = now + (int64_t)RECOVER_EVERY_MS * 1000000;
    if (check_space(o) != 0 || db_probe(o->path, &e) != 0)
        return; /* what can be read stays readable */
    pthread_rwlock_wrlock(&o->db_lock);
    db_close(&o->db);
    int rc = db_open(&o->config, &o->db, &e);
    pthread_rwlock_unlock(&o->db_lock);
    if (rc != 0) {
        o->failure = e;
        return;
    }
    o->failed = false;
    atomic_fetch_add(&o->generation, 1);
    log_line(LOG_INFO, MODULE, "writable again");
}

static int room(struct outbox *o, struct err *e)
{
    if (o->failed)
        recover(o);
    int rc = o->failed ? o->failure.code : check_space(o);
    if (rc != 0 && e)
        *e = o->failed ? o->failure : o->room;
    return rc;
}

int outbox_room(struct outbox *o, struct err *e)
{
    pthread_mutex_lock(&o->lock);
    int rc = room(o, e);
    pthread_mutex_unlock(&o->lock);
    return rc;
}

/* ---- the line */

int outbox_begin(struct outbox *o, struct outbox_write **out, struct err *e)
{
    *out = NULL;
    struct outbox_write *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a write");
    w->outbox = o;
    buf_init(&w->ops, MAX_WRITE_BYTES);
    pthread_mutex_lock(&o->lock);
    /* Space that is short does not stop what was promised: the reserve is for that. */
    int rc = o->failed ? room(o, e) : 0;
    if (rc == 0)
        w->ticket = o->next_ticket++;
    pthread_mutex_unlock(&o->lock);
    if (rc != 0) {
        free_write(w);
        return rc;
    }
    *out = w;
    return 0;
}

static void stand_in_line(struct outbox *o, struct outbox_write *w)
{
    struct outbox_write **at = &o->queue;
    while (*at && (*at)->ticket < w->ticket)
        at = &(*at)->next;
    w->next = *at;
    *at = w;
}

/* Cuts the ready run off the head of the line. */
static struct outbox_write *take_run(struct outbox *o)
{
    struct outbox_write *head = o->queue, **at = &o->queue;
    size_t bytes = 0;
    while (*at && (*at)->ticket == o->next_write && (bytes == 0 || bytes + (*at)->ops.len <= MAX_GROUP_BYTES)) {
        bytes += (*at)->ops.len;
        o->next_write++;
        at = &(*at)->next;
    }
    o->queue = *at;
    *at = NULL;
    return head;
}

static int write_run(struct outbox *o, const struct outbox_write *run, struct err *e)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    int rc = 0;
    pthread_rwlock_rdlock(&o->db_lock);
    for (const struct outbox_write *w = run; w && rc == 0; w = w->next) {
        if (!w->cancelled)
            ops_replay(&w->ops, &o->db, batch);
        rc = w->rc;
        if (rc != 0)
            *e = w->err;
    }
    if (rc == 0 && rocksdb_writebatch_count(batch) > 0) {
        crash_point(outbox_before_write);
        rc = db_write(&o->db, batch, e);
        crash_point(outbox_after_write);
    }
    pthread_rwlock_unlock(&o->db_lock);
    rocksdb_writebatch_destroy(batch);
    return rc;
}

/* Answers everyone in the list. */
static void finish(struct outbox_write *run, int rc, const struct err *e)
{
    for (struct outbox_write *w = run, *next; w; w = next) {
        next = w->next;
        if (w->cancelled) {
            free_write(w);
            continue;
        }
        w->rc = rc;
        if (rc != 0)
            w->err = *e;
        w->done = true; /* from here on it is its owner's */
    }
}

static void lead(struct outbox *o)
{
    struct outbox_write *run = take_run(o);
    struct err e = {0};
    o->writing = true;
    pthread_mutex_unlock(&o->lock);
    int rc = write_run(o, run, &e);
    pthread_mutex_lock(&o->lock);
    o->writing = false;
    finish(run, rc, &e);
    if (rc != 0) {
        finish(o->queue, rc, &e);
        o->queue = NULL;
        o->failed = true;
        o->failure = e;
        o->dead_below = o->next_write = o->next_ticket;
        o->recover_at_ns = 0;
        log_line(LOG_ERROR, MODULE, "%s", e.message);
    }
    pthread_cond_broadcast(&o->turn);
}

void outbox_fail(struct outbox_write *w, int code, const struct err *e)
{
    w->rc = code;
    if (e)
        w->err = *e;
    w->err.code = code;
}

int outbox_commit(struct outbox_write *w, struct err *e)
{
    struct outbox *o = w->outbox;
    if (buf_failed(&w->ops) && w->rc == 0) /* later writes may build on this one: it fails in its place, and they with it */
        w->rc = err_set(&w->err, w->ops.no_memory ? OL_ENOMEM : OL_ELIMIT, MODULE, "a write of over %d MiB, or no memory "
                        "for it", MAX_WRITE_BYTES >> 20);
    pthread_mutex_lock(&o->lock);
    if (w->ticket < o->dead_below) {
        w->rc = o->failure.code;
        w->err = o->failure;
        w->done = true;
    } else {
        stand_in_line(o, w);
        pthread_cond_broadcast(&o->turn);
    }
    while (!w->done) {
        if (!o->writing && o->queue && o->queue->ticket == o->next_write)
            lead(o);
        else
            pthread_cond_wait(&o->turn, &o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    int rc = w->rc;
    if (rc != 0 && e)
        *e = w->err;
    free_write(w);
    return rc;
}

void outbox_cancel(struct outbox_write *w)
{
    if (!w)
        return;
    struct outbox *o = w->outbox;
    pthread_mutex_lock(&o->lock);
    if (w->ticket < o->dead_below) {
        free_write(w);
    } else {
        w->cancelled = true;
        stand_in_line(o, w);
        pthread_cond_broadcast(&o->turn);
    }
    pthread_mutex_unlock(&o->lock);
}

/* ---- reads */

int outbox_get(struct outbox *o, enum outbox_cf cf, const void *key, size_t key_len, db_row row, void *user,
               struct err *e)
{
    pthread_rwlock_rdlock(&o->db_lock);
    int rc = db_get(&o->db, cf, key, key_len, row, user, e);
    pthread_rwlock_unlock(&o->db_lock);
    return rc;
}

int outbox_scan(struct outbox *o, const struct db_range *range, db_row row, void *user, struct err *e)
{
    pthread_rwlock_rdlock(&o->db_lock);
    int rc = db_scan(&o->db, range, row, user, e);
    pthread_rwlock_unlock(&o->db_lock);
    return rc;
}
