/* The RocksDB folder: options, errors, one get, one scan, one synced write.
 *
 * Memory is bounded: one cache for blocks, indexes and filters; one budget for rows not yet in table files. The log of
 * writes is replayed at opening, so its size bounds the time that a restart takes. Only the tail of the log may be
 * damaged (a write that was never acknowledged); damage before it is refused, not skipped. */
#include "chainlite/settle/outbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "outbox"

enum {
    POINT_IN_TIME_RECOVERY = 2, /* rocksdb's kPointInTimeRecovery: a prefix of the writes, never one with a hole */
    BLOOM_BITS = 10,
    BLOCK_BYTES = 8 << 10,
    MAX_OPEN_FILES = 128,
    MAX_LOG_BYTES = 32 << 20, /* of writes replayed at opening */
    PROBE_BYTES = 1 << 20,
    HEADER_LEVEL = 5, /* only what is written at opening */
};

static const char *const cf_names[CF_COUNT] = {"default", "reservations", "receipts",     "receipt_ids", "tenants",
                                               "payers",  "batches",      "transactions", "dead",
                                               "attributions", "statements", "contributors", "means"};

/* Takes RocksDB's message; says disk_full where that is the cause. */
static int db_error(char *message, const char *doing, struct err *e)
{
    bool full = strstr(message, "No space left") || strstr(message, "Disk quota exceeded") ||
                strstr(message, "File too large") || strstr(message, "NoSpace") || strstr(message, "SpaceLimit");
    bool locked = strstr(message, "lock ") && !full;
    int rc = full ? OL_ELIMIT : locked ? OL_EBUSY : strstr(message, "Corruption") ? OL_EFORMAT : OL_EIO;
    err_set(e, rc, MODULE, "%s%s: %.160s", full ? "disk_full: " : "", doing, message);
    rocksdb_free(message);
    return rc;
}

static void set_options(const struct outbox_config *config, struct db *db)
{
    rocksdb_options_t *o = db->options = rocksdb_options_create();
    db->table = rocksdb_block_based_options_create();
    db->cache = rocksdb_cache_create_lru(config->cache_bytes);
    rocksdb_block_based_options_set_block_cache(db->table, db->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(db->table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(db->table, 1);
    rocksdb_block_based_options_set_filter_policy(db->table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_block_based_options_set_block_size(db->table, BLOCK_BYTES);
    rocksdb_options_set_block_based_table_factory(o, db->table);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_wal_recovery_mode(o, POINT_IN_TIME_RECOVERY);
    rocksdb_options_set_max_total_wal_size(o, MAX_LOG_BYTES);
    rocksdb_options_set_db_write_buffer_size(o, config->buffer_bytes);
    rocksdb_options_set_write_buffer_size(o, config->buffer_bytes / 2);
    rocksdb_options_set_max_open_files(o, MAX_OPEN_FILES);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20); /* table files trickle out instead of delaying a log's sync */
    rocksdb_options_set_info_log_level(o, HEADER_LEVEL);
    rocksdb_options_set_keep_log_file_num(o, 2);
    db->read = rocksdb_readoptions_create();
    db->sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->sync, 1);
}

/* Can a file of some size be written and synced here? Debian's RocksDB asserts, and ends the process, when its text log
 * meets a full disk, and it writes one whenever it opens: so it is not opened on one. A quota or a file size limit does
 * not show in statvfs, so this tries. */
int db_probe(const char *path, struct err *e)
{
    char name[4096], block[4096];
    int n = snprintf(name, sizeof name, "%s/probe", path);
    int fd = n > 0 && (size_t)n < sizeof name ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool ok = fd >= 0;
    memset(block, 0xa5, sizeof block);
    for (size_t done = 0; ok && done < PROBE_BYTES; done += sizeof block)
        ok = write(fd, block, sizeof block) == (ssize_t)sizeof block;
    ok = ok && fdatasync(fd) == 0;
    int cause = errno;
    if (fd >= 0) {
        close(fd);
        unlink(name);
    }
    if (ok)
        return 0;
    bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
    return err_set(e, full ? OL_ELIMIT : OL_EIO, MODULE, "%swriting %.120s: %s", full ? "disk_full: " : "", name,
                   strerror(cause));
}

int db_open(const struct outbox_config *config, struct db *db, struct err *e)
{
    const rocksdb_options_t *options[CF_COUNT];
    char *message = NULL;
    *db = (struct db){0};
    if (mkdir(config->path, 0700) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "making the folder %.160s: %s", config->path, strerror(errno));
    int rc = db_probe(config->path, e);
    if (rc != 0)
        return rc;
    set_options(config, db);
    for (int i = 0; i < CF_COUNT; i++)
        options[i] = db->options;
    db->handle = rocksdb_open_column_families(db->options, config->path, CF_COUNT, cf_names, options, db->cf, &message);
    if (message) {
        db->handle = NULL;
        rc = db_error(message, "opening the outbox", e);
        db_close(db);
        return rc;
    }
    return 0;
}

void db_close(struct db *db)
{
    for (int i = 0; db->handle && i < CF_COUNT; i++)
        rocksdb_column_family_handle_destroy(db->cf[i]);
    if (db->handle)
        rocksdb_close(db->handle);
    if (db->options) {
        rocksdb_options_destroy(db->options);
        rocksdb_block_based_options_destroy(db->table); /* its filter policy goes with it */
        rocksdb_cache_destroy(db->cache);
        rocksdb_readoptions_destroy(db->read);
        rocksdb_writeoptions_destroy(db->sync);
    }
    *db = (struct db){0};
}

/* ---- writes: key length, value length, family, drop?, key, value */

struct op {
    uint32_t key_len, value_len;
    uint8_t cf, drop;
};

size_t ops_open(struct buf *ops, enum outbox_cf cf, const void *key, size_t key_len)
{
    size_t at = ops->len;
    struct op op = {(uint32_t)key_len, 0, (uint8_t)cf, 0};
    buf_add(ops, &op, sizeof op);
    buf_add(ops, key, key_len);
    return at;
}

void ops_close(struct buf *ops, size_t at)
{
    struct op op;
    if (buf_failed(ops))
        return;
    memcpy(&op, ops->data + at, sizeof op);
    op.value_len = (uint32_t)(ops->len - at - sizeof op - op.key_len);
    memcpy(ops->data + at, &op, sizeof op);
}

void ops_drop(struct buf *ops, enum outbox_cf cf, const void *key, size_t key_len)
{
    struct op op = {(uint32_t)key_len, 0, (uint8_t)cf, 1};
    buf_add(ops, &op, sizeof op);
    buf_add(ops, key, key_len);
}

void ops_replay(const struct buf *ops, struct db *db, rocksdb_writebatch_t *batch)
{
    struct op op;
    for (size_t at = 0; at < ops->len; at += sizeof op + op.key_len + op.value_len) {
        memcpy(&op, ops->data + at, sizeof op);
        const char *key = ops->data + at + sizeof op;
        if (op.drop)
            rocksdb_writebatch_delete_cf(batch, db->cf[op.cf], key, op.key_len);
        else
            rocksdb_writebatch_put_cf(batch, db->cf[op.cf], key, op.key_len, key + op.key_len, op.value_len);
    }
}

int db_write(struct db *db, rocksdb_writebatch_t *batch, struct err *e)
{
    char *message = NULL;
    rocksdb_write(db->handle, db->sync, batch, &message);
    return message ? db_error(message, "writing to the outbox", e) : 0;
}

/* ---- reads */

static int not_open(struct err *e)
{
    return err_set(e, OL_EIO, MODULE, "the outbox's folder could not be opened again after a failed write");
}

int db_get(struct db *db, enum outbox_cf cf, const void *key, size_t key_len, db_row row, void *user, struct err *e)
{
    char *message = NULL;
    if (!db->handle)
        return not_open(e);
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(db->handle, db->read, db->cf[cf], key, key_len, &message);
    if (message)
        return db_error(message, "reading from the outbox", e);
    if (!slice)
        return err_set(e, OL_ENOTFOUND, MODULE, "no such row in %s", cf_names[cf]);
    size_t n;
    const char *value = rocksdb_pinnableslice_value(slice, &n);
    int rc = row(user, key, key_len, (const uint8_t *)value, n, e);
    rocksdb_pinnableslice_destroy(slice);
    return rc;
}

int db_scan(struct db *db, const struct db_range *range, db_row row, void *user, struct err *e)
{
    char *message = NULL;
    int rc = 0;
    if (!db->handle)
        return not_open(e);
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(db->handle, db->read, db->cf[range->cf]);
    if (range->down)
        rocksdb_iter_seek_for_prev(it, (const char *)range->from, range->from_len);
    else
        rocksdb_iter_seek(it, (const char *)range->from, range->from_len);
    for (uint64_t i = 0; rc == 0 && i < range->max && rocksdb_iter_valid(it); i++) {
        size_t key_len, value_len;
        const char *key = rocksdb_iter_key(it, &key_len);
        const char *value = rocksdb_iter_value(it, &value_len);
        if (key_len < range->prefix_len || memcmp(key, range->from, range->prefix_len) != 0)
            break;
        rc = row(user, (const uint8_t *)key, key_len, (const uint8_t *)value, value_len, e);
        if (range->down)
            rocksdb_iter_prev(it);
        else
            rocksdb_iter_next(it);
    }
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    if (message)
        return db_error(message, "reading from the outbox", e);
    return rc;
}
