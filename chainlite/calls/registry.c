/* Calls of the Registry; see calls.h. */
#include "chainlite/calls/words.h"

#include <string.h>

/* A dynamic argument: its place in the head now points to the writer's end. */
static void put_words(struct abi_writer *w, size_t place, size_t arguments, const uint8_t (*words)[32], size_t n)
{
    abi_set_offset(w, place, arguments);
    abi_put_u64(w, n);
    for (size_t i = 0; i < n; i++)
        abi_put_word(w, words[i]);
}

static void put_text(struct abi_writer *w, size_t place, size_t arguments, const char *text)
{
    abi_set_offset(w, place, arguments);
    abi_put_bytes(w, text, strlen(text));
}

void call_registry_create_item(struct abi_writer *w, enum item_kind kind, const char *name)
{
    abi_put_selector(w, "createItem(uint8,string)");
    size_t arguments = w->len;
    abi_put_u64(w, (uint64_t)kind);
    size_t place = abi_put_offset(w);
    put_text(w, place, arguments, name);
}

void call_registry_publish_version(struct abi_writer *w, const struct row_version *version,
                                   const uint8_t (*parents)[32], size_t n_parents, const uint8_t (*data_roots)[32],
                                   size_t n_roots, const uint8_t training_record[32], const char *uri)
{
    abi_put_selector(w, "publishVersion(" VERSION_TYPE ",bytes32[],bytes32[],bytes32,string)");
    size_t arguments = w->len;
    words_put(w, &version_schema, version);
    size_t parents_at = abi_put_offset(w), roots_at = abi_put_offset(w);
    abi_put_word(w, training_record);
    size_t uri_at = abi_put_offset(w);
    put_words(w, parents_at, arguments, parents, n_parents);
    put_words(w, roots_at, arguments, data_roots, n_roots);
    put_text(w, uri_at, arguments, uri);
}

void call_registry_publish_price(struct abi_writer *w, const struct row_price *price)
{
    abi_put_selector(w, "publishPrice(" PRICE_TYPE ")");
    words_put(w, &price_schema, price);
}

void call_registry_publish_split(struct abi_writer *w, const struct row_split *split)
{
    abi_put_selector(w, "publishSplit(" SPLIT_TYPE ")");
    words_put(w, &split_schema, split);
}

static void call_item(struct abi_writer *w, const char *signature, const uint8_t item[32])
{
    abi_put_selector(w, signature);
    abi_put_word(w, item);
}

void call_registry_set_current(struct abi_writer *w, const uint8_t item[32], uint32_t number)
{
    call_item(w, "setCurrent(bytes32,uint32)", item);
    abi_put_u64(w, number);
}

void call_registry_freeze(struct abi_writer *w, const uint8_t item[32]) { call_item(w, "freeze(bytes32)", item); }
void call_registry_activate(struct abi_writer *w, const uint8_t item[32]) { call_item(w, "activate(bytes32)", item); }

void call_registry_redirect(struct abi_writer *w, const uint8_t item[32], const uint8_t to[32])
{
    call_item(w, "redirect(bytes32,bytes32)", item);
    abi_put_word(w, to);
}

void call_registry_offer_item(struct abi_writer *w, const uint8_t item[32], const uint8_t to[ADDRESS_BYTES])
{
    call_item(w, "offerItem(bytes32,address)", item);
    abi_put_address(w, to);
}

void call_registry_accept_item(struct abi_writer *w, const uint8_t item[32])
{
    call_item(w, "acceptItem(bytes32)", item);
}
