/* Inside the sender: parts that tests and the fuzzer reach. */
#ifndef OPENLORA_RPC_SENDER_INTERNAL_H
#define OPENLORA_RPC_SENDER_INTERNAL_H

#include "chainlite/rpc/rpc_internal.h"
#include "chainlite/rpc/sender.h"

/* A receipt object of transaction `hash`; false when a field is missing, malformed or of another transaction. */
bool receipt_from_json(const json_t *, const uint8_t hash[HASH_BYTES], struct tx_receipt *out);
/* The lower median; n > 0; reorders. */
wei_t median_wei(wei_t *values, size_t n);

#endif
