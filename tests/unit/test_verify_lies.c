/* Bundles whose node lies: each breaks one rule and is signed anew, so that no hash or signature gives it away. Exactly
 * the check of that rule must fail. The keys are those of tests/tools/make_bundle.c. */
#include "chainlite/verify/verify.h"
#include "unit/vectors.h"

static const uint8_t node_key[SECRET_BYTES] = {1}, payer_key[SECRET_BYTES] = {2}, other_key[SECRET_BYTES] = {3};

struct lie {
    const char *reason; /* in the message; NULL: it is no lie and holds */
    enum verify_check check;
    void (*tell)(struct bundle *);
    bool no_voucher, of_other_payer; /* how the voucher is signed */
    bool attributed;                 /* the bundle has an attribution; its statement is signed anew, too */
};

/* Ids in the proof follow the rows, as a node that lies consistently would have them. */
static void name_adapter(struct bundle *b)
{
    version_id(&b->rows.adapter, b->proof.adapter_version);
    memcpy(b->rows.price.version, b->proof.adapter_version, 32);
    price_id(&b->rows.price, b->proof.price_id);
}

static void no_lie(struct bundle *b) { (void)b; }
static void fee_more(struct bundle *b) { b->proof.fee_wei++; }
static void fee_less(struct bundle *b) { b->proof.fee_wei--; }
static void kind_unknown(struct bundle *b) { b->proof.kind = 3; }
static void status_unknown(struct bundle *b) { b->proof.status = 0; }
static void previous_later(struct bundle *b) { b->proof.payer_previous = b->proof.sequence; }
static void cumulative_small(struct bundle *b) { b->proof.payer_cumulative_wei = b->proof.fee_wei - 1; }
static void ceiling_small(struct bundle *b) { b->voucher.voucher.ceiling_wei = b->proof.payer_cumulative_wei - 1; }
static void ceiling_just(struct bundle *b) { b->voucher.voucher.ceiling_wei = b->proof.payer_cumulative_wei; }
static void voucher_for_other_node(struct bundle *b) { b->voucher.voucher.node[0] ^= 1; }

/* ---- attributions: roots and ids follow what is said */

static void follow(struct bundle *b)
{
    struct bundle_attribution *a = &b->attribution;
    struct sumnode nodes[16];
    version_id(&a->policy, b->proof.attribution_policy);
    memcpy(a->statement.policy, b->proof.attribution_policy, 32);
    spans_root(a->spans.at, a->spans.n, nodes, b->proof.span_root);
    memcpy(a->statement.span_root, b->proof.span_root, 32);
    a->statement.shares_count = (uint32_t)a->shares.n;
    ck_assert_int_eq(shares_root(a->shares.at, a->shares.n, nodes, a->statement.shares_root, &a->statement.shares_total,
                                 NULL), 0);
}

static struct share *share_at(struct bundle *b, size_t i) { return (struct share *)b->attribution.shares.at + i; }
static struct receipt_span *span_at(struct bundle *b, size_t i) { return (struct receipt_span *)b->attribution.spans.at + i; }

static void policy_hidden(struct bundle *b) { b->has_attribution = false; }
static void spans_without_policy(struct bundle *b) { b->proof.span_root[31] = 1; }
static void policy_0(struct bundle *b) { memset(b->proof.attribution_policy, 0, 32); }

static void policy_of_other_version(struct bundle *b)
{
    memcpy(b->attribution.policy.base_version, b->proof.model_version, 32);
    follow(b);
}

static void spans_overlap(struct bundle *b)
{
    span_at(b, 1)->start = span_at(b, 0)->start + 1;
    follow(b);
}

static void open_too_many(struct bundle *b) { b->attribution.statement.open_tokens = 181; }
static void open_most(struct bundle *b) { b->attribution.statement.open_tokens = 180; }

static void unit_moved(struct bundle *b)
{
    share_at(b, 0)->span_units--;
    share_at(b, 1)->span_units++;
    follow(b);
}

static void share_left_out(struct bundle *b)
{
    *share_at(b, 1) = *share_at(b, 2);
    b->attribution.shares.n = 2;
    follow(b);
}

static void gradients_above_open(struct bundle *b)
{
    share_at(b, 2)->gradient_units = 855000000 - share_at(b, 1)->gradient_units + 1; /* 171 of 200 tokens */
    follow(b);
}

static void gradients_most(struct bundle *b)
{
    share_at(b, 2)->gradient_units = 855000000 - share_at(b, 1)->gradient_units;
    follow(b);
}

static void gradients_of_spans_alone(struct bundle *b)
{
    b->attribution.statement.kind = STATEMENT_SPANS;
    memset(b->attribution.statement.query_hash, 0, 32);
}

static void other_receipts_statement(struct bundle *b) { b->attribution.statement.sequence++; }
static void statement_unsigned(struct bundle *b) { b->attribution.has_signature = false; }
static void statement_by_other(struct bundle *b) { b->attribution.statement.node[0] ^= 1; }

static void no_statement_yet(struct bundle *b)
{
    b->attribution.has_statement = b->attribution.has_signature = false;
    b->attribution.shares.n = 0;
}

static void price_in_future(struct bundle *b)
{
    b->rows.price.effective_time = b->proof.start_time_ms / 1000 + 1;
    price_id(&b->rows.price, b->proof.price_id);
}

static void price_just_in_force(struct bundle *b)
{
    b->rows.price.effective_time = b->proof.start_time_ms / 1000;
    price_id(&b->rows.price, b->proof.price_id);
}

static void price_of_other_node(struct bundle *b)
{
    b->rows.price.node[0] ^= 1;
    price_id(&b->rows.price, b->proof.price_id);
}

static void price_of_other_version(struct bundle *b)
{
    memcpy(b->rows.price.version, b->proof.model_version, 32);
    price_id(&b->rows.price, b->proof.price_id);
}

static void adapter_of_other_model(struct bundle *b)
{
    b->rows.adapter.base_version[0] ^= 1;
    name_adapter(b);
}

static void other_model(struct bundle *b) /* all but the proof follows */
{
    b->rows.model.number++;
    version_id(&b->rows.model, b->rows.adapter.base_version);
    name_adapter(b);
}

static void other_adapter(struct bundle *b)
{
    uint8_t named[32];
    memcpy(named, b->proof.adapter_version, 32);
    b->rows.adapter.number++;
    name_adapter(b);
    memcpy(b->proof.adapter_version, named, 32);
}

/* Nothing was delivered, so nothing is charged or paid, and with a cumulative of 0 no voucher is needed. */
static void free_of_charge(struct bundle *b)
{
    b->proof.output_tokens = 0;
    b->proof.fee_wei = b->proof.payer_cumulative_wei = 0;
    free(b->parts.at);
    b->parts = (struct list){0};
}

static void half_free(struct bundle *b)
{
    free_of_charge(b);
    b->proof.payer_cumulative_wei = 1;
}

static const struct lie lies[] = {
    {NULL, VERIFY_CHECKS, no_lie, false, false, false},
    {NULL, VERIFY_CHECKS, ceiling_just, false, false, false},
    {NULL, VERIFY_CHECKS, price_just_in_force, false, false, false},
    {NULL, VERIFY_CHECKS, free_of_charge, false, false, false},
    {NULL, VERIFY_CHECKS, free_of_charge, true, false, false},
    {"is missing", VERIFY_VOUCHER, half_free, true, false, false},
    {"another payer's", VERIFY_VOUCHER, no_lie, false, true, false},
    {"for another node", VERIFY_VOUCHER, voucher_for_other_node, false, false, false},
    {"the fee by the price is", VERIFY_PRICE, fee_more, false, false, false},
    {"the fee by the price is", VERIFY_PRICE, fee_less, false, false, false},
    {"kind or status", VERIFY_PRICE, kind_unknown, false, false, false},
    {"kind or status", VERIFY_PRICE, status_unknown, false, false, false},
    {"not in force yet", VERIFY_PRICE, price_in_future, false, false, false},
    {"not before this one", VERIFY_CEILING, previous_later, false, false, false},
    {"less than this fee", VERIFY_CEILING, cumulative_small, false, false, false},
    {"exceeds the voucher's ceiling", VERIFY_CEILING, ceiling_small, false, false, false},
    {NULL, VERIFY_CHECKS, no_lie, false, false, true},
    {NULL, VERIFY_CHECKS, open_most, false, false, true},
    {NULL, VERIFY_CHECKS, gradients_most, false, false, true},
    {NULL, VERIFY_CHECKS, no_statement_yet, false, false, true},
    {"is missing", VERIFY_POLICY, policy_hidden, false, false, true},
    {"without a policy", VERIFY_POLICY, spans_without_policy, false, false, false},
    {"has no policy", VERIFY_POLICY, policy_0, false, false, true},
    {"not one of the version", VERIFY_POLICY, policy_of_other_version, false, false, true},
    {"before the end of the one before it", VERIFY_SPANS, spans_overlap, false, false, true},
    {"open ones of an answer of 200", VERIFY_SPANS, open_too_many, false, false, true},
    {"other span units", VERIFY_SHARES, unit_moved, false, false, true},
    {"somebody whom the spans give", VERIFY_SHARES, share_left_out, false, false, true},
    {"more gradient units", VERIFY_SHARES, gradients_above_open, false, false, true},
    {"spans alone", VERIFY_SHARES, gradients_of_spans_alone, false, false, true},
    {"sequence is not", VERIFY_STATEMENT, other_receipts_statement, false, false, true},
    {"node is not", VERIFY_STATEMENT, statement_by_other, false, false, true},
    {"signature is missing", VERIFY_STATEMENT_SIGNATURE, statement_unsigned, false, false, true},
    {"another node's", VERIFY_ROWS, price_of_other_node, false, false, false},
    {"another version's", VERIFY_ROWS, price_of_other_version, false, false, false},
    {"not one of this model", VERIFY_ROWS, adapter_of_other_model, false, false, false},
    {"model_version is not the row", VERIFY_ROWS, other_model, false, false, false},
    {"adapter_version is not the row", VERIFY_ROWS, other_adapter, false, false, false},
};

static void sign(const struct secp *secp, const struct domains *d, const struct lie *lie, struct bundle *b)
{
    uint8_t digest[HASH_BYTES];
    const uint8_t *key = lie->of_other_payer ? other_key : payer_key;
    ck_assert_int_eq(secp_address(secp, key, b->voucher.voucher.payer, NULL), 0);
    voucher_digest(&b->voucher.voucher, d, digest);
    ck_assert_int_eq(secp_sign(secp, key, digest, b->voucher.signature, NULL), 0);
    b->has_voucher = !lie->no_voucher;
    memset(b->proof.voucher_digest, 0, HASH_BYTES);
    if (b->has_voucher)
        memcpy(b->proof.voucher_digest, digest, HASH_BYTES);
    statement_digest(&b->attribution.statement, d, digest);
    ck_assert_int_eq(secp_sign(secp, node_key, digest, b->attribution.signature.at, NULL), 0);
    proof_digest(&b->proof, d, digest);
    ck_assert_int_eq(secp_sign(secp, node_key, digest, b->signature, NULL), 0);
}

static char *text_of(const struct bundle *b)
{
    struct buf text;
    buf_init(&text, VERIFY_MAX_BUNDLE_BYTES);
    notation_write(&bundle_schema, b, &text);
    return buf_take(&text);
}

START_TEST(test_lies)
{
    struct chain_file chain;
    struct domains domains;
    struct secp *secp = secp_open((uint8_t[32]){1});
    json_t *recorded = vectors_load("tests/unit/data/verify/adapter.json");
    ck_assert_int_eq(chain_file_load("./tests/unit/data/verify/chain.json", &chain, NULL), 0);
    domains_make(chain.chain_id, chain_file_contract(&chain, "Settlement"), chain_file_contract(&chain, "Escrow"), &domains);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const struct lie *lie = &lies[i];
        struct bundle b, read;
        struct verify_report report;
        ck_assert_int_eq(notation_read(&bundle_schema, recorded, &b, NULL), 0);
        b.has_settlement = false;
        if (!lie->attributed) {
            b.has_attribution = false;
            memset(b.proof.attribution_policy, 0, 32);
            memset(b.proof.span_root, 0, 32);
        }
        lie->tell(&b);
        sign(secp, &domains, lie, &b);
        char *text = text_of(&b);
        verify_bundle(text, strlen(text), &chain, secp, &read, &report);
        for (int c = 0; c < VERIFY_POSITION; c++)
            ck_assert_msg((report.check[c].outcome == VERIFY_FAILED) == (lie->reason && c == (int)lie->check),
                          "lie %zu (%s): %s: %s", i, lie->reason ? lie->reason : "none",
                          verify_check_name((enum verify_check)c), report.check[c].reason);
        if (lie->reason)
            ck_assert_msg(strstr(report.check[lie->check].reason, lie->reason) != NULL, "%s: %s", lie->reason,
                          report.check[lie->check].reason);
        ck_assert_int_eq(verify_verdict(&report, &read), lie->reason ? VERDICT_INVALID : VERDICT_NOT_SETTLED);
        schema_free(&bundle_schema, &read);
        schema_free(&bundle_schema, &b);
        free(text);
    }
    json_decref(recorded);
    schema_free(&chain_file_schema, &chain);
    secp_close(secp);
}
END_TEST

int main(void) { return RUN_SUITE("verify_lies", test_lies); }
