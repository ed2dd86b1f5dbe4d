/* Bundles. Input: the JSON, checked for the chain of tests/unit/data/verify. What can be read is written and read
 * again without a difference, and every check that is not passed says why. */
#include "chainlite/verify/verify.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct bundle *bundle)
{
    struct bundle again;
    struct buf text, text_again;
    buf_init(&text, 4 * VERIFY_MAX_BUNDLE_BYTES);
    buf_init(&text_again, 4 * VERIFY_MAX_BUNDLE_BYTES);
    notation_write(&bundle_schema, bundle, &text);
    CHECK(!buf_failed(&text) && notation_parse(&bundle_schema, buf_str(&text), text.len, &again, NULL) == 0);
    notation_write(&bundle_schema, &again, &text_again);
    CHECK(text.len == text_again.len && memcmp(text.data, text_again.data, text.len) == 0);
    schema_free(&bundle_schema, &again);
    buf_deinit(&text);
    buf_deinit(&text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chain_file chain;
    static struct secp *secp;
    struct bundle bundle;
    struct verify_report report;
    if (!secp) {
        CHECK(chain_file_load("./tests/unit/data/verify/chain.json", &chain, NULL) == 0);
        CHECK((secp = secp_open((const uint8_t[32]){1})) != NULL);
    }
    verify_bundle((const char *)data, size, &chain, secp, &bundle, &report);
    if (report.check[VERIFY_SCHEMA].outcome == VERIFY_OK)
        check_round_trip(&bundle);
    for (int c = 0; c < VERIFY_CHECKS; c++)
        CHECK((report.check[c].outcome == VERIFY_OK) == (report.check[c].reason[0] == '\0'));
    schema_free(&bundle_schema, &bundle);
    return 0;
}
