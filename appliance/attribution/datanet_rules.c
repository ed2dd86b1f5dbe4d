/* What each line of a Datanet's log must satisfy and changes; see datanet_state.h. */
#include "attribution/datanet_state.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "datanet"

static const char *const statuses[] = {"proposed", "approved", "rejected", "withdrawn"};
const char *proposal_status_name(enum proposal_status s) { return statuses[s]; }

static int refuse(struct err *e, const char *why) { return err_set(e, OL_EINVAL, MODULE, "%s", why); }

static bool is_zero(const uint8_t hash[32])
{
    static const uint8_t zero[32];
    return memcmp(hash, zero, 32) == 0;
}

static bool names(const struct list *addresses, const uint8_t who[ADDRESS_BYTES])
{
    const struct log_address *a = addresses->at;
    for (size_t i = 0; i < addresses->n; i++)
        if (memcmp(a[i].at, who, ADDRESS_BYTES) == 0)
            return true;
    return false;
}

static bool is_owner(const struct datanet *d, const uint8_t who[ADDRESS_BYTES])
{
    return memcmp(d->owner, who, ADDRESS_BYTES) == 0;
}

bool datanet_may_propose(const struct datanet *d, const uint8_t who[ADDRESS_BYTES])
{
    const struct list *contributors = &d->settings.members.contributors;
    return contributors->n == 0 || names(contributors, who);
}

struct proposal *datanet_proposal(struct datanet *d, const uint8_t id[32])
{
    for (size_t i = 0; i < d->n_proposals; i++)
        if (memcmp(d->proposals[i].contribution.id, id, 32) == 0)
            return &d->proposals[i];
    return NULL;
}

/* Room for one more element behind n; *array stays as it is without memory. */
static void *one_more(void *array, size_t n, size_t bytes, struct err *e)
{
    void *at = realloc(array, (n + 1) * bytes);
    if (!at)
        err_set(e, OL_ENOMEM, MODULE, "no memory for a Datanet");
    return at;
}

/* Members pass from a body into the state: the body no longer owns them. */
static void take_members(struct datanet *d, struct log_members *from)
{
    free(d->settings.members.reviewers.at);
    free(d->settings.members.contributors.at);
    d->settings.members = *from;
    *from = (struct log_members){0};
}

static int apply_create(struct datanet *d, const struct log_entry *entry, struct log_create *body, struct err *e)
{
    if (body->name[0] == '\0')
        return refuse(e, "a Datanet needs a name");
    if (body->max_bytes == 0 || body->max_bytes > CONTENT_MAX_BYTES || body->max_contributions == 0 ||
        body->max_contributions > DATANET_MAX_CONTRIBUTIONS)
        return err_set(e, OL_EINVAL, MODULE, "at most %d bytes a contribution and %d contributions, and not 0",
                       CONTENT_MAX_BYTES, DATANET_MAX_CONTRIBUTIONS);
    memcpy(d->owner, entry->actor, ADDRESS_BYTES);
    item_id(ITEM_DATANET, d->owner, body->name, d->item);
    memcpy(d->settings.name, body->name, sizeof body->name);
    d->settings.chain_id = body->chain_id;
    d->settings.max_bytes = body->max_bytes;
    d->settings.max_contributions = body->max_contributions;
    take_members(d, &body->members);
    return 0;
}

static int apply_commit(struct datanet *d, const struct log_entry *entry, const struct log_commit *body, struct err *e)
{
    if (!datanet_may_propose(d, entry->actor))
        return refuse(e, "this account is not among the Datanet's contributors");
    for (size_t i = 0; i < d->n_commitments; i++)
        if (memcmp(d->commitments[i].hash, body->commitment, 32) == 0)
            return refuse(e, "this commitment was made already");
    if (is_zero(body->commitment))
        return refuse(e, "a commitment of zeros");
    struct commitment *more = one_more(d->commitments, d->n_commitments, sizeof *more, e);
    if (!more)
        return OL_ENOMEM;
    d->commitments = more;
    more += d->n_commitments++;
    *more = (struct commitment){.time = entry->time};
    memcpy(more->hash, body->commitment, 32);
    memcpy(more->by, entry->actor, ADDRESS_BYTES);
    return 0;
}

/* The commitment that a proposal reveals. */
static int find_commitment(struct datanet *d, const struct log_entry *entry, const struct log_propose *body,
                           const uint8_t id[32], struct commitment **out, struct err *e)
{
    uint8_t revealed[64], hash[32];
    memcpy(revealed, id, 32);
    memcpy(revealed + 32, body->salt, 32);
    keccak256(revealed, sizeof revealed, hash);
    if (memcmp(hash, body->commitment, 32) != 0)
        return refuse(e, "the commitment is not that of this contribution and salt");
    for (size_t i = 0; i < d->n_commitments; i++) {
        struct commitment *c = &d->commitments[i];
        if (memcmp(c->hash, hash, 32) != 0 || memcmp(c->by, entry->actor, ADDRESS_BYTES) != 0 || c->revealed)
            continue;
        *out = c;
        return 0;
    }
    return refuse(e, "this account has made no such commitment that is still open");
}

static int check_proposal(struct datanet *d, const struct log_entry *entry, const struct log_propose *body,
                          const uint8_t id[32], struct err *e)
{
    if (!datanet_may_propose(d, entry->actor))
        return refuse(e, "this account is not among the Datanet's contributors");
    if (body->bytes == 0 || body->bytes > d->settings.max_bytes)
        return err_set(e, OL_ELIMIT, MODULE, "%llu bytes; this Datanet takes 1 to %llu per contribution",
                       (unsigned long long)body->bytes, (unsigned long long)d->settings.max_bytes);
    if (d->n_proposals >= d->settings.max_contributions)
        return err_set(e, OL_ELIMIT, MODULE, "the Datanet has its %u contributions", d->settings.max_contributions);
    const struct proposal *known = datanet_proposal(d, id);
    if (known)
        return err_set(e, OL_EEXIST, MODULE, "this contribution is known already; it is %s", statuses[known->status]);
    return labels_check(&body->labels, e);
}

static void read_allowed(const struct list *names_of_kinds, bool out[SCAN_KINDS])
{
    const struct log_refusal *allowed = names_of_kinds->at;
    for (size_t i = 0; i < names_of_kinds->n; i++)
        for (int k = 0; k < SCAN_KINDS; k++)
            out[k] |= strcmp(allowed[i].reason, scan_kind_names[k]) == 0;
}

static int apply_propose(struct datanet *d, const struct log_entry *entry, const struct log_propose *body,
                         struct err *e)
{
    struct commitment *commitment = NULL;
    struct proposal p = {.rows = body->rows};
    struct contribution *c = &p.contribution;
    contribution_id(d->item, entry->actor, body->sha256, c->id);
    int rc = check_proposal(d, entry, body, c->id, e);
    if (rc == 0 && !is_zero(body->commitment))
        rc = find_commitment(d, entry, body, c->id, &commitment, e);
    if (rc != 0)
        return rc;
    memcpy(c->contributor, entry->actor, ADDRESS_BYTES);
    memcpy(c->sha256, body->sha256, 32);
    c->registered_at = commitment ? commitment->time : entry->time;
    c->bytes = body->bytes;
    c->format = body->format;
    c->labels = body->labels;
    read_allowed(&body->allowed, p.allowed);
    struct proposal *more = one_more(d->proposals, d->n_proposals, sizeof *more, e);
    if (!more)
        return OL_ENOMEM;
    d->proposals = more;
    more[d->n_proposals++] = p;
    if (commitment)
        commitment->revealed = true;
    return 0;
}

static int apply_review(struct datanet *d, const struct log_entry *entry, const struct log_verdict *body, struct err *e)
{
    struct proposal *p = datanet_proposal(d, body->contribution);
    if (!p)
        return err_set(e, OL_ENOTFOUND, MODULE, "no such contribution");
    if (!is_owner(d, entry->actor) && !names(&d->settings.members.reviewers, entry->actor))
        return refuse(e, "only the owner and reviewers decide on contributions");
    if (memcmp(entry->actor, p->contribution.contributor, ADDRESS_BYTES) == 0)
        return refuse(e, "nobody decides on a contribution of their own; another reviewer must");
    if (p->status != PROPOSAL_PROPOSED)
        return err_set(e, OL_EINVAL, MODULE, "the contribution is %s already", statuses[p->status]);
    p->status = entry->action == ACT_APPROVE ? PROPOSAL_APPROVED : PROPOSAL_REJECTED;
    p->approved_at = entry->action == ACT_APPROVE ? entry->sequence : 0;
    return 0;
}

static int apply_withdraw(struct datanet *d, const struct log_entry *entry, const struct log_verdict *body,
                          struct err *e)
{
    struct proposal *p = datanet_proposal(d, body->contribution);
    if (!p)
        return err_set(e, OL_ENOTFOUND, MODULE, "no such contribution");
    if (!is_owner(d, entry->actor) && memcmp(entry->actor, p->contribution.contributor, ADDRESS_BYTES) != 0)
        return refuse(e, "only its contributor and the owner withdraw a contribution");
    if (p->status == PROPOSAL_WITHDRAWN)
        return refuse(e, "the contribution is withdrawn already");
    p->status = PROPOSAL_WITHDRAWN;
    p->withdrawn_at = entry->sequence;
    p->contribution.withdrawn = true;
    free(p->contribution.text);
    p->contribution.text = NULL;
    return 0;
}

static int apply_publish(struct datanet *d, const struct log_entry *entry, const struct log_publish *body,
                         struct err *e)
{
    struct log_publish expected;
    if (!is_owner(d, entry->actor))
        return refuse(e, "only the owner publishes versions");
    int rc = datanet_next_row(d, &expected, e);
    if (rc != 0)
        return rc;
    if (memcmp(expected.row.id, body->row.id, 32) != 0 || memcmp(expected.parent, body->parent, 32) != 0 ||
        strcmp(expected.row.name, body->row.name) != 0 || body->row.kind != ITEM_DATANET ||
        !is_owner(d, body->row.owner) || memcmp(&expected.row.row, &body->row.row, sizeof expected.row.row) != 0)
        return refuse(e, "the version's row is not that of the contributions approved so far");
    struct published_version *more = one_more(d->versions, d->n_versions, sizeof *more, e);
    if (!more)
        return OL_ENOMEM;
    d->versions = more;
    more += d->n_versions++;
    *more = (struct published_version){.sequence = entry->sequence, .is = *body};
    memcpy(more->log_head, entry->previous, 32);
    return 0;
}

static int apply_body(struct datanet *d, const struct log_entry *entry, union log_body *body, struct err *e)
{
    switch ((enum datanet_action)entry->action) {
    case ACT_CREATE:
        return apply_create(d, entry, &body->create, e);
    case ACT_MEMBERS:
        if (!is_owner(d, entry->actor))
            return refuse(e, "only the owner names reviewers and contributors");
        take_members(d, &body->members);
        return 0;
    case ACT_COMMIT:
        return apply_commit(d, entry, &body->commit, e);
    case ACT_PROPOSE:
        return apply_propose(d, entry, &body->propose, e);
    case ACT_APPROVE:
    case ACT_REJECT:
        return apply_review(d, entry, &body->verdict, e);
    case ACT_WITHDRAW:
        return apply_withdraw(d, entry, &body->verdict, e);
    case ACT_PUBLISH:
        return apply_publish(d, entry, &body->publish, e);
    }
    return refuse(e, "unknown action");
}

int datanet_apply(struct datanet *d, const struct log_entry *entry, struct err *e)
{
    union log_body body;
    if ((entry->action == ACT_CREATE) != (d->sequence == 0))
        return refuse(e, "the first line of a log creates the Datanet, and no other");
    if (entry->sequence != d->sequence + 1 || memcmp(entry->previous, d->head, 32) != 0)
        return refuse(e, "the line does not follow the one before");
    bool registers = entry->action == ACT_COMMIT || entry->action == ACT_PROPOSE;
    if (entry->time < d->time + registers)
        return refuse(e, registers ? "the line is not later than the one before"
                                   : "the line is older than the one before");
    int rc = log_body_read(entry, &body, e);
    if (rc != 0)
        return rc;
    rc = apply_body(d, entry, &body, e);
    log_body_free(entry->action, &body);
    if (rc == 0) {
        d->sequence = entry->sequence;
        d->time = entry->time;
    }
    return rc;
}
