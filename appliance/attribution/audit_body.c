/* Checks of a body as a whole; see audit.h. What the contracts can prove wrong is left to challenges: here it matters
 * that the receipts, statements and postings that the audit reads are those that the batch commits to. */
#include "attribution/audit_internal.h"

#include <stdlib.h>
#include <string.h>

static void check_batch(const struct audit_body *b, struct audit_subject *s)
{
    uint8_t said[HASH_BYTES], found[HASH_BYTES];
    char x[12], y[12];
    struct batch header = b->body.batch;
    if (!b->has_header) {
        audit_set(s, AUDIT_BATCH, AUDIT_UNAVAILABLE,
                  "no NUMBER.batch.json beside it (`openlora chain mirror` writes it): "
                  "nothing says that this is the body of a batch");
        return;
    }
    header.submitted_at = b->header.submitted_at; /* these two are not in a body */
    memcpy(header.body_hash, b->header.body_hash, 32);
    batch_hash(&header, found);
    batch_hash(&b->header, said);
    if (memcmp(b->hash, b->header.body_hash, SHA256_BYTES) != 0)
        audit_set(s, AUDIT_BATCH, AUDIT_DIFFERS, "the batch's bodyHash is %s…, the body's SHA-256 %s…",
                  audit_short(b->header.body_hash, x), audit_short(b->hash, y));
    else if (memcmp(said, found, HASH_BYTES) != 0)
        audit_set(s, AUDIT_BATCH, AUDIT_DIFFERS, "the header beside it hashes to %s…, the one in it to %s…",
                  audit_short(said, x), audit_short(found, y));
    else if (b->has_slot && !b->slot_is_hash)
        audit_set(s, AUDIT_BATCH, AUDIT_DIFFERS, "the chain's storage holds another hash for batch %llu than %s…",
                  (unsigned long long)header.number, audit_short(said, x));
    else
        audit_set(s, AUDIT_BATCH, AUDIT_AGREED, "%s", "");
}

/* Leaf i of one of the trees. */
typedef void (*leaf_of)(const void *row, struct sumnode *out);

static void receipt_row(const void *row, struct sumnode *out)
{
    const struct body_receipt *r = row;
    uint8_t hash[HASH_BYTES];
    proof_struct_hash(&r->proof, hash);
    receipt_leaf(hash, r->settled_wei, out);
}
static void posting_row(const void *row, struct sumnode *out) { posting_leaf(row, out); }
static void credit_row(const void *row, struct sumnode *out) { credit_leaf(row, out); }

struct tree {
    const char *name;
    const struct list *rows;
    size_t row_bytes;
    leaf_of leaf;
    uint32_t count;
    const uint8_t *root;
    wei_t total_wei;
};

static int check_tree(const struct tree *t, struct err *e)
{
    char x[12], y[12];
    struct sumnode *nodes = calloc(t->rows->n + 1, sizeof *nodes), root;
    if (!nodes)
        return err_set(e, OL_ENOMEM, "audit", "no memory for %zu %s", t->rows->n, t->name);
    for (size_t i = 0; i < t->rows->n; i++)
        t->leaf((const char *)t->rows->at + i * t->row_bytes, &nodes[i]);
    int rc = sumtree_root(nodes, t->rows->n, &root, e);
    free(nodes);
    if (rc)
        return rc;
    if (t->rows->n != t->count)
        return err_set(e, OL_EFORMAT, "audit", "the header says %u %s, the body has %zu", t->count, t->name,
                       t->rows->n);
    if (memcmp(root.hash, t->root, HASH_BYTES) != 0 || root.sum_wei != t->total_wei)
        return err_set(e, OL_EFORMAT, "audit", "the header's root of %s is %s…, theirs is %s…, or the totals differ",
                       t->name, audit_short(t->root, x), audit_short(root.hash, y));
    return 0;
}

/* Receipts stand in their places, and postings are of this batch, or of data of the one before. */
static int check_places(const struct audit_body *b, const struct audit_body *before, struct err *e)
{
    const struct batch *h = &b->body.batch;
    const struct body_receipt *r = b->body.receipts.at;
    const uint64_t from = before ? before->body.batch.first_sequence : 1;
    for (size_t i = 0; i < b->body.receipts.n; i++)
        if (memcmp(r[i].proof.node, h->node, ADDRESS_BYTES) != 0 || r[i].proof.epoch != h->epoch ||
            r[i].proof.sequence != h->first_sequence + i ||
            (r[i].settled_wei && r[i].settled_wei != r[i].proof.fee_wei))
            return err_set(e, OL_EFORMAT, "audit",
                           "receipt %zu is not of this node, epoch and place, or settled a part", i);
    const struct posting *p = b->postings;
    for (size_t i = 0; i < b->body.postings.n; i++) {
        bool data = p[i].role == ROLE_DATA || p[i].role == ROLE_UNATTRIBUTED;
        uint64_t first = data ? from : h->first_sequence, end = data ? h->first_sequence : h->first_sequence + h->count;
        if (p[i].sequence < first || p[i].sequence >= end || p[i].role < ROLE_MODEL || p[i].role > ROLE_UNATTRIBUTED)
            return err_set(e, OL_EFORMAT, "audit", "a posting of role %d for receipt %llu does not belong here",
                           p[i].role, (unsigned long long)p[i].sequence);
    }
    return 0;
}

/* Credits are those of the batch before in the epoch and this batch's postings; not known without that batch. */
static int check_credits(const struct audit_body *b, const struct audit_body *before, struct err *e)
{
    const struct posting *p = b->body.postings.at;
    const struct credit *now = b->body.credits.at, *old = before ? before->body.credits.at : NULL;
    const size_t n_old = before ? before->body.credits.n : 0;
    size_t i = 0, j = 0;
    if (!before && b->body.batch.first_sequence != 1)
        return 0;
    for (size_t k = 0; k < b->body.credits.n; k++) {
        wei_t due = 0;
        bool fits = true;
        if (i < n_old && memcmp(old[i].beneficiary, now[k].beneficiary, ADDRESS_BYTES) == 0)
            due = old[i++].cumulative_wei;
        for (; j < b->body.postings.n && memcmp(p[j].beneficiary, now[k].beneficiary, ADDRESS_BYTES) == 0; j++)
            fits = fits && wei_add(due, p[j].amount_wei, &due);
        if (!fits || due != now[k].cumulative_wei)
            return err_set(e, OL_EFORMAT, "audit", "credit %zu is not the one before with this batch's postings", k);
    }
    return i == n_old && j == b->body.postings.n
               ? 0
               : err_set(e, OL_EFORMAT, "audit", "somebody with a credit or a posting has no credit");
}

static void check_trees(const struct audit_body *b, const struct audit_body *before, struct audit_subject *s)
{
    const struct body *y = &b->body;
    const struct batch *h = &y->batch;
    const struct tree trees[] = {
        {"receipts", &y->receipts, sizeof(struct body_receipt), receipt_row, h->count, h->receipts_root,
         h->settled_total_wei},
        {"postings", &y->postings, sizeof(struct posting), posting_row, h->postings_count, h->postings_root,
         h->postings_total_wei},
        {"credits", &y->credits, sizeof(struct credit), credit_row, h->credits_count, h->credits_root,
         h->credits_total_wei},
    };
    struct err e = {0};
    int rc = check_places(b, before, &e);
    if (!rc)
        rc = check_credits(b, before, &e);
    for (size_t i = 0; i < sizeof trees / sizeof *trees && !rc; i++)
        rc = check_tree(&trees[i], &e);
    audit_take(s, AUDIT_TREES, rc, &e);
}

static const struct proof *proof_at(const struct audit_body *b, uint64_t sequence)
{
    const struct body_receipt *r = b->body.receipts.at;
    uint64_t first = b->body.batch.first_sequence;
    return sequence >= first && sequence - first < b->body.receipts.n ? &r[sequence - first].proof : NULL;
}

static void check_statements(const struct audit_body *b, const struct audit_body *before, struct audit_subject *s)
{
    const struct signed_statement *st = b->body.statements.at;
    uint64_t last = 0;
    for (size_t i = 0; i < b->body.statements.n; i++) {
        const struct attribution_statement *of = &st[i].statement;
        const struct proof *p = before ? proof_at(before, of->sequence) : NULL;
        if (of->sequence <= last || of->sequence >= b->body.batch.first_sequence || of->epoch != b->body.batch.epoch ||
            (before && (!p || audit_is_zero(p->attribution_policy)))) {
            audit_set(s, AUDIT_STATEMENTS, AUDIT_DIFFERS,
                      "statement %zu is for receipt %llu of epoch %llu: not by sequence, "
                      "not of the batch before, or of a receipt without a policy",
                      i, (unsigned long long)of->sequence, (unsigned long long)of->epoch);
            return;
        }
        last = of->sequence;
    }
    audit_set(s, AUDIT_STATEMENTS, AUDIT_AGREED, "%s", "");
}

void audit_body_checks(struct audit *a, const struct audit_body *b, struct audit_subject *s)
{
    const struct audit_body *before = audit_body_before(a, b);
    check_batch(b, s);
    check_trees(b, before, s);
    check_statements(b, before, s);
}
