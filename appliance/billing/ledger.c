/* RocksDB with one key space for all tables. Expiry is an index of its own beside the rows, by time, so that a sweep reads
 * only what it removes. */
#include "billing/ledger.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "ledger"

/* Keys: table(1) ‖ key(32); the expiry index: 'X' ‖ time(8, big-endian) ‖ table(1) ‖ key(32) → nothing. */
enum { ROW_BYTES = 1 + LEDGER_KEY_BYTES, EXPIRY = 'X', EXPIRY_BYTES = 1 + 8 + ROW_BYTES };

struct ledger {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *reading;
    rocksdb_writeoptions_t *writing, *syncing;
};

struct ledger_write {
    struct ledger *ledger;
    rocksdb_writebatch_t *batch;
    bool too_large;
};

/* Takes RocksDB's message. */
static int failed(char *message, const char *what, struct err *e)
{
    int rc = err_set(e, OL_EIO, MODULE, "%s the billing store: %.160s", what, message);
    rocksdb_free(message);
    return rc;
}

int ledger_open(const char *folder, struct ledger **out, struct err *e)
{
    char *message = NULL;
    *out = NULL;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "making %.160s: %s", folder, strerror(errno));
    struct ledger *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the billing store");
    l->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(l->options, 1);
    rocksdb_options_set_write_buffer_size(l->options, 16 << 20);
    rocksdb_options_set_max_log_file_size(l->options, 1 << 20);
    rocksdb_options_set_keep_log_file_num(l->options, 4);
    rocksdb_options_set_compression(l->options, rocksdb_lz4_compression); /* kept streams repeat themselves */
    l->reading = rocksdb_readoptions_create();
    l->writing = rocksdb_writeoptions_create();
    l->syncing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(l->syncing, 1);
    l->db = rocksdb_open(l->options, folder, &message);
    if (message) {
        ledger_close(l);
        return failed(message, "opening", e);
    }
    *out = l;
    return 0;
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    if (l->db)
        rocksdb_close(l->db);
    rocksdb_options_destroy(l->options);
    rocksdb_readoptions_destroy(l->reading);
    rocksdb_writeoptions_destroy(l->writing);
    rocksdb_writeoptions_destroy(l->syncing);
    free(l);
}

static void row_key(enum ledger_table table, const uint8_t key[LEDGER_KEY_BYTES], char out[ROW_BYTES])
{
    out[0] = (char)table;
    memcpy(out + 1, key, LEDGER_KEY_BYTES);
}

/* ---- writing */

struct ledger_write *ledger_begin(struct ledger *l)
{
    struct ledger_write *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->ledger = l;
    w->batch = rocksdb_writebatch_create();
    return w;
}

void ledger_put(struct ledger_write *w, enum ledger_table table, const uint8_t key[LEDGER_KEY_BYTES],
                const void *value, size_t n)
{
    char row[ROW_BYTES];
    if (!w)
        return;
    w->too_large = w->too_large || n > LEDGER_MAX_VALUE_BYTES;
    row_key(table, key, row);
    rocksdb_writebatch_put(w->batch, row, sizeof row, n ? value : "", n);
}

static void drop(rocksdb_writebatch_t *batch, enum ledger_table table, const uint8_t *key)
{
    char row[ROW_BYTES];
    row_key(table, key, row);
    rocksdb_writebatch_delete(batch, row, sizeof row);
}

void ledger_drop(struct ledger_write *w, enum ledger_table table, const uint8_t key[LEDGER_KEY_BYTES])
{
    if (w)
        drop(w->batch, table, key);
}

void ledger_expire(struct ledger_write *w, enum ledger_table table, const uint8_t key[LEDGER_KEY_BYTES], int64_t unix_s)
{
    char index[EXPIRY_BYTES];
    if (!w)
        return;
    index[0] = EXPIRY;
    for (int i = 0; i < 8; i++)
        index[1 + i] = (char)((uint64_t)unix_s >> (56 - 8 * i));
    row_key(table, key, index + 9);
    rocksdb_writebatch_put(w->batch, index, sizeof index, "", 0);
}

int ledger_commit(struct ledger_write *w, bool sync, struct err *e)
{
    char *message = NULL;
    if (!w)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the billing store");
    bool too_large = w->too_large;
    if (!too_large)
        rocksdb_write(w->ledger->db, sync ? w->ledger->syncing : w->ledger->writing, w->batch, &message);
    rocksdb_writebatch_destroy(w->batch);
    free(w);
    if (too_large)
        return err_set(e, OL_ELIMIT, MODULE, "an answer is too large to be kept");
    return message ? failed(message, "writing", e) : 0;
}

/* ---- reading */

int ledger_get(struct ledger *l, enum ledger_table table, const uint8_t key[LEDGER_KEY_BYTES], struct buf *out,
               struct err *e)
{
    char row[ROW_BYTES], *message = NULL;
    row_key(table, key, row);
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(l->db, l->reading, row, sizeof row, &message);
    if (message)
        return failed(message, "reading", e);
    if (!slice)
        return err_set(e, OL_ENOTFOUND, MODULE, "not in the billing store");
    size_t n;
    const char *value = rocksdb_pinnableslice_value(slice, &n);
    buf_add(out, value, n);
    rocksdb_pinnableslice_destroy(slice);
    return buf_failed(out) ? err_set(e, OL_ENOMEM, MODULE, "no memory for a row of the billing store") : 0;
}

int ledger_each(struct ledger *l, enum ledger_table table,
                int (*row)(void *user, const uint8_t key[LEDGER_KEY_BYTES], const char *value, size_t n), void *user,
                struct err *e)
{
    const char first = (char)table;
    char *message = NULL;
    int rc = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator(l->db, l->reading);
    for (rocksdb_iter_seek(it, &first, 1); rc == 0 && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t len, n;
        const char *key = rocksdb_iter_key(it, &len), *value = rocksdb_iter_value(it, &n);
        if (len != ROW_BYTES || key[0] != first)
            break;
        rc = row(user, (const uint8_t *)key + 1, value, n);
    }
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    return message ? failed(message, "reading", e) : rc;
}

/* Tells `gone` of an answer whose receipt was never settled. */
static void tell(struct ledger *l, const uint8_t *key, void (*gone)(void *, const char *, size_t), void *user)
{
    struct buf answer, outcome;
    buf_init(&answer, LEDGER_MAX_VALUE_BYTES);
    buf_init(&outcome, LEDGER_MAX_VALUE_BYTES);
    if (ledger_get(l, LEDGER_OUTCOME, key, &outcome, NULL) != 0 &&
        ledger_get(l, LEDGER_ANSWER, key, &answer, NULL) == 0)
        gone(user, buf_str(&answer), answer.len);
    buf_deinit(&answer);
    buf_deinit(&outcome);
}

/* One entry of the index; false: its time has not come. */
static bool sweep_one(struct ledger *l, const char *index, int64_t now_s, rocksdb_writebatch_t *batch,
                      void (*gone)(void *, const char *, size_t), void *user)
{
    static const enum ledger_table of_answer[] = {LEDGER_ANSWER, LEDGER_BEFORE, LEDGER_AFTER, LEDGER_OUTCOME};
    uint64_t at = 0;
    for (int i = 0; i < 8; i++)
        at = at << 8 | (uint8_t)index[1 + i];
    if ((int64_t)at > now_s)
        return false;
    const uint8_t *key = (const uint8_t *)index + 10;
    bool answer = index[9] == LEDGER_ANSWER;
    if (answer && gone)
        tell(l, key, gone, user);
    for (size_t i = 0; answer && i < sizeof of_answer / sizeof *of_answer; i++)
        drop(batch, of_answer[i], key);
    if (!answer)
        drop(batch, (enum ledger_table)index[9], key);
    rocksdb_writebatch_delete(batch, index, EXPIRY_BYTES);
    return true;
}

int ledger_sweep(struct ledger *l, int64_t now_s, int max, void (*gone)(void *user, const char *answer, size_t n),
                 void *user, struct err *e)
{
    static const char first = EXPIRY;
    char *message = NULL;
    int n = 0;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_iterator_t *it = rocksdb_create_iterator(l->db, l->reading);
    for (rocksdb_iter_seek(it, &first, 1); n < max && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t len;
        const char *index = rocksdb_iter_key(it, &len);
        if (len != EXPIRY_BYTES || index[0] != EXPIRY || !sweep_one(l, index, now_s, batch, gone, user))
            break;
        n++;
    }
    rocksdb_iter_destroy(it);
    if (n > 0)
        rocksdb_write(l->db, l->writing, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return message ? failed(message, "sweeping", e) : n;
}

uint64_t ledger_bytes(struct ledger *l)
{
    uint64_t files = 0, memory = 0;
    rocksdb_property_int(l->db, "rocksdb.total-sst-files-size", &files);
    rocksdb_property_int(l->db, "rocksdb.cur-size-all-mem-tables", &memory);
    return files + memory;
}
