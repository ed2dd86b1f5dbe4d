/* The catalog file and the chain files: what is written is read again, ids are checked, lookups. */
#include "chainlite/core/dispute.h"
#include "chainlite/core/tx.h"
#include "chainlite/json/catalog.h"
#include "chainlite/json/chain_file.h"
#include "unit/vectors.h"

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

static const uint8_t owner[ADDRESS_BYTES] = {1}, node[ADDRESS_BYTES] = {2};

static void add_version(struct chain_catalog *c, enum item_kind kind, const char *name, uint32_t number,
                        uint8_t content, const uint8_t *base)
{
    struct row_version row = {.number = number, .content_hash = {content}, .payee = {9}};
    if (base)
        memcpy(row.base_version, base, 32);
    ck_assert_int_eq(chain_catalog_add_version(c, kind, owner, name, &row, NULL), 0);
}

static void add_price(struct chain_catalog *c, const uint8_t version[32], uint64_t time, wei_t wei)
{
    struct row_price row = {.effective_time = time, .input_wei = wei};
    memcpy(row.node, node, sizeof node);
    memcpy(row.version, version, 32);
    ck_assert_int_eq(chain_catalog_add_price(c, &row, NULL), 0);
}

static void fill(struct chain_catalog *c)
{
    chain_catalog_init(c);
    add_version(c, ITEM_MODEL, "small \"model\"", 1, 10, NULL);
    const struct catalogued_version *model = chain_catalog_by_name(c, ITEM_MODEL, "small \"model\"");
    uint8_t base[32];
    memcpy(base, model->id, 32);
    add_version(c, ITEM_ADAPTER, "pirate", 2, 20, base);
    add_version(c, ITEM_ADAPTER, "pirate", 1, 20, base);
    add_price(c, base, 100, 5);
    add_price(c, base, 200, 6);
    struct row_split split = {.model_ppb = PPB};
    ck_assert_int_eq(chain_catalog_add_split(c, &split, NULL), 0);
}

START_TEST(test_lookups)
{
    struct chain_catalog c;
    fill(&c);
    size_t rows = c.versions.n;
    const struct catalogued_version *model = chain_catalog_by_name(&c, ITEM_MODEL, "small \"model\"");
    const struct catalogued_version *pirate = chain_catalog_by_name(&c, ITEM_ADAPTER, "pirate");
    ck_assert_uint_eq(pirate->row.number, 2);
    ck_assert_ptr_eq(chain_catalog_version(&c, pirate->id), pirate);
    ck_assert_ptr_eq(chain_catalog_by_content(&c, (uint8_t[32]){20}, model->id), pirate);
    ck_assert_ptr_eq(chain_catalog_by_content(&c, (uint8_t[32]){20}, NULL), pirate);
    ck_assert_ptr_null(chain_catalog_by_content(&c, (uint8_t[32]){20}, pirate->id));
    ck_assert_ptr_null(chain_catalog_by_name(&c, ITEM_MODEL, "nobody"));
    ck_assert_ptr_null(chain_catalog_by_name(&c, ITEM_DATANET, "pirate")); /* a name of another kind */
    ck_assert_ptr_null(chain_catalog_price_at(&c, node, model->id, TIER_DEFAULT, 99));
    ck_assert(chain_catalog_price_at(&c, node, model->id, TIER_DEFAULT, 100)->row.input_wei == 5);
    ck_assert(chain_catalog_price_at(&c, node, model->id, TIER_DEFAULT, 1000)->row.input_wei == 6);
    ck_assert_ptr_null(chain_catalog_price_at(&c, node, model->id, TIER_FLEX, 1000));
    ck_assert_ptr_null(chain_catalog_price_at(&c, owner, model->id, TIER_DEFAULT, 1000));
    ck_assert_uint_eq(chain_catalog_split_in_force(&c)->row.model_ppb, PPB);
    struct row_version again = pirate->row;
    ck_assert_int_eq(chain_catalog_add_version(&c, ITEM_ADAPTER, owner, "pirate", &again, NULL), 0);
    ck_assert_uint_eq(c.versions.n, rows); /* it was there */
    chain_catalog_deinit(&c);
}
END_TEST

START_TEST(test_refused_rows)
{
    struct chain_catalog c;
    struct err e;
    char name[ITEM_NAME_BYTES + 1];
    struct row_version v = {.number = 1};
    memset(name, 'x', sizeof name);
    name[ITEM_NAME_BYTES] = '\0';
    chain_catalog_init(&c);
    ck_assert_int_eq(chain_catalog_add_version(&c, ITEM_MODEL, owner, name, &v, &e), OL_EINVAL);
    ck_assert_int_eq(chain_catalog_add_version(&c, ITEM_MODEL, owner, "", &v, &e), OL_EINVAL);
    ck_assert_int_eq(chain_catalog_add_version(&c, 0, owner, "x", &v, &e), OL_EINVAL);
    v.base_ppb = PPB + 1;
    ck_assert_int_eq(chain_catalog_add_version(&c, ITEM_MODEL, owner, "x", &v, &e), OL_EINVAL);
    struct row_split split = {.model_ppb = PPB - 1};
    ck_assert_int_eq(chain_catalog_add_split(&c, &split, &e), OL_EINVAL);
    struct row_price price = {.tier = 3};
    ck_assert_int_eq(chain_catalog_add_price(&c, &price, &e), OL_EINVAL);
    ck_assert_uint_eq(c.versions.n + c.prices.n + c.splits.n, 0);
    chain_catalog_deinit(&c);
}
END_TEST

START_TEST(test_file)
{
    char directory[] = "/tmp/catalog.XXXXXX", path[64];
    struct chain_catalog c, again;
    struct err e = {0};
    struct buf text[2];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/catalog.json", directory);
    ck_assert_int_eq(chain_catalog_load(path, &again, &e), OL_ENOTFOUND);
    fill(&c);
    ck_assert_int_eq(chain_catalog_save(&c, path, NULL), 0);
    ck_assert_int_eq(chain_catalog_save(&c, path, NULL), 0); /* replaces */
    ck_assert_msg(chain_catalog_load(path, &again, &e) == 0, "%s", e.message);
    for (int i = 0; i < 2; i++) {
        buf_init(&text[i], CATALOG_MAX_BYTES);
        notation_write(&chain_catalog_schema, i ? &again : &c, &text[i]);
    }
    ck_assert_str_eq(buf_str(&text[0]), buf_str(&text[1]));
    /* every digit of every id, hash, name or number matters */
    for (size_t i = 0; i < text[0].len; i++) {
        char was = text[0].data[i];
        if (was != '0' && was != '2' && was != 'r')
            continue;
        text[0].data[i] = was == 'r' ? 's' : '1';
        struct chain_catalog other;
        int rc = chain_catalog_parse(text[0].data, text[0].len, &other, &e);
        ck_assert_msg(rc != 0, "accepted: %.*s", 60, text[0].data + (i < 30 ? 0 : i - 30));
        text[0].data[i] = was;
    }
    buf_deinit(&text[0]);
    buf_deinit(&text[1]);
    chain_catalog_deinit(&c);
    chain_catalog_deinit(&again);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0); /* no drafts left behind */
    ck_assert_int_eq(chain_catalog_save(&c, path, &e), OL_EIO);
}
END_TEST

START_TEST(test_chain_files)
{
    static const struct {
        const char *name;
        uint64_t id;
    } chains[] = {{"devnet", 31337}, {"openledger", 1612}, {"openledger-testnet", 161201}, {"op-mainnet", 10}};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct chain_file c;
        struct err e = {0};
        ck_assert_msg(chain_file_load(chains[i].name, &c, &e) == 0, "%s", e.message);
        ck_assert_str_eq(c.name, chains[i].name);
        ck_assert_uint_eq(c.chain_id, chains[i].id);
        struct header_rules rules;
        chain_file_rules(&c, &rules);
        ck_assert(rules.op_stack == (chains[i].id == 10));
        ck_assert_uint_eq(rules.fork_time[FORK_JOVIAN], chains[i].id == 10 ? 1764691201 : UINT64_MAX);
        ck_assert(c.contracts.n || c.unknown.n);
        schema_free(&chain_file_schema, &c);
    }
    struct chain_file c;
    struct err e;
    ck_assert_int_eq(chain_file_load("nowhere", &c, &e), OL_ENOTFOUND);
    ck_assert_int_eq(chain_file_load("./nowhere", &c, &e), OL_ENOTFOUND);
}
END_TEST

/* Every chain file is whole, and names a layout of games that the light client knows, or none. */
START_TEST(test_layouts)
{
    glob_t files;
    size_t with_layout = 0;
    ck_assert_int_eq(glob("chainlite/chains/*.json", 0, NULL, &files), 0);
    ck_assert_uint_ge(files.gl_pathc, 4);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct chain_file c;
        struct err e = {0};
        ck_assert_msg(chain_file_load(files.gl_pathv[i], &c, &e) == 0, "%s: %s", files.gl_pathv[i], e.message);
        if (c.has_l1 && *c.l1.layout) {
            ck_assert_ptr_nonnull(dispute_layout(c.l1.layout));
            with_layout++;
        }
        schema_free(&chain_file_schema, &c);
    }
    globfree(&files);
    ck_assert_uint_ge(with_layout, 1);
    json_t *j = json_load_file("chainlite/chains/op-mainnet.json", 0, NULL);
    json_object_set_new(json_object_get(j, "l1"), "layout", json_string("asr-3"));
    char *text = json_dumps(j, 0);
    struct chain_file c;
    struct err e = {0};
    ck_assert_int_eq(chain_file_parse(text, strlen(text), &c, &e), OL_EFORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, "asr-3"));
    free(text);
    json_decref(j);
}
END_TEST

/* What chainlited serves is read as strictly as the file: the same bytes again, and no id that is not its row's. */
START_TEST(test_served)
{
    struct chain_file chain;
    struct served_catalog c = {.chain_id = 31337}, again;
    struct err e = {0};
    struct buf text, second;
    ck_assert_int_eq(chain_file_load("devnet", &chain, NULL), 0);
    fill(&c.rows);
    memcpy(c.node, node, sizeof c.node);
    c.contracts = chain.contracts;
    buf_init(&text, CATALOG_MAX_BYTES);
    buf_init(&second, CATALOG_MAX_BYTES);
    notation_write(&served_catalog_schema, &c, &text);
    json_t *j = notation_load(text.data, text.len, &e);
    ck_assert_msg(served_catalog_read(j, &again, &e) == 0, "%s", e.message);
    notation_write(&served_catalog_schema, &again, &second);
    ck_assert_str_eq(buf_str(&second), buf_str(&text));
    ck_assert_mem_eq(chain_contract(&again.contracts, "Escrow"), chain_file_contract(&chain, "Escrow"), ADDRESS_BYTES);
    schema_free(&served_catalog_schema, &again);
    json_object_set_new(json_array_get(json_object_get(j, "prices"), 0), "input_wei", json_string("6"));
    ck_assert_int_eq(served_catalog_read(j, &again, &e), OL_EFORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, "the id is not the row's"));
    json_decref(j);
    buf_deinit(&text);
    buf_deinit(&second);
    chain_catalog_deinit(&c.rows);
    schema_free(&chain_file_schema, &chain);
}
END_TEST

/* The devnet's addresses are those that the deployer's first transactions create, in the deployment's order, and the
 * window is the deployment's. */
START_TEST(test_devnet_addresses)
{
    struct chain_file c;
    struct bytes deployer = bytes_of_hex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    ck_assert_int_eq(chain_file_load("devnet", &c, NULL), 0);
    const struct chain_contract *contract = c.contracts.at;
    json_t *deployment = vectors_load("chainlite/contracts/generated/deploy.json"), *created, *window;
    created = json_object_get(deployment, "contracts");
    window = json_object_get(json_object_get(deployment, "settings"), "window_seconds");
    ck_assert_uint_eq(json_array_size(created), c.contracts.n);
    ck_assert_uint_eq(c.window_s.value, strtoull(text_at(window, "devnet"), NULL, 10));
    ck_assert_mem_eq(c.wrapped_token.at, chain_file_contract(&c, "WrappedNative"), ADDRESS_BYTES);
    for (size_t i = 0; i < c.contracts.n; i++) {
        uint8_t address[ADDRESS_BYTES];
        const json_t *entry = json_array_get(created, i);
        ck_assert_str_eq(contract[i].name, text_at(entry, "name"));
        ck_assert_int_eq(json_integer_value(json_object_get(entry, "nonce")), (json_int_t)i);
        tx_create_address(deployer.data, i, address);
        ck_assert_msg(memcmp(contract[i].address, address, ADDRESS_BYTES) == 0, "%s", contract[i].name);
        ck_assert_ptr_eq(chain_file_contract(&c, contract[i].name), contract[i].address);
    }
    ck_assert_ptr_null(chain_file_contract(&c, "Nothing"));
    json_decref(deployment);
    schema_free(&chain_file_schema, &c);
    free(deployer.data);
}
END_TEST

int main(void)
{
    return RUN_SUITE("catalog", test_lookups, test_refused_rows, test_file, test_served, test_chain_files, test_layouts,
                      test_devnet_addresses);
}
