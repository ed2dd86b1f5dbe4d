/* What openlorad itself must remember of its bills, in a RocksDB folder: kept answers of idempotent requests, the
 * salts and text hashes behind receipts, what API keys have spent. Money and signatures are chainlited's.
 *
 * A write lands whole; with `sync` it is on disk when ledger_commit returns. Rows with an expiry are removed by
 * ledger_sweep. All functions from any thread; a write belongs to one. Errors: OL_ENOTFOUND, OL_EIO, OL_ENOMEM. */
#ifndef OPENLORA_BILLING_LEDGER_H
#define OPENLORA_BILLING_LEDGER_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;
struct ledger_write;

enum ledger_table {
    LEDGER_ANSWER = 'A',  /* scope hash → JSON: what was asked, its receipt, its record */
    LEDGER_BEFORE = 'B',  /* scope hash → the answer's bytes before usage.openlora */
    LEDGER_AFTER = 'C',   /* scope hash → those after it */
    LEDGER_OUTCOME = 'O', /* scope hash → usage.openlora */
    LEDGER_RECEIPT = 'R', /* receipt id → JSON: tenant, payer, salt, hashes */
    LEDGER_ARREARS = 'D', /* receipt id → JSON: a record that chainlited has not answered */
    LEDGER_SPENT = 'S',   /* hash of a key's id → JSON: sums */
    LEDGER_EVIDENCE = 'E', /* receipt id → JSON (attribution/evidence.h): the answer and whose data it shows */
    LEDGER_OPEN = 'G',    /* receipt id → nothing: its gradients are still to be told */
};
enum { LEDGER_KEY_BYTES = 32, LEDGER_MAX_VALUE_BYTES = 32 << 20 };

int ledger_open(const char *folder, struct ledger **out, struct err *) __attribute__((warn_unused_result));
void ledger_close(struct ledger *);

struct ledger_write *ledger_begin(struct ledger *); /* NULL without memory: the next three then do nothing or fail */
void ledger_put(struct ledger_write *, enum ledger_table, const uint8_t key[LEDGER_KEY_BYTES], const void *value,
                size_t n);
void ledger_drop(struct ledger_write *, enum ledger_table, const uint8_t key[LEDGER_KEY_BYTES]);
/* Once per key of LEDGER_ANSWER (whose other tables go with it), LEDGER_RECEIPT or LEDGER_EVIDENCE: when it may go. */
void ledger_expire(struct ledger_write *, enum ledger_table, const uint8_t key[LEDGER_KEY_BYTES], int64_t unix_s);
/* Frees the write. */
int ledger_commit(struct ledger_write *, bool sync, struct err *) __attribute__((warn_unused_result));

/* Appends the value. */
int ledger_get(struct ledger *, enum ledger_table, const uint8_t key[LEDGER_KEY_BYTES], struct buf *out, struct err *)
    __attribute__((warn_unused_result));

/* Every row of a table, by key, until `row` returns another value than 0, which is returned. */
int ledger_each(struct ledger *, enum ledger_table,
                int (*row)(void *user, const uint8_t key[LEDGER_KEY_BYTES], const char *value, size_t n), void *user,
                struct err *e) __attribute__((warn_unused_result));

/* Removes at most max rows whose time has come. gone (may be NULL) sees each kept answer that goes without an outcome:
 * its LEDGER_ANSWER value. Returns how many, or a negative code. */
int ledger_sweep(struct ledger *, int64_t now_s, int max, void (*gone)(void *user, const char *answer, size_t n),
                 void *user, struct err *);

uint64_t ledger_bytes(struct ledger *); /* on disk and in memory, about */

#endif
