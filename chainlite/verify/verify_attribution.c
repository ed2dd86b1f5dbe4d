/* The checks of a bundle's attribution (docs/attribution.md §6); see verify.h. Without a policy they hold when the proof has
 * none. What spans and gradients are true is not in a bundle: that is audited. */
#include "chainlite/verify/verify_internal.h"

#include <stdlib.h>
#include <string.h>

static int no(struct err *e, const char *reason) { return err_set(e, OL_EFORMAT, "verify", "%s", reason); }

static bool is_zero(const uint8_t hash[32])
{
    static const uint8_t zero[32];
    return memcmp(hash, zero, sizeof zero) == 0;
}

int check_policy(struct verification *v, struct err *e)
{
    const struct proof *p = &v->bundle->proof;
    const struct row_version *policy = &v->bundle->attribution.policy;
    uint8_t id[32];
    if (v->bundle->has_attribution != !is_zero(p->attribution_policy))
        return no(e, v->bundle->has_attribution ? "the proof has no policy of attribution"
                                                : "the attribution by the proof's policy is missing");
    if (!v->bundle->has_attribution)
        return is_zero(p->span_root) ? 0 : no(e, "spans without a policy of attribution");
    version_id(policy, id);
    if (memcmp(id, p->attribution_policy, 32) != 0)
        return no(e, "policy is not the row whose id is in the proof");
    if (memcmp(policy->base_version, is_zero(p->adapter_version) ? p->model_version : p->adapter_version, 32) != 0)
        return no(e, "the policy is not one of the version that answered");
    return 0;
}

/* Room for what follows from the most spans; one allocation. */
struct room {
    struct share shares[RECEIPT_MAX_SHARES + 1];
    struct division division[RECEIPT_MAX_SHARES + 1];
    struct sumnode nodes[RECEIPT_MAX_SPANS];
};

int check_spans(struct verification *v, struct err *e)
{
    const struct proof *p = &v->bundle->proof;
    const struct bundle_attribution *a = &v->bundle->attribution;
    uint32_t tokens;
    uint8_t root[HASH_BYTES];
    if (!v->bundle->has_attribution)
        return 0;
    int rc = spans_check(a->spans.at, a->spans.n, a->has_statement ? a->statement.answer_tokens : p->output_tokens,
                         a->has_statement ? a->statement.open_tokens : 0, &tokens, e);
    struct room *room = rc ? NULL : malloc(sizeof *room);
    if (!room)
        return rc ? rc : err_set(e, OL_ENOMEM, "verify", "no memory for spans");
    spans_root(a->spans.at, a->spans.n, room->nodes, root);
    free(room);
    return memcmp(root, p->span_root, HASH_BYTES) ? no(e, "the spans are not those whose root is in the proof") : 0;
}

/* Each share's span units are what the spans give; nobody else has any. */
static int check_span_units(const struct bundle_attribution *a, const struct share *by_rule, size_t n, struct err *e)
{
    const struct share *said = a->shares.at;
    size_t used = 0;
    for (size_t i = 0; i < a->shares.n; i++) {
        bool due = used < n && memcmp(by_rule[used].beneficiary, said[i].beneficiary, ADDRESS_BYTES) == 0;
        if (said[i].span_units != (due ? by_rule[used].span_units : 0))
            return err_set(e, OL_EFORMAT, "verify", "share %zu has other span units than the spans give", i);
        used += due;
    }
    return used == n ? 0 : no(e, "somebody whom the spans give units has no share");
}

static int check_gradient_units(const struct bundle_attribution *a, struct err *e)
{
    const struct attribution_statement *s = &a->statement;
    const struct share *share = a->shares.at;
    uint64_t sum = 0;
    for (size_t i = 0; i < a->shares.n; i++)
        sum += share[i].gradient_units;
    if (s->kind == STATEMENT_SPANS && sum)
        return no(e, "gradient units in a statement of spans alone");
    return sum > units_of_tokens(s->open_tokens, s->answer_tokens) ? no(e, "more gradient units than tokens are open") : 0;
}

static int check_leaves(const struct bundle_attribution *a, struct room *room, struct err *e)
{
    const struct attribution_statement *s = &a->statement;
    uint8_t root[HASH_BYTES];
    uint32_t total;
    size_t n;
    int rc = shares_root(a->shares.at, a->shares.n, room->nodes, root, &total, e);
    if (rc)
        return rc;
    if (memcmp(root, s->shares_root, HASH_BYTES) != 0 || a->shares.n != s->shares_count || total != s->shares_total)
        return no(e, "the shares are not those whose root, count and total the statement has");
    rc = shares_of_spans(a->spans.at, a->spans.n, s->answer_tokens, room->shares, room->division, &n, e);
    if (!rc)
        rc = check_span_units(a, room->shares, n, e);
    return rc ? rc : check_gradient_units(a, e);
}

int check_shares(struct verification *v, struct err *e)
{
    const struct bundle_attribution *a = &v->bundle->attribution;
    if (!v->bundle->has_attribution)
        return 0;
    if (!a->has_statement)
        return no(e, "shares without the statement that they are of");
    struct room *room = malloc(sizeof *room);
    int rc = room ? check_leaves(a, room, e) : err_set(e, OL_ENOMEM, "verify", "no memory for shares");
    free(room);
    return rc;
}

int check_statement(struct verification *v, struct err *e)
{
    const struct bundle_attribution *a = &v->bundle->attribution;
    if (!v->bundle->has_attribution)
        return 0;
    return a->has_statement ? statement_check(&a->statement, &v->bundle->proof, e) : no(e, "the statement is missing");
}

int check_statement_signature(struct verification *v, struct err *e)
{
    const struct bundle_attribution *a = &v->bundle->attribution;
    uint8_t digest[HASH_BYTES];
    if (!v->bundle->has_attribution)
        return 0;
    if (!a->has_statement || !a->has_signature)
        return no(e, a->has_statement ? "the statement's signature is missing" : "a signature without its statement");
    statement_digest(&a->statement, &v->domains, digest);
    return signature_check(v->secp, digest, a->signature.at, v->bundle->proof.node, "the statement", e);
}
