/* The chain as the recorder needs it: escrow accounts, signers, registered rows and the time, read with proofs and kept
 * for a while. Accounts that could not be read again are given with their age: the recorder decides what that is worth.
 *
 * Threads: any; the endpoints are asked by one thread at a time, the others wait for it. */
#ifndef OPENLORA_SETTLE_PAYER_VIEW_H
#define OPENLORA_SETTLE_PAYER_VIEW_H

#include "chainlite/rpc/light.h"
#include "chainlite/settle/recorder.h"

struct payer_view;

struct payer_view_config {
    const struct rpc_config *rpc; /* borrowed for the view's life */
    uint8_t node[ADDRESS_BYTES], escrow[ADDRESS_BYTES], registry[ADDRESS_BYTES];
    int64_t max_age_ms;           /* accounts are read again when they are a quarter as old */
    /* To sign in; NULL: the outbox's. */
    int (*epoch)(void *user, uint64_t *out, struct err *);
    void *epoch_user;
};

int payer_view_open(const struct payer_view_config *, struct payer_view **out, struct err *)
    __attribute__((warn_unused_result));
void payer_view_cancel(struct payer_view *); /* questions in progress and later ones fail at once */
void payer_view_close(struct payer_view *);
struct chain_view payer_view_of(struct payer_view *);

/* The newest head that was read. False: none yet. */
bool payer_view_head(struct payer_view *, struct light_head *out);

#endif
