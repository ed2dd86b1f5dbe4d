/* What the patterns of scan.c cannot decide about a candidate. Pure. */
#ifndef OPENLORA_ATTRIBUTION_SCAN_CHECKS_H
#define OPENLORA_ATTRIBUTION_SCAN_CHECKS_H

#include <stdbool.h>
#include <stddef.h>

bool looks_random(const char *text, size_t n);         /* letters and digits: hexadecimal, Base64 */
bool has_letter_and_digit(const char *text, size_t n); /* a password's value, not prose behind "secret:" */
bool is_real_mail_domain(const char *text, size_t n);  /* of an address: not reserved by RFC 2606 */
bool is_phone_number(const char *text, size_t n);      /* 8 to 15 digits, 9 without a country's code */
bool is_card_number(const char *text, size_t n);       /* length, issuer's digit, Luhn */
bool is_iban(const char *text, size_t n);              /* mod 97 */
bool is_public_ipv4(const char *text, size_t n);
bool is_public_ipv6(const char *text, size_t n);

#endif
