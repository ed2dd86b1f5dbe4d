#include "cli/wallet_node.h"

#include "chainlite/core/hex.h"
#include "chainlite/core/wei.h"
#include "chainlite/json/values.h"
#include "cli/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 160, HEADER_BYTES = 256, UNITS_PER_PERCENT = 10000000 };

/* ---- asking */

/* "OpenLoRA-Wallet: address:time:signature" over an EIP-191 message that names the path and the time. */
static int sign_path(const struct wallet *w, const char *path, char out[HEADER_BYTES], struct err *e)
{
    char message[PATH_BYTES + 64], prefix[64], address[ADDRESS_TEXT_BYTES], hex[2 * SIGNATURE_BYTES + 1];
    uint8_t digest[HASH_BYTES], signature[SIGNATURE_BYTES];
    struct keccak k;
    long long now_s = (long long)time(NULL);
    int n = snprintf(message, sizeof message, "OpenLoRA wallet\n%.*s\n%lld", (int)strcspn(path, "?"), path, now_s);
    if (n < 0 || (size_t)n >= sizeof message)
        return err_set(e, OL_EINVAL, "wallet", "the path is too long");
    int m = snprintf(prefix, sizeof prefix, "\x19" "Ethereum Signed Message:\n%d", n);
    keccak_init(&k);
    keccak_add(&k, prefix, (size_t)m);
    keccak_add(&k, message, (size_t)n);
    keccak_end(&k, digest);
    int rc = secp_sign(w->secp, w->secret, digest, signature, e);
    if (rc != 0)
        return rc;
    address_format(w->address, address);
    hex_encode(signature, sizeof signature, hex);
    snprintf(out, HEADER_BYTES, "%s:%lld:0x%s", address, now_s, hex);
    return 0;
}

int wallet_get(const struct wallet *w, const char *url, const char *path, char **reply, struct err *e)
{
    char header[HEADER_BYTES];
    struct http_client *http = NULL;
    int rc = sign_path(w, path, header, e);
    if (rc == 0)
        rc = http_open(url, &http, e);
    if (rc == 0)
        rc = http_set_header(http, "OpenLoRA-Wallet", header, e);
    if (rc == 0)
        rc = http_request(http, "GET", path, NULL, reply, e);
    http_close(http);
    return rc;
}

/* ---- showing */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* On a terminal spans are underlined; elsewhere they stand in brackets. Each has its number behind it. */
static void print_choice(const json_t *pieces, bool terminal)
{
    size_t i;
    json_t *piece;
    json_array_foreach(pieces, i, piece) {
        const json_t *span = json_object_get(piece, "span");
        if (!json_is_integer(span))
            fputs(text_at(piece, "text"), stdout);
        else
            printf("%s%s%s[%lld]", terminal ? "\033[4m" : "[", text_at(piece, "text"), terminal ? "\033[0m" : "]",
                   (long long)json_integer_value(span) + 1);
    }
    putchar('\n');
}

static void print_spans(const json_t *spans)
{
    size_t i;
    json_t *s;
    json_array_foreach(spans, i, s)
        printf("  [%zu] %lld tokens, %.1f bits, row %lld of %.18s… by %s%s%s\n", i + 1, (long long)number_at(s, "tokens"),
               (double)number_at(s, "millibits") / 1000, (long long)number_at(s, "row"), text_at(s, "contribution"),
               text_at(s, "contributor"), *text_at(s, "why") ? ": unpaid, " : "", text_at(s, "why"));
}

static void print_contributors(const json_t *list, const char *coin)
{
    size_t i;
    json_t *c;
    json_array_foreach(list, i, c) {
        char amount[WEI_TEXT_BYTES + 2] = "pending";
        wei_t wei;
        if (wei_from_json(json_object_get(c, "wei"), &wei))
            wei_format_coin(wei, amount);
        printf("  %s  %6.2f %% spans + %6.2f %% gradients  %s%s%s%s%s\n", text_at(c, "contributor"),
               (double)number_at(c, "span_units") / UNITS_PER_PERCENT,
               (double)number_at(c, "gradient_units") / UNITS_PER_PERCENT, amount, *text_at(c, "wei") ? " " : "",
               *text_at(c, "wei") ? coin : "", *text_at(c, "why") ? ": " : "", text_at(c, "why"));
    }
}

int print_attribution(const char *reply, struct err *e)
{
    json_t *j = json_loads(reply, 0, NULL), *pieces;
    size_t i;
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(e, OL_EFORMAT, "wallet", "the node's answer is no JSON object");
    }
    const char *coin = text_at(j, "currency");
    if (*text_at(j, "why"))
        printf("%s\n", text_at(j, "why"));
    json_array_foreach(json_object_get(j, "choices"), i, pieces)
        print_choice(pieces, isatty(STDOUT_FILENO) == 1);
    print_spans(json_object_get(j, "spans"));
    print_contributors(json_object_get(j, "contributors"), coin);
    wei_t rest;
    char amount[WEI_TEXT_BYTES + 2];
    if (wei_from_json(json_object_get(j, "unattributed_wei"), &rest)) {
        wei_format_coin(rest, amount);
        printf("  unattributed: %s %s\n", amount, coin);
    }
    json_decref(j);
    return 0;
}
