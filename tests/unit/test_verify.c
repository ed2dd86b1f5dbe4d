/* Bundles of a real chain's blocks (tests/fault/bundle.py): they hold as they are, and no change of any field gets
 * through. Every value of the JSON is enumerated and changed in every way its kind allows; the check that must notice is
 * looked up by the field's path. */
#include "chainlite/verify/verify.h"
#include "unit/vectors.h"

#include <stdio.h>

static struct chain_file chain;
static struct secp *secp;

static const struct {
    const char *path; /* of a field or of what it lies in; the first that fits */
    enum verify_check check;
} expected[] = {
    {"version", VERIFY_SCHEMA},
    {"chain_id", VERIFY_CHAIN},
    {"proof", VERIFY_SIGNATURE},
    {"signature", VERIFY_SIGNATURE},
    {"salt", VERIFY_REQUEST},
    {"request_body_hash", VERIFY_REQUEST},
    {"response_text_hashes", VERIFY_RESPONSE},
    {"voucher.signature", VERIFY_VOUCHER_SIGNATURE},
    {"voucher", VERIFY_VOUCHER},
    {"rows", VERIFY_ROWS},
    {"parts", VERIFY_SPLIT},
    {"attribution.policy", VERIFY_POLICY},
    {"attribution.spans", VERIFY_SPANS},
    {"attribution.statement", VERIFY_STATEMENT_SIGNATURE},
    {"attribution.signature", VERIFY_STATEMENT_SIGNATURE},
    {"attribution.shares", VERIFY_SHARES},
    {"attribution", VERIFY_POLICY},
    {"settlement.batch.node", VERIFY_POSITION},
    {"settlement.batch.number", VERIFY_STORAGE}, /* another slot */
    {"settlement.batch", VERIFY_BATCH},
    {"settlement.settled", VERIFY_RECEIPT_PATH},
    {"settlement.index", VERIFY_POSITION},
    {"settlement.receipt_path", VERIFY_RECEIPT_PATH},
    {"settlement.postings", VERIFY_POSTINGS},
    {"settlement.block_hash", VERIFY_HEADER},
    {"settlement.block_header", VERIFY_HEADER},
    {"settlement.account_proof", VERIFY_ACCOUNT},
    {"settlement.storage_proof", VERIFY_STORAGE},
    {"settlement", VERIFY_SCHEMA},
};

static enum verify_check expected_check(const char *path)
{
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        size_t n = strlen(expected[i].path);
        if (strncmp(path, expected[i].path, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '['))
            return expected[i].check;
    }
    ck_abort_msg("%s is in no row of the table: which check must notice a change of it?", path);
    return VERIFY_CHECKS;
}

struct walk {
    json_t *root;
    size_t changes;
};

static enum verify_verdict verify(const char *text, struct verify_report *report)
{
    struct bundle bundle;
    verify_bundle(text, strlen(text), &chain, secp, &bundle, report);
    enum verify_verdict verdict = verify_verdict(report, &bundle);
    schema_free(&bundle_schema, &bundle);
    return verdict;
}

enum kind { MALFORMED, WELL_FORMED, EITHER };

static void expect_no(struct walk *w, const char *path, enum kind kind, const char *change)
{
    struct verify_report report;
    char *text = json_dumps(w->root, JSON_COMPACT);
    enum verify_check check = expected_check(path);
    enum verify_verdict verdict = verify(text, &report);
    bool schema = report.check[VERIFY_SCHEMA].outcome == VERIFY_FAILED;
    bool right = report.check[check].outcome == VERIFY_FAILED;
    bool noticed = kind == MALFORMED ? schema : kind == WELL_FORMED ? right : schema || right;
    ck_assert_msg(verdict == VERDICT_INVALID && noticed, "%s, %s: verdict %d, \"%s\" is %d: %s", path, change, verdict,
                  verify_check_name(check), report.check[check].outcome, report.check[check].reason);
    const char *last = strrchr(path, '.');
    if (schema && !strchr(path, '[')) /* the reason names the field */
        ck_assert_msg(strstr(report.check[VERIFY_SCHEMA].reason, last ? last + 1 : path) != NULL, "%s, %s: %s", path,
                      change, report.check[VERIFY_SCHEMA].reason);
    free(text);
    w->changes++;
}

/* Where a value stands: in an object under `key` or in an array at `index`. */
struct place {
    json_t *parent;
    const char *key;
    size_t index;
};

static void put(const struct place *p, json_t *value)
{
    if (p->key)
        json_object_set_new(p->parent, p->key, value);
    else
        json_array_set_new(p->parent, p->index, value);
}

static void try_value(struct walk *w, const struct place *p, const char *path, json_t *value, enum kind kind)
{
    char change[48];
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(change, sizeof change, "%s", text);
    free(text);
    put(p, value);
    expect_no(w, path, kind, change);
}

static void change_hex(struct walk *w, const struct place *p, const char *path, const char *text)
{
    size_t n = strlen(text);
    char *other = strdup(text);
    for (size_t i = 2; i < n; i++) { /* every digit becomes another one */
        char was = other[i];
        other[i] = was == '9' ? 'a' : was == 'f' ? '0' : (char)(was + 1);
        try_value(w, p, path, json_string(other), WELL_FORMED);
        other[i] = was;
    }
    size_t letter = 2 + strcspn(text + 2, "abcdef");
    if (letter < n) {
        other[letter] = (char)(text[letter] - 'a' + 'A');
        try_value(w, p, path, json_string(other), MALFORMED);
        other[letter] = text[letter];
    }
    other[n - 1] = 'g';
    try_value(w, p, path, json_string(other), MALFORMED);
    other[n - 1] = '\0'; /* half a byte less */
    try_value(w, p, path, json_string(other), MALFORMED);
    other[n - 2] = '\0'; /* a byte less: what is not of a fixed length is well-formed */
    try_value(w, p, path, json_string(other), EITHER);
    try_value(w, p, path, json_sprintf("%s00", text), EITHER);
    try_value(w, p, path, json_string(text + 2), MALFORMED);
    free(other);
}

static void change_decimal(struct walk *w, const struct place *p, const char *path, const char *text)
{
    wei_t wei;
    char other[WEI_TEXT_BYTES];
    ck_assert(wei_parse(text, &wei));
    const wei_t values[] = {wei + 1, wei - 1, wei ^ ((wei_t)1 << 64), wei ? 0 : 2};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        wei_format(values[i], other);
        try_value(w, p, path, json_string(other), WELL_FORMED);
    }
    try_value(w, p, path, json_sprintf("0%s", text), MALFORMED);
    try_value(w, p, path, json_sprintf("-%s", text), MALFORMED);
    try_value(w, p, path, json_sprintf("%s.0", text), MALFORMED);
    try_value(w, p, path, json_string("340282366920938463463374607431768211456"), MALFORMED);
    try_value(w, p, path, json_string(""), MALFORMED);
    try_value(w, p, path, json_integer(1), MALFORMED);
}

static void change_number(struct walk *w, const struct place *p, const char *path, json_int_t number)
{
    const enum kind kind = strcmp(path, "version") ? WELL_FORMED : MALFORMED;
    try_value(w, p, path, json_integer(number + 1), kind);
    try_value(w, p, path, json_integer(number ? number - 1 : 2), kind);
    try_value(w, p, path, json_integer(number ? 0 : 3), kind);
    try_value(w, p, path, json_integer(number ? -number : -1), EITHER); /* one field has a sign */
    try_value(w, p, path, json_integer(INT64_MAX), EITHER);
    try_value(w, p, path, json_real((double)number), MALFORMED);
    try_value(w, p, path, json_sprintf("%lld", (long long)number), MALFORMED);
}

static void change_array(struct walk *w, const char *path, json_t *array)
{
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        json_t *element = json_incref(json_array_get(array, i));
        json_array_remove(array, i);
        expect_no(w, path, EITHER, "an element less");
        json_array_insert_new(array, i, element);
        json_array_insert(array, i, element);
        expect_no(w, path, EITHER, "an element twice");
        json_array_remove(array, i);
        if (i + 1 < n && !json_equal(element, json_array_get(array, i + 1))) {
            json_incref(element);
            json_array_set(array, i, json_array_get(array, i + 1));
            json_array_set_new(array, i + 1, element);
            expect_no(w, path, EITHER, "two elements exchanged");
            json_incref(element);
            json_array_set(array, i + 1, json_array_get(array, i));
            json_array_set_new(array, i, element);
        }
    }
    json_array_append_new(array, json_null());
    expect_no(w, path, MALFORMED, "null appended");
    json_array_remove(array, n);
}

static void change_object(struct walk *w, const char *path, json_t *object)
{
    json_object_set_new(object, "surplus", json_integer(1));
    struct verify_report report;
    char *text = json_dumps(w->root, JSON_COMPACT);
    ck_assert_int_eq(verify(text, &report), VERDICT_INVALID);
    ck_assert_msg(strstr(report.check[VERIFY_SCHEMA].reason, "\"surplus\" is not a field"), "%s: %s", path,
                  report.check[VERIFY_SCHEMA].reason);
    free(text);
    json_object_del(object, "surplus");
    w->changes++;
}

static void walk(struct walk *w, const struct place *p, const char *path);

static void walk_members(struct walk *w, const char *path, json_t *object)
{
    json_t *copy = json_deep_copy(object), *member; /* the order of the object's keys changes meanwhile */
    const char *key;
    char inner[160];
    json_object_foreach(copy, key, member) {
        if (!*path && strcmp(key, "informative") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        json_t *kept = json_incref(json_object_get(object, key));
        json_object_del(object, key);
        expect_no(w, inner, MALFORMED, "key deleted");
        json_object_set_new(object, key, kept);
        walk(w, &(struct place){object, key, 0}, inner);
    }
    json_decref(copy);
}

static void walk_elements(struct walk *w, const char *path, json_t *array)
{
    char inner[160];
    for (size_t i = 0; i < json_array_size(array); i++) {
        snprintf(inner, sizeof inner, "%s[%zu]", path, i);
        walk(w, &(struct place){array, NULL, i}, inner);
    }
}

/* All changes of the value at p and, within it, of all values below. */
static void walk(struct walk *w, const struct place *p, const char *path)
{
    json_t *value = json_incref(p->key ? json_object_get(p->parent, p->key) : json_array_get(p->parent, p->index));
    const char *text = json_string_value(value);
    if (json_is_object(value)) {
        change_object(w, path, value);
        walk_members(w, path, value);
    } else if (json_is_array(value)) {
        change_array(w, path, value);
        walk_elements(w, path, value);
    } else if (json_is_integer(value)) {
        change_number(w, p, path, json_integer_value(value));
    } else if (text && text[0] == '0' && text[1] == 'x') {
        change_hex(w, p, path, text);
    } else if (text) {
        change_decimal(w, p, path, text);
    } else {
        ck_assert_msg(json_is_null(value), "%s", path);
        try_value(w, p, path, json_object(), MALFORMED);
    }
    if (strcmp(path, "settlement") != 0) /* without it the bundle is one that is not settled yet */
        try_value(w, p, path, json_is_null(value) ? json_false() : json_null(), EITHER);
    try_value(w, p, path, json_true(), MALFORMED);
    try_value(w, p, path, json_string("zero"), MALFORMED);
    put(p, value);
}

static json_t *load(const char *name)
{
    char path[80];
    snprintf(path, sizeof path, "tests/unit/data/verify/%s.json", name);
    return vectors_load(path);
}

static void open_chain_of(const char *file)
{
    struct err e = {0};
    char path[80];
    snprintf(path, sizeof path, "./tests/unit/data/verify/%s.json", file);
    ck_assert_msg(chain_file_load(path, &chain, &e) == 0, "%s", e.message);
    secp = secp_open((uint8_t[32]){1});
}

static void open_chain(void) { open_chain_of("chain"); }

static void close_chain(void)
{
    secp_close(secp);
    schema_free(&chain_file_schema, &chain);
}

static void check_all_changes(const char *name, const char *chain_name, size_t least)
{
    struct walk w = {.root = load(name)};
    struct verify_report report;
    open_chain_of(chain_name);
    char *text = json_dumps(w.root, JSON_COMPACT);
    enum verify_verdict verdict = verify(text, &report);
    bool stated = strcmp(name, "unpaid") != 0; /* its statement is still to come */
    for (int c = 0; c < VERIFY_BLOCK; c++)
        ck_assert_msg(report.check[c].outcome == (stated || c < VERIFY_SHARES || c > VERIFY_STATEMENT_SIGNATURE
                                                      ? VERIFY_OK : VERIFY_UNAVAILABLE),
                      "%s: %s", verify_check_name((enum verify_check)c), report.check[c].reason);
    ck_assert_int_eq(verdict, VERDICT_VALID);
    free(text);
    change_object(&w, "", w.root);
    walk_members(&w, "", w.root);
    ck_assert_msg(w.changes > least, "only %zu changes were tried", w.changes);
    text = json_dumps(w.root, JSON_COMPACT); /* all changes were undone */
    ck_assert_int_eq(verify(text, &report), VERDICT_VALID);
    free(text);
    json_decref(w.root);
    close_chain();
}

START_TEST(test_adapter) { check_all_changes("adapter", "chain", 11000); }
END_TEST
START_TEST(test_base) { check_all_changes("base", "chain", 9500); }
END_TEST
START_TEST(test_unpaid) { check_all_changes("unpaid", "chain", 8500); }
END_TEST

/* Of an answer that chainlited signed and settled itself: an adapter's, with a part for the base and cached tokens. */
START_TEST(test_submitted) { check_all_changes("submitted_adapter", "submitted_chain", 9500); }
END_TEST
/* From the same chain: the base model's answer, one that its client cut off, and one that no batch has yet. */
START_TEST(test_submitted_others)
{
    static const char *const names[] = {"submitted_base", "submitted_cut", "submitted_open"};
    open_chain_of("submitted_chain");
    for (int i = 0; i < 3; i++) {
        struct verify_report report;
        const bool open = i == 2;
        json_t *root = load(names[i]);
        char *text = json_dumps(root, JSON_COMPACT);
        ck_assert_int_eq(verify(text, &report), open ? VERDICT_NOT_SETTLED : VERDICT_VALID);
        for (int c = 0; c < (open ? VERIFY_POSITION : VERIFY_BLOCK); c++)
            ck_assert_msg(report.check[c].outcome == VERIFY_OK, "%s, %s: %s", names[i],
                          verify_check_name((enum verify_check)c), report.check[c].reason);
        free(text);
        json_decref(root);
    }
    close_chain();
}
END_TEST

START_TEST(test_not_settled)
{
    json_t *root = load("adapter");
    struct verify_report report;
    open_chain();
    json_object_set_new(root, "settlement", json_null());
    char *text = json_dumps(root, JSON_COMPACT);
    ck_assert_int_eq(verify(text, &report), VERDICT_NOT_SETTLED);
    for (int c = 0; c < VERIFY_CHECKS; c++)
        ck_assert_int_eq(report.check[c].outcome, c < VERIFY_POSITION ? VERIFY_OK : VERIFY_UNAVAILABLE);
    ck_assert(strstr(report.check[VERIFY_BATCH].reason, "not settled yet"));
    free(text);
    json_object_set_new(json_object_get(root, "proof"), "fee", json_string("1"));
    text = json_dumps(root, JSON_COMPACT);
    ck_assert_int_eq(verify(text, &report), VERDICT_INVALID);
    free(text);
    json_decref(root);
    close_chain();
}
END_TEST

/* What is informative may say anything; a key twice, another chain file or no JSON at all may not. */
START_TEST(test_around)
{
    json_t *root = load("adapter");
    struct verify_report report;
    open_chain();
    json_object_set_new(root, "informative", json_pack("{s:[i,n],s:s}", "surplus", 1, "state", "anchored"));
    char *text = json_dumps(root, JSON_COMPACT), *twice = malloc(strlen(text) + 64);
    ck_assert_int_eq(verify(text, &report), VERDICT_VALID);
    snprintf(twice, strlen(text) + 64, "{\"chain_id\":31337,%s", text + 1);
    ck_assert_int_eq(verify(twice, &report), VERDICT_INVALID);
    ck_assert(strstr(report.check[VERIFY_SCHEMA].reason, "duplicate"));
    ck_assert_int_eq(verify("", &report), VERDICT_INVALID);
    ck_assert_int_eq(verify("{}", &report), VERDICT_INVALID);
    chain.contracts.n = 0;
    ck_assert_int_eq(verify(text, &report), VERDICT_INVALID);
    ck_assert(strstr(report.check[VERIFY_CHAIN].reason, "names no Settlement"));
    free(twice);
    free(text);
    json_decref(root);
    close_chain();
}
END_TEST

/* A voucher of somebody else than the payer: the report says who, so that the chain can be asked. */
START_TEST(test_other_signer)
{
    json_t *root = load("adapter"), *voucher = json_object_get(root, "voucher");
    struct verify_report report;
    struct domains domains;
    struct signed_voucher v;
    uint8_t digest[HASH_BYTES], key[32] = {77}, signer[ADDRESS_BYTES];
    char hex[2 * SIGNATURE_BYTES + 1];
    open_chain();
    ck_assert_int_eq(notation_read(&signed_voucher_schema, voucher, &v, NULL), 0);
    domains_make(chain.chain_id, chain_file_contract(&chain, "Settlement"), chain_file_contract(&chain, "Escrow"), &domains);
    voucher_digest(&v.voucher, &domains, digest);
    ck_assert_int_eq(secp_sign(secp, key, digest, v.signature, NULL), 0);
    ck_assert_int_eq(secp_address(secp, key, signer, NULL), 0);
    hex_encode(v.signature, sizeof v.signature, hex);
    json_object_set_new(voucher, "signature", json_sprintf("0x%s", hex));
    char *text = json_dumps(root, JSON_COMPACT);
    ck_assert_int_eq(verify(text, &report), VERDICT_INVALID);
    ck_assert(report.other_signer);
    ck_assert_mem_eq(report.voucher_signer, signer, ADDRESS_BYTES);
    for (int c = 0; c < VERIFY_BLOCK; c++)
        ck_assert_int_eq(report.check[c].outcome, c == VERIFY_VOUCHER_SIGNATURE ? VERIFY_FAILED : VERIFY_OK);
    free(text);
    json_decref(root);
    close_chain();
}
END_TEST

int main(void)
{
    return RUN_SUITE("verify", test_adapter, test_base, test_unpaid, test_submitted, test_submitted_others,
                     test_not_settled, test_around, test_other_signer);
}
