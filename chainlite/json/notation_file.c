/* Structs in files; see notation_file.h. */
#include "chainlite/json/notation_file.h"

#include "base/file_map.h"
#include "base/file_replace.h"

#include <string.h>

int notation_read_file(const struct schema *s, const char *path, size_t max_bytes, void *out, struct err *e)
{
    struct file_map file;
    memset(out, 0, s->bytes);
    int rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    if (file.len > max_bytes)
        rc = err_set(e, OL_ELIMIT, "json", "%zu bytes; %zu at most", file.len, max_bytes);
    else
        rc = notation_parse(s, (const char *)file.data, file.len, out, e);
    file_map_deinit(&file);
    if (rc)
        err_prefix(e, "%s", path);
    return rc;
}

int notation_write_file(const struct schema *s, const void *object, const char *path, size_t max_bytes, struct err *e)
{
    struct buf text;
    buf_init(&text, max_bytes);
    notation_write(s, object, &text);
    buf_add_char(&text, '\n');
    int rc;
    if (buf_failed(&text))
        rc = err_set(e, text.no_memory ? OL_ENOMEM : OL_ELIMIT, "json", "%s: more than %zu bytes", path, max_bytes);
    else
        rc = file_replace(path, text.data, text.len, e);
    buf_deinit(&text);
    return rc;
}
