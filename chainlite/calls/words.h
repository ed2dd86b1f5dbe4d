/* How structs become ABI words: shared by the files of chainlite/calls. */
#ifndef OPENLORA_CALLS_WORDS_H
#define OPENLORA_CALLS_WORDS_H

#include "chainlite/calls/calls.h"

/* The ABI types of the structs, as they stand in signatures. */
#define BATCH_TYPE                                                                                                     \
    "(address,uint64,uint64,uint64,uint32,uint64,bytes32,bytes32,uint128,bytes32,uint32,uint128,bytes32,uint32,"       \
    "uint128,uint128,uint128,bytes32,bytes32)"
#define PATH_TYPE "(uint32,(bytes32,uint128)[])"
#define SPLIT_TYPE "(uint32,uint32,uint32,uint32,address,address,address)"
#define VERSION_TYPE "(bytes32,uint32,bytes32,bytes32,address,uint32,bytes32)"
#define PRICE_TYPE "(address,bytes32,uint8,uint64,uint128,uint128,uint128,uint128,uint128)"
#define PROOF_TYPE                                                                                                     \
    "(bytes32,address,uint64,uint64,bytes32,bytes32,bytes32,bytes32,bytes32,bytes32,bytes32,address,bytes32,uint8,"    \
    "uint8,uint64,uint32,uint32,uint32,uint32,uint32,uint32,int32,uint128,uint64,uint128,bytes32,bytes32,bytes32)"
#define CLAIM_TYPE "(address,uint128,uint128,bytes32,bytes)"

/* A struct of static fields: one word each. */
void words_put(struct abi_writer *, const struct schema *, const void *object);
/* A Path at the writer's end: index and siblings. */
void words_put_path(struct abi_writer *, uint32_t index, const struct sumpath *);

#endif
