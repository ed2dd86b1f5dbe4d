/* Fields as ABI words; see schema.h. */
#include "chainlite/core/schema.h"

#include "base/err.h"
#include "chainlite/core/wei.h"

#include <string.h>

static void put_i32(int32_t value, uint8_t word[32])
{
    wei_to_be32((uint32_t)value, word);
    if (value < 0)
        memset(word, 0xff, 32 - sizeof value);
}

void field_word(const struct field *f, const void *object, uint8_t word[32])
{
    const uint8_t *at = (const uint8_t *)object + f->offset;
    union {
        uint32_t u32;
        uint64_t u64;
        int32_t i32;
        wei_t wei;
    } v;
    CHECK(f->type <= FIELD_WEI); /* the others have no word */
    memset(word, 0, 32);
    switch (f->type) {
    case FIELD_HASH:
        memcpy(word, at, 32);
        return;
    case FIELD_ADDRESS:
        memcpy(word + 32 - ADDRESS_BYTES, at, ADDRESS_BYTES);
        return;
    case FIELD_U8:
        word[31] = *at;
        return;
    case FIELD_U32:
        memcpy(&v.u32, at, sizeof v.u32);
        wei_to_be32(v.u32, word);
        return;
    case FIELD_U64:
        memcpy(&v.u64, at, sizeof v.u64);
        wei_to_be32(v.u64, word);
        return;
    case FIELD_I32:
        memcpy(&v.i32, at, sizeof v.i32);
        put_i32(v.i32, word);
        return;
    case FIELD_WEI:
        memcpy(&v.wei, at, sizeof v.wei);
        wei_to_be32(v.wei, word);
        return;
    default:
        return;
    }
}

void schema_hash(const struct schema *s, const void *object, const char *type, uint8_t out[HASH_BYTES])
{
    struct keccak k;
    uint8_t word[32];
    keccak_init(&k);
    if (type) {
        keccak256(type, strlen(type), word);
        keccak_add(&k, word, sizeof word);
    }
    for (size_t i = 0; i < s->n; i++) {
        field_word(&s->field[i], object, word);
        keccak_add(&k, word, sizeof word);
    }
    keccak_end(&k, out);
}
