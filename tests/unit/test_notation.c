/* JSON of the protocol's structs: writing and reading give back the same, everything else is refused by name. */
#include "chainlite/json/bundle.h"
#include "unit/schema_fill.h"
#include "unit/vectors.h"

enum { MAX_TEXT_BYTES = 1 << 20 };

static const struct schema *const schemas[] = {&proof_schema,          &voucher_schema,    &batch_schema,
                                               &version_schema,        &price_schema,      &split_schema,
                                               &part_schema,           &posting_schema,    &credit_schema,
                                               &signed_voucher_schema, &batch_body_schema, &body_schema,
                                               &bundle_schema};
enum { SCHEMAS = sizeof schemas / sizeof *schemas };

static char *text_of(const struct schema *s, const void *object)
{
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    notation_write(s, object, &b);
    ck_assert(!buf_failed(&b));
    return buf_take(&b);
}

static char *text_of_filled(const struct schema *s, uint32_t seed)
{
    void *object = calloc(1, s->bytes);
    schema_fill(s, object, &seed);
    char *text = text_of(s, object);
    schema_free(s, object);
    free(object);
    return text;
}

static int parse(const struct schema *s, const char *text, struct err *e)
{
    void *object = malloc(s->bytes);
    memset(object, 0xa5, s->bytes);
    int rc = notation_parse(s, text, strlen(text), object, e);
    schema_free(s, object);
    free(object);
    return rc;
}

START_TEST(test_round_trip)
{
    for (int i = 0; i < SCHEMAS; i++)
        for (uint32_t seed = 1; seed < 20; seed++) {
            const struct schema *s = schemas[i];
            struct err e = {0};
            char *text = text_of_filled(s, seed);
            void *object = malloc(s->bytes);
            memset(object, 0xa5, s->bytes); /* reading clears what was there */
            ck_assert_msg(notation_parse(s, text, strlen(text), object, &e) == 0, "%s: %s", s->name, e.message);
            char *again = text_of(s, object);
            ck_assert_str_eq(text, again);
            schema_free(s, object);
            free(object);
            free(again);
            free(text);
        }
}
END_TEST

START_TEST(test_keys)
{
    struct batch batch = {.number = 7, .submitted_at = 9};
    char *text = text_of(&batch_body_schema, &batch);
    json_t *value = json_loads(text, 0, NULL);
    ck_assert_uint_eq(json_object_size(value), batch_schema.n - 2);
    ck_assert(!json_object_get(value, "submitted_at") && !json_object_get(value, "body_hash"));
    ck_assert(json_object_get(value, "count") && json_object_get(value, "previous"));
    json_decref(value);
    free(text);
    struct posting posting = {{0xab}, 3, ROLE_NODE, 17};
    text = text_of(&posting_schema, &posting);
    ck_assert_str_eq(text, "[\"0xab00000000000000000000000000000000000000\",3,5,\"17\"]");
    free(text);
}
END_TEST

/* Every object inside gets a key more, then loses each of its keys; every list gets an element that is none. */
static void alter_all(const struct schema *s, json_t *root, json_t *at, bool open)
{
    struct err e = {0};
    const char *key;
    json_t *member, *element;
    size_t i;
    char *text;
    if (json_is_array(at)) {
        json_array_append_new(at, json_pack("{}"));
        text = json_dumps(root, 0);
        ck_assert_msg(open || parse(s, text, &e) != 0, "an element more was accepted: %s", text);
        free(text);
        json_array_remove(at, json_array_size(at) - 1);
        json_array_foreach(at, i, element)
            alter_all(s, root, element, open);
        return;
    }
    if (!json_is_object(at) || open)
        return;
    json_object_set_new(at, "surplus", json_true());
    text = json_dumps(root, 0);
    ck_assert(parse(s, text, &e) != 0 && strstr(e.message, "\"surplus\" is not a field"));
    free(text);
    json_object_del(at, "surplus");
    json_t *keys = json_array(); /* the order changes below */
    json_object_foreach(at, key, member)
        json_array_append_new(keys, json_string(key));
    json_array_foreach(keys, i, element) {
        const char *name = json_string_value(element);
        member = json_incref(json_object_get(at, name));
        json_object_del(at, name);
        text = json_dumps(root, 0);
        ck_assert_msg(parse(s, text, &e) != 0 && strstr(e.message, name) && strstr(e.message, "is missing"), "%s: %s",
                      name, e.message);
        free(text);
        json_object_set_new(at, name, member);
        alter_all(s, root, member, strcmp(name, "informative") == 0);
    }
    json_decref(keys);
}

START_TEST(test_surplus_and_missing)
{
    for (int i = 0; i < SCHEMAS; i++) {
        char *text = text_of_filled(schemas[i], 5);
        json_t *root = json_loads(text, 0, NULL);
        alter_all(schemas[i], root, root, false);
        json_decref(root);
        free(text);
    }
}
END_TEST

static const struct {
    const char *field, *value, *message;
} bad_values[] = {
    {"node", "\"0xAB00000000000000000000000000000000000000\"", "node: 0x and 40 lower-case"},
    {"node", "\"0xab000000000000000000000000000000000000\"", "node: 0x and 40"},
    {"node", "\"ab00000000000000000000000000000000000000\"", "node: 0x"},
    {"node", "null", "node: 0x"},
    {"number", "-1", "number: an integer from 0"},
    {"number", "1.0", "number: an integer from 0"},
    {"number", "\"1\"", "number: an integer from 0"},
    {"number", "18446744073709551615", "big integer"},
    {"count", "4294967296", "count: an integer from 0 to 4294967295"},
    {"settled_total", "\"01\"", "settled_total: a string with a decimal"},
    {"settled_total", "\"\"", "settled_total: a string with a decimal"},
    {"settled_total", "\" 1\"", "settled_total: a string with a decimal"},
    {"settled_total", "\"-1\"", "settled_total: a string with a decimal"},
    {"settled_total", "1", "settled_total: a string with a decimal"},
    {"settled_total", "\"340282366920938463463374607431768211456\"", "settled_total: a string with a decimal"},
    {"previous", "\"0x00\"", "previous: 0x and 64"},
};

START_TEST(test_values)
{
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        struct err e = {0};
        char *text = text_of_filled(&batch_schema, 3), key[64], wrong[4096];
        snprintf(key, sizeof key, "\"%s\":", bad_values[i].field);
        char *at = strstr(text, key) + strlen(key);
        int before = (int)(at - text);
        size_t old = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ",}");
        snprintf(wrong, sizeof wrong, "%.*s%s%s", before, text, bad_values[i].value, at + old);
        ck_assert_msg(parse(&batch_schema, wrong, &e) != 0 && strstr(e.message, bad_values[i].message), "%s: %s",
                      wrong, e.message);
        free(text);
    }
}
END_TEST

START_TEST(test_not_json)
{
    static const char *const texts[] = {"", "{", "[]", "null", "{\"payer\":1,\"payer\":1}", "\"\xff\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err e = {0};
        ck_assert_int_eq(parse(&voucher_schema, texts[i], &e), OL_EFORMAT);
        ck_assert(e.message[0]);
    }
    struct err e = {0};
    ck_assert_int_eq(parse(&voucher_schema, texts[4], &e), OL_EFORMAT);
    ck_assert_msg(strstr(e.message, "duplicate object key") && strstr(e.message, "payer"), "%s", e.message);
    char *text = text_of_filled(&bundle_schema, 1);
    text[strlen("{\"version\":")] = '2';
    ck_assert_int_eq(parse(&bundle_schema, text, &e), OL_EUNSUPPORTED);
    free(text);
}
END_TEST

int main(void)
{
    return RUN_SUITE("notation", test_round_trip, test_keys, test_surplus_and_missing, test_values, test_not_json);
}
