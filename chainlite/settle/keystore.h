/* The node's keys, at rest and in use.
 *
 *   STATE/keys/node.key       the node's identity: signs proofs, batches and transactions
 *   STATE/keys/operator.key   the wallet that pays for API-key tenants: signs vouchers only
 *   STATE/keys/wallet-….key   wallets of tenants whose key this node holds: sign vouchers only
 *
 * A key file is AES-256-GCM under a key that PBKDF2-HMAC-SHA-256 makes of the passphrase and the file's own salt. The
 * passphrase is the systemd credential "openlora-key" if there is one ($CREDENTIALS_DIRECTORY), else the content of a
 * file of mode 0600 that belongs to us, which is made with a random passphrase when it is missing. Node and operator key
 * are made (getrandom) when they are missing.
 *
 * In memory secrets stand on a page of their own that is locked, left out of core dumps and wiped. A node's address is
 * its identity: another key is another node (docs/protocol.md §5), so keys are exported and imported, never rotated in
 * place.
 *
 * Threads: immutable after opening. */
#ifndef OPENLORA_SETTLE_KEYSTORE_H
#define OPENLORA_SETTLE_KEYSTORE_H

#include "base/buf.h"
#include "chainlite/core/secp.h"

struct keystore;

struct keystore_config {
    const char *folder;          /* STATE/keys; made with mode 0700 */
    const char *passphrase_file; /* used without a credential */
};

enum { KEYSTORE_MAX_KEYS = 64 };

/* No core dumps, no ptrace by others of our uid. Once, at the start of a program that will hold keys. */
void keystore_harden_process(void);

/* OL_EINVAL: the passphrase does not open a key, or a file's mode, owner or type is not safe: the message says which. */
int keystore_open(const struct keystore_config *, struct keystore **out, struct err *)
    __attribute__((warn_unused_result));
void keystore_close(struct keystore *);

const struct secp *keystore_secp(const struct keystore *);
const uint8_t *keystore_node(const struct keystore *);     /* address */
const uint8_t *keystore_operator(const struct keystore *); /* address */
bool keystore_holds(const struct keystore *, const uint8_t address[ADDRESS_BYTES]);
/* Signs with the key of this address. OL_ENOTFOUND: we hold none. */
int keystore_sign(const struct keystore *, const uint8_t address[ADDRESS_BYTES], const uint8_t digest[HASH_BYTES],
                  uint8_t signature[SIGNATURE_BYTES], struct err *) __attribute__((warn_unused_result));
/* The secret itself, for tx_sign; lives as long as the keystore. */
const uint8_t *keystore_node_secret(const struct keystore *);

/* name: "node", "operator" or "wallet". Import takes an Ethereum keystore file; node and operator must not exist yet
 * (OL_EEXIST): import before the first start, or move the old file away. */
int keystore_import(const struct keystore_config *, const char *name, const char *json, size_t len,
                    const char *password, uint8_t address[ADDRESS_BYTES], struct err *)
    __attribute__((warn_unused_result));
int keystore_export(const struct keystore *, const char *name, const char *password, struct buf *json, struct err *)
    __attribute__((warn_unused_result));

#endif
