/* The checks that need no chain, and the table that runs all of them; see verify.h. */
#include "chainlite/verify/verify_internal.h"

#include <stdio.h>
#include <string.h>

static int no(struct err *e, const char *reason) { return err_set(e, OL_EFORMAT, "verify", "%s", reason); }

static bool is_zero(const uint8_t hash[32])
{
    static const uint8_t zero[32];
    return memcmp(hash, zero, sizeof zero) == 0;
}

static int check_chain(struct verification *v, struct err *e)
{
    v->settlement = chain_file_contract(v->chain, "Settlement");
    v->escrow = chain_file_contract(v->chain, "Escrow");
    if (v->bundle->chain_id != v->chain->chain_id)
        return err_set(e, OL_EFORMAT, "verify", "the bundle is of chain %llu, %s is chain %llu; see --chain",
                       (unsigned long long)v->bundle->chain_id, v->chain->name, (unsigned long long)v->chain->chain_id);
    if (!v->settlement || !v->escrow)
        return err_set(e, OL_EFORMAT, "verify", "the data file of %s names no Settlement and Escrow", v->chain->name);
    domains_make(v->chain->chain_id, v->settlement, v->escrow, &v->domains);
    return 0;
}

static int check_signature(struct verification *v, struct err *e)
{
    const struct bundle *b = v->bundle;
    uint8_t digest[HASH_BYTES];
    proof_digest(&b->proof, &v->domains, digest);
    return signature_check(v->secp, digest, b->signature, b->proof.node, "the proof", e);
}

static const struct row_version *top_version(const struct bundle *b)
{
    return b->rows.has_adapter ? &b->rows.adapter : &b->rows.model;
}

static int check_rows(struct verification *v, struct err *e)
{
    const struct bundle *b = v->bundle;
    const struct bundle_rows *r = &b->rows;
    uint8_t model[32], adapter[32] = {0}, price[32], split[32];
    version_id(&r->model, model);
    if (r->has_adapter)
        version_id(&r->adapter, adapter);
    price_id(&r->price, price);
    split_id(&r->split, split);
    if (memcmp(model, b->proof.model_version, 32) != 0)
        return no(e, "model_version is not the row whose id is in the proof");
    if (memcmp(adapter, b->proof.adapter_version, 32) != 0)
        return no(e, "adapter_version is not the row whose id is in the proof");
    if (memcmp(price, b->proof.price_id, 32) != 0)
        return no(e, "price is not the row whose id is in the proof");
    if (memcmp(split, b->proof.split_id, 32) != 0)
        return no(e, "split is not the row whose id is in the proof");
    if (r->has_adapter && memcmp(r->adapter.base_version, model, 32) != 0)
        return no(e, "the adapter is not one of this model");
    if (memcmp(r->price.node, b->proof.node, ADDRESS_BYTES) != 0)
        return no(e, "the price is another node's");
    if (memcmp(r->price.version, r->has_adapter ? adapter : model, 32) != 0)
        return no(e, "the price is another version's");
    return 0;
}

static int check_request(struct verification *v, struct err *e)
{
    uint8_t hash[32];
    salted_hash(v->bundle->salt, v->bundle->request_body_hash, hash);
    return memcmp(hash, v->bundle->proof.request_hash, 32)
               ? no(e, "salt and request_body_hash do not give the proof's request_hash")
               : 0;
}

static int check_response(struct verification *v, struct err *e)
{
    uint8_t hash[32];
    response_hash(v->bundle->salt, v->bundle->response_text_hashes.at, v->bundle->response_text_hashes.n, hash);
    return memcmp(hash, v->bundle->proof.response_hash, 32)
               ? no(e, "salt and response_text_hashes do not give the proof's response_hash")
               : 0;
}

/* Before a payer has been charged anything in an epoch there may be no voucher: digest and cumulative are then 0. */
static int check_voucher(struct verification *v, struct err *e)
{
    const struct voucher *voucher = &v->bundle->voucher.voucher;
    const struct proof *p = &v->bundle->proof;
    uint8_t digest[HASH_BYTES];
    if (!v->bundle->has_voucher)
        return is_zero(p->voucher_digest) && p->payer_cumulative_wei == 0
                   ? 0
                   : no(e, "the voucher whose digest is in the proof is missing");
    voucher_digest(voucher, &v->domains, digest);
    if (memcmp(digest, p->voucher_digest, 32) != 0)
        return no(e, "the voucher is not the one whose digest is in the proof");
    if (memcmp(voucher->payer, p->payer, ADDRESS_BYTES) != 0)
        return no(e, "the voucher is another payer's");
    if (memcmp(voucher->node, p->node, ADDRESS_BYTES) != 0)
        return no(e, "the voucher is for another node");
    return 0;
}

static int check_voucher_signature(struct verification *v, struct err *e)
{
    const struct signed_voucher *voucher = &v->bundle->voucher;
    uint8_t digest[HASH_BYTES];
    if (!v->bundle->has_voucher)
        return 0; /* whether it may be missing is VERIFY_VOUCHER */
    voucher_digest(&voucher->voucher, &v->domains, digest);
    if (secp_recover(v->secp, digest, voucher->signature, v->report->voucher_signer, e))
        return err_prefix(e, "the voucher");
    v->report->other_signer = memcmp(v->report->voucher_signer, voucher->voucher.payer, ADDRESS_BYTES) != 0;
    return signature_check(v->secp, digest, voucher->signature, voucher->voucher.payer, "the voucher", e);
}

static int check_ceiling(struct verification *v, struct err *e)
{
    const struct proof *p = &v->bundle->proof;
    if (p->payer_cumulative_wei < p->fee_wei)
        return no(e, "the payer's cumulative is less than this fee");
    if (p->payer_previous >= p->sequence)
        return no(e, "the payer's previous receipt is not before this one");
    if (v->bundle->has_voucher && v->bundle->voucher.voucher.ceiling_wei < p->payer_cumulative_wei)
        return no(e, "the payer's cumulative exceeds the voucher's ceiling");
    return 0;
}

static int fee_by_rule(const struct bundle *b, struct fee *fee, struct err *e)
{
    const struct proof *p = &b->proof;
    return fee_of(&b->rows.price, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status,
                  fee, e);
}

static int check_price(struct verification *v, struct err *e)
{
    const struct proof *p = &v->bundle->proof;
    const struct row_price *price = &v->bundle->rows.price;
    struct fee fee;
    if (p->kind < KIND_CHAT || p->kind > KIND_COMPLETION || p->status < STATUS_STOP || p->status > STATUS_FAILED)
        return no(e, "a kind or status that the protocol does not have");
    if (price->effective_time > p->start_time_ms / 1000)
        return no(e, "the price was not in force yet when the request began");
    int rc = fee_by_rule(v->bundle, &fee, e);
    if (rc)
        return rc;
    if (fee.royalty_wei + fee.compute_wei != p->fee_wei) {
        char text[2][WEI_TEXT_BYTES];
        wei_format(fee.royalty_wei + fee.compute_wei, text[0]);
        wei_format(p->fee_wei, text[1]);
        return err_set(e, OL_EFORMAT, "verify", "the fee by the price is %s wei, the proof says %s", text[0], text[1]);
    }
    return 0;
}

int verification_parts(const struct verification *v, struct part out[MAX_PARTS_PER_RECEIPT], int *n, struct err *e)
{
    const struct bundle *b = v->bundle;
    struct fee fee;
    int rc = fee_by_rule(b, &fee, e);
    return rc ? rc
              : parts_of(&fee, &b->rows.split, top_version(b), b->rows.has_adapter ? &b->rows.model : NULL,
                         b->proof.node, out, n, e);
}

static bool same_part(const struct part *a, const struct part *b)
{
    return a->role == b->role && a->amount_wei == b->amount_wei &&
           memcmp(a->beneficiary, b->beneficiary, ADDRESS_BYTES) == 0;
}

static int check_split(struct verification *v, struct err *e)
{
    const struct part *said = v->bundle->parts.at;
    struct part parts[MAX_PARTS_PER_RECEIPT];
    int n;
    int rc = verification_parts(v, parts, &n, e);
    if (rc)
        return rc;
    if (v->bundle->parts.n != (size_t)n)
        return err_set(e, OL_EFORMAT, "verify", "%zu parts; the split gives %d", v->bundle->parts.n, n);
    for (int i = 0; i < n; i++)
        if (!same_part(&said[i], &parts[i]))
            return err_set(e, OL_EFORMAT, "verify", "part %d is not what the split gives", i + 1);
    return 0;
}

/* What comes later than the receipt: without it a check has nothing to say. */
enum stage { ALWAYS, OF_STATEMENT, OF_SETTLEMENT };

/* In the order of the output. `after`: the check whose result this one uses. */
static const struct {
    const char *name, *purpose;
    int (*run)(struct verification *, struct err *);
    enum verify_check after;
    enum stage stage;
} checks[VERIFY_CHECKS] = {
    [VERIFY_SCHEMA] = {"schema", "every field is known and well-formed", NULL, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_CHAIN] = {"chain", "the chain and its contracts", check_chain, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_SIGNATURE] = {"signature", "the node signed the proof", check_signature, VERIFY_CHAIN, ALWAYS},
    [VERIFY_ROWS] = {"rows", "versions, price and split are the proof's", check_rows, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_REQUEST] = {"request", "the request is the proof's", check_request, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_RESPONSE] = {"response", "the answer is the proof's", check_response, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_VOUCHER] = {"voucher", "the payer's voucher is the proof's", check_voucher, VERIFY_CHAIN, ALWAYS},
    [VERIFY_VOUCHER_SIGNATURE] = {"voucher_signature", "the payer signed the voucher", check_voucher_signature,
                                  VERIFY_CHAIN, ALWAYS},
    [VERIFY_CEILING] = {"ceiling", "the voucher covers the receipt", check_ceiling, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_PRICE] = {"price", "the fee is what the price says", check_price, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_SPLIT] = {"split", "the parts are what the split says", check_split, VERIFY_SCHEMA, ALWAYS},
    [VERIFY_POLICY] = {"policy", "the policy of attribution is the proof's", check_policy, VERIFY_ROWS, ALWAYS},
    [VERIFY_SPANS] = {"spans", "the spans are the proof's", check_spans, VERIFY_POLICY, ALWAYS},
    [VERIFY_SHARES] = {"shares", "the shares are the statement's and follow from the spans", check_shares, VERIFY_SPANS,
                       OF_STATEMENT},
    [VERIFY_STATEMENT] = {"statement", "the statement is of this receipt", check_statement, VERIFY_POLICY, OF_STATEMENT},
    [VERIFY_STATEMENT_SIGNATURE] = {"statement_signature", "the node signed the statement", check_statement_signature,
                                    VERIFY_CHAIN, OF_STATEMENT},
    [VERIFY_POSITION] = {"position", "the receipt's place in its batch", check_position, VERIFY_SCHEMA, OF_SETTLEMENT},
    [VERIFY_RECEIPT_PATH] = {"receipt_path", "the receipt is in the batch", check_receipt_path, VERIFY_SCHEMA,
                             OF_SETTLEMENT},
    [VERIFY_POSTINGS] = {"postings", "its parts are in the batch", check_postings, VERIFY_SCHEMA, OF_SETTLEMENT},
    [VERIFY_HEADER] = {"header", "the block's header has the block's hash", check_header, VERIFY_CHAIN, OF_SETTLEMENT},
    [VERIFY_ACCOUNT] = {"account_proof", "the contract is in the block's state", check_account, VERIFY_HEADER, OF_SETTLEMENT},
    [VERIFY_STORAGE] = {"storage_proof", "the batch's slot is in the contract", check_storage, VERIFY_ACCOUNT, OF_SETTLEMENT},
    [VERIFY_BATCH] = {"batch", "the slot holds this batch", check_batch, VERIFY_STORAGE, OF_SETTLEMENT},
    [VERIFY_BLOCK] = {"block", "the block is on the chain", NULL, VERIFY_SCHEMA, OF_SETTLEMENT},
};

const char *verify_check_name(enum verify_check c) { return checks[c].name; }
const char *verify_check_purpose(enum verify_check c) { return checks[c].purpose; }

static void set(struct verify_result *r, enum verify_outcome outcome, const char *reason)
{
    r->outcome = outcome;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static bool awaits_statement(const struct bundle *b)
{
    const struct bundle_attribution *a = &b->attribution;
    return b->has_attribution && !a->has_statement && !a->has_signature && a->shares.n == 0;
}

static void run(struct verification *v, enum verify_check c)
{
    struct verify_result *r = &v->report->check[c];
    struct err e = {0};
    char reason[VERIFY_REASON_BYTES];
    if (checks[c].stage == OF_SETTLEMENT && !v->bundle->has_settlement) {
        set(r, VERIFY_UNAVAILABLE, "the receipt is not settled yet: the bundle has no settlement");
    } else if (checks[c].stage == OF_STATEMENT && awaits_statement(v->bundle)) {
        set(r, VERIFY_UNAVAILABLE, "the statement is not signed yet: ask for the bundle again after the node's next batch");
    } else if (v->report->check[checks[c].after].outcome != VERIFY_OK) {
        snprintf(reason, sizeof reason, "it builds on \"%s\"", checks[checks[c].after].name);
        set(r, VERIFY_UNAVAILABLE, reason);
    } else if (!checks[c].run) {
        set(r, VERIFY_UNAVAILABLE, "only an endpoint of the chain can say; see --rpc");
    } else if (checks[c].run(v, &e)) {
        set(r, VERIFY_FAILED, e.message);
    } else {
        set(r, VERIFY_OK, "");
    }
}

void verify_bundle(const char *text, size_t n, const struct chain_file *chain, const struct secp *secp,
                   struct bundle *bundle, struct verify_report *report)
{
    struct err e = {0};
    struct verification v = {.bundle = bundle, .chain = chain, .secp = secp, .report = report};
    memset(report, 0, sizeof *report);
    if (n > VERIFY_MAX_BUNDLE_BYTES) {
        memset(bundle, 0, sizeof *bundle);
        set(&report->check[VERIFY_SCHEMA], VERIFY_FAILED, "the bundle is larger than 1 MiB");
    } else if (notation_parse(&bundle_schema, text, n, bundle, &e)) {
        set(&report->check[VERIFY_SCHEMA], VERIFY_FAILED, e.message);
    }
    bool readable = report->check[VERIFY_SCHEMA].outcome == VERIFY_OK;
    for (int c = VERIFY_SCHEMA + 1; c < VERIFY_CHECKS; c++) {
        if (readable)
            run(&v, (enum verify_check)c);
        else
            set(&report->check[c], VERIFY_UNAVAILABLE, "the bundle cannot be read");
    }
}

enum verify_verdict verify_verdict(const struct verify_report *report, const struct bundle *bundle)
{
    for (int c = 0; c < VERIFY_CHECKS; c++)
        if (report->check[c].outcome == VERIFY_FAILED)
            return VERDICT_INVALID;
    return bundle->has_settlement ? VERDICT_VALID : VERDICT_NOT_SETTLED;
}
