/* Ids, labels and leaves of contributions; see contribution.h. */
#include "attribution/contribution.h"

#include "base/sha256.h"
#include "chainlite/core/abi.h"
#include "chainlite/json/notation.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "contribution"

enum { TAG_CONTRIBUTION = 8 };

const char *const content_format_names[CONTENT_FORMATS] = {[CONTENT_TEXT] = "text",
                                                           [CONTENT_MARKDOWN] = "markdown",
                                                           [CONTENT_CHAT] = "chat",
                                                           [CONTENT_INSTRUCTION] = "instruction"};

static const struct field label_fields[] = {
    FIELD_BOUNDED(contribution_labels, TEXT, "licence", licence, LABEL_BYTES),
    FIELD_BOUNDED(contribution_labels, TEXT, "consent", consent, LABEL_BYTES),
    FIELD_BOUNDED(contribution_labels, TEXT, "jurisdiction", jurisdiction, LABEL_BYTES),
};
const struct schema labels_schema = SCHEMA("set of labels", contribution_labels, label_fields);

static const struct field contribution_fields[] = {
    FIELD(contribution, HASH, "id", id),
    FIELD(contribution, ADDRESS, "contributor", contributor),
    FIELD(contribution, U64, "registered_at", registered_at),
    FIELD(contribution, HASH, "sha256", sha256),
    FIELD(contribution, U64, "bytes", bytes),
    FIELD_ONE_OF(contribution, "format", format, content_format_names),
    FIELD_MERGED(contribution, labels, &labels_schema),
    FIELD(contribution, BOOL, "withdrawn", withdrawn),
};
const struct schema contribution_schema = SCHEMA("contribution", contribution, contribution_fields);

void content_hash(const char *text, size_t bytes, uint8_t out[32])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, text, bytes);
    sha256_end(&h, out);
}

void contribution_id(const uint8_t item[32], const uint8_t contributor[ADDRESS_BYTES], const uint8_t sha256[32],
                     uint8_t out[32])
{
    uint8_t words[3 * ABI_WORD_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, words, sizeof words);
    abi_put_word(&w, item);
    abi_put_address(&w, contributor);
    abi_put_word(&w, sha256);
    CHECK(!w.failed);
    keccak256(words, w.len, out);
}

int contribution_order(const struct contribution *a, const struct contribution *b)
{
    if (a->registered_at != b->registered_at)
        return a->registered_at < b->registered_at ? -1 : 1;
    return memcmp(a->id, b->id, sizeof a->id);
}

static bool label_is_plain(const char *label)
{
    for (const char *at = label; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            return false;
    return *label != '\0';
}

int labels_check(const struct contribution_labels *l, struct err *e)
{
    const struct {
        const char *name, *text;
    } labels[] = {{"licence", l->licence}, {"consent", l->consent}, {"jurisdiction", l->jurisdiction}};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (!label_is_plain(labels[i].text))
            return err_set(e, OL_EINVAL, MODULE, "the %s must be 1 to %d printable ASCII characters without \" and \\",
                           labels[i].name, LABEL_BYTES - 1);
    return 0;
}

void labels_hash(const struct contribution_labels *l, uint8_t out[32])
{
    struct buf text;
    buf_init(&text, 8 * LABEL_BYTES);
    notation_write(&labels_schema, l, &text);
    content_hash(buf_str(&text), text.len, out);
    CHECK(!buf_failed(&text));
    buf_deinit(&text);
}

static void add_u64(struct keccak *k, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    keccak_add(k, bytes, sizeof bytes);
}

void contribution_leaf(const struct contribution *c, struct sumnode *out)
{
    static const uint8_t tag = TAG_CONTRIBUTION;
    uint8_t labels[32];
    struct keccak k;
    labels_hash(&c->labels, labels);
    keccak_init(&k);
    keccak_add(&k, &tag, 1);
    keccak_add(&k, c->id, sizeof c->id);
    keccak_add(&k, c->contributor, ADDRESS_BYTES);
    add_u64(&k, c->registered_at);
    keccak_add(&k, c->sha256, sizeof c->sha256);
    add_u64(&k, c->bytes);
    keccak_add(&k, &c->format, 1);
    keccak_add(&k, labels, sizeof labels);
    keccak_end(&k, out->hash);
    out->sum_wei = c->bytes;
}

int contributions_root(const struct contribution *c, size_t n, struct sumnode *root, struct err *e)
{
    struct sumnode *leaves = calloc(n ? n : 1, sizeof *leaves);
    if (!leaves)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a tree of %zu contributions", n);
    for (size_t i = 0; i < n; i++)
        contribution_leaf(&c[i], &leaves[i]);
    int rc = sumtree_root(leaves, n, root, e);
    free(leaves);
    return rc;
}
