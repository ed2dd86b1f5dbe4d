/* The outbox's inside: its RocksDB folder (outbox_db.c), the queue of writes (outbox_commit.c), rows as bytes
 * (outbox_rows.c). Only settle/outbox*.c include this. */
#ifndef OPENLORA_SETTLE_OUTBOX_INTERNAL_H
#define OPENLORA_SETTLE_OUTBOX_INTERNAL_H

#include "base/buf.h"
#include "chainlite/settle/outbox.h"

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

enum outbox_cf { /* column families; numbers stay, they are in the logs of writes only */
    CF_META,         /* name -> value */
    CF_RESERVATIONS, /* receipt id -> reservation */
    CF_RECEIPTS,     /* epoch || sequence -> receipt */
    CF_RECEIPT_IDS,  /* receipt id -> epoch || sequence */
    CF_TENANTS,      /* tenant || 0 || epoch || sequence -> nothing */
    CF_PAYERS,       /* address -> payer */
    CF_BATCHES,      /* 'n' || number -> batch; 'i' || epoch || first sequence -> number */
    CF_TRANSACTIONS, /* nonce || variant -> transaction */
    CF_DEAD,         /* epoch || sequence -> reason */
    CF_ATTRIBUTIONS, /* epoch || sequence -> attribution of a receipt with a policy */
    CF_STATEMENTS,   /* epoch || sequence -> signed statement */
    CF_CONTRIBUTORS, /* address || epoch || sequence -> nothing: a statement with a share of this one */
    CF_MEANS,        /* epoch || policy -> sums of its statements of kind 2 */
    CF_COUNT
};

/* ---- outbox_db.c */

struct db {
    rocksdb_t *handle; /* NULL: not open */
    rocksdb_column_family_handle_t *cf[CF_COUNT];
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *sync;
};

int db_probe(const char *path, struct err *); /* is there room to open it? */
int db_open(const struct outbox_config *, struct db *, struct err *);
void db_close(struct db *);

/* Operations of a write, one after the other. A put's value is what is added between open and close. */
size_t ops_open(struct buf *ops, enum outbox_cf, const void *key, size_t key_len);
void ops_close(struct buf *ops, size_t opened);
void ops_drop(struct buf *ops, enum outbox_cf, const void *key, size_t key_len);
void ops_replay(const struct buf *ops, struct db *, rocksdb_writebatch_t *);
/* Synced to disk when it returns 0. */
int db_write(struct db *, rocksdb_writebatch_t *, struct err *);

/* What the callers of the next two do with the bytes of a row; they live during the call. */
typedef int (*db_row)(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
                      struct err *);
int db_get(struct db *, enum outbox_cf, const void *key, size_t key_len, db_row row, void *user, struct err *);

struct db_range {
    enum outbox_cf cf;
    const uint8_t *from; /* first key; downwards: the last key, itself included */
    size_t from_len, prefix_len; /* keys share the first prefix_len bytes of `from` */
    bool down;
    uint64_t max; /* rows */
};
/* Ends early with what `row` returns, if that is not 0. */
int db_scan(struct db *, const struct db_range *, db_row row, void *user, struct err *);

/* ---- outbox_commit.c */

struct outbox {
    struct outbox_config config;
    char *path; /* config.path, owned */
    pthread_rwlock_t db_lock; /* read: uses the handle; write: opens it again. Readers may nest (glibc's default). */
    struct db db;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t turn;
    uint64_t next_ticket, next_write; /* given out; first one not written */
    struct outbox_write *queue;       /* committed, not written; by ticket */
    bool writing;                     /* one leader at a time */
    bool failed;
    struct err failure;
    uint64_t dead_below; /* tickets below this one fail */
    int64_t recover_at_ns, room_until_ns;
    int room_rc;
    struct err room;
    _Atomic uint64_t generation;
};

struct outbox_write {
    struct outbox *outbox;
    struct buf ops;
    uint64_t ticket;
    struct outbox_write *next;
    bool cancelled; /* owned by the queue */
    bool done;
    int rc;
    struct err err;
};

/* Typed reads: hold the read lock over one db call. */
int outbox_get(struct outbox *, enum outbox_cf, const void *key, size_t key_len, db_row row, void *user, struct err *);
int outbox_scan(struct outbox *, const struct db_range *, db_row row, void *user, struct err *);

/* ---- outbox.c: a row with its schema into a write, and out of a family (zeroed when there is none) */
void row_put(struct outbox_write *, enum outbox_cf, const void *key, size_t key_len, const struct schema *,
             const void *object, const void *tail, size_t tail_len);
int row_get(struct outbox *, enum outbox_cf, const void *key, size_t key_len, const struct schema *, void *out,
            struct err *);

/* ---- outbox_rows.c */

extern const struct schema outbox_reservation_schema, outbox_receipt_schema, outbox_payer_schema, outbox_batch_schema,
    outbox_tx_schema, outbox_dead_schema, outbox_attribution_schema, outbox_mean_schema;

/* A version byte, then the fields in the schema's order, big-endian, of fixed width (texts: a length byte and the
 * text; lists: a count of 4 bytes and the elements), then `tail` as it is. */
void row_pack(const struct schema *, const void *object, const void *tail, size_t tail_len, struct buf *out);
/* tail NULL: there must be none. Lists are owned by *object; after an error it owns nothing. */
int row_unpack(const struct schema *, const uint8_t *bytes, size_t n, void *object, const uint8_t **tail,
               size_t *tail_len, struct err *);

enum { PLACE_KEY_BYTES = 16 };
void key_u64(uint64_t, uint8_t out[8]);
uint64_t key_read_u64(const uint8_t in[8]);
void key_place(uint64_t epoch, uint64_t sequence, uint8_t out[PLACE_KEY_BYTES]);

#endif
