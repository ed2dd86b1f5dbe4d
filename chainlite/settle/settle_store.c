/* Rows that the lane keeps in the outbox's small values, and proofs in files; see lane_internal.h.
 *
 *   lane.c<batch, 16 hex><payer, 40 hex>   amount, before, ceiling, request hash, signature, attempts
 *   lane.k<batch, 16 hex><piece, 4 hex>    up to 28 credits of 36 bytes */
#include "chainlite/settle/lane_internal.h"

#include "base/buf.h"
#include "chainlite/core/hex.h"
#include "chainlite/settle/batch_body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CLAIM_ROW_BYTES = 3 * 16 + 32 + SIGNATURE_BYTES + 4,
    CREDIT_BYTES = ADDRESS_BYTES + 16,
    CREDITS_PER_ROW = 1024 / CREDIT_BYTES
};

static void claim_name(uint64_t batch, const uint8_t payer[ADDRESS_BYTES], char out[OUTBOX_KEY_BYTES])
{
    char address[2 * ADDRESS_BYTES + 1];
    hex_encode(payer, ADDRESS_BYTES, address);
    snprintf(out, OUTBOX_KEY_BYTES, "lane.c%016llx%s", (unsigned long long)batch, address);
}

void store_put_claim(struct outbox_write *w, uint64_t batch, const struct claim_row *row)
{
    uint8_t value[CLAIM_ROW_BYTES], *p = value;
    char name[OUTBOX_KEY_BYTES];
    wei_to_be16(row->claim.amount_wei, p);
    wei_to_be16(row->before_wei, p + 16);
    wei_to_be16(row->claim.ceiling_wei, p + 32);
    memcpy(p + 48, row->claim.request_hash, 32);
    memcpy(p + 80, row->claim.signature, SIGNATURE_BYTES);
    for (int i = 0; i < 4; i++)
        p[80 + SIGNATURE_BYTES + i] = (uint8_t)(row->attempts >> (24 - 8 * i));
    claim_name(batch, row->claim.payer, name);
    outbox_put_meta(w, name, value, sizeof value);
}

struct claim_scan {
    struct claim_rows *rows;
    size_t cap;
};

static int take_claim(void *user, const char *name, const void *bytes, size_t n)
{
    struct claim_scan *scan = user;
    const uint8_t *p = bytes;
    if (n != CLAIM_ROW_BYTES || strlen(name) < 2 * ADDRESS_BYTES)
        return OL_EFORMAT;
    if (scan->rows->n == scan->cap) {
        size_t cap = scan->cap ? 2 * scan->cap : 64;
        void *grown = realloc(scan->rows->at, cap * sizeof *scan->rows->at);
        if (!grown)
            return OL_ENOMEM;
        scan->rows->at = grown;
        scan->cap = cap;
    }
    struct claim_row *row = &scan->rows->at[scan->rows->n];
    *row = (struct claim_row){0};
    if (!hex_decode(name + strlen(name) - 2 * ADDRESS_BYTES, row->claim.payer, ADDRESS_BYTES))
        return OL_EFORMAT;
    row->claim.amount_wei = wei_from_be16(p);
    row->before_wei = wei_from_be16(p + 16);
    row->claim.ceiling_wei = wei_from_be16(p + 32);
    memcpy(row->claim.request_hash, p + 48, 32);
    memcpy(row->claim.signature, p + 80, SIGNATURE_BYTES);
    for (int i = 0; i < 4; i++)
        row->attempts = row->attempts << 8 | p[80 + SIGNATURE_BYTES + i];
    scan->rows->n++;
    return 0;
}

int store_claims(struct outbox *outbox, uint64_t batch, struct claim_rows *out, struct err *e)
{
    char prefix[OUTBOX_KEY_BYTES];
    *out = (struct claim_rows){0};
    struct claim_scan scan = {out, 0};
    snprintf(prefix, sizeof prefix, "lane.c%016llx", (unsigned long long)batch);
    int rc = outbox_metas(outbox, prefix, take_claim, &scan, e);
    if (rc) {
        free(out->at);
        *out = (struct claim_rows){0};
        return err_set(e, rc, "lane", "reading the claims of batch %llu", (unsigned long long)batch);
    }
    return 0;
}

void store_drop_claims(struct outbox_write *w, uint64_t batch, const struct claim_rows *rows)
{
    char name[OUTBOX_KEY_BYTES];
    for (size_t i = 0; i < rows->n; i++) {
        claim_name(batch, rows->at[i].claim.payer, name);
        outbox_drop_meta(w, name);
    }
}

static void credits_name(uint64_t batch, size_t piece, char out[OUTBOX_KEY_BYTES])
{
    snprintf(out, OUTBOX_KEY_BYTES, "lane.k%016llx%04zx", (unsigned long long)batch, piece);
}

static int count_piece(void *user, const char *name, const void *bytes, size_t n)
{
    (void)name, (void)bytes, (void)n;
    ++*(size_t *)user;
    return 0;
}

size_t store_credit_pieces(struct outbox *outbox, uint64_t batch)
{
    char prefix[OUTBOX_KEY_BYTES];
    size_t pieces = 0;
    snprintf(prefix, sizeof prefix, "lane.k%016llx", (unsigned long long)batch);
    return outbox_metas(outbox, prefix, count_piece, &pieces, NULL) ? 0 : pieces;
}

void store_put_credits(struct outbox_write *w, uint64_t batch, const struct credit *credits, size_t n,
                       size_t old_pieces)
{
    uint8_t value[CREDITS_PER_ROW * CREDIT_BYTES];
    char name[OUTBOX_KEY_BYTES];
    size_t piece = 0;
    for (size_t at = 0; at < n; piece++) {
        size_t len = 0;
        for (; at < n && len < sizeof value; at++, len += CREDIT_BYTES) {
            memcpy(value + len, credits[at].beneficiary, ADDRESS_BYTES);
            wei_to_be16(credits[at].cumulative_wei, value + len + ADDRESS_BYTES);
        }
        credits_name(batch, piece, name);
        outbox_put_meta(w, name, value, len);
    }
    for (; piece < old_pieces; piece++) {
        credits_name(batch, piece, name);
        outbox_drop_meta(w, name);
    }
}

struct credit_scan {
    struct credits *out;
    size_t expected;
};

static int take_credits(void *user, const char *name, const void *bytes, size_t n)
{
    struct credit_scan *scan = user;
    const uint8_t *p = bytes;
    (void)name;
    if (n % CREDIT_BYTES || n / CREDIT_BYTES > scan->expected - scan->out->n)
        return OL_EFORMAT;
    for (size_t i = 0; i < n; i += CREDIT_BYTES) {
        struct credit *c = &scan->out->at[scan->out->n++];
        memcpy(c->beneficiary, p + i, ADDRESS_BYTES);
        c->cumulative_wei = wei_from_be16(p + i + ADDRESS_BYTES);
    }
    return 0;
}

int store_credits(struct outbox *outbox, uint64_t batch, size_t n, struct credits *out, struct err *e)
{
    char prefix[OUTBOX_KEY_BYTES];
    *out = (struct credits){calloc(n + 1, sizeof *out->at), 0};
    if (!out->at)
        return err_set(e, OL_ENOMEM, "lane", "no memory for %zu credits", n);
    struct credit_scan scan = {out, n};
    snprintf(prefix, sizeof prefix, "lane.k%016llx", (unsigned long long)batch);
    int rc = outbox_metas(outbox, prefix, take_credits, &scan, e);
    if (!rc && out->n != n)
        rc = OL_EFORMAT;
    if (rc) {
        free(out->at);
        *out = (struct credits){0};
        return err_set(e, rc, "lane", "the credits of batch %llu are not as the batch says",
                       (unsigned long long)batch);
    }
    return 0;
}

static const struct field proof_fields[] = {
    FIELD_BOUNDED(stored_proof, TEXT, "trust_level", trust_level, TRUST_TEXT_BYTES),
    FIELD(stored_proof, U64, "block_number", block_number),
    FIELD(stored_proof, HASH, "block_hash", block_hash),
    FIELD_BOUNDED(stored_proof, BYTES, "block_header", block_header, BUNDLE_MAX_HEADER_BYTES),
    FIELD_MANY(stored_proof, "account_proof", account_proof, &node_element_schema, BUNDLE_MAX_NODES),
    FIELD_MANY(stored_proof, "storage_proof", storage_proof, &node_element_schema, BUNDLE_MAX_NODES),
};
const struct schema stored_proof_schema = SCHEMA("proof", stored_proof, proof_fields);

static int write_file(const char *path, const struct buf *b, struct err *e)
{
    char temporary[BODY_PATH_BYTES + 8];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool failed = fd < 0;
    for (size_t at = 0; !failed && at < b->len;) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        failed = n < 0 && errno != EINTR;
        at += n > 0 ? (size_t)n : 0;
    }
    failed = failed || fsync(fd);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (!failed && rename(temporary, path)) {
        failed = true;
        why = errno;
    }
    return failed ? err_set(e, OL_EIO, "lane", "storing %s: %s", path, strerror(why)) : 0;
}

/* The nodes as a list that borrows their bytes; only the array is owned. */
static bool borrow_nodes(const struct light_nodes *nodes, struct list *out)
{
    struct node_element *at = calloc(nodes->n + 1, sizeof *at);
    *out = (struct list){at, nodes->n};
    for (size_t i = 0; at && i < nodes->n; i++)
        at[i].rlp = (struct byte_string){(uint8_t *)nodes->node[i].data, nodes->node[i].len};
    return at != NULL;
}

int store_proof(const char *folder, uint64_t batch, const struct light_head *head, const struct light_proof *proof,
                struct err *e)
{
    enum { MAX_PROOF_BYTES = 1 << 20 };
    char path[BODY_PATH_BYTES];
    struct buf b;
    struct stored_proof p = {.block_number = head->number,
                             .block_header = {(uint8_t *)head->rlp, head->rlp_len}};
    snprintf(p.trust_level, sizeof p.trust_level, "%s", trust_level_name(head->trust));
    memcpy(p.block_hash, head->hash, HASH_BYTES);
    buf_init(&b, MAX_PROOF_BYTES);
    bool fits = borrow_nodes(&proof->account, &p.account_proof) & borrow_nodes(&proof->storage[0], &p.storage_proof);
    if (fits)
        notation_write(&stored_proof_schema, &p, &b);
    free(p.account_proof.at);
    free(p.storage_proof.at);
    snprintf(path, sizeof path, "%s/%llu.json", folder, (unsigned long long)batch);
    int rc = !fits || buf_failed(&b) ? err_set(e, OL_ENOMEM, "lane", "no memory for a proof") : write_file(path, &b, e);
    buf_deinit(&b);
    return rc;
}

int load_proof(const char *folder, uint64_t batch, struct stored_proof *out, struct err *e)
{
    char path[BODY_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%llu.json", folder, (unsigned long long)batch);
    json_t *root = json_load_file(path, 0, NULL);
    if (!root)
        return err_set(e, OL_ENOTFOUND, "lane", "no proof of batch %llu is stored", (unsigned long long)batch);
    int rc = notation_read(&stored_proof_schema, root, out, e);
    json_decref(root);
    return rc;
}
