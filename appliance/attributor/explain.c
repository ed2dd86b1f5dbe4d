#include "attributor/explain.h"

#include "attribution/influence.h"
#include "attribution/policy.h"
#include "chainlite/json/values.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 8 << 20 };

static const uint8_t nobody[ADDRESS_BYTES];

/* ---- the answer */

static json_t *text_of(const struct tokenizer *t, const uint32_t *ids, size_t n)
{
    struct detokenizer d = {0};
    struct buf text;
    buf_init(&text, MAX_TEXT_BYTES);
    for (size_t i = 0; i < n; i++)
        detokenizer_push(&d, t, (int32_t)ids[i], false, &text);
    detokenizer_finish(&d, &text);
    json_t *j = buf_failed(&text) ? NULL : json_stringn(buf_str(&text), text.len);
    buf_deinit(&text);
    return j;
}

/* A choice as pieces: text that a span owns, with the span's number, and text between. `from`: its first token's place
 * in the answer. */
static json_t *pieces_of(const struct explanation *x, const struct evidence_choice *c, uint32_t from)
{
    const struct receipt_span *spans = x->evidence->spans.at;
    const uint32_t *ids = c->ids.at, end = from + (uint32_t)c->ids.n;
    json_t *pieces = json_array();
    size_t s = 0;
    for (uint32_t at = from; at < end;) {
        while (s < x->evidence->spans.n && spans[s].start < at)
            s++;
        bool more = s < x->evidence->spans.n && spans[s].start < end, owned = more && spans[s].start == at;
        uint32_t to = owned ? at + spans[s].tokens : more ? spans[s].start : end;
        json_array_append_new(pieces, json_pack("{so? so}", "text", text_of(x->tokenizer, ids + (at - from), to - at),
                                                "span", owned ? json_integer((json_int_t)s) : json_null()));
        at = to;
    }
    return pieces;
}

static json_t *choices_json(const struct explanation *x)
{
    const struct evidence_choice *choices = x->evidence->choices.at;
    json_t *list = json_array();
    uint32_t from = 0;
    for (size_t i = 0; i < x->evidence->choices.n; i++) {
        json_array_append_new(list, pieces_of(x, &choices[i], from));
        from += (uint32_t)choices[i].ids.n;
    }
    return list;
}

static const struct span_contribution *contribution_of(const struct policy *p, const uint8_t id[32])
{
    const struct span_contribution *all = p->sources.contributions.at;
    for (size_t i = 0; i < p->sources.contributions.n; i++)
        if (memcmp(all[i].id, id, 32) == 0)
            return &all[i];
    return NULL;
}

static json_t *spans_json(const struct explanation *x)
{
    const struct receipt_span *spans = x->evidence->spans.at;
    json_t *list = json_array();
    for (size_t i = 0; i < x->evidence->spans.n; i++) {
        const struct receipt_span *s = &spans[i];
        const struct span_contribution *c = contribution_of(x->policy, s->contribution);
        bool paid = memcmp(s->beneficiary, nobody, ADDRESS_BYTES) != 0;
        json_t *j = json_pack("{sI sI so sI sI sI so so}", "start", (json_int_t)s->start, "tokens",
                              (json_int_t)s->tokens, "contribution", hex_to_json(s->contribution, 32), "row",
                              (json_int_t)s->row, "offset", (json_int_t)s->offset, "millibits",
                              (json_int_t)s->millibits, "contributor",
                              c ? hex_to_json(c->contributor, ADDRESS_BYTES) : json_null(), "why",
                              paid ? json_null() : json_string("payer"));
        json_array_append_new(list, j);
    }
    return list;
}

/* ---- contributors */

struct standing { /* one contributor's */
    uint8_t address[ADDRESS_BYTES];
    uint32_t span_tokens, span_units, gradient_units;
    int64_t influence; /* summed over Datanets */
    uint64_t floor;
    bool has_influence;
    wei_t wei;
};

struct standings {
    struct standing *at; /* owned */
    size_t n, cap;
};

static struct standing *standing_of(struct standings *all, const uint8_t address[ADDRESS_BYTES])
{
    for (size_t i = 0; i < all->n; i++)
        if (memcmp(all->at[i].address, address, ADDRESS_BYTES) == 0)
            return &all->at[i];
    if (all->n == all->cap)
        return NULL;
    struct standing *s = &all->at[all->n++];
    memcpy(s->address, address, ADDRESS_BYTES);
    return s;
}

static void add_gradients(const struct explanation *x, struct standings *all)
{
    const struct policy *p = x->policy;
    const struct byte_string *query = &x->evidence->gradients.query;
    uint32_t tokens = evidence_answer_tokens(x->evidence);
    struct influence_result r;
    if (!p->document.has_gradients || !x->evidence->has_gradients || query->n != 2 * (size_t)p->vectors.sketch.dimensions)
        return;
    struct influence_rule rule = {p->document.gradients.kappa_ppb, (uint64_t)p->document.gradients.s0};
    struct influence_answer a = {(const int16_t *)(const void *)query->at, tokens, x->evidence->open_tokens};
    if (influence_units(&p->vectors, &rule, &a, &r, &(struct err){0}) != 0)
        return;
    for (uint32_t i = 0; i < p->vectors.n; i++) {
        struct standing *s = standing_of(all, p->vectors.owners[i].address);
        if (s) {
            s->has_influence = true;
            s->influence += r.rows[i].influence;
            s->floor += r.rows[i].floor;
        }
    }
    influence_result_deinit(&r);
}

static void add_shares(const struct explanation *x, struct standings *all, wei_t *unattributed)
{
    struct posting *postings = calloc(x->n_shares + 1, sizeof *postings);
    size_t n = postings ? shares_postings(x->shares, x->n_shares, x->data_wei, nobody, 0, postings) : 0;
    for (size_t i = 0; i < x->n_shares; i++) {
        struct standing *s = standing_of(all, x->shares[i].beneficiary);
        if (!s)
            continue;
        s->span_units = x->shares[i].span_units;
        s->gradient_units = x->shares[i].gradient_units;
    }
    for (size_t i = 0; i < n; i++) {
        struct standing *s = postings[i].role == ROLE_DATA ? standing_of(all, postings[i].beneficiary) : NULL;
        if (s)
            s->wei = postings[i].amount_wei;
        else
            *unattributed = postings[i].amount_wei;
    }
    free(postings);
}

static const char *why_zero(const struct explanation *x, const struct standing *s)
{
    if (s->span_units || s->gradient_units)
        return NULL;
    if (!x->shares)
        return "pending";
    if (memcmp(s->address, x->evidence->payer, ADDRESS_BYTES) == 0)
        return "payer";
    if (!s->has_influence)
        return x->policy->document.has_gradients ? "unsampled" : "no match";
    return s->influence <= 0 ? "no influence" : "floor";
}

static json_t *standing_json(const struct explanation *x, const struct standing *s)
{
    const char *why = why_zero(x, s);
    return json_pack("{so sI sI so so sI so so}", "contributor", hex_to_json(s->address, ADDRESS_BYTES), "span_tokens",
                     (json_int_t)s->span_tokens, "span_units", (json_int_t)s->span_units, "influence",
                     s->has_influence ? json_integer(s->influence) : json_null(), "floor",
                     s->has_influence ? json_integer((json_int_t)s->floor) : json_null(), "gradient_units",
                     (json_int_t)s->gradient_units, "wei", x->shares ? wei_to_json(s->wei) : json_null(), "why",
                     why ? json_string(why) : json_null());
}

/* Everybody whose data the policy covers, whether they got anything or not. */
static json_t *contributors_json(const struct explanation *x, json_t **unattributed)
{
    const struct span_contribution *c = x->policy->sources.contributions.at;
    const struct receipt_span *spans = x->evidence->spans.at;
    struct standings all = {.cap = x->policy->sources.contributions.n + x->n_shares};
    wei_t rest = 0;
    all.at = calloc(all.cap + 1, sizeof *all.at);
    if (!all.at)
        return NULL;
    for (size_t i = 0; i < x->policy->sources.contributions.n; i++)
        standing_of(&all, c[i].contributor);
    for (size_t i = 0; i < x->evidence->spans.n; i++) {
        struct standing *s = standing_of(&all, spans[i].beneficiary);
        if (s && memcmp(s->address, nobody, ADDRESS_BYTES) != 0)
            s->span_tokens += spans[i].tokens;
    }
    add_gradients(x, &all);
    if (x->shares)
        add_shares(x, &all, &rest);
    json_t *list = json_array();
    for (size_t i = 0; i < all.n; i++)
        if (memcmp(all.at[i].address, nobody, ADDRESS_BYTES) != 0)
            json_array_append_new(list, standing_json(x, &all.at[i]));
    *unattributed = x->shares ? wei_to_json(rest) : json_null();
    free(all.at);
    return list;
}

json_t *explain(const struct explanation *x)
{
    json_t *rest = NULL, *contributors = contributors_json(x, &rest);
    return json_pack("{so? so? so? so?}", "choices", choices_json(x), "spans", spans_json(x), "contributors", contributors,
                     "unattributed_wei", rest);
}
