/* Rows as bytes. Every struct is a table of fields (core/schema.h), so writing and reading cannot disagree. */
#include "chainlite/settle/outbox_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_VERSION = 1 };

#define MODULE "outbox"

static const struct field reservation_fields[] = {
    FIELD(outbox_reservation, HASH, "receipt_id", receipt_id),
    FIELD_BOUNDED(outbox_reservation, TEXT, "tenant", tenant, OUTBOX_TENANT_BYTES),
    FIELD(outbox_reservation, BOOL, "own_voucher", own_voucher),
    FIELD(outbox_reservation, HASH, "caller", caller),
    FIELD(outbox_reservation, ADDRESS, "payer", payer),
    FIELD(outbox_reservation, HASH, "model_version", model_version),
    FIELD(outbox_reservation, HASH, "adapter_version", adapter_version),
    FIELD(outbox_reservation, HASH, "price_id", price_id),
    FIELD(outbox_reservation, HASH, "split_id", split_id),
    FIELD(outbox_reservation, HASH, "request_hash", request_hash),
    FIELD(outbox_reservation, U32, "prompt_tokens", prompt_tokens),
    FIELD(outbox_reservation, U32, "max_output_tokens", max_output_tokens),
    FIELD(outbox_reservation, WEI, "max_fee_wei", max_fee_wei),
    FIELD(outbox_reservation, U64, "time_ms", time_ms),
};
const struct schema outbox_reservation_schema = SCHEMA("reservation", outbox_reservation, reservation_fields);

static const struct field receipt_fields[] = {
    FIELD_NESTED(outbox_receipt, "proof", proof, &proof_schema),
    FIELD(outbox_receipt, SIGNATURE, "signature", signature),
    FIELD_NESTED(outbox_receipt, "voucher", voucher, &signed_voucher_schema),
    FIELD_BOUNDED(outbox_receipt, TEXT, "tenant", tenant, OUTBOX_TENANT_BYTES),
    FIELD(outbox_receipt, U64, "recorded_ms", recorded_ms),
};
const struct schema outbox_receipt_schema = SCHEMA("receipt", outbox_receipt, receipt_fields);

static const struct field payer_fields[] = {
    FIELD(outbox_payer, ADDRESS, "payer", payer),
    FIELD(outbox_payer, U64, "epoch", epoch),
    FIELD(outbox_payer, WEI, "base_wei", base_wei),
    FIELD(outbox_payer, WEI, "cumulative_wei", cumulative_wei),
    FIELD(outbox_payer, U64, "last_sequence", last_sequence),
    FIELD(outbox_payer, BOOL, "has_voucher", has_voucher),
    FIELD_NESTED(outbox_payer, "highest", highest, &signed_voucher_schema),
};
const struct schema outbox_payer_schema = SCHEMA("payer", outbox_payer, payer_fields);

static const struct field batch_fields[] = {
    FIELD_NESTED(outbox_batch, "batch", batch, &batch_schema),
    FIELD(outbox_batch, U8, "state", state),
    FIELD(outbox_batch, U64, "closed_ms", closed_ms),
    FIELD(outbox_batch, U64, "submitted_ms", submitted_ms),
    FIELD(outbox_batch, U64, "proven_ms", proven_ms),
    FIELD(outbox_batch, U64, "nonce", nonce),
    FIELD(outbox_batch, U64, "block_number", block_number),
    FIELD(outbox_batch, U64, "gas_used", gas_used),
    FIELD(outbox_batch, WEI, "gas_paid_wei", gas_paid_wei),
    FIELD(outbox_batch, HASH, "block_hash", block_hash),
};
const struct schema outbox_batch_schema = SCHEMA("batch", outbox_batch, batch_fields);

static const struct field tx_fields[] = {
    FIELD(outbox_tx, U64, "nonce", nonce),
    FIELD(outbox_tx, U32, "variant", variant),
    FIELD(outbox_tx, U8, "purpose", purpose),
    FIELD(outbox_tx, U8, "state", state),
    FIELD(outbox_tx, HASH, "hash", hash),
    FIELD(outbox_tx, U64, "batch_number", batch_number),
    FIELD(outbox_tx, U32, "chunk", chunk),
    FIELD(outbox_tx, U64, "gas_limit", gas_limit),
    FIELD(outbox_tx, WEI, "tip_wei", tip_wei),
    FIELD(outbox_tx, WEI, "fee_cap_wei", fee_cap_wei),
    FIELD(outbox_tx, U64, "signed_ms", signed_ms),
    FIELD(outbox_tx, U64, "sent_ms", sent_ms),
    FIELD(outbox_tx, U64, "block_number", block_number),
    FIELD(outbox_tx, U64, "gas_used", gas_used),
    FIELD(outbox_tx, WEI, "gas_paid_wei", gas_paid_wei),
};
const struct schema outbox_tx_schema = SCHEMA("transaction", outbox_tx, tx_fields);

static const struct field dead_fields[] = {
    FIELD(outbox_dead, U64, "epoch", epoch),
    FIELD(outbox_dead, U64, "sequence", sequence),
    FIELD(outbox_dead, U64, "at_ms", at_ms),
    FIELD_BOUNDED(outbox_dead, TEXT, "code", code, sizeof((struct outbox_dead *)0)->code),
    FIELD_BOUNDED(outbox_dead, TEXT, "reason", reason, OUTBOX_REASON_BYTES),
};
const struct schema outbox_dead_schema = SCHEMA("dead letter", outbox_dead, dead_fields);

/* ---- keys */

static void put_be(uint64_t value, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> 8 * (n - 1 - i));
}

static uint64_t get_be(const uint8_t *in, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | in[i];
    return value;
}

void key_u64(uint64_t value, uint8_t out[8]) { put_be(value, out, 8); }
uint64_t key_read_u64(const uint8_t in[8]) { return get_be(in, 8); }

void key_place(uint64_t epoch, uint64_t sequence, uint8_t out[PLACE_KEY_BYTES])
{
    key_u64(epoch, out);
    key_u64(sequence, out + 8);
}

/* ---- fields. Structs nest two deep at most: the recursion is bounded by the tables above. */

static size_t width(enum field_type type)
{
    switch (type) {
    case FIELD_HASH: return 32;
    case FIELD_ADDRESS: return ADDRESS_BYTES;
    case FIELD_SIGNATURE: return SIGNATURE_BYTES;
    case FIELD_U8:
    case FIELD_BOOL: return 1;
    case FIELD_U32:
    case FIELD_I32: return 4;
    case FIELD_U64: return 8;
    case FIELD_WEI: return 16;
    default: return 0;
    }
}

static void pack_fields(const struct schema *schema, const uint8_t *object, struct buf *out);

static void pack_list(const struct schema *of, const struct list *list, struct buf *out)
{
    uint8_t count[4];
    put_be(list->n, count, sizeof count);
    buf_add(out, count, sizeof count);
    for (size_t i = 0; i < list->n; i++)
        pack_fields(of, (const uint8_t *)list->at + i * of->bytes, out);
}

static void pack_fields(const struct schema *schema, const uint8_t *object, struct buf *out)
{
    for (size_t i = 0; i < schema->n; i++) {
        const struct field *f = &schema->field[i];
        const uint8_t *at = object + f->offset;
        size_t n = width(f->type);
        uint8_t bytes[16];
        uint64_t u64 = 0;
        uint32_t u32;
        wei_t wei;
        switch (f->type) {
        case FIELD_HASH:
        case FIELD_ADDRESS:
        case FIELD_SIGNATURE:
        case FIELD_U8: buf_add(out, at, n); continue;
        case FIELD_BOOL: u64 = *(const bool *)at; break;
        case FIELD_U32:
        case FIELD_I32: memcpy(&u32, at, 4), u64 = u32; break;
        case FIELD_U64: memcpy(&u64, at, 8); break;
        case FIELD_WEI:
            memcpy(&wei, at, sizeof wei);
            wei_to_be16(wei, bytes);
            buf_add(out, bytes, 16);
            continue;
        case FIELD_TEXT:
            n = strnlen((const char *)at, f->max - 1);
            buf_add_char(out, (char)n);
            buf_add(out, at, n);
            continue;
        case FIELD_STRUCT:
        case FIELD_INLINE: pack_fields(f->of, at, out); continue;
        case FIELD_LIST: pack_list(f->of, (const struct list *)(const void *)at, out); continue;
        default: CHECK(!"a field type that rows do not have");
        }
        put_be(u64, bytes, n);
        buf_add(out, bytes, n);
    }
}

struct reader {
    const uint8_t *at, *end;
};

static bool unpack_text(const struct field *f, struct reader *r, char *out)
{
    if (r->at == r->end)
        return false;
    size_t n = *r->at++;
    if (n >= f->max || (size_t)(r->end - r->at) < n)
        return false;
    memset(out, 0, f->max);
    memcpy(out, r->at, n);
    r->at += n;
    return true;
}

static bool unpack_fields(const struct schema *schema, struct reader *r, uint8_t *object);

/* Elements are in the list, zeroed, before the first is read: what a failure leaves can be freed. Every element has at
 * least a byte, which bounds what a damaged count can ask for. */
static bool unpack_list(const struct field *f, struct reader *r, struct list *out)
{
    if (r->end - r->at < 4)
        return false;
    size_t n = (size_t)get_be(r->at, 4);
    r->at += 4;
    if (n > f->max || n > (size_t)(r->end - r->at) || (n && !(out->at = calloc(n, f->of->bytes))))
        return false;
    out->n = n;
    for (size_t i = 0; i < n; i++)
        if (!unpack_fields(f->of, r, (uint8_t *)out->at + i * f->of->bytes))
            return false;
    return true;
}

static bool unpack_struct(const struct field *f, struct reader *r, uint8_t *at)
{
    if (f->type == FIELD_TEXT)
        return unpack_text(f, r, (char *)at);
    return f->type == FIELD_LIST ? unpack_list(f, r, (struct list *)(void *)at) : unpack_fields(f->of, r, at);
}

static bool unpack_fields(const struct schema *schema, struct reader *r, uint8_t *object)
{
    for (size_t i = 0; i < schema->n; i++) {
        const struct field *f = &schema->field[i];
        uint8_t *at = object + f->offset;
        size_t n = width(f->type);
        if (n == 0) {
            if (!unpack_struct(f, r, at))
                return false;
            continue;
        }
        if ((size_t)(r->end - r->at) < n)
            return false;
        uint64_t u64 = n <= 8 ? get_be(r->at, n) : 0;
        uint32_t u32 = (uint32_t)u64;
        wei_t wei;
        switch (f->type) {
        case FIELD_BOOL: *(bool *)at = u64 != 0; break;
        case FIELD_U32:
        case FIELD_I32: memcpy(at, &u32, 4); break;
        case FIELD_U64: memcpy(at, &u64, 8); break;
        case FIELD_WEI:
            wei = wei_from_be16(r->at);
            memcpy(at, &wei, sizeof wei);
            break;
        default: memcpy(at, r->at, n);
        }
        r->at += n;
    }
    return true;
}

void row_pack(const struct schema *schema, const void *object, const void *tail, size_t tail_len, struct buf *out)
{
    buf_add_char(out, ROW_VERSION);
    pack_fields(schema, object, out);
    buf_add(out, tail, tail_len);
}

int row_unpack(const struct schema *schema, const uint8_t *bytes, size_t n, void *object, const uint8_t **tail,
               size_t *tail_len, struct err *e)
{
    if (n == 0 || bytes[0] != ROW_VERSION)
        return err_set(e, OL_EFORMAT, MODULE, "a %s row of format %d; this version reads %d: use the version that wrote "
                       "it", schema->name, n ? bytes[0] : 0, ROW_VERSION);
    struct reader r = {bytes + 1, bytes + n};
    memset(object, 0, schema->bytes);
    if (!unpack_fields(schema, &r, object) || (!tail && r.at != r.end)) {
        schema_free(schema, object);
        return err_set(e, OL_EFORMAT, MODULE, "a damaged %s row of %zu bytes", schema->name, n);
    }
    if (tail) {
        *tail = r.at;
        *tail_len = (size_t)(r.end - r.at);
    }
    return 0;
}
