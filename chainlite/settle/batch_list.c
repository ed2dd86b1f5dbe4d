#include "chainlite/settle/batch_list.h"

#include "chainlite/core/hex.h"
#include "chainlite/json/notation.h"
#include "chainlite/settle/batch_body.h"

#include <string.h>
#include <sys/stat.h>

enum { MAX_HEADER_BYTES = 8192 };

static bool is_built(const struct outbox_batch *b)
{
    static const uint8_t none[32];
    return memcmp(b->batch.body_hash, none, sizeof none) != 0;
}

static json_t *header_json(const struct outbox_batch *b)
{
    struct buf text;
    if (!is_built(b))
        return json_null();
    buf_init(&text, MAX_HEADER_BYTES);
    notation_write(&batch_schema, &b->batch, &text);
    json_t *out = json_loadb(buf_str(&text), text.len, 0, NULL);
    buf_deinit(&text);
    return out;
}

static json_int_t body_bytes(const struct outbox_batch *b, const char *bodies)
{
    char path[BODY_PATH_BYTES];
    struct stat s;
    return is_built(b) && stat(batch_body_path(bodies, b->batch.body_hash, path), &s) == 0 ? (json_int_t)s.st_size : 0;
}

json_t *batch_row_json(const struct outbox_batch *b, const char *bodies)
{
    const struct batch *h = &b->batch;
    char paid[WEI_TEXT_BYTES], settled[WEI_TEXT_BYTES], hash[2 + 2 * 32 + 1] = "0x";
    wei_format(b->gas_paid_wei, paid);
    wei_format(h->settled_total_wei, settled);
    hex_encode(h->body_hash, 32, hash + 2);
    return json_pack("{s:I,s:s,s:I,s:I,s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:o}", "number",
                     (json_int_t)h->number, "state", outbox_batch_state_name((enum outbox_batch_state)b->state), "epoch",
                     (json_int_t)h->epoch, "first_sequence", (json_int_t)h->first_sequence, "count",
                     (json_int_t)h->count, "settled_total", settled, "body_hash", hash, "body_bytes",
                     body_bytes(b, bodies), "submitted_at", (json_int_t)h->submitted_at, "block_number",
                     (json_int_t)b->block_number, "gas_used", (json_int_t)b->gas_used, "gas_paid_wei", paid, "nonce",
                     (json_int_t)b->nonce, "closed_ms", (json_int_t)b->closed_ms, "submitted_ms",
                     (json_int_t)b->submitted_ms, "proven_ms", (json_int_t)b->proven_ms, "batch", header_json(b));
}

struct listing {
    json_t *list;
    const char *bodies;
};

static int append(void *user, const struct outbox_batch *b)
{
    struct listing *l = user;
    return json_array_append_new(l->list, batch_row_json(b, l->bodies)) ? OL_ENOMEM : 0;
}

json_t *batch_list_json(struct outbox *outbox, const char *bodies, uint64_t first, uint64_t max)
{
    struct listing l = {json_array(), bodies};
    if (!l.list || outbox_batches(outbox, first, max, append, &l, NULL)) {
        json_decref(l.list);
        return NULL;
    }
    return json_pack("{s:o}", "batches", l.list);
}
