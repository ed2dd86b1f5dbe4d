/* Fills any struct with valid values that depend on every field's place: what tests of JSON start from. */
#ifndef OPENLORA_TEST_SCHEMA_FILL_H
#define OPENLORA_TEST_SCHEMA_FILL_H

#include "chainlite/core/secp.h"
#include "chainlite/json/notation.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static inline uint8_t fill_next(uint32_t *seed) { return (uint8_t)((*seed = *seed * 1664525 + 1013904223) >> 24); }

static inline void fill_bytes(void *at, size_t n, uint32_t *seed)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)at)[i] = fill_next(seed);
}

/* *object is zeroed before; lists get one to three elements, optional structs are there. */
static inline void schema_fill(const struct schema *s, void *object, uint32_t *seed)
{
    static const size_t plain_bytes[] = {[FIELD_HASH] = 32, [FIELD_ADDRESS] = ADDRESS_BYTES, [FIELD_U8] = 1,
                                         [FIELD_U32] = 4,   [FIELD_U64] = 8,                 [FIELD_I32] = 4,
                                         [FIELD_WEI] = 16,  [FIELD_SIGNATURE] = SIGNATURE_BYTES};
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->field[i];
        char *at = (char *)object + f->offset;
        struct list *list = (struct list *)(void *)at;
        struct byte_string *bytes = (struct byte_string *)(void *)at;
        switch (f->type) {
        case FIELD_VERSION:
            *at = (char)f->max;
            break;
        case FIELD_WORD:
            do
                *at = (char)(fill_next(seed) % f->max);
            while (!f->words[(int)*at]);
            break;
        case FIELD_TEXT:
            snprintf(at, f->max, "text \"%d\\", fill_next(seed));
            break;
        case FIELD_BYTES:
            bytes->n = 1 + fill_next(seed) % 7;
            bytes->at = malloc(bytes->n);
            fill_bytes(bytes->at, bytes->n, seed);
            break;
        case FIELD_BOOL:
            *(bool *)at = fill_next(seed) % 2;
            break;
        case FIELD_OPTIONAL:
            *((bool *)object + f->flag) = true; /* fall through */
        case FIELD_STRUCT:
        case FIELD_INLINE:
            schema_fill(f->of, at, seed);
            break;
        case FIELD_LIST:
            list->n = 1 + fill_next(seed) % (f->max < 3 ? f->max : 3);
            list->at = calloc(list->n, f->of->bytes);
            for (size_t k = 0; k < list->n; k++)
                schema_fill(f->of, (char *)list->at + k * f->of->bytes, seed);
            break;
        case FIELD_OPEN:
            *(json_t **)(void *)at = json_pack("{s:[i,n]}", "anything", fill_next(seed));
            break;
        default:
            fill_bytes(at, plain_bytes[f->type], seed);
            if (f->type == FIELD_U64)
                at[7] &= 0x7f; /* JSON integers end at 2^63 */
        }
    }
}

#endif
