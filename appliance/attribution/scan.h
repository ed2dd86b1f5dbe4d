/* Looks for what nobody should train on: secrets and personal data. Patterns find candidates, and checks that patterns
 * cannot make (Luhn, mod 97, entropy, address ranges) keep the rate of false alarms low. A scan is no proof that a text
 * is clean. */
#ifndef OPENLORA_ATTRIBUTION_SCAN_H
#define OPENLORA_ATTRIBUTION_SCAN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum scan_kind {
    SCAN_PRIVATE_KEY,  /* PEM, PGP */
    SCAN_CREDENTIAL,   /* tokens of known shape, passwords after their name, in URLs */
    SCAN_HIGH_ENTROPY, /* what looks drawn at random: keys in hexadecimal or Base64 */
    SCAN_EMAIL,        /* not of the domains reserved for examples */
    SCAN_PHONE,
    SCAN_CARD, /* with its check digit */
    SCAN_IBAN, /* with its check digits */
    SCAN_IP_ADDRESS, /* public ones */
    SCAN_KINDS,
};
/* "private_key", "credential", … */
extern const char *const scan_kind_names[SCAN_KINDS];

struct scan_finding {
    size_t at, bytes; /* where the first of this kind is; bytes = 0: none */
};

struct scanner; /* compiled patterns; one thread at a time */
int scanner_open(struct scanner **out, struct err *) __attribute__((warn_unused_result));
void scanner_close(struct scanner *);
/* text is valid UTF-8. The first finding of each kind. */
int scan_text(struct scanner *, const char *text, size_t n, struct scan_finding out[SCAN_KINDS], struct err *)
    __attribute__((warn_unused_result));

#endif
