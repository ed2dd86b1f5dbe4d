/* openlora chain register: puts a model and adapters into the catalog, with prices and a split, and publishes on the
 * chain what only their owner can: items, versions, and on a devnet the split. The node publishes its prices itself.
 * What is registered already is left alone, so the command can be repeated. The training.json beside an adapter goes into
 * its version's metadata. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/catalog.h"
#include "cli/chain_origin.h"
#include "cli/commands.h"
#include "model/adapter_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "register"

struct registration {
    struct chain_link_options link;
    struct account_options account;
    const char *model, *model_name, *catalog, *node, *input, *cached, *output, *floor, *compute, *validators, *unattributed,
        *treasury;
    struct option_list adapters;
    int64_t base_percent, flex_percent, priority_percent;
    bool offline;
    /* filled as it runs */
    struct chain_catalog rows;
    struct chain_link chain;
    struct wallet owner;
    uint8_t node_address[ADDRESS_BYTES], base_version[32], base_content[32];
    struct row_price price; /* of the default tier; all but the version */
    struct origin *origins; /* owned, (adapters.n) of the adapters given this time */
    size_t n_origins;
};

/* ---- on the chain */

/* The contract hashes the sources again: a version from a record can be published only with the record at hand. */
static int publish_version(struct registration *r, const struct catalogued_version *v, struct err *e)
{
    const struct origin *origin = origin_find(r->origins, r->n_origins, v->row.metadata);
    bool there = false;
    if (!origin) {
        int rc = chain_is_registered(&r->chain, v->id, &there, e);
        return rc != 0 || there ? rc
                                : err_set(e, OL_EINVAL, MODULE, "%s is in the catalog with data that it was made from, but "
                                          "not yet on the chain: name it again with --adapter, with its training.json as "
                                          "it was", v->name);
    }
    const struct version_sources from = origin_sources(origin);
    return chain_publish_version(&r->chain, &r->owner, v, &from, e);
}

/* One call through the timelock, which must let it through at once: governance elsewhere takes its time. */
static int publish_split(struct registration *r, const struct row_split *split, struct err *e)
{
    static const uint8_t none[32];
    uint8_t inner_room[CHAIN_CALL_BYTES], room[2 * CHAIN_CALL_BYTES], registry[ADDRESS_BYTES];
    static const char *const calls[] = {"schedule(address,uint256,bytes,bytes32,bytes32,uint256)",
                                        "execute(address,uint256,bytes,bytes32,bytes32)"};
    struct abi_writer inner, w;
    abi_writer_init(&inner, inner_room, sizeof inner_room);
    call_registry_publish_split(&inner, split);
    int rc = chain_link_contract(&r->chain, "Registry", registry, e);
    for (int i = 0; i < 2 && rc == 0; i++) {
        abi_writer_init(&w, room, sizeof room);
        abi_put_selector(&w, calls[i]);
        abi_put_address(&w, registry);
        abi_put_u64(&w, 0);
        size_t place = abi_put_offset(&w);
        abi_put_word(&w, none);
        abi_put_word(&w, none);
        if (i == 0)
            abi_put_u64(&w, 0); /* delay */
        abi_set_offset(&w, place, 4);
        abi_put_bytes(&w, inner.data, inner.len);
        rc = chain_publish_call(&r->chain, &r->owner, "TimelockController", &w, e);
    }
    return rc;
}

static int publish(struct registration *r, struct err *e)
{
    const struct catalogued_version *versions = r->rows.versions.at;
    const struct catalogued_split *split = chain_catalog_split_in_force(&r->rows);
    bool there;
    int rc = 0;
    for (size_t i = 0; i < r->rows.versions.n && rc == 0; i++)
        if (memcmp(versions[i].owner, r->owner.address, ADDRESS_BYTES) == 0) /* others publish theirs */
            rc = publish_version(r, &versions[i], e);
    if (rc == 0)
        rc = chain_is_registered(&r->chain, split->id, &there, e);
    return rc == 0 && !there ? publish_split(r, &split->row, e) : rc;
}

/* ---- in the catalog */

static int parse_address(const char *option, const char *text, uint8_t out[ADDRESS_BYTES], struct err *e)
{
    return text && address_parse(text, out) ? 0 : err_set(e, OL_EINVAL, MODULE, "--%s must be an address", option);
}

/* A price of the version in each tier that is offered and has none yet: those of other tiers are percentages of the
 * default one's. The floor is not: a flex answer is as much work to record. */
static int add_prices(struct registration *r, const uint8_t version[32], struct err *e)
{
    const struct {
        enum tier tier;
        int64_t percent;
    } tiers[] = {{TIER_DEFAULT, 100}, {TIER_FLEX, r->flex_percent}, {TIER_PRIORITY, r->priority_percent}};
    int rc = 0;
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers && rc == 0; i++) {
        struct row_price row = r->price;
        const wei_t percent = (wei_t)tiers[i].percent;
        memcpy(row.version, version, sizeof row.version);
        row.tier = (uint8_t)tiers[i].tier;
        row.input_wei = row.input_wei * percent / 100;
        row.cached_wei = row.cached_wei * percent / 100;
        row.output_wei = row.output_wei * percent / 100;
        row.compute_wei = row.compute_wei * percent / 100;
        if (percent > 0 && !chain_catalog_price_at(&r->rows, r->node_address, version, tiers[i].tier, UINT64_MAX))
            rc = chain_catalog_add_price(&r->rows, &row, e);
    }
    return rc;
}

static int add_version(struct registration *r, enum item_kind kind, const char *name, const char *content,
                       const struct origin *origin, uint8_t id[32], struct err *e)
{
    struct row_version row = {.number = 1};
    const uint8_t *base = kind == ITEM_ADAPTER ? r->base_version : NULL;
    char text[67];
    if (!hex_decode(content, row.content_hash, sizeof row.content_hash))
        return err_set(e, OL_EFORMAT, MODULE, "%s has no content hash", name);
    const struct catalogued_version *known = chain_catalog_by_content(&r->rows, row.content_hash, base);
    const struct catalogued_version *older = chain_catalog_by_name(&r->rows, kind, name);
    if (!known) {
        row.number = older ? older->row.number + 1 : 1;
        memcpy(row.payee, r->owner.address, ADDRESS_BYTES);
        if (base) {
            memcpy(row.base_version, base, 32);
            row.base_ppb = (uint32_t)(r->base_percent * (PPB / 100));
        }
        origin_metadata(origin, row.metadata);
        int rc = chain_catalog_add_version(&r->rows, kind, r->owner.address, name, &row, e);
        if (rc != 0)
            return rc;
        known = chain_catalog_by_content(&r->rows, row.content_hash, base);
    }
    CHECK(known);
    memcpy(id, known->id, 32);
    hex_encode(id, 32, text);
    printf("%-8s %-24s version %u  0x%.16s…%s\n", kind == ITEM_MODEL ? "model" : "adapter", name, known->row.number, text,
           !origin->known                                ? ""
           : origin_matches(origin, known->row.metadata) ? ", with its training record"
                                                         : ", registered before without this training record");
    return add_prices(r, id, e);
}

/* "name=path" */
static int add_adapter(struct registration *r, const char *option, const struct model_config *model, struct err *e)
{
    char name[ITEM_NAME_BYTES];
    uint8_t id[32];
    struct adapter_image image;
    struct origin *origin = &r->origins[r->n_origins];
    uint8_t hash[32];
    const char *equals = strchr(option, '=');
    if (!equals || equals == option || (size_t)(equals - option) >= sizeof name)
        return err_set(e, OL_EINVAL, MODULE, "--adapter %s must be NAME=PATH", option);
    snprintf(name, sizeof name, "%.*s", (int)(equals - option), option);
    size_t page_bytes = (adapter_min_page_bytes(model) + 63) / 64 * 64;
    int rc = adapter_file_load(equals + 1, model, page_bytes, &image, e);
    if (rc != 0)
        return rc;
    CHECK(hex_decode(image.hash, hash, sizeof hash));
    rc = origin_read(equals + 1, hash, r->base_content, origin, e);
    if (rc == 0) {
        r->n_origins++;
        rc = add_version(r, ITEM_ADAPTER, name, image.hash, origin, id, e);
    }
    adapter_image_deinit(&image);
    return rc;
}

static int add_models(struct registration *r, struct err *e)
{
    struct model_file *file;
    const struct origin none = {0};
    char content[65];
    r->origins = calloc((size_t)r->adapters.n + 1, sizeof *r->origins);
    int rc = r->origins ? model_file_open(r->model, &file, e) : err_set(e, OL_ENOMEM, MODULE, "no memory");
    if (rc != 0)
        return rc;
    rc = model_file_version(file, content, e);
    if (rc == 0)
        rc = add_version(r, ITEM_MODEL, r->model_name, content, &none, r->base_version, e);
    if (rc == 0)
        CHECK(hex_decode(content, r->base_content, sizeof r->base_content));
    for (int i = 0; i < r->adapters.n && rc == 0; i++)
        rc = add_adapter(r, r->adapters.items[i], model_file_config(file), e);
    model_file_close(file);
    return rc;
}

static int add_split(struct registration *r, struct err *e)
{
    struct row_split split = {.model_ppb = 400000000, .data_ppb = 300000000, .validators_ppb = 200000000,
                              .node_ppb = 100000000};
    if (chain_catalog_split_in_force(&r->rows))
        return 0;
    int rc = parse_address("validators-pool", r->validators, split.validators_pool, e);
    if (rc == 0)
        rc = parse_address("unattributed-pool", r->unattributed, split.unattributed_pool, e);
    if (rc == 0)
        rc = parse_address("treasury", r->treasury, split.treasury, e);
    return rc == 0 ? chain_catalog_add_split(&r->rows, &split, e) : rc;
}

static int read_price(struct registration *r, struct err *e)
{
    const struct {
        const char *option, *text;
        wei_t *to;
    } rates[] = {{"input", r->input, &r->price.input_wei}, {"cached", r->cached, &r->price.cached_wei},
                 {"output", r->output, &r->price.output_wei}, {"floor", r->floor, &r->price.floor_wei},
                 {"compute", r->compute, &r->price.compute_wei}};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (!wei_parse_coin(rates[i].text, rates[i].to))
            return err_set(e, OL_EINVAL, MODULE, "--%s %s is no amount of coins", rates[i].option, rates[i].text);
    r->price.effective_time = (uint64_t)time(NULL);
    int rc = parse_address("node", r->node, r->node_address, e);
    memcpy(r->price.node, r->node_address, ADDRESS_BYTES);
    return rc;
}

static int load_catalog(struct registration *r, struct err *e)
{
    int rc = chain_catalog_load(r->catalog, &r->rows, e);
    if (rc != OL_ENOTFOUND)
        return rc;
    chain_catalog_init(&r->rows);
    return 0;
}

static int run(struct registration *r, struct err *e)
{
    int rc = read_price(r, e);
    if (rc == 0 && !r->offline)
        rc = chain_link_open(&r->link, &r->chain, e);
    if (rc == 0 && r->offline)
        rc = chain_file_load(r->link.chain ? r->link.chain : "devnet", &r->chain.chain, e);
    if (rc == 0)
        rc = account_open(&r->account, r->chain.chain.chain_id, &r->owner, e);
    if (rc == 0)
        rc = load_catalog(r, e);
    if (rc == 0)
        rc = add_models(r, e);
    if (rc == 0)
        rc = add_split(r, e);
    if (rc == 0)
        rc = chain_catalog_save(&r->rows, r->catalog, e);
    if (rc == 0 && !r->offline)
        rc = publish(r, e);
    for (size_t i = 0; i < r->n_origins; i++)
        training_record_deinit(&r->origins[i].record);
    free(r->origins);
    chain_catalog_deinit(&r->rows);
    wallet_close(&r->owner);
    chain_link_close(&r->chain);
    return rc;
}

int command_chain_register(const struct command *command, int argc, char **argv)
{
    struct registration r = {.model_name = "model", .input = "0.5", .cached = "0.05", .output = "1.5", .floor = "0.000001",
                             .compute = "0"};
    const struct option options[] = {
        REQUIRED("model", &r.model, "PATH", "GGUF file or safetensors directory of the base model"),
        TEXT("model-name", &r.model_name, "NAME", "its name in the registry"),
        LIST("adapter", &r.adapters, "NAME=PATH", "an adapter for it"),
        REQUIRED("node", &r.node, "ADDRESS", "the node whose prices these are (openlora chain status)"),
        REQUIRED("catalog", &r.catalog, "FILE", "the catalog that chainlited reads; made if missing"),
        TEXT("input", &r.input, "COINS", "price of a million prompt tokens"),
        TEXT("cached", &r.cached, "COINS", "of a million prompt tokens from the prefix cache"),
        TEXT("output", &r.output, "COINS", "of a million output tokens"),
        TEXT("floor", &r.floor, "COINS", "least royalty of an answer"),
        TEXT("compute", &r.compute, "COINS", "hardware: per million tokens computed"),
        INT("flex-percent", &r.flex_percent, "P", "offer the flex tier, which may wait, at P % of these prices", 0, 100),
        INT("priority-percent", &r.priority_percent, "P", "offer the priority tier, which goes first, at P %", 0, 10000),
        INT("base-percent", &r.base_percent, "P", "of an adapter's model part, what goes to the base's owner", 0, 100),
        TEXT("validators-pool", &r.validators, "ADDRESS", "of the first split: 40/30/20/10 %"),
        TEXT("unattributed-pool", &r.unattributed, "ADDRESS", "of the first split"),
        TEXT("treasury", &r.treasury, "ADDRESS", "of the first split"),
        FLAG("offline", &r.offline, "only write the catalog; publish later by the same command"),
        CHAIN_LINK_OPTIONS(r.link),
        ACCOUNT_OPTIONS(r.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : run(&r, &e);
    free(r.link.rpc.items);
    free(r.adapters.items);
    if (words < 0)
        return options_exit(words);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
