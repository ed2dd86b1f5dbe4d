/* Checks of a receipt from what everybody has: proof, statement, shares; see audit.h. */
#include "attribution/audit_internal.h"

#include "chainlite/core/hex.h"

#include <string.h>

static void check_bundle(struct audited *r)
{
    const struct audit_bundle *b = r->bundle;
    uint8_t said[HASH_BYTES], found[HASH_BYTES];
    if (!b)
        return;
    proof_struct_hash(&b->bundle.proof, found);
    proof_struct_hash(r->proof, said);
    if (memcmp(said, found, HASH_BYTES) != 0)
        audit_set(r->subject, AUDIT_BUNDLE, AUDIT_DIFFERS,
                  "the bundle has another proof than the body: two proofs of one "
                  "receipt");
    else if (*b->fault)
        audit_set(r->subject, AUDIT_BUNDLE, AUDIT_DIFFERS, "%s", b->fault);
    else
        audit_set(r->subject, AUDIT_BUNDLE, AUDIT_AGREED, "%s", "");
}

static void check_signature(struct audited *r)
{
    uint8_t digest[HASH_BYTES];
    struct err e = {0};
    proof_digest(r->proof, &r->audit->domains, digest);
    audit_take(r->subject, AUDIT_SIGNATURE,
               signature_check(r->audit->secp, digest, r->signature, r->proof->node, "the proof", &e), &e);
}

static void check_policy(struct audited *r)
{
    const struct proof *p = r->proof;
    const uint8_t *version = audit_is_zero(p->adapter_version) ? p->model_version : p->adapter_version;
    char id[12];
    audit_short(p->attribution_policy, id);
    if (!r->policy_row)
        audit_set(r->subject, AUDIT_POLICY, AUDIT_DIFFERS, "neither body nor bundle has the row of policy %s…", id);
    else if (memcmp(r->policy_row->base_version, version, 32) != 0)
        audit_set(r->subject, AUDIT_POLICY, AUDIT_DIFFERS,
                  "policy %s… is of another version than the one that answered", id);
    else if (!r->policy)
        audit_set(r->subject, AUDIT_POLICY, AUDIT_UNAVAILABLE,
                  "the folder of policy %s… (policy.json with SHA-256 %s…) was "
                  "not given",
                  id, audit_short(r->policy_row->content_hash, (char[12]){0}));
    else if (!policy_covers(r->policy, p->model_version, p->adapter_version))
        audit_set(r->subject, AUDIT_POLICY, AUDIT_DIFFERS,
                  "the document of policy %s… names another model or adapter than the "
                  "proof",
                  id);
    else
        audit_set(r->subject, AUDIT_POLICY, AUDIT_AGREED, "%s", "");
}

/* ---- statement */

static const struct signed_statement *in_next_body(const struct audited *r)
{
    const struct signed_statement *s = r->next ? r->next->body.statements.at : NULL;
    size_t low = 0, high = s ? r->next->body.statements.n : 0;
    while (low < high) { /* they are by sequence, or the body's own check says so */
        size_t middle = low + (high - low) / 2;
        if (s[middle].statement.sequence == r->proof->sequence)
            return &s[middle];
        if (s[middle].statement.sequence < r->proof->sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* From the next body, else from the bundle; both must say the same. */
static void take_statement(struct audited *r)
{
    const struct bundle_attribution *a =
        r->bundle && r->bundle->bundle.has_attribution ? &r->bundle->bundle.attribution : NULL;
    const struct signed_statement *s = in_next_body(r);
    uint8_t said[HASH_BYTES], found[HASH_BYTES];
    bool in_bundle = a && a->has_statement && a->has_signature;
    r->has_statement = s || in_bundle;
    if (s) {
        r->statement = *s;
    } else if (in_bundle) {
        r->statement.statement = a->statement;
        memcpy(r->statement.signature, a->signature.at, SIGNATURE_BYTES);
        r->statement.shares = a->shares;
    }
    if (!s || !in_bundle)
        return;
    statement_struct_hash(&s->statement, said);
    statement_struct_hash(&a->statement, found);
    if (memcmp(said, found, HASH_BYTES) != 0)
        audit_set(r->subject, AUDIT_STATEMENT, AUDIT_DIFFERS,
                  "body and bundle have two different statements of this "
                  "receipt: the node can be slashed for it");
}

static void no_statement(struct audited *r)
{
    if (r->next)
        audit_set(r->subject, AUDIT_STATEMENT, AUDIT_DIFFERS,
                  "the next batch's body has no statement for this receipt");
    else if (!r->last_of_epoch) /* else there is none: the data part is swept to the pool */
        audit_set(r->subject, AUDIT_STATEMENT, AUDIT_UNAVAILABLE,
                  r->body ? "the next batch's body was not given"
                          : "the bundle has no statement yet: ask again after the node's next batch");
}

static void check_statement(struct audited *r)
{
    struct err e = {0};
    uint8_t digest[HASH_BYTES];
    if (r->subject->check[AUDIT_STATEMENT].outcome != AUDIT_DIFFERS)
        audit_take(r->subject, AUDIT_STATEMENT, statement_check(&r->statement.statement, r->proof, &e), &e);
    statement_digest(&r->statement.statement, &r->audit->domains, digest);
    audit_take(r->subject, AUDIT_STATEMENT_SIGNATURE,
               signature_check(r->audit->secp, digest, r->statement.signature, r->proof->node, "the statement", &e),
               &e);
}

static void check_shares(struct audited *r, struct audit_room *room)
{
    const struct attribution_statement *s = &r->statement.statement;
    const struct share *share = r->statement.shares.at;
    const size_t n = r->statement.shares.n;
    uint8_t root[HASH_BYTES];
    uint32_t total;
    uint64_t gradient = 0;
    struct err e = {0};
    char x[12], y[12];
    if (shares_root(share, n, room->nodes, root, &total, &e)) {
        audit_take(r->subject, AUDIT_SHARES, OL_EFORMAT, &e);
        return;
    }
    for (size_t i = 0; i < n; i++)
        gradient += share[i].gradient_units;
    const uint32_t open = s->open_tokens <= s->answer_tokens ? units_of_tokens(s->open_tokens, s->answer_tokens) : 0;
    if (memcmp(root, s->shares_root, HASH_BYTES) != 0)
        audit_set(r->subject, AUDIT_SHARES, AUDIT_DIFFERS, "the statement's root is %s…, the shares' %s…",
                  audit_short(s->shares_root, x), audit_short(root, y));
    else if (n != s->shares_count || total != s->shares_total)
        audit_set(r->subject, AUDIT_SHARES, AUDIT_DIFFERS,
                  "the statement says %u shares of %u units, they are %zu of %u", s->shares_count, s->shares_total, n,
                  total);
    else if (gradient > (s->kind == STATEMENT_SPANS ? 0 : open))
        audit_set(r->subject, AUDIT_SHARES, AUDIT_DIFFERS, "%llu gradient units in kind %d with %u open",
                  (unsigned long long)gradient, s->kind, open);
    else
        audit_set(r->subject, AUDIT_SHARES, AUDIT_AGREED, "%s", "");
}

void audit_public(struct audited *r, struct audit_room *room)
{
    check_bundle(r);
    check_signature(r);
    if (!audit_is_zero(r->proof->attribution_policy)) {
        check_policy(r);
        take_statement(r);
        if (r->has_statement) {
            check_statement(r);
            check_shares(r, room);
            audit_mean(r, room);
        } else {
            no_statement(r);
        }
    }
    audit_postings(r, room);
}
