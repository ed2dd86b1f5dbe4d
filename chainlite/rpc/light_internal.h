/* Inside struct light, for the files of this library. */
#ifndef OPENLORA_RPC_LIGHT_INTERNAL_H
#define OPENLORA_RPC_LIGHT_INTERNAL_H

#include "chainlite/rpc/block.h"
#include "chainlite/rpc/light.h"
#include "chainlite/rpc/rpc_internal.h"

enum { LIGHT_TAGS = LIGHT_FINALIZED + 1 };

struct light {
    struct rpc *rpc;                 /* borrowed */
    uint64_t best_head[LIGHT_TAGS];  /* newest number agreed on so far, per tag */
};

struct agreement { /* what k endpoints say about one height */
    struct block_claim block;
    unsigned voters; /* set of endpoints */
    struct rpc_answers blocks; /* the voters' block objects; to be released with rpc_answers_deinit */
};

/* Everything but rlp, trust and endpoints. */
void light_head_fill(struct light_head *, const struct header *);

/* *out is always set. max_age_s: 0 unchecked. OL_ENOTFOUND: k endpoints have no such block. */
int agree_on_tag(struct rpc *, const char *tag, uint64_t max_age_s, struct agreement *out, struct err *);
int agree_on_number(struct rpc *, uint64_t number, struct agreement *out, struct err *);

#endif
