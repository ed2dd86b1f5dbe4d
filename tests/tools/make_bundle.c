/* Writes a bundle that is complete but for the chain's part: one receipt of a batch of five (numbers 0 to 4; 2 does not
 * settle), of an adapter or of the base model alone, signed by fixed keys, for the contracts of a chain file.
 *
 * Receipts of an adapter have a policy and spans, and but for number 2 the statement of a later batch.
 *
 * Prints {"settlement","slot","value","delegate","bundle"}: with `value` in that slot of the contract's storage, a block's
 * header and proofs make the bundle valid (tests/fault/bundle.py does that). With the word delegate the voucher is signed
 * by that address instead of the payer.
 *
 *   make_bundle CHAIN RECEIPT adapter|base [delegate] */
#include "chainlite/core/hex.h"
#include "chainlite/json/bundle.h"
#include "chainlite/json/chain_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPANS = 3, SHARES = 3 };
enum { RECEIPTS = 5, UNPAID = 2, CHOICES = 2, POSTINGS = RECEIPTS * MAX_PARTS_PER_RECEIPT, NODES = 2 * POSTINGS + 32 };

static const uint8_t node_key[SECRET_BYTES] = {1}, payer_key[SECRET_BYTES] = {2};
static const uint8_t delegate_key[SECRET_BYTES] = {3};

struct world {
    struct secp *secp;
    struct chain_file chain;
    struct domains domains;
    struct bundle_rows rows;
    int shown; /* the receipt of the bundle */
    struct proof proof[RECEIPTS];
    struct signed_voucher voucher; /* the payer's highest */
    uint8_t salt[32], body_hash[32];
    struct hash_element text_hash[CHOICES];
    struct bundle_attribution attribution; /* the same for each receipt, but for the statement */
    struct receipt_span span[SPANS];
    struct share share[SHARES];
    struct posting posting[POSTINGS];
    size_t n_postings;
    struct sumnode receipt_nodes[2 * RECEIPTS + 32], posting_nodes[NODES];
};

static void tagged(const char *what, uint8_t out[32]) { keccak256(what, strlen(what), out); }

static const struct row_version *top_of(const struct bundle_rows *r) { return r->has_adapter ? &r->adapter : &r->model; }

static void make_parts(const struct world *w, const struct proof *p, struct part *parts, int *n)
{
    const struct row_version *base = w->rows.has_adapter ? &w->rows.model : NULL;
    struct fee fee;
    CHECK(fee_of(&w->rows.price, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status, &fee,
                 NULL) == 0);
    CHECK(parts_of(&fee, &w->rows.split, top_of(&w->rows), base, p->node, parts, n, NULL) == 0);
}

static void make_rows(struct world *w, const uint8_t node[ADDRESS_BYTES])
{
    struct bundle_rows *r = &w->rows;
    uint8_t owner[32];
    tagged("owner", owner);
    r->model = (struct row_version){.number = 1, .payee = {0xaa, 1}};
    item_id(ITEM_MODEL, owner, "base model", r->model.item);
    tagged("model file", r->model.content_hash);
    r->adapter = (struct row_version){.number = 7, .payee = {0xaa, 2}, .base_ppb = 250000001};
    item_id(ITEM_ADAPTER, owner, "pirate", r->adapter.item);
    tagged("adapter file", r->adapter.content_hash);
    version_id(&r->model, r->adapter.base_version);
    r->price = (struct row_price){.tier = TIER_PRIORITY, .effective_time = 1750000000, .input_wei = 1000000000000001,
                                  .cached_wei = 100000000000003, .output_wei = 5000000000000007,
                                  .floor_wei = 1000, .compute_wei = 70000000011};
    memcpy(r->price.node, node, ADDRESS_BYTES);
    version_id(top_of(r), r->price.version);
    r->split = (struct row_split){400000000, 300000000, 200000000, 100000000, {0xbb, 1}, {0xbb, 2}, {0xbb, 3}};
}

/* 10 and 7 of 200 tokens, and 3 that may not earn; a fourth contributor only by gradients. */
static void make_attribution(struct world *w, uint8_t span_root[32])
{
    struct bundle_attribution *a = &w->attribution;
    struct sumnode nodes[SPANS];
    const struct receipt_span spans[SPANS] = {{0, 10, {1}, 4, 900, 41000, {0xcc, 1}},
                                              {57, 7, {2}, 0, 3, 22345, {0xcc, 2}},
                                              {190, 3, {3}, 77, 0, 19000, {0}}};
    memcpy(w->span, spans, sizeof spans);
    a->policy = (struct row_version){.number = 1};
    tagged("policy item", a->policy.item);
    tagged("policy", a->policy.content_hash);
    version_id(&w->rows.adapter, a->policy.base_version);
    a->spans = (struct list){w->span, SPANS};
    spans_root(w->span, SPANS, nodes, span_root);
}

static void make_statement(struct world *w, const struct proof *p)
{
    static const struct gradient_units gradient[] = {{{0xcc, 2}, 123456789}, {{0xcd}, 1}};
    struct share shares[RECEIPT_MAX_SHARES + 1];
    struct division division[RECEIPT_MAX_SHARES + 1];
    struct sumnode nodes[SHARES];
    struct bundle_attribution *a = &w->attribution;
    struct attribution_statement *s = &a->statement;
    uint8_t digest[HASH_BYTES];
    size_t n;
    *s = (struct attribution_statement){.epoch = p->epoch, .sequence = p->sequence, .kind = STATEMENT_GRADIENTS,
                                        .answer_tokens = 200, .open_tokens = 171};
    memcpy(s->receipt_id, p->receipt_id, 32);
    memcpy(s->node, p->node, ADDRESS_BYTES);
    memcpy(s->policy, p->attribution_policy, 32);
    memcpy(s->span_root, p->span_root, 32);
    tagged("query", s->query_hash);
    CHECK(shares_of_spans(w->span, SPANS, s->answer_tokens, shares, division, &n, NULL) == 0 &&
          shares_merge(shares, &n, gradient, 2, NULL) == 0 && n == SHARES);
    memcpy(w->share, shares, sizeof w->share);
    a->shares = (struct list){w->share, SHARES};
    s->shares_count = SHARES;
    CHECK(shares_root(w->share, SHARES, nodes, s->shares_root, &s->shares_total, NULL) == 0);
    statement_digest(s, &w->domains, digest);
    CHECK(secp_sign(w->secp, node_key, digest, a->signature.at, NULL) == 0);
    a->has_statement = a->has_signature = true;
}

static void make_proofs(struct world *w, const uint8_t node[ADDRESS_BYTES], const uint8_t payer[ADDRESS_BYTES])
{
    wei_t cumulative = 12345;
    for (int i = 0; i < RECEIPTS; i++) {
        struct proof *p = &w->proof[i];
        struct part parts[MAX_PARTS_PER_RECEIPT];
        int n;
        char name[16];
        snprintf(name, sizeof name, "receipt %d", i);
        *p = (struct proof){.epoch = 2, .sequence = 11 + (uint64_t)i, .kind = KIND_CHAT, .status = STATUS_STOP,
                            .start_time_ms = 1760000000123, .queue_ms = 3, .prefill_ms = 41, .decode_ms = 977,
                            .prompt_tokens = 900 + (uint32_t)i, .cached_tokens = 512, .output_tokens = 201,
                            .mean_logprob_micro = -123456, .payer_previous = i ? 10 + (uint64_t)i : 4};
        tagged(name, p->receipt_id);
        memcpy(p->node, node, ADDRESS_BYTES);
        memcpy(p->payer, payer, ADDRESS_BYTES);
        salted_hash(w->salt, w->body_hash, p->request_hash);
        response_hash(w->salt, w->text_hash, CHOICES, p->response_hash);
        version_id(&w->rows.model, p->model_version);
        if (w->rows.has_adapter)
            version_id(&w->rows.adapter, p->adapter_version);
        if (w->rows.has_adapter) {
            make_attribution(w, p->span_root);
            version_id(&w->attribution.policy, p->attribution_policy);
        }
        tagged("numerics", p->numerics);
        tagged("application", p->caller);
        price_id(&w->rows.price, p->price_id);
        split_id(&w->rows.split, p->split_id);
        make_parts(w, p, parts, &n);
        for (int k = 0; k < n; k++)
            p->fee_wei += parts[k].amount_wei;
        cumulative += p->fee_wei;
        p->payer_cumulative_wei = cumulative;
        voucher_digest(&w->voucher.voucher, &w->domains, p->voucher_digest);
    }
}

static int by_order(const void *a, const void *b) { return posting_order(a, b); }

static void make_batch(struct world *w, struct bundle_settlement *out)
{
    struct batch *b = &out->batch;
    struct sumnode root;
    wei_t pending = 0;
    *b = (struct batch){.number = 9, .epoch = 2, .first_sequence = 11, .count = RECEIPTS, .submitted_at = 1760000100};
    memcpy(b->node, w->proof[0].node, ADDRESS_BYTES);
    tagged("batch before", b->previous);
    tagged("claims", b->claims_hash);
    tagged("body", b->body_hash);
    tagged("credits", b->credits_root);
    b->credits_count = 6;
    for (int i = 0; i < RECEIPTS; i++) {
        struct part parts[MAX_PARTS_PER_RECEIPT];
        uint8_t hash[HASH_BYTES];
        int n = 0;
        wei_t settled = i == UNPAID ? 0 : w->proof[i].fee_wei;
        proof_struct_hash(&w->proof[i], hash);
        receipt_leaf(hash, settled, &w->receipt_nodes[i]);
        if (settled)
            make_parts(w, &w->proof[i], parts, &n);
        for (int k = 0; k < n; k++) {
            if (parts[k].role == ROLE_DATA) {
                pending += parts[k].amount_wei;
                continue;
            }
            struct posting *p = &w->posting[w->n_postings++];
            *p = (struct posting){.sequence = w->proof[i].sequence, .role = parts[k].role,
                                  .amount_wei = parts[k].amount_wei};
            memcpy(p->beneficiary, parts[k].beneficiary, ADDRESS_BYTES);
        }
    }
    CHECK(sumtree_build(w->receipt_nodes, RECEIPTS, &root, NULL) == 0);
    memcpy(b->receipts_root, root.hash, HASH_BYTES);
    b->settled_total_wei = root.sum_wei;
    qsort(w->posting, w->n_postings, sizeof *w->posting, by_order);
    for (size_t i = 0; i < w->n_postings; i++)
        posting_leaf(&w->posting[i], &w->posting_nodes[i]);
    CHECK(sumtree_build(w->posting_nodes, w->n_postings, &root, NULL) == 0);
    memcpy(b->postings_root, root.hash, HASH_BYTES);
    b->postings_count = (uint32_t)w->n_postings;
    b->postings_total_wei = root.sum_wei;
    b->credits_total_wei = root.sum_wei + 777;
    b->pending_total_wei = pending;
    b->settled_cumulative_wei = b->settled_total_wei + 99999;
}

static struct list list_of(void *at, size_t n) { return (struct list){at, n}; }

static void show_path(const struct sumnode *nodes, size_t n, size_t index, struct sumpath *path, struct list *out)
{
    sumtree_path(nodes, n, index, path);
    *out = list_of(path->node, (size_t)path->depth);
}

static void print_hex(const char *key, const uint8_t *bytes, size_t n)
{
    char text[2 * HASH_BYTES + 1];
    hex_encode(bytes, n, text);
    printf("\"%s\":\"0x%s\",", key, text);
}

static void print_bundle(struct world *w)
{
    static struct bundle b;
    static struct bundle_posting postings[MAX_PARTS_PER_RECEIPT];
    static struct sumpath paths[MAX_PARTS_PER_RECEIPT + 1];
    static struct part parts[MAX_PARTS_PER_RECEIPT];
    uint8_t digest[HASH_BYTES], slot[32], value[32], delegate[ADDRESS_BYTES];
    struct buf text;
    int n;
    size_t shown = 0;
    b = (struct bundle){.version = BUNDLE_VERSION, .chain_id = w->chain.chain_id, .proof = w->proof[w->shown],
                        .response_text_hashes = list_of(w->text_hash, CHOICES), .has_voucher = true, .voucher = w->voucher, .rows = w->rows,
                        .has_settlement = true, .informative = json_pack("{s:s,s:i}", "state", "safe", "gas_used", 91234)};
    memcpy(b.salt, w->salt, 32);
    memcpy(b.request_body_hash, w->body_hash, 32);
    proof_digest(&b.proof, &w->domains, digest);
    CHECK(secp_sign(w->secp, node_key, digest, b.signature, NULL) == 0);
    if (w->rows.has_adapter && w->shown != UNPAID)
        make_statement(w, &b.proof);
    b.has_attribution = w->rows.has_adapter;
    b.attribution = w->attribution;
    b.settlement.settled_wei = w->shown == UNPAID ? 0 : b.proof.fee_wei;
    make_parts(w, &b.proof, parts, &n);
    b.parts = list_of(parts, (size_t)n);
    make_batch(w, &b.settlement);
    b.settlement.index = (uint32_t)w->shown;
    show_path(w->receipt_nodes, RECEIPTS, b.settlement.index, &paths[MAX_PARTS_PER_RECEIPT], &b.settlement.receipt_path);
    for (int role = ROLE_MODEL; role < ROLE_END; role++)
        for (size_t i = 0; i < w->n_postings; i++)
            if (w->posting[i].role == role && w->posting[i].sequence == b.proof.sequence) {
                postings[shown] = (struct bundle_posting){.posting = w->posting[i], .index = (uint32_t)i};
                show_path(w->posting_nodes, w->n_postings, i, &paths[shown], &postings[shown].path);
                shown++;
            }
    b.settlement.postings = list_of(postings, shown);
    slot_batch(b.proof.node, b.settlement.batch.number, slot);
    batch_hash(&b.settlement.batch, value);
    buf_init(&text, 1 << 20);
    notation_write(&bundle_schema, &b, &text);
    printf("{");
    print_hex("settlement", chain_file_contract(&w->chain, "Settlement"), ADDRESS_BYTES);
    print_hex("slot", slot, 32);
    print_hex("value", value, 32);
    CHECK(secp_address(w->secp, delegate_key, delegate, NULL) == 0);
    print_hex("delegate", delegate, sizeof delegate);
    printf("\"bundle\":%s}\n", buf_str(&text));
    buf_deinit(&text);
    json_decref(b.informative);
}

int main(int argc, char **argv)
{
    static struct world w;
    struct err e = {0};
    uint8_t node[ADDRESS_BYTES], payer[ADDRESS_BYTES], digest[HASH_BYTES];
    if (argc < 4 || argv[2][0] < '0' || argv[2][0] >= '0' + RECEIPTS || chain_file_load(argv[1], &w.chain, &e)) {
        fprintf(stderr, "usage: make_bundle CHAIN RECEIPT adapter|base [delegate]\n%s\n", e.message);
        return 2;
    }
    w.shown = argv[2][0] - '0';
    w.rows.has_adapter = strcmp(argv[3], "adapter") == 0;
    w.secp = secp_open(node_key);
    CHECK(w.secp && secp_address(w.secp, node_key, node, NULL) == 0 && secp_address(w.secp, payer_key, payer, NULL) == 0);
    domains_make(w.chain.chain_id, chain_file_contract(&w.chain, "Settlement"), chain_file_contract(&w.chain, "Escrow"),
                 &w.domains);
    tagged("salt", w.salt);
    tagged("request body", w.body_hash);
    tagged("first text", w.text_hash[0].hash);
    tagged("second text", w.text_hash[1].hash);
    make_rows(&w, node);
    memcpy(w.voucher.voucher.payer, payer, ADDRESS_BYTES);
    memcpy(w.voucher.voucher.node, node, ADDRESS_BYTES);
    w.voucher.voucher.ceiling_wei = (wei_t)20000000000000;
    salted_hash(w.salt, w.body_hash, w.voucher.voucher.request_hash);
    voucher_digest(&w.voucher.voucher, &w.domains, digest);
    CHECK(secp_sign(w.secp, argc > 4 ? delegate_key : payer_key, digest, w.voucher.signature, NULL) == 0);
    make_proofs(&w, node, payer);
    print_bundle(&w);
    secp_close(w.secp);
    schema_free(&chain_file_schema, &w.chain);
    return 0;
}
