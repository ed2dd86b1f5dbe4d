/* The light client and the sender as a program: each line of standard input is a question, its answer one line of JSON.
 *
 *   light_read [--op 1] [--k N] [--chain-id N] [--age S] [--lag N] [--timeout-ms N] [--max-bytes N] URL...
 *
 *   check | head latest|safe|finalized | at NUMBER | of HASH | storage ADDRESS SLOT... | proof ADDRESS SLOT... |
 *   account ADDRESS | code ADDRESS | send RAW | nonce ADDRESS | fees MAX_TIP MAX_FEE | gas FROM TO DATA CEILING |
 *   receipt HASH | status
 * On an L1: anchors SYSTEM_CONFIG FACTORY REGISTRY LAYOUT DELAY_S, then signer | find TYPE ROOT NUMBER | anchor |
 *   game ADDRESS | raise GAME HEADER_RLP
 *
 * Reads after head, at or of are of that block. A refusal is {"error": its name, "code", "message"}. */
#include "base/log.h"
#include "chainlite/core/hex.h"
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/sender.h"
#include "chainlite/rpc/trust.h"

#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = LIGHT_MAX_SLOTS + 2, MAX_TX_BYTES = 1 << 17 };

struct session {
    struct rpc *rpc;
    struct light *light;
    struct light_head head;
    struct trust_anchors anchors;
    char *words[MAX_WORDS];
    size_t n_words;
};

static const struct header_rules op_mainnet = {
    true, {0, 1704992401, 1710374401, 1736445601, 1746806401, 1764691201, 1783526401}};

static const char *word(const struct session *s, size_t i) { return i < s->n_words ? s->words[i] : ""; }

static bool word_bytes(const struct session *s, size_t i, uint8_t *out, size_t n)
{
    return hex_decode(word(s, i), out, n);
}

static int bad_line(struct err *e) { return err_set(e, OL_EINVAL, "usage", "bad_question: see light_read.c"); }

static json_t *wei_json(wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    return json_string(text);
}

static int show_head(const struct session *s, json_t **out)
{
    const struct light_head *h = &s->head;
    *out = json_pack("{s:I,s:o,s:o,s:I,s:s,s:i,s:I,s:o,s:o}", "number", (json_int_t)h->number, "hash",
                     json_hex(h->hash, 32), "state_root", json_hex(h->state_root, 32), "timestamp",
                     (json_int_t)h->timestamp, "trust", trust_level_name(h->trust), "endpoints", (int)h->endpoints,
                     "age_s", (json_int_t)light_age_s(h), "base_fee", wei_json(h->base_fee_wei), "rlp",
                     json_hex(h->rlp, h->rlp_len));
    return OL_OK;
}

static int read_head(struct session *s, json_t **out, struct err *e)
{
    static const char *const tags[] = {"latest", "safe", "finalized"};
    uint8_t hash[HASH_BYTES];
    int rc = bad_line(e);
    if (!strcmp(s->words[0], "at"))
        rc = light_head_at(s->light, strtoull(word(s, 1), NULL, 10), &s->head, e);
    else if (!strcmp(s->words[0], "of") && word_bytes(s, 1, hash, sizeof hash))
        rc = light_head_of(s->light, hash, &s->head, e);
    for (int i = 0; !strcmp(s->words[0], "head") && i < 3; i++)
        if (!strcmp(word(s, 1), tags[i]))
            rc = light_head(s->light, (enum light_tag)i, &s->head, e);
    return rc ? rc : show_head(s, out);
}

static json_t *nodes_json(const struct light_nodes *nodes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < nodes->n; i++)
        json_array_append_new(list, json_hex(nodes->node[i].data, nodes->node[i].len));
    return list;
}

static int read_storage(struct session *s, json_t **out, struct err *e)
{
    static uint8_t slots[LIGHT_MAX_SLOTS][32], values[LIGHT_MAX_SLOTS][32];
    uint8_t address[ADDRESS_BYTES];
    struct light_proof proof = {0};
    size_t n = s->n_words - 2;
    if (s->n_words < 3 || !word_bytes(s, 1, address, sizeof address))
        return bad_line(e);
    for (size_t i = 0; i < n; i++)
        if (!word_bytes(s, 2 + i, slots[i], 32))
            return bad_line(e);
    int rc = light_storage(s->light, &s->head, address, (const uint8_t(*)[32])slots, n, values, &proof, e);
    if (rc)
        return rc;
    json_t *list = json_array(), *proofs = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_hex(values[i], 32));
        json_array_append_new(proofs, nodes_json(&proof.storage[i]));
    }
    *out = json_pack("{s:o,s:I}", "values", list, "number", (json_int_t)s->head.number);
    if (!strcmp(s->words[0], "proof")) {
        json_object_set_new(*out, "account_proof", nodes_json(&proof.account));
        json_object_set(*out, "storage_proof", proofs);
    }
    json_decref(proofs);
    light_proof_deinit(&proof);
    return OL_OK;
}

static int read_account(struct session *s, json_t **out, struct err *e)
{
    uint8_t address[ADDRESS_BYTES];
    struct mpt_account account;
    if (!word_bytes(s, 1, address, sizeof address))
        return bad_line(e);
    int rc = light_account(s->light, &s->head, address, &account, NULL, e);
    if (!rc)
        *out = json_pack("{s:b,s:I,s:o}", "exists", account.exists, "nonce", (json_int_t)account.nonce, "balance",
                         json_hex(account.balance_wei, 32));
    return rc;
}

static int read_code(struct session *s, json_t **out, struct err *e)
{
    uint8_t address[ADDRESS_BYTES];
    struct buf code;
    if (!word_bytes(s, 1, address, sizeof address))
        return bad_line(e);
    buf_init(&code, 1 << 20);
    int rc = light_code(s->light, &s->head, address, &code, e);
    if (!rc)
        *out = json_pack("{s:o}", "code", json_hex(code.data, code.len));
    buf_deinit(&code);
    return rc;
}

static int do_send(struct session *s, json_t **out, struct err *e)
{
    static uint8_t raw[MAX_TX_BYTES];
    struct send_result r;
    size_t n = strlen(word(s, 1)) / 2 - 1;
    if (s->n_words < 2 || n > sizeof raw || !word_bytes(s, 1, raw, n))
        return bad_line(e);
    int rc = sender_send(s->rpc, raw, n, &r, e);
    json_t *each = json_array();
    for (size_t i = 0; i < r.n; i++)
        json_array_append_new(each, json_string(send_class_name(r.of[i].outcome)));
    *out = json_pack("{s:s,s:i,s:b,s:o}", "outcome", send_class_name(r.outcome), "accepted", (int)r.accepted,
                     "uncertain", r.uncertain, "each", each);
    return rc;
}

static int read_nonce(struct session *s, json_t **out, struct err *e)
{
    uint8_t address[ADDRESS_BYTES];
    struct sender_nonce nonce;
    if (!word_bytes(s, 1, address, sizeof address))
        return bad_line(e);
    int rc = sender_nonce(s->rpc, address, &nonce, e);
    if (!rc)
        *out = json_pack("{s:I,s:I,s:I}", "latest", (json_int_t)nonce.latest, "pending", (json_int_t)nonce.pending,
                         "pending_agreed", (json_int_t)nonce.pending_agreed);
    return rc;
}

static int read_fees(struct session *s, json_t **out, struct err *e)
{
    struct fee_caps caps = {0};
    struct fee_suggestion fees;
    if (!wei_parse(word(s, 1), &caps.max_tip_wei) || !wei_parse(word(s, 2), &caps.max_fee_wei))
        return bad_line(e);
    int rc = sender_fees(s->rpc, &s->head, &caps, &fees, e);
    if (!rc)
        *out = json_pack("{s:o,s:o,s:o}", "base_fee", wei_json(fees.base_fee_wei), "tip", wei_json(fees.tip_wei),
                         "fee_cap", wei_json(fees.fee_cap_wei));
    return rc;
}

static int read_gas(struct session *s, json_t **out, struct err *e)
{
    static uint8_t data[MAX_TX_BYTES];
    struct sender_call call = {.data = data, .data_len = strlen(word(s, 3)) / 2 - 1};
    struct gas_estimate gas;
    if (s->n_words < 5 || !word_bytes(s, 1, call.from, sizeof call.from) || !word_bytes(s, 2, call.to, sizeof call.to) ||
        call.data_len > sizeof data || !word_bytes(s, 3, data, call.data_len))
        return bad_line(e);
    int rc = sender_estimate_gas(s->rpc, &call, 20, strtoull(word(s, 4), NULL, 10), &gas, e);
    if (!rc)
        *out = json_pack("{s:I,s:I,s:b,s:s,s:s}", "gas", (json_int_t)gas.gas, "floor", (json_int_t)gas.floor, "reverts",
                         gas.reverts, "why", gas.why, "revert_data", gas.revert_data);
    return rc;
}

static int read_receipt(struct session *s, json_t **out, struct err *e)
{
    static const char *const where[] = {"unknown", "pending", "mined"};
    uint8_t hash[HASH_BYTES];
    struct tx_receipt r;
    if (!word_bytes(s, 1, hash, sizeof hash))
        return bad_line(e);
    int rc = sender_receipt(s->rpc, hash, &r, e);
    if (!rc)
        *out = json_pack("{s:s,s:i,s:I,s:o,s:b,s:I,s:o,s:b,s:o}", "where", where[r.where], "endpoints", (int)r.endpoints,
                         "block_number", (json_int_t)r.block_number, "block_hash", json_hex(r.block_hash, 32),
                         "succeeded", r.succeeded, "gas_used", (json_int_t)r.gas_used, "price",
                         wei_json(r.effective_gas_price_wei), "has_l1_fee", r.has_l1_fee, "l1_fee", wei_json(r.l1_fee_wei));
    return rc;
}

static int read_status(struct session *s, json_t **out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rpc_count(s->rpc); i++) {
        struct rpc_status st;
        rpc_status(s->rpc, i, &st);
        json_t *one = json_pack("{s:s,s:b,s:b,s:i,s:I,s:I,s:i,s:I,s:s,s:s}", "name", st.name, "chain_checked",
                                st.chain_checked, "paused", st.paused, "failures", (int)st.failures, "asked",
                                (json_int_t)st.asked, "failed", (json_int_t)st.failed, "latency_ms", (int)st.latency_ms,
                                "head", (json_int_t)st.head, "fault", rpc_fault_name(st.last_fault), "message",
                                st.last_message);
        json_array_append_new(list, one);
    }
    *out = json_pack("{s:o}", "status", list);
    return OL_OK;
}

static int set_anchors(struct session *s, json_t **out, struct err *e)
{
    struct trust_anchors *a = &s->anchors;
    *a = (struct trust_anchors){.l2_chain_id = 10, .l2_rules = op_mainnet, .layout = dispute_layout(word(s, 4)),
                                .finality_delay_s = strtoull(word(s, 5), NULL, 10)};
    if (!a->layout || !word_bytes(s, 1, a->system_config, ADDRESS_BYTES) ||
        !word_bytes(s, 2, a->dispute_game_factory, ADDRESS_BYTES) ||
        !word_bytes(s, 3, a->anchor_state_registry, ADDRESS_BYTES))
        return bad_line(e);
    *out = json_pack("{s:b}", "ok", 1);
    return OL_OK;
}

/* signer, find, anchor: an address that L1 names. */
static int read_l1_address(struct session *s, json_t **out, struct err *e)
{
    uint8_t found[ADDRESS_BYTES], root[HASH_BYTES];
    int rc;
    if (!strcmp(s->words[0], "signer"))
        rc = trust_signer(s->light, &s->head, &s->anchors, found, e);
    else if (!strcmp(s->words[0], "anchor"))
        rc = trust_anchor_game(s->light, &s->head, &s->anchors, found, e);
    else if (word_bytes(s, 2, root, sizeof root))
        rc = trust_find_game(s->light, &s->head, &s->anchors, (uint32_t)strtoul(word(s, 1), NULL, 10), root,
                             strtoull(word(s, 3), NULL, 10), found, e);
    else
        return bad_line(e);
    if (!rc)
        *out = json_pack("{s:o}", "address", json_hex(found, sizeof found));
    return rc;
}

static int read_game(struct session *s, json_t **out, struct err *e)
{
    static const char *const verdicts[] = {"refused", "proposed", "anchored"};
    uint8_t address[ADDRESS_BYTES];
    struct trust_game game;
    struct light_head l2 = {.trust = TRUST_QUORUM};
    struct header header;
    l2.rlp_len = s->n_words > 2 ? strlen(word(s, 2)) / 2 - 1 : 0;
    if (!word_bytes(s, 1, address, sizeof address) || l2.rlp_len > sizeof l2.rlp)
        return bad_line(e);
    int rc = trust_game_read(s->light, &s->head, &s->anchors, address, &game, e);
    if (!rc && s->n_words > 2) {
        if (!word_bytes(s, 2, l2.rlp, l2.rlp_len))
            return bad_line(e);
        rc = header_parse(l2.rlp, l2.rlp_len, &op_mainnet, &header, e);
        l2.number = rc ? 0 : header.number;
        if (!rc)
            rc = trust_raise(&s->anchors, &game, NULL, 0, &l2, e);
    }
    if (!rc)
        *out = json_pack("{s:o,s:I,s:I,s:s,s:s,s:s}", "root", json_hex(game.root, 32), "sequence",
                         (json_int_t)game.sequence, "type", (json_int_t)game.type, "verdict", verdicts[game.verdict],
                         "why", game.why, "trust", trust_level_name(l2.trust));
    return rc;
}

static int answer_line(struct session *s, json_t **out, struct err *e)
{
    const char *verb = word(s, 0);
    if (!strcmp(verb, "check")) {
        int rc = rpc_check(s->rpc, e);
        *out = rc ? NULL : json_pack("{s:b}", "ok", 1);
        return rc;
    }
    if (!strcmp(verb, "head") || !strcmp(verb, "at") || !strcmp(verb, "of"))
        return read_head(s, out, e);
    if (!strcmp(verb, "storage") || !strcmp(verb, "proof"))
        return read_storage(s, out, e);
    if (!strcmp(verb, "account"))
        return read_account(s, out, e);
    if (!strcmp(verb, "code"))
        return read_code(s, out, e);
    if (!strcmp(verb, "send"))
        return do_send(s, out, e);
    if (!strcmp(verb, "nonce"))
        return read_nonce(s, out, e);
    if (!strcmp(verb, "fees"))
        return read_fees(s, out, e);
    if (!strcmp(verb, "gas"))
        return read_gas(s, out, e);
    if (!strcmp(verb, "receipt"))
        return read_receipt(s, out, e);
    if (!strcmp(verb, "anchors"))
        return set_anchors(s, out, e);
    if (!strcmp(verb, "signer") || !strcmp(verb, "find") || !strcmp(verb, "anchor"))
        return read_l1_address(s, out, e);
    if (!strcmp(verb, "game") || !strcmp(verb, "raise"))
        return read_game(s, out, e);
    return !strcmp(verb, "status") ? read_status(s, out) : bad_line(e);
}

static void serve(struct session *s)
{
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        struct err e = {0};
        json_t *out = NULL;
        char *at = line;
        for (s->n_words = 0; s->n_words < MAX_WORDS && *(at += strspn(at, " \n")); s->n_words++) {
            s->words[s->n_words] = at;
            at += strcspn(at, " \n");
            if (*at)
                *at++ = '\0';
        }
        int rc = answer_line(s, &out, &e);
        if (rc) {
            size_t name = strcspn(e.message, ":");
            json_t *error = json_pack("{s:s%,s:s,s:s}", "error", e.message, name, "code", err_name(rc), "message",
                                      e.message);
            if (out)
                json_object_update(error, out);
            json_decref(out);
            out = error;
        }
        json_dumpf(out, stdout, JSON_COMPACT);
        puts("");
        fflush(stdout);
        json_decref(out);
    }
    free(line);
}

static bool read_options(int argc, char **argv, struct rpc_config *config)
{
    static const struct option options[] = {{"k", 1, 0, 'k'},          {"chain-id", 1, 0, 'c'},  {"age", 1, 0, 'a'},
                                            {"lag", 1, 0, 'l'},        {"timeout-ms", 1, 0, 't'},
                                            {"max-bytes", 1, 0, 'm'},  {"op", 1, 0, 'o'},
                                            {0, 0, 0, 0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (o == 'k')
            config->quorum = (unsigned)value;
        else if (o == 'c')
            config->chain_id = value;
        else if (o == 'a')
            config->max_head_age_s = value;
        else if (o == 'l')
            config->max_head_lag = value;
        else if (o == 't')
            config->timeout_ms = (uint32_t)value;
        else if (o == 'm')
            config->max_answer_bytes = (size_t)value;
        else if (o == 'o' && value)
            config->rules = op_mainnet;
        else
            return false;
    }
    config->urls = (const char *const *)argv + optind;
    config->n_urls = (size_t)(argc - optind);
    return true;
}

int main(int argc, char **argv)
{
    struct session s = {0};
    struct err e;
    struct rpc_config config = {.quorum = 1, .chain_id = 31337, .max_head_lag = 5};
    for (int i = 0; i < FORK_COUNT; i++)
        config.rules.fork_time[i] = UINT64_MAX;
    if (!read_options(argc, argv, &config))
        return 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int rc = rpc_open(&config, &s.rpc, &e);
    if (!rc)
        rc = light_open(s.rpc, &s.light, &e);
    if (rc)
        fprintf(stderr, "%s\n", e.message);
    else
        serve(&s);
    light_close(s.light);
    rpc_close(s.rpc);
    curl_global_cleanup();
    return rc != 0;
}
