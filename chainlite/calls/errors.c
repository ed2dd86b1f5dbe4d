/* What a revert says: the contracts' custom errors by their selectors; see calls.h. */
#include "chainlite/calls/calls.h"
#include "chainlite/contracts/generated/errors.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <string.h>

/* Appends one argument; `type` is its name, as long as `len`. */
static void put_argument(char *out, size_t cap, const char *type, size_t len, const uint8_t word[ABI_WORD_BYTES])
{
    size_t at = strlen(out);
    wei_t value;
    char text[2 * ABI_WORD_BYTES + 1];
    if (len > 4 && memcmp(type, "uint", 4) == 0 && wei_from_be32(word, &value)) {
        wei_format(value, text);
        snprintf(out + at, cap - at, "%s", text);
        return;
    }
    size_t skip = len == 7 && memcmp(type, "address", 7) == 0 ? ABI_WORD_BYTES - ADDRESS_BYTES : 0;
    hex_encode(word + skip, ABI_WORD_BYTES - skip, text);
    snprintf(out + at, cap - at, "0x%s", text);
}

/* Name and arguments of a known error; an argument that the data does not hold whole is shown as "?". */
static void put_error(char *out, size_t cap, const char *signature, const uint8_t *data, size_t n)
{
    const char *type = strchr(signature, '(');
    snprintf(out, cap, "%.*s(", (int)(type - signature), signature);
    size_t word = 0;
    for (type++; *type && *type != ')'; word++) {
        size_t len = strcspn(type, ",)");
        if (word)
            snprintf(out + strlen(out), cap - strlen(out), ",");
        if ((word + 1) * ABI_WORD_BYTES <= n)
            put_argument(out, cap, type, len, data + word * ABI_WORD_BYTES);
        else
            snprintf(out + strlen(out), cap - strlen(out), "?");
        type += len + (type[len] == ',');
    }
    snprintf(out + strlen(out), cap - strlen(out), ")");
}

/* Error(string): offset, length, text; shows what is there of it, without what a terminal could take for commands. */
static void put_text(char *out, size_t cap, const uint8_t *data, size_t n)
{
    size_t len = n > 2 * ABI_WORD_BYTES ? n - 2 * ABI_WORD_BYTES : 0;
    wei_t stated;
    if (len && wei_from_be32(data + ABI_WORD_BYTES, &stated) && stated < len)
        len = (size_t)stated;
    if (len > cap - 1)
        len = cap - 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[2 * ABI_WORD_BYTES + i];
        out[i] = (char)(c >= 0x20 && c < 0x7f ? c : '?');
    }
    out[len] = 0;
}

void call_error_text(const char *data, char out[CALL_ERROR_BYTES])
{
    uint8_t bytes[4 + 4 * ABI_WORD_BYTES];
    size_t digits = strncmp(data, "0x", 2) == 0 ? strlen(data) - 2 : 0;
    size_t n = digits / 2 < sizeof bytes ? digits / 2 : sizeof bytes;
    char text[2 * sizeof bytes + 1];
    snprintf(text, 2 * n + 1, "%s", digits ? data + 2 : "");
    if (n < 4 || !hex_decode(text, bytes, n)) {
        snprintf(out, CALL_ERROR_BYTES, "%.*s", CALL_ERROR_BYTES - 1, *data ? data : "no reason given");
        return;
    }
    uint8_t selector[4];
    for (size_t i = 0; i < sizeof contract_errors / sizeof *contract_errors; i++) {
        abi_selector(contract_errors[i], selector);
        if (memcmp(selector, bytes, 4) == 0) {
            put_error(out, CALL_ERROR_BYTES, contract_errors[i], bytes + 4, n - 4);
            return;
        }
    }
    abi_selector("Error(string)", selector);
    if (memcmp(selector, bytes, 4) == 0) {
        put_text(out, CALL_ERROR_BYTES, bytes + 4, n - 4);
        return;
    }
    abi_selector("Panic(uint256)", selector);
    if (memcmp(selector, bytes, 4) == 0 && n >= 4 + ABI_WORD_BYTES)
        snprintf(out, CALL_ERROR_BYTES, "Panic(0x%02x)", bytes[4 + ABI_WORD_BYTES - 1]);
    else
        snprintf(out, CALL_ERROR_BYTES, "%.*s", CALL_ERROR_BYTES - 1, data);
}
