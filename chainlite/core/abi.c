/* Solidity ABI words; see abi.h. Reading is stricter than Solidity: unused bits, padding and offsets must be what an
 * encoder writes, so that one value has one encoding. */
#include "chainlite/core/abi.h"

#include <string.h>

static int refuse(struct err *e, size_t word, const char *what)
{
    return err_set(e, OL_EFORMAT, "abi", "word %zu: %s", word, what);
}

void abi_writer_init(struct abi_writer *w, uint8_t *data, size_t cap) { *w = (struct abi_writer){data, cap, 0, false}; }

static void put(struct abi_writer *w, const void *bytes, size_t n)
{
    if (w->failed || n > w->cap - w->len) {
        w->failed = true;
        return;
    }
    if (n)
        memcpy(w->data + w->len, bytes, n);
    w->len += n;
}

void abi_selector(const char *signature, uint8_t out[4])
{
    uint8_t hash[HASH_BYTES];
    keccak256(signature, strlen(signature), hash);
    memcpy(out, hash, 4);
}

void abi_put_selector(struct abi_writer *w, const char *signature)
{
    uint8_t selector[4];
    abi_selector(signature, selector);
    put(w, selector, sizeof selector);
}

void abi_put_word(struct abi_writer *w, const uint8_t word[32]) { put(w, word, ABI_WORD_BYTES); }

void abi_put_wei(struct abi_writer *w, wei_t value)
{
    uint8_t word[ABI_WORD_BYTES];
    wei_to_be32(value, word);
    abi_put_word(w, word);
}

void abi_put_u64(struct abi_writer *w, uint64_t value) { abi_put_wei(w, value); }

void abi_put_i64(struct abi_writer *w, int64_t value)
{
    uint8_t word[ABI_WORD_BYTES];
    wei_to_be32((uint64_t)value, word);
    if (value < 0)
        memset(word, 0xff, ABI_WORD_BYTES - sizeof value);
    abi_put_word(w, word);
}

void abi_put_bool(struct abi_writer *w, bool value) { abi_put_wei(w, value); }

void abi_put_address(struct abi_writer *w, const uint8_t address[ADDRESS_BYTES])
{
    uint8_t word[ABI_WORD_BYTES] = {0};
    memcpy(word + ABI_WORD_BYTES - ADDRESS_BYTES, address, ADDRESS_BYTES);
    abi_put_word(w, word);
}

size_t abi_put_offset(struct abi_writer *w)
{
    size_t place = w->len;
    abi_put_wei(w, 0);
    return place;
}

void abi_set_offset(struct abi_writer *w, size_t place, size_t base)
{
    if (w->failed)
        return;
    CHECK(base <= place && place + ABI_WORD_BYTES <= w->len);
    wei_to_be32(w->len - base, w->data + place);
}

void abi_put_bytes(struct abi_writer *w, const void *bytes, size_t n)
{
    static const uint8_t zeros[ABI_WORD_BYTES];
    abi_put_wei(w, n);
    put(w, bytes, n);
    put(w, zeros, -n % ABI_WORD_BYTES);
}

int abi_get_word(const struct abi_reader *r, size_t word, uint8_t out[32], struct err *e)
{
    if (word >= r->len / ABI_WORD_BYTES)
        return refuse(e, word, "behind the end of the data");
    memcpy(out, r->data + word * ABI_WORD_BYTES, ABI_WORD_BYTES);
    return 0;
}

/* The word as an integer of at most max. */
static int get_integer(const struct abi_reader *r, size_t word, wei_t max, wei_t *out, struct err *e)
{
    uint8_t bytes[ABI_WORD_BYTES];
    int rc = abi_get_word(r, word, bytes, e);
    if (rc)
        return rc;
    if (!wei_from_be32(bytes, out) || *out > max)
        return refuse(e, word, "larger than its type");
    return 0;
}

int abi_get_u64(const struct abi_reader *r, size_t word, uint64_t *out, struct err *e)
{
    wei_t value = 0;
    int rc = get_integer(r, word, UINT64_MAX, &value, e);
    *out = (uint64_t)value;
    return rc;
}

int abi_get_wei(const struct abi_reader *r, size_t word, wei_t *out, struct err *e)
{
    return get_integer(r, word, ~(wei_t)0, out, e);
}

int abi_get_bool(const struct abi_reader *r, size_t word, bool *out, struct err *e)
{
    wei_t value = 0;
    int rc = get_integer(r, word, 1, &value, e);
    *out = value != 0;
    return rc;
}

int abi_get_address(const struct abi_reader *r, size_t word, uint8_t out[ADDRESS_BYTES], struct err *e)
{
    uint8_t bytes[ABI_WORD_BYTES];
    int rc = abi_get_word(r, word, bytes, e);
    if (rc)
        return rc;
    for (int i = 0; i < ABI_WORD_BYTES - ADDRESS_BYTES; i++)
        if (bytes[i])
            return refuse(e, word, "not an address");
    memcpy(out, bytes + ABI_WORD_BYTES - ADDRESS_BYTES, ADDRESS_BYTES);
    return 0;
}

/* Follows the offset in `word` to a length; *tail is what lies behind the length. */
static int get_tail(const struct abi_reader *r, size_t word, struct abi_reader *tail, size_t *length, struct err *e)
{
    uint64_t offset, n;
    int rc = abi_get_u64(r, word, &offset, e);
    if (rc)
        return rc;
    if (offset % ABI_WORD_BYTES || offset / ABI_WORD_BYTES <= word)
        return refuse(e, word, "an offset that no encoder writes");
    if (abi_get_u64(r, offset / ABI_WORD_BYTES, &n, NULL) != 0)
        return refuse(e, word, "an offset behind the end of the data, or a length larger than the data");
    size_t start = (size_t)offset + ABI_WORD_BYTES;
    *tail = (struct abi_reader){r->data + start, r->len - start};
    *length = (size_t)n;
    return 0;
}

int abi_get_bytes(const struct abi_reader *r, size_t word, const uint8_t **out, size_t *n, struct err *e)
{
    struct abi_reader tail;
    int rc = get_tail(r, word, &tail, n, e);
    if (rc)
        return rc;
    if (*n > tail.len || -*n % ABI_WORD_BYTES > tail.len - *n)
        return refuse(e, word, "bytes longer than the data");
    for (size_t i = 0; i < -*n % ABI_WORD_BYTES; i++)
        if (tail.data[*n + i])
            return refuse(e, word, "padding that is not zero");
    *out = tail.data;
    return 0;
}

int abi_get_array(const struct abi_reader *r, size_t word, size_t element_words, struct abi_reader *items, size_t *n,
                  struct err *e)
{
    int rc = get_tail(r, word, items, n, e);
    if (rc)
        return rc;
    CHECK(element_words > 0);
    if (*n > items->len / ABI_WORD_BYTES / element_words)
        return refuse(e, word, "an array longer than the data");
    return 0;
}
