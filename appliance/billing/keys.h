/* API keys: a JSON file that `openlora key` writes and openlorad reads again when it changed.
 *
 *   {"version":1,"keys":[{"id":"k-…","name":"acme","sha256":"…","created":1760000000,"revoked":null,
 *     "limit_total_wei":null,"limit_day_wei":"…","wallet":"operator","role":"user"}]}
 *
 * A token is "ol-" and 256 random bits; the file holds only its SHA-256, so reading it gives nobody a token. `name` is
 * the tenant: keys of one name see each other's receipts (that is how a key is replaced). wallet: whose vouchers pay,
 * the operator's or those of an address whose key chainlited holds. role: an admin may also change what the node serves;
 * a key without one is a user's. The file has mode 0600, is replaced as a whole
 * (write, fsync, rename) under an flock of FILE.lock, and at most MAX_KEYS long. */
#ifndef OPENLORA_BILLING_KEYS_H
#define OPENLORA_BILLING_KEYS_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_KEYS = 10000, KEY_ID_BYTES = 20, TENANT_BYTES = 65, TOKEN_BYTES = 68, TOKEN_HASH_BYTES = 32 };

struct key {
    char id[KEY_ID_BYTES];
    char tenant[TENANT_BYTES];
    uint8_t hash[TOKEN_HASH_BYTES];
    int64_t created_s, revoked_s; /* Unix; revoked 0: in force */
    bool has_total, has_day;
    wei_t total_wei, day_wei;     /* most it may spend in all, per day of UTC */
    bool has_wallet;              /* else the operator's */
    uint8_t wallet[ADDRESS_BYTES];
    bool admin;
};

struct key_list {
    struct key *keys; /* owned */
    int n;
};

/* What a tenant may be called: 1 to 64 of a-z 0-9 . _ -, not beginning with "0x" (wallets are named so),
 * not "anonymous". */
bool key_tenant_valid(const char *);

int key_list_parse(const char *text, size_t n, struct key_list *out, struct err *) __attribute__((warn_unused_result));
/* A file that is not there is an empty list. */
int key_list_read(const char *path, struct key_list *out, struct err *) __attribute__((warn_unused_result));
void key_list_deinit(struct key_list *);
json_t *key_json(const struct key *); /* as in the file; NULL without memory */

/* Adds a key with the tenant, limits, wallet and role of *key; fills the rest and the token (shown once). */
int key_file_add(const char *path, struct key *key, char token[TOKEN_BYTES], struct err *)
    __attribute__((warn_unused_result));
/* OL_ENOTFOUND; revoking again changes nothing. */
int key_file_revoke(const char *path, const char *id, struct err *) __attribute__((warn_unused_result));

/* ---- in openlorad */

struct keys;

int keys_open(const char *path, struct keys **out, struct err *) __attribute__((warn_unused_result));
void keys_close(struct keys *);
/* Who holds this token. False: nobody, or it is revoked. Takes the same time whichever key it is. */
bool keys_find(struct keys *, const char *token, struct key *out);

#endif
