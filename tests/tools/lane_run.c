/* The lane on a real outbox as a program, without openlorad: receipts are signed here as the recorder would sign them.
 *
 *   lane_run CONFIG.json       each line of standard input is a command, its answer one line of JSON
 *
 *   payers N             addresses of the first N payers (their keys follow from their numbers)
 *   record N P [C]       N receipts, payers 0 … P-1 in turn, C of them in one write (0: all)
 *   epoch                opens a new epoch
 *   base I WEI           payer I starts from this much claimed (a new epoch, docs/protocol.md §3)
 *   receipts EPOCH       [epoch, sequence, payer, fee, state, settled, dead letter] of each
 *   settlement E S       what a bundle says of receipt S of epoch E
 *   gradients E S        half of what is open in receipt S to one contributor, a quarter to another: the API's result
 *   statements E         those that were signed, as a body lists them
 *   weigh RAW            a signed transaction's bytes, compressed bytes and weight on L1 (Fjord)
 *   retry | status | pending | batches | step (only with "manual": true)
 *   quit                 stops as a daemon does
 *
 * With versions of kind policy behind model and adapter, three of four receipts have spans and the policy of their version.
 *
 * CONFIG: {"folder","urls":[…],"quorum","chain_id","settlement","escrow","registry","window_s","node_key",
 * "versions":[…],"prices":[…],"splits":[…] and any of "batch_receipts","batch_age_s","claims_per_tx","max_fee_wei","max_tip_wei",
 * "daily_limit_wei","poll_ms","bump_blocks","open_epochs","finalise","manual","warn_batches","ceiling_slack_wei"}. */
#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/fees.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/notation.h"
#include "chainlite/settle/batch_list.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/lane.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 16, MAX_URLS = 8 };

struct rows {
    struct row_version version[MAX_ROWS];
    struct row_price price[MAX_ROWS];
    struct row_split split[MAX_ROWS];
    uint8_t version_id[MAX_ROWS][32], price_id[MAX_ROWS][32], split_id[MAX_ROWS][32];
    size_t versions, prices, splits;
};

struct session {
    json_t *config;
    struct rows rows;
    struct secp *secp;
    uint8_t secret[SECRET_BYTES], node[ADDRESS_BYTES];
    struct domains domains;
    struct outbox *outbox;
    struct statements *statements;
    struct lane *lane;
    wei_t slack_wei;
    uint64_t recorded;
};

static _Noreturn void die(const char *what, const struct err *e)
{
    fprintf(stderr, "lane_run: %s: %s\n", what, e ? e->message : "");
    exit(1);
}

static int find_id(const uint8_t (*ids)[32], size_t n, const uint8_t id[32], size_t *at, struct err *e)
{
    for (*at = 0; *at < n; ++*at)
        if (memcmp(ids[*at], id, 32) == 0)
            return 0;
    return err_set(e, OL_ENOTFOUND, "rows", "no such row");
}

static int find_version(void *user, const uint8_t id[32], struct row_version *out, struct err *e)
{
    struct rows *r = user;
    size_t at;
    int rc = find_id((const uint8_t(*)[32])r->version_id, r->versions, id, &at, e);
    if (!rc)
        *out = r->version[at];
    return rc;
}

static int find_price(void *user, const uint8_t id[32], struct row_price *out, struct err *e)
{
    struct rows *r = user;
    size_t at;
    int rc = find_id((const uint8_t(*)[32])r->price_id, r->prices, id, &at, e);
    if (!rc)
        *out = r->price[at];
    return rc;
}

static int find_split(void *user, const uint8_t id[32], struct row_split *out, struct err *e)
{
    struct rows *r = user;
    size_t at;
    int rc = find_id((const uint8_t(*)[32])r->split_id, r->splits, id, &at, e);
    if (!rc)
        *out = r->split[at];
    return rc;
}

static bool nth_price(void *user, size_t index, struct row_price *out)
{
    struct rows *r = user;
    if (index < r->prices)
        *out = r->price[index];
    return index < r->prices;
}

#define READ_ROWS(S, KEY, SCHEMA, ROW, ID, COUNT, ID_OF)                                                               \
    do {                                                                                                               \
        size_t i_;                                                                                                     \
        json_t *row_;                                                                                                  \
        json_array_foreach (json_object_get((S)->config, KEY), i_, row_) {                                             \
            struct err e_ = {0};                                                                                       \
            if (notation_read(&SCHEMA, row_, &(S)->rows.ROW[i_], &e_))                                                 \
                die(KEY, &e_);                                                                                         \
            ID_OF(&(S)->rows.ROW[i_], (S)->rows.ID[i_]);                                                               \
            (S)->rows.COUNT++;                                                                                         \
        }                                                                                                              \
    } while (0)

static void read_hex(const struct session *s, const char *key, void *out, size_t n)
{
    const char *text = json_string_value(json_object_get(s->config, key));
    if (!text || !hex_decode(text, out, n))
        die(key, NULL);
}

static uint64_t number(const struct session *s, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(s->config, key));
}

static wei_t wei(const struct session *s, const char *key)
{
    wei_t out = 0;
    const char *text = json_string_value(json_object_get(s->config, key));
    if (text && !wei_parse(text, &out))
        die(key, NULL);
    return out;
}

static int sign(void *user, const struct tx *tx, uint8_t *out, size_t cap, size_t *len, uint8_t hash[HASH_BYTES],
                struct err *e)
{
    struct session *s = user;
    return tx_sign(tx, s->secp, s->secret, out, cap, len, hash, e);
}

static int sign_statement(void *user, const uint8_t digest[HASH_BYTES], uint8_t signature[SIGNATURE_BYTES], struct err *e)
{
    const struct session *s = user;
    return secp_sign(s->secp, s->secret, digest, signature, e);
}

static void payer_key(size_t i, uint8_t secret[SECRET_BYTES])
{
    char name[32];
    int n = snprintf(name, sizeof name, "payer %zu", i);
    keccak256(name, (size_t)n, secret);
}

static int sign_voucher(struct session *s, const struct proof *p, size_t payer, struct outbox_receipt *r, struct err *e)
{
    uint8_t secret[SECRET_BYTES];
    payer_key(payer, secret);
    struct voucher *v = &r->voucher.voucher;
    memcpy(v->payer, p->payer, ADDRESS_BYTES);
    memcpy(v->node, p->node, ADDRESS_BYTES);
    v->ceiling_wei = p->payer_cumulative_wei + s->slack_wei;
    memcpy(v->request_hash, p->request_hash, 32);
    voucher_digest(v, &s->domains, r->proof.voucher_digest);
    return secp_sign(s->secp, secret, r->proof.voucher_digest, r->voucher.signature, e);
}

/* ---- attributions as openlorad might find them */

enum { SPANS = 3 };

/* A third of the answer each, half of it owned: by a contributor, by one of three, by nobody. */
static struct outbox_attribution make_attribution(const struct proof *p, struct receipt_span spans[SPANS])
{
    static const uint8_t policy[32];
    uint32_t tokens = p->output_tokens, owned = tokens / (2 * SPANS);
    struct outbox_attribution a = {.answer_tokens = tokens, .open_tokens = tokens - SPANS * owned - tokens / 10};
    memset(spans, 0, SPANS * sizeof *spans);
    for (uint32_t k = 0; k < SPANS && owned; k++) {
        spans[k] = (struct receipt_span){.start = k * (tokens / SPANS), .tokens = owned, .row = k, .offset = tokens,
                                         .millibits = 1000 * owned};
        keccak256(&k, sizeof k, spans[k].contribution);
        spans[k].beneficiary[0] = k == 0 ? 0xc1 : k == 1 ? (uint8_t)(0xc2 + p->sequence % 3) : 0;
    }
    a.spans = (struct list){spans, memcmp(p->attribution_policy, policy, 32) != 0 && owned ? SPANS : 0};
    return a;
}

/* Of receipt `sequence`, if its version has a policy. */
static void attribute(const struct rows *rows, struct proof *p)
{
    static const uint8_t none[32];
    const uint8_t *top = memcmp(p->adapter_version, none, 32) ? p->adapter_version : p->model_version;
    struct receipt_span spans[SPANS];
    struct sumnode nodes[SPANS];
    for (size_t i = 2; i < rows->versions && p->sequence % 4 != 0; i++)
        if (memcmp(rows->version[i].base_version, top, 32) == 0)
            memcpy(p->attribution_policy, rows->version_id[i], 32);
    struct outbox_attribution a = make_attribution(p, spans);
    spans_root(spans, a.spans.n, nodes, p->span_root);
}

static void put_attribution(struct outbox_write *w, const struct proof *p)
{
    static const uint8_t none[32];
    struct receipt_span spans[SPANS];
    struct outbox_attribution a = make_attribution(p, spans);
    if (memcmp(p->attribution_policy, none, 32) != 0)
        outbox_put_attribution(w, p->epoch, p->sequence, &a);
}

static json_t *gradients(struct session *s, uint64_t epoch, uint64_t sequence, struct err *e)
{
    struct outbox_receipt r;
    struct receipt_span spans[SPANS];
    struct gradient_result result = {0};
    if (outbox_receipt(s->outbox, epoch, sequence, &r, e))
        return NULL;
    struct outbox_attribution a = make_attribution(&r.proof, spans);
    uint32_t open = units_of_tokens(a.open_tokens, a.answer_tokens);
    struct gradient_units g[] = {{{0xc1}, open / 4}, {{0xc9}, open / 2}};
    struct gradient_request q = {.query_hash = {1}, .gradient = {g, 2}};
    memcpy(q.receipt_id, r.proof.receipt_id, 32);
    return statements_gradients(s->statements, &q, &result, 1, e)
               ? NULL : json_pack("{s:s}", "result", result.code ? result.code : "ok");
}

static int list_statement(void *user, const struct signed_statement *s)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    notation_write(&signed_statement_schema, s, &text);
    json_array_append_new(user, json_loads(buf_str(&text), 0, NULL));
    buf_deinit(&text);
    return 0;
}

static json_t *statements(struct session *s, uint64_t epoch, struct err *e)
{
    json_t *list = json_array();
    if (outbox_statements(s->outbox, epoch, 0, UINT64_MAX, list_statement, list, e) == 0)
        return json_pack("{s:o}", "statements", list);
    json_decref(list);
    return NULL;
}

/* ---- receipts as the recorder makes them */

static int make_receipt(struct session *s, uint64_t epoch, uint64_t sequence, size_t payer, struct outbox_payer *row,
                        struct outbox_receipt *r, struct err *e)
{
    struct proof *p = &r->proof;
    *r = (struct outbox_receipt){.recorded_ms = (uint64_t)clock_unix_ms()};
    uint8_t seed[2 * sizeof(uint64_t)], digest[HASH_BYTES];
    struct fee fee;
    bool adapter = sequence % 3 == 0 && s->rows.versions > 1;
    memcpy(seed, &epoch, 8);
    memcpy(seed + 8, &sequence, 8);
    keccak256(seed, sizeof seed, p->receipt_id);
    keccak256(p->receipt_id, 32, p->request_hash);
    keccak256(p->request_hash, 32, p->response_hash);
    memcpy(p->node, s->node, ADDRESS_BYTES);
    p->epoch = epoch;
    p->sequence = sequence;
    memcpy(p->model_version, s->rows.version_id[0], 32);
    if (adapter)
        memcpy(p->adapter_version, s->rows.version_id[1], 32);
    size_t price = adapter ? 1 : 0;
    memcpy(p->price_id, s->rows.price_id[price], 32);
    memcpy(p->split_id, s->rows.split_id[0], 32);
    memcpy(p->payer, row->payer, ADDRESS_BYTES);
    p->kind = KIND_CHAT;
    p->status = sequence % 11 == 0 ? STATUS_FAILED : STATUS_STOP;
    p->start_time_ms = r->recorded_ms;
    p->prompt_tokens = 20 + (uint32_t)(sequence % 200);
    p->cached_tokens = (uint32_t)(sequence % 20);
    p->output_tokens = 1 + (uint32_t)(sequence * 7 % 300);
    p->mean_logprob_micro = -(int32_t)(sequence % 1000000);
    int rc = fee_of(&s->rows.price[price], p->prompt_tokens, p->cached_tokens, p->output_tokens,
                    (enum proof_status)p->status, &fee, e);
    if (rc)
        return rc;
    p->fee_wei = fee.royalty_wei + fee.compute_wei;
    p->payer_previous = row->epoch == epoch ? row->last_sequence : 0;
    p->payer_cumulative_wei = row->cumulative_wei + p->fee_wei;
    attribute(&s->rows, p);
    rc = sign_voucher(s, p, payer, r, e);
    if (rc)
        return rc;
    proof_digest(p, &s->domains, digest);
    row->epoch = epoch;
    row->last_sequence = sequence;
    row->cumulative_wei = p->payer_cumulative_wei;
    return secp_sign(s->secp, s->secret, digest, r->signature, e);
}

static int payer_row(struct session *s, size_t i, struct outbox_payer *out, struct err *e)
{
    uint8_t secret[SECRET_BYTES], address[ADDRESS_BYTES];
    payer_key(i, secret);
    int rc = secp_address(s->secp, secret, address, e);
    if (rc)
        return rc;
    rc = outbox_payer(s->outbox, address, out, e);
    if (rc == OL_ENOTFOUND) {
        *out = (struct outbox_payer){0};
        memcpy(out->payer, address, ADDRESS_BYTES);
        rc = 0;
    }
    return rc;
}

static json_t *set_base(struct session *s, size_t payer, const char *text, struct err *e)
{
    struct outbox_payer row;
    struct outbox_write *w;
    wei_t claimed_wei;
    int rc = wei_parse(text, &claimed_wei) ? payer_row(s, payer, &row, e)
                                           : err_set(e, OL_EINVAL, "lane_run", "not an amount: %s", text);
    if (!rc)
        rc = outbox_begin(s->outbox, &w, e);
    if (rc)
        return NULL;
    row.base_wei = row.cumulative_wei = claimed_wei;
    outbox_put_payer(w, &row);
    return outbox_commit(w, e) ? NULL : json_pack("{s:b}", "ok", 1);
}

/* `n` receipts in one write. */
static int record_some(struct session *s, uint64_t n, size_t payers, struct err *e)
{
    uint64_t epoch, last;
    struct outbox_write *w;
    int rc = lane_may_record(s->lane, &epoch, e);
    if (rc)
        return rc;
    rc = outbox_receipt_last(s->outbox, epoch, &last, e);
    if (rc == OL_ENOTFOUND)
        last = 0;
    else if (rc)
        return rc;
    struct outbox_payer *rows = calloc(payers, sizeof *rows);
    rc = rows ? outbox_begin(s->outbox, &w, e) : OL_ENOMEM;
    if (rc) {
        free(rows);
        return rc;
    }
    for (size_t i = 0; i < payers && !rc; i++)
        rc = payer_row(s, i, &rows[i], e);
    for (uint64_t i = 0; i < n && !rc; i++) {
        struct outbox_receipt r;
        size_t payer = (size_t)((last + 1 + i) % payers);
        rc = make_receipt(s, epoch, last + 1 + i, payer, &rows[payer], &r, e);
        if (!rc) {
            outbox_put_receipt(w, &r);
            put_attribution(w, &r.proof);
        }
    }
    for (size_t i = 0; i < payers && !rc; i++)
        outbox_put_payer(w, &rows[i]);
    if (rc)
        outbox_cancel(w);
    else
        rc = outbox_commit(w, e);
    free(rows);
    s->recorded += rc ? 0 : n;
    return rc;
}

static json_t *record(struct session *s, uint64_t n, size_t payers, uint64_t at_once, struct err *e)
{
    int rc = 0;
    int64_t start_ns = clock_mono_ns();
    at_once = at_once ? at_once : n;
    for (uint64_t done = 0; done < n && !rc; done += at_once)
        rc = record_some(s, n - done < at_once ? n - done : at_once, payers, e);
    lane_wake(s->lane);
    return rc ? NULL
              : json_pack("{s:I,s:I}", "recorded", (json_int_t)s->recorded, "took_ms",
                          (json_int_t)((clock_mono_ns() - start_ns) / 1000000));
}

/* ---- what is in the outbox, for the tests' books */

struct listing {
    struct session *s;
    json_t *list;
    uint64_t expected;
    bool gap;
};

static int list_receipt(void *user, const struct outbox_receipt *r)
{
    struct listing *l = user;
    struct outbox_batch batch;
    struct outbox_dead dead;
    char fee[WEI_TEXT_BYTES], payer[ADDRESS_TEXT_BYTES];
    if (r->proof.sequence != l->expected)
        l->gap = true;
    l->expected = r->proof.sequence + 1;
    int rc = outbox_batch_of(l->s->outbox, r->proof.epoch, r->proof.sequence, &batch, NULL);
    bool is_dead = outbox_dead(l->s->outbox, r->proof.epoch, r->proof.sequence, &dead, NULL) == 0;
    bool settled = !rc && batch.batch.epoch == r->proof.epoch && batch_settles(&batch, r->proof.sequence);
    wei_format(r->proof.fee_wei, fee);
    address_format(r->proof.payer, payer);
    return json_array_append_new(
        l->list, json_pack("[I,I,s,s,s,b,s]", (json_int_t)r->proof.epoch, (json_int_t)r->proof.sequence, payer, fee,
                           rc ? "recorded" : outbox_batch_state_name((enum outbox_batch_state)batch.state), settled,
                           is_dead ? dead.code : ""));
}

static json_t *receipts(struct session *s, uint64_t epoch, struct err *e)
{
    struct listing l = {s, json_array(), 1, false};
    int rc = outbox_receipts(s->outbox, epoch, 1, UINT64_MAX, list_receipt, &l, e);
    if (!rc && l.gap)
        rc = err_set(e, OL_EFORMAT, "lane_run", "a gap in the sequence");
    if (rc) {
        json_decref(l.list);
        return NULL;
    }
    return json_pack("{s:o}", "receipts", l.list);
}

static json_t *payers(struct session *s, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        uint8_t secret[SECRET_BYTES], address[ADDRESS_BYTES];
        char text[ADDRESS_TEXT_BYTES];
        payer_key(i, secret);
        if (secp_address(s->secp, secret, address, NULL))
            die("a payer's key", NULL);
        address_format(address, text);
        json_array_append_new(list, json_string(text));
    }
    return json_pack("{s:o}", "payers", list);
}

static json_t *settlement(struct session *s, uint64_t epoch, uint64_t sequence, struct err *e)
{
    enum { MAX_BYTES = 1 << 20 };
    struct outbox_receipt r;
    struct outbox_batch b;
    struct buf text;
    buf_init(&text, MAX_BYTES);
    int rc = outbox_receipt(s->outbox, epoch, sequence, &r, e);
    if (!rc)
        rc = outbox_batch_of(s->outbox, epoch, sequence, &b, e);
    if (!rc)
        rc = lane_settlement(s->lane, &r, &b, &text, e);
    json_t *out = rc ? NULL : json_loads(buf_str(&text), 0, NULL);
    buf_deinit(&text);
    return out;
}

static json_t *weigh(const char *hex, struct err *e)
{
    size_t n = strlen(hex) / 2 - (strncmp(hex, "0x", 2) == 0);
    uint8_t *raw = malloc(n + 1);
    if (!raw || !hex_decode(hex, raw, n)) {
        free(raw);
        err_set(e, OL_EFORMAT, "lane_run", "not hexadecimal");
        return NULL;
    }
    uint32_t flz = fees_flz_bytes(raw, n);
    free(raw);
    return json_pack("{s:I,s:I,s:I}", "bytes", (json_int_t)n, "flz_bytes", (json_int_t)flz, "da_bytes",
                     (json_int_t)(fees_da_size_e6(flz) / 1000000));
}

static json_t *answer(struct session *s, const char *line, struct err *e)
{
    unsigned long long a = 0, b = 0, c = 0;
    if (sscanf(line, "payers %llu", &a) == 1)
        return payers(s, (size_t)a);
    if (sscanf(line, "record %llu %llu %llu", &a, &b, &c) >= 2)
        return record(s, a, (size_t)b, c, e);
    if (sscanf(line, "receipts %llu", &a) == 1)
        return receipts(s, a, e);
    char amount[WEI_TEXT_BYTES];
    if (sscanf(line, "base %llu %39s", &a, amount) == 2)
        return set_base(s, (size_t)a, amount, e);
    if (strncmp(line, "weigh ", 6) == 0)
        return weigh(line + 6, e);
    if (sscanf(line, "settlement %llu %llu", &a, &b) == 2)
        return settlement(s, a, b, e);
    if (sscanf(line, "gradients %llu %llu", &a, &b) == 2)
        return gradients(s, a, b, e);
    if (sscanf(line, "statements %llu", &a) == 1)
        return statements(s, a, e);
    if (strcmp(line, "status") == 0)
        return lane_status_json(s->lane);
    if (strcmp(line, "pending") == 0)
        return lane_pending_json(s->lane);
    if (strcmp(line, "batches") == 0) {
        char bodies[4096];
        snprintf(bodies, sizeof bodies, "%s/bodies", json_string_value(json_object_get(s->config, "folder")));
        return batch_list_json(s->outbox, bodies, 1, UINT64_MAX);
    }
    int rc = OL_EINVAL;
    if (strcmp(line, "epoch") == 0) {
        lane_open_epoch(s->lane);
        rc = 0;
    } else if (strcmp(line, "retry") == 0) {
        rc = lane_retry(s->lane, e);
    } else if (strcmp(line, "step") == 0) {
        rc = lane_step(s->lane, e);
    } else {
        err_set(e, OL_EINVAL, "usage", "no such command: see lane_run.c");
    }
    return rc ? NULL : json_pack("{s:b}", "ok", 1);
}

static void configure(struct session *s, struct lane_config *c, const char **urls)
{
    size_t i;
    json_t *url;
    json_array_foreach (json_object_get(s->config, "urls"), i, url)
        urls[i] = json_string_value(url);
    c->rpc = (struct rpc_config){.urls = urls,
                                 .n_urls = json_array_size(json_object_get(s->config, "urls")),
                                 .quorum = (unsigned)number(s, "quorum"),
                                 .chain_id = number(s, "chain_id"),
                                 .max_head_lag = 64,
                                 .timeout_ms = 3000};
    read_hex(s, "settlement", c->settlement, ADDRESS_BYTES);
    read_hex(s, "escrow", c->escrow, ADDRESS_BYTES);
    read_hex(s, "registry", c->registry, ADDRESS_BYTES);
    memcpy(c->node, s->node, ADDRESS_BYTES);
    c->window_s = number(s, "window_s");
    c->folder = json_string_value(json_object_get(s->config, "folder"));
    c->secp = s->secp;
    c->sign = sign;
    c->sign_user = s;
    c->rows = (struct row_source){&s->rows, find_version, find_price, find_split, nth_price};
    c->batch_receipts = (uint32_t)number(s, "batch_receipts");
    c->batch_age_s = number(s, "batch_age_s");
    c->claims_per_tx = (uint32_t)number(s, "claims_per_tx");
    c->fees = (struct fee_caps){.max_tip_wei = wei(s, "max_tip_wei"), .max_fee_wei = wei(s, "max_fee_wei")};
    c->daily_limit_wei = wei(s, "daily_limit_wei");
    c->poll_ms = (uint32_t)number(s, "poll_ms");
    c->bump_blocks = (uint32_t)number(s, "bump_blocks");
    c->warn_batches = (uint32_t)number(s, "warn_batches");
    c->open_epochs = json_is_true(json_object_get(s->config, "open_epochs"));
    c->finalise = json_is_true(json_object_get(s->config, "finalise"));
    s->slack_wei = wei(s, "ceiling_slack_wei");
}

int main(int argc, char **argv)
{
    static struct session s; /* large */
    struct err e = {0};
    const char *urls[MAX_URLS];
    struct lane_config config = {0};
    char path[4096], *line = NULL;
    size_t cap = 0;
    if (argc != 2 || !(s.config = json_load_file(argv[1], 0, NULL)) || !crash_points_arm())
        die("usage: lane_run CONFIG.json", NULL);
    log_set_level(getenv("LANE_RUN_DEBUG") ? LOG_DEBUG : LOG_INFO);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    s.secp = secp_open((const uint8_t[32]){1});
    READ_ROWS(&s, "versions", version_schema, version, version_id, versions, version_id);
    READ_ROWS(&s, "prices", price_schema, price, price_id, prices, price_id);
    READ_ROWS(&s, "splits", split_schema, split, split_id, splits, split_id);
    read_hex(&s, "node_key", s.secret, SECRET_BYTES);
    if (secp_address(s.secp, s.secret, s.node, &e))
        die("node_key", &e);
    configure(&s, &config, urls);
    domains_make(config.rpc.chain_id, config.settlement, config.escrow, &s.domains);
    snprintf(path, sizeof path, "%s/outbox", config.folder);
    struct outbox_config outbox = {.path = path};
    struct statements_config signing = {.domains = s.domains, .sign = sign_statement, .user = &s};
    if (outbox_open(&outbox, &s.outbox, &e))
        die("opening", &e);
    signing.outbox = s.outbox;
    if (statements_open(&signing, &s.statements, &e))
        die("opening", &e);
    config.statements = s.statements;
    if (lane_open(&config, s.outbox, &s.lane, &e) ||
        (!json_is_true(json_object_get(s.config, "manual")) && lane_start(s.lane, &e)))
        die("opening", &e);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0 && strcmp(line, "quit\n") != 0;) {
        line[n - 1] = 0;
        e = (struct err){0};
        json_t *out = answer(&s, line, &e);
        if (!out)
            out = json_pack("{s:s}", "error", e.message);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(out);
    }
    lane_stop(s.lane);
    lane_close(s.lane);
    statements_close(s.statements);
    outbox_close(s.outbox);
    secp_close(s.secp);
    json_decref(s.config);
    free(line);
    return 0;
}
