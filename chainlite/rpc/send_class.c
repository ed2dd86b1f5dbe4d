/* What nodes say to a raw transaction. JSON-RPC has no codes for it, so the wordings are a table, tried from top to
 * bottom: what would also match a later, wider pattern stands first.
 *
 * Pitfalls: Besu's "Known transaction" is inside geth's "unknown transaction type", hence patterns begin at a word's
 * beginning; "underpriced" is a replacement in one wording and a pool minimum in another; Nethermind answers with
 * words run together. */
#include "chainlite/rpc/sender.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const class_names[SEND_CLASS_COUNT] = {
    [SEND_ACCEPTED] = "accepted",
    [SEND_KNOWN] = "known",
    [SEND_REPLACEMENT_UNDERPRICED] = "replacement_underpriced",
    [SEND_NONCE_LOW] = "nonce_low",
    [SEND_UNDERPRICED] = "underpriced",
    [SEND_NONCE_HIGH] = "nonce_high",
    [SEND_NO_FUNDS] = "no_funds",
    [SEND_GAS_LIMIT] = "gas_limit",
    [SEND_FEE_LIMIT] = "fee_limit",
    [SEND_POOL_FULL] = "pool_full",
    [SEND_INVALID] = "invalid",
    [SEND_OTHER] = "other",
    [SEND_UNANSWERED] = "unanswered",
};

const char *send_class_name(enum send_class outcome)
{
    return (unsigned)outcome < SEND_CLASS_COUNT ? class_names[outcome] : "unknown";
}

static const struct {
    const char *words;
    enum send_class outcome;
} wordings[] = {
    /* the very same transaction */
    {"already known", SEND_KNOWN},
    {"known transaction", SEND_KNOWN}, /* Besu */
    {"already imported", SEND_KNOWN},  /* anvil; "same hash was already imported" */
    {"alreadyknown", SEND_KNOWN},      /* Nethermind */
    {"existing tx with same hash", SEND_KNOWN},
    {"already exists", SEND_KNOWN},
    {"already in mempool", SEND_KNOWN},
    {"already have transaction", SEND_KNOWN},
    /* another one holds the nonce */
    {"replacement transaction underpriced", SEND_REPLACEMENT_UNDERPRICED},
    {"replacement underpriced", SEND_REPLACEMENT_UNDERPRICED},
    {"could not replace existing", SEND_REPLACEMENT_UNDERPRICED}, /* Erigon */
    {"replacementnotallowed", SEND_REPLACEMENT_UNDERPRICED},      /* Nethermind */
    {"another transaction with same nonce", SEND_REPLACEMENT_UNDERPRICED},
    {"future transaction tries to replace pending", SEND_REPLACEMENT_UNDERPRICED},
    /* the nonce */
    {"nonce too low", SEND_NONCE_LOW},
    {"nonce is too low", SEND_NONCE_LOW},
    {"oldnonce", SEND_NONCE_LOW}, /* Nethermind */
    {"nonce too high", SEND_NONCE_HIGH},
    {"nonce too distant", SEND_NONCE_HIGH}, /* Besu */
    {"nonce too far in the future", SEND_NONCE_HIGH},
    {"noncegap", SEND_NONCE_HIGH}, /* Nethermind */
    {"gapped-nonce", SEND_NONCE_HIGH},
    {"nonce gap", SEND_NONCE_HIGH},
    /* the sender's money */
    {"insufficient funds", SEND_NO_FUNDS},
    {"insufficientfunds", SEND_NO_FUNDS}, /* Nethermind */
    {"upfront cost exceeds account balance", SEND_NO_FUNDS},
    {"insufficient balance", SEND_NO_FUNDS},
    /* gas limits */
    {"intrinsic gas too low", SEND_GAS_LIMIT},
    {"intrinsic gas exceeds gas limit", SEND_GAS_LIMIT},
    {"insufficient gas for floor data", SEND_GAS_LIMIT},
    {"gas floor exceeds the gas limit", SEND_GAS_LIMIT},
    {"intrinsic gas too high", SEND_GAS_LIMIT}, /* anvil */
    {"exceeds block gas limit", SEND_GAS_LIMIT},
    {"exceeds the block gas limit", SEND_GAS_LIMIT},
    {"gas limit too high", SEND_GAS_LIMIT},
    {"gas limit is too high", SEND_GAS_LIMIT},
    {"gas limit is greater than the cap", SEND_GAS_LIMIT},
    {"gas limit is greater than", SEND_GAS_LIMIT},
    {"gaslimitexceeded", SEND_GAS_LIMIT}, /* Nethermind */
    {"gas required exceeds allowance", SEND_GAS_LIMIT},
    {"out of gas", SEND_GAS_LIMIT},
    /* fees that the endpoint or the format does not allow */
    {"exceeds the configured cap", SEND_FEE_LIMIT},
    {"transaction fee cap exceeded", SEND_FEE_LIMIT},
    {"max priority fee per gas higher than max fee per gas", SEND_FEE_LIMIT},
    {"max priority fee per gas exceeds max fee per gas", SEND_FEE_LIMIT},
    {"tip higher than fee cap", SEND_FEE_LIMIT},
    /* fees below what is asked */
    {"max fee per gas less than block base fee", SEND_UNDERPRICED},
    {"below current base fee", SEND_UNDERPRICED},
    {"gas price below", SEND_UNDERPRICED},
    {"gas price is too low", SEND_UNDERPRICED},
    {"feetoolow", SEND_UNDERPRICED}, /* Nethermind */
    {"fee too low", SEND_UNDERPRICED},
    {"underpriced", SEND_UNDERPRICED},
    /* room in the pool */
    {"txpool is full", SEND_POOL_FULL},
    {"pool is full", SEND_POOL_FULL},
    {"sub-pool is full", SEND_POOL_FULL},
    {"account limit exceeded", SEND_POOL_FULL},
    {"in-flight transaction limit reached", SEND_POOL_FULL},
    {"already reserved", SEND_POOL_FULL},
    {"spammer", SEND_POOL_FULL},
    /* never acceptable */
    {"invalid chain id", SEND_INVALID},
    {"wrong chainid", SEND_INVALID},
    {"chainid not supported", SEND_INVALID},
    {"chain id mismatch", SEND_INVALID},
    {"incompatible chain id", SEND_INVALID},
    {"invalid sender", SEND_INVALID},
    {"invalid signature", SEND_INVALID},
    {"invalid transaction", SEND_INVALID},
    {"failed to decode", SEND_INVALID},
    {"transaction type not supported", SEND_INVALID},
    {"unknown transaction type", SEND_INVALID},
    {"txtypenotsupported", SEND_INVALID},
    {"oversized data", SEND_INVALID},
    {"maxtxsizeexceeded", SEND_INVALID},
    {"max initcode size exceeded", SEND_INVALID},
    {"rlp:", SEND_INVALID},
};

/* The words anywhere in the message, from the beginning of one of its words. */
static bool says(const char *message, const char *words)
{
    for (const char *at = strcasestr(message, words); at; at = strcasestr(at + 1, words))
        if (at == message || !isalnum((unsigned char)at[-1]))
            return true;
    return false;
}

enum send_class send_classify(int64_t code, const char *message)
{
    for (size_t i = 0; i < sizeof wordings / sizeof *wordings; i++)
        if (says(message, wordings[i].words))
            return wordings[i].outcome;
    return code == -32602 ? SEND_INVALID : SEND_OTHER; /* invalid params: the bytes themselves */
}
