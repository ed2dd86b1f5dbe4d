/* Policy documents. Input: the text of a policy.json. One that is accepted is written and read again as it was. */
#include "attribution/policy_document.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_document d, again;
    struct buf first, second;
    struct err e = {0};
    uint8_t hash[SHA256_BYTES];
    if (policy_document_parse((const char *)data, size, &d, hash, &e)) {
        CHECK(e.code < 0 && e.message[0]);
        return 0;
    }
    buf_init(&first, POLICY_MAX_BYTES);
    buf_init(&second, POLICY_MAX_BYTES);
    notation_write(&policy_document_schema, &d, &first);
    CHECK(policy_document_parse(buf_str(&first), first.len, &again, hash, &e) == 0);
    notation_write(&policy_document_schema, &again, &second);
    CHECK(strcmp(buf_str(&first), buf_str(&second)) == 0);
    buf_deinit(&first);
    buf_deinit(&second);
    policy_document_deinit(&d);
    policy_document_deinit(&again);
    return 0;
}
