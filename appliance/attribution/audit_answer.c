/* Whether the evidence's tokens are the answer that was delivered, and v̂ its gradient; see audit.h. */
#include "attribution/answer.h"
#include "attribution/audit_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the text */

/* Whether some beginning of the bytes has this hash: what was held back at a stop text, or under way when the client
 * left, was not delivered. */
static bool begins_with(const struct buf *text, const uint8_t hash[HASH_BYTES])
{
    struct keccak k, end;
    uint8_t found[HASH_BYTES];
    keccak_init(&k);
    for (size_t i = 0;; i++) {
        end = k;
        keccak_end(&end, found);
        if (memcmp(found, hash, HASH_BYTES) == 0)
            return true;
        if (i == text->len)
            return false;
        keccak_add(&k, buf_str(text) + i, 1);
    }
}

static bool is_text(const struct audited *r, const struct evidence_choice *c, const uint8_t hash[HASH_BYTES])
{
    struct detokenizer d = {0};
    struct buf text;
    const uint32_t *ids = c->ids.at;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    for (size_t i = 0; i < c->ids.n; i++)
        detokenizer_push(&d, r->audit->model.tokenizer, (int32_t)(ids[i] & INT32_MAX), false, &text);
    detokenizer_finish(&d, &text);
    bool same = begins_with(&text, hash);
    buf_deinit(&text);
    return same;
}

/* Only the bundle has the hashes of the texts; whether they are the proof's, its own checks say. */
void audit_answer(struct audited *r)
{
    const struct list *hashes = r->bundle ? &r->bundle->bundle.response_text_hashes : NULL;
    const struct evidence *v = r->evidence;
    if (!hashes)
        return;
    if (!r->audit->model.tokenizer) {
        audit_set(r->subject, AUDIT_ANSWER, AUDIT_UNAVAILABLE,
                  "--model was not given: its tokenizer says which text the tokens are");
        return;
    }
    if (hashes->n != v->choices.n) {
        audit_set(r->subject, AUDIT_ANSWER, AUDIT_DIFFERS, "the bundle has %zu texts, the evidence %zu choices",
                  hashes->n, v->choices.n);
        return;
    }
    for (size_t i = 0; i < hashes->n; i++)
        if (!is_text(r, (const struct evidence_choice *)v->choices.at + i,
                     ((const struct hash_element *)hashes->at)[i].hash)) {
            audit_set(r->subject, AUDIT_ANSWER, AUDIT_DIFFERS,
                      "the tokens of choice %zu are not the text that was delivered", i);
            return;
        }
    audit_set(r->subject, AUDIT_ANSWER, AUDIT_AGREED, "%s", "");
}

/* ---- v̂ */

static int32_t longest(const struct evidence *v)
{
    const struct evidence_tokens *prompts = v->prompts.at;
    const struct evidence_choice *choices = v->choices.at;
    size_t most = 0;
    for (size_t i = 0; i < v->choices.n; i++) {
        size_t n = prompts[choices[i].prompt].ids.n + choices[i].ids.n;
        most = n > most ? n : most;
    }
    return most > LORA_MOST_ROWS ? LORA_MOST_ROWS : (int32_t)most;
}

static void compare_query(struct audited *r, const int16_t *own)
{
    const uint8_t *bytes = r->evidence->gradients.query.at;
    const size_t k = r->policy->vectors.sketch.dimensions;
    int16_t *said = calloc(k, sizeof *said);
    for (size_t i = 0; said && i < k; i++)
        said[i] = (int16_t)(uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    double cosine = said ? audit_cosine(said, own, k) : 0;
    if (cosine >= AUDIT_LEAST_COSINE)
        audit_set(r->subject, AUDIT_QUERY, AUDIT_AGREED, "%s", "");
    else
        audit_set(r->subject, AUDIT_QUERY, AUDIT_DIFFERS,
                  "the published vector has a cosine of %.6f to the one computed "
                  "again; at least %.4f",
                  cosine, AUDIT_LEAST_COSINE);
    free(said);
}

int audit_query(struct audited *r, struct err *e)
{
    struct lora_model *lora;
    struct err why = {0};
    const struct proof *p = r->proof;
    const bool adapter = !audit_is_zero(p->adapter_version);
    int rc = audit_model_lora(r->audit, adapter ? audit_row(r->audit, p->adapter_version) : NULL,
                              audit_row(r->audit, p->model_version), longest(r->evidence), &lora, &why);
    if (rc == OL_ENOTFOUND) {
        audit_set(r->subject, AUDIT_QUERY, AUDIT_UNAVAILABLE, "%s", why.message);
        return OL_OK;
    }
    int16_t *own = rc ? NULL : calloc(r->policy->vectors.sketch.dimensions, sizeof *own);
    if (rc || !own) {
        *e = why;
        return rc ? rc : err_set(e, OL_ENOMEM, "audit", "no memory for a vector");
    }
    if (answer_query(r->policy, lora, r->evidence, own, &why))
        audit_set(r->subject, AUDIT_QUERY, AUDIT_DIFFERS, "there is no vector of this answer: %s", why.message);
    else
        compare_query(r, own);
    free(own);
    return OL_OK;
}
