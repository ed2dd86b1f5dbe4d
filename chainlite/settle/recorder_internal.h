/* What the recorder keeps in memory. All of it follows from the outbox (recorder.c, load). Only recorder*.c include this. */
#ifndef OPENLORA_SETTLE_RECORDER_INTERNAL_H
#define OPENLORA_SETTLE_RECORDER_INTERNAL_H

#include "chainlite/settle/idmap.h"
#include "chainlite/settle/outbox_attribution.h"
#include "chainlite/settle/recorder.h"
#include "chainlite/settle/signers.h"

#include <pthread.h>

enum { START_TOLERANCE_MS = 60000, DAY_MS = 86400000 };

struct open_reservation { /* in idmap by receipt id, the row's first field */
    struct outbox_reservation row;
    bool recording; /* a write that turns it into a receipt is under way: wait for `changed` */
};

struct payer { /* in idmap by address, the row's first field */
    struct outbox_payer row;
    wei_t reserved_wei;
    uint32_t n_reserved;
};

struct spender { /* a tenant whom a wallet of ours pays for; in idmap by hash of its name */
    uint8_t id[32];
    uint64_t day; /* of spent_wei */
    wei_t spent_wei, reserved_wei;
};

struct recorder {
    struct recorder_config config;
    struct domains domains;
    struct outbox *outbox;
    const struct keystore *keys;
    const uint8_t *node;
    uint64_t seed;
    struct signers *signers;
    pthread_rwlock_t catalog_lock;
    struct chain_catalog catalog;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint64_t generation; /* of the outbox, when the rest was read; 0: to be read again */
    uint64_t epoch, next_sequence;
    struct idmap reservations, payers, spenders;
    unsigned in_flight; /* writes begun and not committed */
};

struct recorder_write {
    struct outbox_write *out;
    uint64_t generation; /* of the memory that it was made from */
};

/* With the lock held: memory is what the outbox is, and a write is begun. */
int recorder_begin(struct recorder *, struct recorder_write *, struct err *);
/* With the lock held: nothing in memory was changed for it. */
void recorder_cancel(struct recorder *, struct recorder_write *);
/* Commits without the lock held, then takes it. After a failure the memory that the write was made from is dropped. */
int recorder_commit(struct recorder *, struct recorder_write *, struct err *);
/* The epoch that the chain view names; with the lock held, after recorder_begin. A new one ends what is open. */
int recorder_enter_epoch(struct recorder *, struct outbox_write *, uint64_t epoch, struct err *);

/* The payer's row, from memory or the outbox. claimed: where its chain starts if it has nothing in this epoch; NULL: it
 * has. NULL with *e filled. */
struct payer *recorder_take_payer(struct recorder *, const uint8_t address[ADDRESS_BYTES], const wei_t *claimed_wei,
                                  struct err *);
struct spender *recorder_take_spender(struct recorder *, const char *tenant, uint64_t day, struct err *);
void recorder_put_spender(struct outbox_write *, const struct spender *);
/* What a reservation holds back is given back. */
void recorder_release(struct recorder *, const struct outbox_reservation *);

/* ---- recorder_attribution.c */

/* Without locks: refuses the receipts whose policy the registry does not have. OL_EBUSY: it cannot be asked. */
int recorder_check_policies(struct recorder *, const struct record_request *, struct record_result *, size_t n,
                            struct err *);
/* The policy is one of the version that answered, and the spans are possible: their root. Else refuses. */
int recorder_attribution(struct recorder *, const struct record_request *, const struct outbox_reservation *,
                         struct record_result *, uint8_t span_root[32], struct err *);
void recorder_refuse(struct record_result *, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int recorder_now_ms(struct recorder *, int64_t *out, struct err *);
int recorder_view_epoch(struct recorder *, uint64_t *out, struct err *); /* without a chain: 0, keep the outbox's */

#endif
