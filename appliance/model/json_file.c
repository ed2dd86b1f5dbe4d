#include "model/json_file.h"

#include "base/file_map.h"

int json_text_read(const char *text, size_t len, const char *what, json_t **out, struct err *e)
{
    json_error_t why;
    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    /* jansson says nothing at all when memory ends before it reads a byte */
    if (!*out && (!why.text[0] || json_error_code(&why) == json_error_out_of_memory))
        return err_set(e, OL_ENOMEM, "json", "no memory to read %s", what);
    if (!*out)
        return err_set(e, OL_EFORMAT, "json", "%s: %s at line %d", what, why.text, why.line);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return err_set(e, OL_EFORMAT, "json", "%s is not a JSON object", what);
    }
    return 0;
}

int json_file_read(const char *path, size_t max_bytes, json_t **out, struct err *e)
{
    struct file_map map;
    *out = NULL;
    int rc = file_map_init(&map, path, e);
    if (rc)
        return rc;
    if (map.len > max_bytes)
        rc = err_set(e, OL_ELIMIT, "json", "%s has %zu bytes, more than %zu", path, map.len, max_bytes);
    else
        rc = json_text_read((const char *)map.data, map.len, path, out, e);
    file_map_deinit(&map);
    return rc;
}

/* null is how both transformers and PEFT write "not set". */
static const json_t *field(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_null(v) ? NULL : v;
}

int json_get_i32(const json_t *object, const char *key, int32_t *out, struct err *e)
{
    const json_t *v = field(object, key);
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < INT32_MIN || json_integer_value(v) > INT32_MAX)
        return err_set(e, OL_EFORMAT, "json", "\"%s\" is not a whole number of 32 bits", key);
    *out = (int32_t)json_integer_value(v);
    return 0;
}

int json_get_f64(const json_t *object, const char *key, double *out, struct err *e)
{
    const json_t *v = field(object, key);
    if (!v)
        return 0;
    if (!json_is_number(v))
        return err_set(e, OL_EFORMAT, "json", "\"%s\" is not a number", key);
    *out = json_number_value(v);
    return 0;
}

int json_get_bool(const json_t *object, const char *key, bool *out, struct err *e)
{
    const json_t *v = field(object, key);
    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return err_set(e, OL_EFORMAT, "json", "\"%s\" is neither true nor false", key);
    *out = json_is_true(v);
    return 0;
}

int json_get_text(const json_t *object, const char *key, const char **out, struct err *e)
{
    const json_t *v = field(object, key);
    if (!v)
        return 0;
    if (!json_is_string(v))
        return err_set(e, OL_EFORMAT, "json", "\"%s\" is not a string", key);
    *out = json_string_value(v);
    return 0;
}
