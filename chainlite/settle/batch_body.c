/* Bodies of batches; see batch_body.h. */
#include "chainlite/settle/batch_body.h"

#include "base/sha256.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 << 10, MAX_PIECE_BYTES = 4 << 20 };

struct id_set { /* ids in the order of their first mention; owned */
    uint8_t (*at)[32];
    size_t n, cap;
};

struct body_writer {
    int fd;
    struct sha256 hash;
    struct buf piece; /* not yet written */
    const struct outbox_batch *batch, *previous;
    struct id_set versions, prices, splits, digests;
    bool first; /* of the list being written */
    struct err *err;
};

static int flush_piece(struct body_writer *w)
{
    if (buf_failed(&w->piece))
        return err_set(w->err, OL_ENOMEM, "body", "no memory for a piece of the body");
    sha256_add(&w->hash, w->piece.data, w->piece.len);
    for (size_t at = 0; at < w->piece.len;) {
        ssize_t n = write(w->fd, w->piece.data + at, w->piece.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(w->err, errno == ENOSPC ? OL_ELIMIT : OL_EIO, "body", "%swriting a body: %s",
                           errno == ENOSPC ? "disk_full: " : "", strerror(errno));
        at += (size_t)n;
    }
    buf_reset(&w->piece);
    return 0;
}

static void put(struct body_writer *w, const char *text) { buf_add_str(&w->piece, text); }

static int put_element(struct body_writer *w, const struct schema *schema, const void *object)
{
    if (!w->first)
        buf_add_char(&w->piece, ',');
    w->first = false;
    notation_write(schema, object, &w->piece);
    return w->piece.len >= PIECE_BYTES ? flush_piece(w) : 0;
}

static void open_list(struct body_writer *w, const char *before)
{
    put(w, before);
    w->first = true;
}

/* Few rows, mentioned often: the newest are looked at first. Bounded by the receipts of a batch. */
static bool remember(struct id_set *set, const uint8_t id[32], bool *fresh)
{
    *fresh = false;
    for (size_t i = set->n; i-- > 0;)
        if (memcmp(set->at[i], id, 32) == 0)
            return true;
    if (set->n == set->cap) {
        size_t cap = set->cap ? 2 * set->cap : 16;
        void *grown = realloc(set->at, cap * sizeof *set->at);
        if (!grown)
            return false;
        set->at = grown;
        set->cap = cap;
    }
    memcpy(set->at[set->n++], id, 32);
    return *fresh = true;
}

static int put_receipt(void *user, const struct outbox_receipt *r)
{
    struct body_writer *w = user;
    const struct proof *p = &r->proof;
    struct body_receipt element = {.proof = *p};
    memcpy(element.signature, r->signature, SIGNATURE_BYTES);
    element.settled_wei = batch_settles(w->batch, p->sequence) ? p->fee_wei : 0;
    static const uint8_t none[32];
    bool fresh;
    if (!remember(&w->versions, p->model_version, &fresh) || !remember(&w->prices, p->price_id, &fresh) ||
        !remember(&w->splits, p->split_id, &fresh) ||
        (memcmp(p->adapter_version, none, 32) != 0 && !remember(&w->versions, p->adapter_version, &fresh)) ||
        (memcmp(p->attribution_policy, none, 32) != 0 && !remember(&w->versions, p->attribution_policy, &fresh)))
        return err_set(w->err, OL_ENOMEM, "body", "no memory for the rows of a body");
    return put_element(w, &body_receipt_schema, &element);
}

/* The voucher behind a receipt's digest, unless the receipt before had the same. */
static int put_voucher(void *user, const struct outbox_receipt *r)
{
    struct body_writer *w = user;
    struct signed_voucher element = {.voucher = r->voucher.voucher};
    memcpy(element.signature, r->voucher.signature, SIGNATURE_BYTES);
    bool fresh;
    if (!remember(&w->digests, r->proof.voucher_digest, &fresh))
        return err_set(w->err, OL_ENOMEM, "body", "no memory for the vouchers of a body");
    return fresh ? put_element(w, &signed_voucher_schema, &element) : 0;
}

static int put_statement(void *user, const struct signed_statement *s)
{
    return put_element(user, &signed_statement_schema, s);
}

/* Of the receipts whose data parts this batch posts, whether they settled or not. */
static int put_statements(struct body_writer *w, struct outbox *outbox)
{
    const struct batch *b = w->previous ? &w->previous->batch : NULL;
    open_list(w, "],\"statements\":[");
    return b ? outbox_statements(outbox, b->epoch, b->first_sequence, b->first_sequence + b->count, put_statement, w, w->err)
             : 0;
}

static int put_rows(struct body_writer *w, const struct row_source *rows)
{
    int rc = 0;
    open_list(w, "],\"rows\":{\"versions\":[");
    for (size_t i = 0; i < w->versions.n && !rc; i++) {
        struct row_version row;
        rc = rows->version(rows->user, w->versions.at[i], &row, w->err);
        rc = rc ? rc : put_element(w, &version_schema, &row);
    }
    open_list(w, "],\"prices\":[");
    for (size_t i = 0; i < w->prices.n && !rc; i++) {
        struct row_price row;
        rc = rows->price(rows->user, w->prices.at[i], &row, w->err);
        rc = rc ? rc : put_element(w, &price_schema, &row);
    }
    open_list(w, "],\"splits\":[");
    for (size_t i = 0; i < w->splits.n && !rc; i++) {
        struct row_split row;
        rc = rows->split(rows->user, w->splits.at[i], &row, w->err);
        rc = rc ? rc : put_element(w, &split_schema, &row);
    }
    return rc;
}

static int put_body(struct body_writer *w, struct outbox *outbox, const struct row_source *rows,
                    const struct batch_trees *t)
{
    const struct batch *b = &w->batch->batch;
    put(w, "{\"version\":1,\"batch\":");
    notation_write(&batch_body_schema, b, &w->piece);
    open_list(w, ",\"receipts\":[");
    int rc = outbox_receipts(outbox, b->epoch, b->first_sequence, b->count, put_receipt, w, w->err);
    open_list(w, "],\"postings\":[");
    for (size_t i = 0; i < t->n_postings && !rc; i++)
        rc = put_element(w, &posting_schema, &t->posting[i]);
    open_list(w, "],\"credits\":[");
    for (size_t i = 0; i < t->n_credits && !rc; i++)
        rc = put_element(w, &credit_schema, &t->credit[i]);
    if (!rc)
        rc = put_rows(w, rows);
    open_list(w, "]},\"vouchers\":[");
    if (!rc)
        rc = outbox_receipts(outbox, b->epoch, b->first_sequence, b->count, put_voucher, w, w->err);
    if (!rc)
        rc = put_statements(w, outbox);
    put(w, "]}");
    return rc ? rc : flush_piece(w);
}

/* The folder's entry is on disk, too: a body that a batch names must survive a power cut. */
static int sync_folder(const char *folder, struct err *e)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd);
    int why = errno;
    if (fd >= 0)
        close(fd);
    return failed ? err_set(e, OL_EIO, "body", "syncing %s: %s", folder, strerror(why)) : 0;
}

const char *batch_body_path(const char *folder, const uint8_t body_hash[32], char out[BODY_PATH_BYTES])
{
    char name[2 * 32 + 1];
    hex_encode(body_hash, 32, name);
    snprintf(out, BODY_PATH_BYTES, "%s/%s.json", folder, name);
    return out;
}

static int give_name(struct body_writer *w, const char *folder, const char *temporary, uint8_t body_hash[32])
{
    char hex[SHA256_HEX_BYTES], path[BODY_PATH_BYTES];
    sha256_hex(&w->hash, hex);
    CHECK(hex_decode(hex, body_hash, 32));
    if (fsync(w->fd) || rename(temporary, batch_body_path(folder, body_hash, path)))
        return err_set(w->err, OL_EIO, "body", "storing %s: %s", path, strerror(errno));
    return sync_folder(folder, w->err);
}

int batch_body_write(const char *folder, struct outbox *outbox, const struct row_source *rows,
                     const struct outbox_batch *batch, const struct outbox_batch *previous,
                     const struct batch_trees *trees, uint8_t body_hash[32], struct err *e)
{
    struct err local = {0};
    struct body_writer w = {.batch = batch, .previous = previous, .err = e ? e : &local};
    char temporary[BODY_PATH_BYTES];
    if (mkdir(folder, 0755) && errno != EEXIST)
        return err_set(e, OL_EIO, "body", "making %s: %s", folder, strerror(errno));
    snprintf(temporary, sizeof temporary, "%s/writing", folder);
    w.fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w.fd < 0)
        return err_set(e, OL_EIO, "body", "opening %s: %s", temporary, strerror(errno));
    sha256_init(&w.hash);
    buf_init(&w.piece, MAX_PIECE_BYTES);
    int rc = put_body(&w, outbox, rows, trees);
    if (!rc)
        rc = give_name(&w, folder, temporary, body_hash);
    if (rc)
        unlink(temporary);
    close(w.fd);
    buf_deinit(&w.piece);
    free(w.versions.at);
    free(w.prices.at);
    free(w.splits.at);
    free(w.digests.at);
    return rc;
}

int batch_body_read(const char *folder, const uint8_t body_hash[32], struct buf *out, struct err *e)
{
    char path[BODY_PATH_BYTES], hex[SHA256_HEX_BYTES], block[16 << 10];
    uint8_t hash[32];
    int fd = open(batch_body_path(folder, body_hash, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? OL_ENOTFOUND : OL_EIO, "body", "%s: %s", path, strerror(errno));
    struct sha256 sha;
    sha256_init(&sha);
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0) {
        sha256_add(&sha, block, (size_t)n);
        buf_add(out, block, (size_t)n);
    }
    int why = errno;
    close(fd);
    sha256_hex(&sha, hex);
    if (n < 0)
        return err_set(e, OL_EIO, "body", "%s: %s", path, strerror(why));
    if (!hex_decode(hex, hash, sizeof hash) || memcmp(hash, body_hash, sizeof hash) != 0)
        return err_set(e, OL_EFORMAT, "body", "%s does not have the hash it is named after; remove it", path);
    if (buf_failed(out))
        return err_set(e, OL_ELIMIT, "body", "%s is larger than its reader allows", path);
    return 0;
}
