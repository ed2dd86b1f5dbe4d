/* catalog.json and the chain files. Input: the file. What is accepted is accepted again when it was written, and
 * every row is found by its id. */
#include "chainlite/json/catalog.h"
#include "chainlite/json/chain_file.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_catalog(const struct chain_catalog *c)
{
    struct chain_catalog again;
    struct buf text;
    buf_init(&text, CATALOG_MAX_BYTES);
    notation_write(&chain_catalog_schema, c, &text);
    CHECK(!buf_failed(&text) && chain_catalog_parse(buf_str(&text), text.len, &again, NULL) == 0);
    CHECK(again.versions.n == c->versions.n && again.prices.n == c->prices.n && again.splits.n == c->splits.n);
    const struct catalogued_version *v = c->versions.at;
    for (size_t i = 0; i < c->versions.n; i++)
        CHECK(chain_catalog_version(&again, v[i].id) && chain_catalog_by_name(&again, v[i].kind, v[i].name));
    chain_catalog_deinit(&again);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chain_catalog catalog;
    struct chain_file chain;
    struct err e = {0};
    if (chain_catalog_parse((const char *)data, size, &catalog, &e) == 0) {
        check_catalog(&catalog);
        chain_catalog_deinit(&catalog);
    } else {
        CHECK(e.message[0]);
    }
    if (chain_file_parse((const char *)data, size, &chain, &e) == 0) {
        struct header_rules rules;
        chain_file_rules(&chain, &rules);
        schema_free(&chain_file_schema, &chain);
    }
    return 0;
}
