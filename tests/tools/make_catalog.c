/* make_catalog NODE FILE: a catalog with one model, one adapter on it, prices of NODE and a split; prints the ids of model
 * and adapter. For tests that run chainlited without a chain. */
#include "chainlite/core/hex.h"
#include "chainlite/json/catalog.h"

#include <stdio.h>
#include <string.h>

static void print(const uint8_t id[32])
{
    char text[65];
    hex_encode(id, 32, text);
    printf("0x%s\n", text);
}

static int make(const uint8_t node[ADDRESS_BYTES], struct chain_catalog *c, struct err *e)
{
    struct row_version model = {.number = 1, .content_hash = {1}, .payee = {1}};
    struct row_version adapter = {.number = 1, .content_hash = {2}, .payee = {2}, .base_ppb = 100000000};
    struct row_split split = {400000000, 300000000, 200000000, 100000000, {3}, {4}, {5}};
    uint8_t id[2][32];
    chain_catalog_init(c);
    int rc = chain_catalog_add_version(c, ITEM_MODEL, node, "model", &model, e);
    if (rc == 0) {
        memcpy(id[0], chain_catalog_by_name(c, ITEM_MODEL, "model")->id, 32);
        memcpy(adapter.base_version, id[0], 32);
        rc = chain_catalog_add_version(c, ITEM_ADAPTER, node, "adapter", &adapter, e);
    }
    if (rc == 0)
        rc = chain_catalog_add_split(c, &split, e);
    if (rc == 0)
        memcpy(id[1], chain_catalog_by_name(c, ITEM_ADAPTER, "adapter")->id, 32);
    for (int i = 0; rc == 0 && i < 2; i++) {
        struct row_price price = {.tier = TIER_DEFAULT, .effective_time = 1, .input_wei = 3000000, .cached_wei = 1000000,
                                  .output_wei = 9000000, .floor_wei = 5, .compute_wei = 1000000};
        memcpy(price.node, node, ADDRESS_BYTES);
        memcpy(price.version, id[i], 32);
        rc = chain_catalog_add_price(c, &price, e);
        print(id[i]);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct chain_catalog catalog;
    struct err e = {0};
    uint8_t node[ADDRESS_BYTES];
    if (argc != 3 || !address_parse(argv[1], node)) {
        fprintf(stderr, "usage: make_catalog NODE FILE\n");
        return 2;
    }
    int rc = make(node, &catalog, &e);
    if (rc == 0)
        rc = chain_catalog_save(&catalog, argv[2], &e);
    if (rc != 0)
        fprintf(stderr, "make_catalog: %s\n", e.message);
    chain_catalog_deinit(&catalog);
    return rc != 0;
}
