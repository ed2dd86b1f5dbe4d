/* What commands put into the Registry: items and versions. What is there already is left alone. */
#ifndef OPENLORA_CLI_CHAIN_PUBLISH_H
#define OPENLORA_CLI_CHAIN_PUBLISH_H

#include "chainlite/core/abi.h"
#include "chainlite/json/catalog.h"
#include "cli/account.h"

enum { CHAIN_CALL_BYTES = 4096 };

/* Whether a row or item of this id is published, proven at the newest head. */
int chain_is_registered(struct chain_link *, const uint8_t id[32], bool *out, struct err *)
    __attribute__((warn_unused_result));
/* A call of a named contract, signed by the account, mined. */
int chain_publish_call(struct chain_link *, const struct wallet *, const char *contract, const struct abi_writer *data,
                       struct err *) __attribute__((warn_unused_result));

struct version_sources { /* what a version's metadata is the hash of */
    const uint8_t (*parents)[32];
    size_t n_parents;
    const uint8_t (*data_roots)[32];
    size_t n_roots;
    const uint8_t *training_record; /* 32 bytes */
};
/* The version, and its item first where that is new. The account must own it. */
int chain_publish_version(struct chain_link *, const struct wallet *, const struct catalogued_version *,
                          const struct version_sources *, struct err *) __attribute__((warn_unused_result));

#endif
