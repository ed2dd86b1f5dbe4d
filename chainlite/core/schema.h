/* What the protocol's structs consist of, field by field, in the protocol's order: one table per struct. From it come
 * its words (ABI encoding, EIP-712), its JSON in both directions (chainlite/json) and its documentation's key list.
 * A field is added in one place. Pure. */
#ifndef OPENLORA_CORE_SCHEMA_H
#define OPENLORA_CORE_SCHEMA_H

#include "chainlite/core/keccak.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    /* one ABI word each */
    FIELD_HASH,    /* uint8_t[32] */
    FIELD_ADDRESS, /* uint8_t[ADDRESS_BYTES] */
    FIELD_U8,
    FIELD_U32,
    FIELD_U64,
    FIELD_I32,
    FIELD_WEI,
    /* from here on in JSON only */
    FIELD_VERSION,   /* uint8_t of the format: `max` and nothing else */
    FIELD_WORD,      /* uint8_t, in JSON the entry of `words` at it */
    FIELD_SIGNATURE, /* uint8_t[SIGNATURE_BYTES] */
    FIELD_TEXT,      /* char[max], NUL-terminated */
    FIELD_BYTES,     /* struct byte_string, at most max */
    FIELD_BOOL,
    FIELD_STRUCT,   /* `of`, in place */
    FIELD_INLINE,   /* the fields of `of`, without a key of their own; no name */
    FIELD_OPTIONAL, /* `of`, in place, or null; a bool at `flag` says which */
    FIELD_LIST,     /* struct list of at most `max` × `of` */
    FIELD_OPEN,     /* json_t *: an object whose content nobody checks */
};

struct schema;

struct field {
    const char *name; /* the name in the typed data or in Solidity, in snake case; the key in JSON */
    enum field_type type;
    size_t offset;
    const struct schema *of;
    size_t max;  /* elements, bytes or, of a text, its array's size */
    size_t flag; /* offset */
    const char *const *words; /* max of them; NULL where there is none */
};

enum notation { /* how a struct is written in JSON */
    NOTATION_OBJECT, /* {"name":value,…} */
    NOTATION_ARRAY,  /* [value,…] */
    NOTATION_BARE,   /* the value of its only field */
};

struct schema {
    const char *name;
    const struct field *field;
    size_t n;
    size_t bytes; /* sizeof the struct */
    enum notation notation;
};

struct list { /* owned array */
    void *at;
    size_t n;
};

struct byte_string { /* owned */
    uint8_t *at;
    size_t n;
};

/* Rows of tables. S: the struct; M: its member. */
#define FIELD(S, TYPE, NAME, M) {.name = NAME, .type = FIELD_##TYPE, .offset = offsetof(struct S, M)}
#define FIELD_BOUNDED(S, TYPE, NAME, M, MAX)                                                                           \
    {.name = NAME, .type = FIELD_##TYPE, .offset = offsetof(struct S, M), .max = (MAX)}
#define FIELD_ONE_OF(S, NAME, M, WORDS)                                                                                \
    {.name = NAME,                                                                                                     \
     .type = FIELD_WORD,                                                                                               \
     .offset = offsetof(struct S, M),                                                                                  \
     .words = (WORDS),                                                                                                 \
     .max = sizeof(WORDS) / sizeof *(WORDS)}
#define FIELD_NESTED(S, NAME, M, OF) {.name = NAME, .type = FIELD_STRUCT, .offset = offsetof(struct S, M), .of = (OF)}
#define FIELD_NULLABLE(S, NAME, M, FLAG, OF)                                                                           \
    {.name = NAME,                                                                                                     \
     .type = FIELD_OPTIONAL,                                                                                           \
     .offset = offsetof(struct S, M),                                                                                  \
     .of = (OF),                                                                                                       \
     .flag = offsetof(struct S, FLAG)}
#define FIELD_MANY(S, NAME, M, OF, MAX)                                                                                \
    {.name = NAME, .type = FIELD_LIST, .offset = offsetof(struct S, M), .of = (OF), .max = (MAX)}
#define FIELD_MERGED(S, M, OF) {.type = FIELD_INLINE, .offset = offsetof(struct S, M), .of = (OF)}
#define SCHEMA_AS(NOTATION, NAME, S, FIELDS)                                                                           \
    {NAME, FIELDS, sizeof(FIELDS) / sizeof *(FIELDS), sizeof(struct S), NOTATION_##NOTATION}
#define SCHEMA(NAME, S, FIELDS) SCHEMA_AS(OBJECT, NAME, S, FIELDS)

/* The ABI word of a field of *object; the field has one. */
void field_word(const struct field *, const void *object, uint8_t word[32]);
/* keccak of the type hash (type: an EIP-712 type, NULL for none) and the words of all fields: the EIP-712 struct hash,
 * or the hash of abi.encode. */
void schema_hash(const struct schema *, const void *object, const char *type, uint8_t out[HASH_BYTES]);

#endif
