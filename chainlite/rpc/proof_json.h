/* The answer to eth_getProof: its nodes as bytes, nothing else of it. Pure but for one allocation. */
#ifndef OPENLORA_RPC_PROOF_JSON_H
#define OPENLORA_RPC_PROOF_JSON_H

#include "chainlite/rpc/light.h"

/* The proofs of an account and of n_slots slots, in order. OL_EFORMAT: the answer has another shape. On an error *out
 * needs no release. */
int proof_from_json(const json_t *result, size_t n_slots, struct light_proof *out, struct err *);

#endif
