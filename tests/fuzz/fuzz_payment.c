/* What a stranger or a slip of an editor can put before billing: PAYMENT-SIGNATURE, OpenLoRA-Wallet, the file of keys.
 * Input: any of them, as text; all three readers get it. What is accepted can be written and read again. */
#include "billing/keys.h"
#include "billing/payment.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_keys(const char *text, size_t n)
{
    struct key_list l, again;
    struct err e = {0};
    if (key_list_parse(text, n, &l, &e) != 0) {
        CHECK(e.message[0] && !l.keys && l.n == 0);
        return;
    }
    json_t *array = json_array(), *file = json_pack("{si so}", "version", 1, "keys", array);
    for (int i = 0; i < l.n; i++) {
        CHECK(key_tenant_valid(l.keys[i].tenant));
        json_array_append_new(array, key_json(&l.keys[i]));
    }
    char *written = json_dumps(file, 0);
    CHECK(key_list_parse(written, strlen(written), &again, &e) == 0 && again.n == l.n);
    CHECK(l.n == 0 || memcmp(again.keys, l.keys, (size_t)l.n * sizeof *l.keys) == 0);
    free(written);
    json_decref(file);
    key_list_deinit(&l);
    key_list_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct secp *secp;
    static const uint8_t seed[32] = {1};
    struct payment payment;
    struct err e = {0};
    uint8_t wallet[ADDRESS_BYTES];
    char *text = malloc(size + 1);
    if (!secp)
        secp = secp_open(seed);
    if (!text || !secp)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    CHECK(payment_parse(text, &payment, &e) == 0 || e.message[0]);
    CHECK(wallet_check(secp, text, "/v1/receipts", 1760000000, wallet, &e) == 0 || e.message[0]);
    check_keys(text, size);
    free(text);
    return 0;
}
