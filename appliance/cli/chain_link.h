/* A command's way to the chain: the chain's data file, endpoints, verified reads, and transactions signed by a key.
 * One thread. */
#ifndef OPENLORA_CLI_CHAIN_LINK_H
#define OPENLORA_CLI_CHAIN_LINK_H

#include "chainlite/json/chain_file.h"
#include "chainlite/rpc/sender.h"
#include "cli/options.h"

struct chain_link {
    struct chain_file chain;
    struct rpc *rpc;
    struct light *light;
};

struct chain_link_options {
    const char *chain;           /* --chain: name or path; NULL: devnet */
    struct option_list rpc;      /* --rpc: endpoints */
    int64_t quorum;              /* --quorum: how many must agree; 0: more than half */
};

#define CHAIN_LINK_OPTIONS(o)                                                                                        \
    TEXT("chain", &(o).chain, "NAME", "chain data: devnet, openledger, … or a file (default: devnet)"),              \
        LIST("rpc", &(o).rpc, "URL", "JSON-RPC endpoint; several are compared (default: http://127.0.0.1:8545)"),    \
        INT("quorum", &(o).quorum, "K", "endpoints that must agree, 0: more than half", 0, RPC_MAX_ENDPOINTS)

/* Loads the data file and checks that the endpoints are on that chain. */
int chain_link_open(const struct chain_link_options *, struct chain_link *out, struct err *)
    __attribute__((warn_unused_result));
void chain_link_close(struct chain_link *);
/* OL_EINVAL: the data file does not name this contract. */
int chain_link_contract(const struct chain_link *, const char *name, uint8_t out[ADDRESS_BYTES], struct err *)
    __attribute__((warn_unused_result));

/* A word of a named contract's storage, proven at the newest head (*head). Tried again at newer heads for a few seconds:
 * a node that is just taking in a block may prove the one before wrongly. */
int chain_link_word(struct chain_link *, const char *contract, const uint8_t slot[32], uint8_t word[32],
                    struct light_head *head, struct err *) __attribute__((warn_unused_result));

struct signing_key {
    const struct secp *secp;
    const uint8_t *secret; /* SECRET_BYTES */
};

struct sending {
    bool create; /* no `to` */
    uint8_t to[ADDRESS_BYTES];
    wei_t value_wei;
    const uint8_t *data;
    size_t data_len;
};

/* Signs, sends and waits until it is mined and succeeded. OL_EINVAL: it would revert, with the contract's reason;
 * OL_EIO: not mined in time (it may still be). */
int chain_link_send(struct chain_link *, const struct signing_key *, const struct sending *, struct tx_receipt *out,
                    struct err *) __attribute__((warn_unused_result));

#endif
