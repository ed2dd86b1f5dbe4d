/* What a payer reads of its bills from the node, proving with its key that they are its own. */
#ifndef OPENLORA_CLI_WALLET_NODE_H
#define OPENLORA_CLI_WALLET_NODE_H

#include "cli/wallet_file.h"

/* GET path as the wallet; *reply is owned by the caller. */
int wallet_get(const struct wallet *, const char *url, const char *path, char **reply, struct err *)
    __attribute__((warn_unused_result));

/* Whose data influenced an answer: the text with its spans, then who shares the data part and why the rest does not.
 * reply: of GET /v1/receipts/{id}/attribution. */
int print_attribution(const char *reply, struct err *) __attribute__((warn_unused_result));

#endif
