/* The durable outbox: what the node signed and what it owes the chain, in one RocksDB folder.
 *
 *   writing: outbox_begin ──put…──► outbox_commit (on disk when it returns 0) | outbox_cancel
 *
 * - A write lands whole or not at all, and writes land in the order in which they were begun: a crash leaves a prefix
 *   of them, so sequences have no gaps. Writes of several threads that wait together share one fdatasync.
 * - After a failed write nobody knows what is on disk: every write begun before the failure fails too, and the outbox
 *   refuses new ones until it could read itself again from the folder (outbox_recover, tried by outbox_begin). Whoever
 *   keeps state in memory compares outbox_generation with the one it read at and reads again when it moved.
 * - Opening reads no receipts: heads are found by seeking. Sums that follow from other rows (reserved amounts, a
 *   receipt's state) are not stored.
 * - Errors: OL_ENOTFOUND, OL_ENOMEM, OL_EFORMAT (a row that this version cannot read), OL_ELIMIT whose message begins
 *   with "disk_full: ", OL_EIO otherwise.
 *
 * Threads: all functions from any thread. A write belongs to one thread; between begin and commit do only what is
 * bounded (others wait for it): no I/O. Callbacks of scans may read but must not write. */
#ifndef OPENLORA_SETTLE_OUTBOX_H
#define OPENLORA_SETTLE_OUTBOX_H

#include "base/err.h"
#include "chainlite/json/bundle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox;
struct outbox_write;

struct outbox_config { /* zero = the default in brackets */
    const char *path;         /* folder; made with mode 0700; borrowed only by outbox_open */
    uint64_t min_free_bytes;  /* below it outbox_room says disk_full [64 MiB] */
    size_t cache_bytes;       /* block cache, filters and indexes included [16 MiB] */
    size_t buffer_bytes;      /* rows in memory before they go to a table file [16 MiB] */
};

/* OL_EBUSY: another process has it open. */
int outbox_open(const struct outbox_config *, struct outbox **out, struct err *) __attribute__((warn_unused_result));
void outbox_close(struct outbox *); /* nothing may be in progress */

/* OL_ELIMIT "disk_full: …" when new work must not be taken: too little space, or the last write failed and the folder
 * could not be read again yet. Costs one statvfs at most every 100 ms. */
int outbox_room(struct outbox *, struct err *) __attribute__((warn_unused_result));
/* Moves when rows in memory may no longer be what is on disk (a write failed and the folder was read again). */
uint64_t outbox_generation(const struct outbox *);

/* ---- writes */

/* Takes the write's place in the order. Never blocks but for recovering; the error is outbox_room's or OL_ENOMEM. */
int outbox_begin(struct outbox *, struct outbox_write **out, struct err *) __attribute__((warn_unused_result));
/* Waits for its turn and the disk; frees the write. 0: durable. */
int outbox_commit(struct outbox_write *, struct err *) __attribute__((warn_unused_result));
void outbox_cancel(struct outbox_write *);
/* outbox_commit will fail with this, and with it every write begun after it: for a writer that cannot finish what later
 * writes already build on. */
void outbox_fail(struct outbox_write *, int code, const struct err *);

/* ---- rows. put_… remembers a failure (no memory) for outbox_commit. Rows hold no pointers unless it is said. */

enum { OUTBOX_TENANT_BYTES = 65, OUTBOX_REASON_BYTES = 160, OUTBOX_KEY_BYTES = 64 };

/* A promise to pay for one answer that has not been recorded yet. */
struct outbox_reservation {
    uint8_t receipt_id[32];
    char tenant[OUTBOX_TENANT_BYTES]; /* "" without one */
    bool own_voucher;                 /* signed by us for an API-key tenant: counts against its daily cap */
    uint8_t caller[32];
    uint8_t payer[ADDRESS_BYTES];
    uint8_t model_version[32], adapter_version[32], price_id[32], split_id[32], request_hash[32];
    uint32_t prompt_tokens, max_output_tokens;
    wei_t max_fee_wei;
    uint64_t time_ms; /* the chain's clock when it was made */
};
void outbox_put_reservation(struct outbox_write *, const struct outbox_reservation *);
void outbox_drop_reservation(struct outbox_write *, const uint8_t receipt_id[32]);
int outbox_reservation(struct outbox *, const uint8_t receipt_id[32], struct outbox_reservation *out, struct err *)
    __attribute__((warn_unused_result));

/* A signed proof and the voucher behind its digest. Immutable: what became of it follows from the batch that covers its
 * sequence and from the dead letters. */
struct outbox_receipt {
    struct proof proof;
    uint8_t signature[SIGNATURE_BYTES];
    struct signed_voucher voucher;
    char tenant[OUTBOX_TENANT_BYTES];
    uint64_t recorded_ms; /* Unix */
};
/* Also its receipt id and its tenant's index. */
void outbox_put_receipt(struct outbox_write *, const struct outbox_receipt *);
int outbox_receipt(struct outbox *, uint64_t epoch, uint64_t sequence, struct outbox_receipt *out, struct err *)
    __attribute__((warn_unused_result));
int outbox_receipt_find(struct outbox *, const uint8_t receipt_id[32], struct outbox_receipt *out, struct err *)
    __attribute__((warn_unused_result));
/* The highest sequence of the epoch; 0 without one. */
int outbox_receipt_last(struct outbox *, uint64_t epoch, uint64_t *sequence, struct err *)
    __attribute__((warn_unused_result));

/* Scans call `row` with rows that live during the call; another return value than 0 ends the scan and is returned. */
typedef int (*outbox_receipt_row)(void *user, const struct outbox_receipt *);
/* Upwards from `first`, at most `max` of this epoch. */
int outbox_receipts(struct outbox *, uint64_t epoch, uint64_t first, uint64_t max, outbox_receipt_row row, void *user,
                    struct err *) __attribute__((warn_unused_result));
/* Newest first, strictly before (epoch, sequence); over epochs; tenant NULL: everybody's. */
int outbox_receipts_before(struct outbox *, const char *tenant, uint64_t epoch, uint64_t sequence, uint64_t max,
                           outbox_receipt_row row, void *user, struct err *) __attribute__((warn_unused_result));
int outbox_reservations(struct outbox *, int (*row)(void *user, const struct outbox_reservation *), void *user,
                        struct err *) __attribute__((warn_unused_result));

/* One payer with this node. */
struct outbox_payer {
    uint8_t payer[ADDRESS_BYTES];
    uint64_t epoch;          /* of what follows; in a later one the chain starts again */
    wei_t base_wei;          /* what the escrow had claimed when the epoch's first receipt was promised */
    wei_t cumulative_wei;    /* of the last receipt; base_wei before the first */
    uint64_t last_sequence;  /* 0: none in this epoch */
    bool has_voucher;
    struct signed_voucher highest; /* by ceiling, over epochs */
};
void outbox_put_payer(struct outbox_write *, const struct outbox_payer *);
int outbox_payer(struct outbox *, const uint8_t payer[ADDRESS_BYTES], struct outbox_payer *out, struct err *)
    __attribute__((warn_unused_result));
int outbox_payers(struct outbox *, int (*row)(void *user, const struct outbox_payer *), void *user, struct err *)
    __attribute__((warn_unused_result));

/* A batch of receipts on its way, by number (over epochs, as on the chain). */
enum outbox_batch_state {
    BATCH_CLOSED = 1, /* its receipts are fixed; claims and submission go on */
    BATCH_SUBMITTED,  /* a transaction with it was sent */
    BATCH_UNSAFE,     /* proven from the chain's storage at the latest, safe, anchored head */
    BATCH_SAFE,
    BATCH_ANCHORED,
    BATCH_VOIDED,     /* by a challenge, with all later ones of its epoch */
    BATCH_DEAD        /* given up: see the dead letters */
};
const char *outbox_batch_state_name(enum outbox_batch_state); /* "closed", "submitted", "unsafe", … */

enum { OUTBOX_MAX_BATCH_RECEIPTS = 16384 };

struct outbox_batch {
    struct batch batch; /* node … first_sequence and count from closing on; the rest as it becomes known */
    uint8_t state;                               /* enum outbox_batch_state */
    uint64_t closed_ms, submitted_ms, proven_ms; /* Unix; 0: not yet */
    uint64_t nonce;                              /* of the submitting transaction, with state > closed */
    uint64_t block_number, gas_used;             /* gas: of everything sent for this batch, claims included */
    wei_t gas_paid_wei;
    uint8_t block_hash[32]; /* where it was last proven */
    /* Bit i (of byte i / 8, lowest first): receipt first_sequence + i settles 0. */
    uint8_t unsettled[OUTBOX_MAX_BATCH_RECEIPTS / 8];
};
void outbox_put_batch(struct outbox_write *, const struct outbox_batch *);
int outbox_batch(struct outbox *, uint64_t number, struct outbox_batch *out, struct err *)
    __attribute__((warn_unused_result));
int outbox_batch_last(struct outbox *, uint64_t *number, struct err *) /* 0 without one */
    __attribute__((warn_unused_result));
/* The batch that holds this receipt; OL_ENOTFOUND: none does yet. */
int outbox_batch_of(struct outbox *, uint64_t epoch, uint64_t sequence, struct outbox_batch *out, struct err *)
    __attribute__((warn_unused_result));
/* Upwards from number `first`, at most max. */
int outbox_batches(struct outbox *, uint64_t first, uint64_t max, int (*row)(void *user, const struct outbox_batch *),
                   void *user, struct err *) __attribute__((warn_unused_result));

/* Every signed variant of every transaction, stored before it is first sent. */
enum outbox_tx_purpose { TX_CLAIM = 1, TX_SUBMIT, TX_OPEN_EPOCH, TX_FILL_NONCE, TX_OTHER };
enum outbox_tx_state { OUTBOX_TX_SIGNED = 1, OUTBOX_TX_SENT, OUTBOX_TX_MINED, OUTBOX_TX_FINAL, OUTBOX_TX_REPLACED };

struct outbox_tx {
    uint64_t nonce;
    uint32_t variant; /* from 0; a higher one pays more */
    uint8_t purpose, state; /* the enums above */
    uint8_t hash[32];
    uint64_t batch_number; /* 0: none */
    uint32_t chunk;        /* of the batch's claims, from 0 */
    uint64_t gas_limit;
    wei_t tip_wei, fee_cap_wei;
    uint64_t signed_ms, sent_ms, block_number, gas_used; /* 0: not yet */
    wei_t gas_paid_wei;
    const uint8_t *raw;      /* borrowed by put; lives during a scan's call */
    size_t raw_len;          /* at most OUTBOX_MAX_TX_BYTES */
};
enum { OUTBOX_MAX_TX_BYTES = 128 << 10 };
void outbox_put_tx(struct outbox_write *, const struct outbox_tx *);
/* By nonce, then variant, upwards from (nonce, 0). */
int outbox_txs(struct outbox *, uint64_t nonce, int (*row)(void *user, const struct outbox_tx *), void *user,
               struct err *) __attribute__((warn_unused_result));

/* What cannot go on without a person: a receipt (its place) or a batch (epoch 0, sequence = its number). */
struct outbox_dead {
    uint64_t epoch, sequence;
    uint64_t at_ms;
    char code[32]; /* stable: "claim_refused", … */
    char reason[OUTBOX_REASON_BYTES];
};
void outbox_put_dead(struct outbox_write *, const struct outbox_dead *);
void outbox_drop_dead(struct outbox_write *, uint64_t epoch, uint64_t sequence);
int outbox_dead(struct outbox *, uint64_t epoch, uint64_t sequence, struct outbox_dead *out, struct err *)
    __attribute__((warn_unused_result));
int outbox_deads(struct outbox *, int (*row)(void *user, const struct outbox_dead *), void *user, struct err *)
    __attribute__((warn_unused_result));

/* Small named values (names under OUTBOX_KEY_BYTES, values ≤ 1,024 bytes), by prefix "recorder.", "lane.", … */
void outbox_put_meta(struct outbox_write *, const char *name, const void *bytes, size_t n);
void outbox_drop_meta(struct outbox_write *, const char *name);
/* OL_ENOTFOUND; OL_EFORMAT when the value has not exactly n bytes. */
int outbox_meta(struct outbox *, const char *name, void *bytes, size_t n, struct err *)
    __attribute__((warn_unused_result));
int outbox_metas(struct outbox *, const char *prefix,
                 int (*row)(void *user, const char *name, const void *bytes, size_t n), void *user, struct err *)
    __attribute__((warn_unused_result));
void outbox_put_meta_u64(struct outbox_write *, const char *name, uint64_t);
int outbox_meta_u64(struct outbox *, const char *name, uint64_t *out, struct err *) __attribute__((warn_unused_result));

#endif
