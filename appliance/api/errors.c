/* Errors as OpenAI's clients expect them: status, type, code and the parameter's name. Messages may quote what the client
 * sent, so they are cut and escaped. */
#include "api/errors.h"

#include "api/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int api_fail(struct api_error *e, int status, const char *param, const char *code, const char *format, ...)
{
    va_list ap;
    e->status = status;
    e->code = code;
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    va_start(ap, format);
    vsnprintf(e->message, sizeof e->message, format, ap);
    va_end(ap);
    return -1;
}

int api_fail_err(struct api_error *e, const struct err *why, const char *param)
{
    static const struct {
        int code, status;
        const char *name;
    } table[] = {
        {OL_EINVAL, 400, NULL},      {OL_EFORMAT, 400, NULL},      {OL_EUNSUPPORTED, 400, NULL},
        {OL_ELIMIT, 400, NULL},      {OL_ENOTFOUND, 404, NULL},    {OL_EEXIST, 400, "already_exists"},
        {OL_EBUSY, 429, "overloaded"}, {OL_ENOMEM, 503, "no_memory"}, {OL_EDEVICE, 503, "device_lost"},
        {OL_ECANCELLED, 503, "cancelled"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == why->code)
            return api_fail(e, table[i].status, param, table[i].name, "%s", why->message);
    return api_fail(e, 500, param, NULL, "%s", why->message);
}

static const char *type_of(int status)
{
    return status == 429 ? "rate_limit_error" : status < 500 ? "invalid_request_error" : "server_error";
}

void api_error_json(const struct api_error *e, struct buf *out)
{
    buf_add_str(out, "{\"error\":{\"message\":");
    json_text(out, e->message, strlen(e->message));
    buf_printf(out, ",\"type\":\"%s\",\"param\":", type_of(e->status));
    if (e->param[0])
        json_text(out, e->param, strlen(e->param));
    else
        buf_add_str(out, "null");
    if (e->code)
        buf_printf(out, ",\"code\":\"%s\"}}", e->code);
    else
        buf_add_str(out, ",\"code\":null}}");
}

void api_error_respond(const struct api_error *e, struct http_request *r)
{
    struct buf json;
    buf_init(&json, 16 * 1024);
    api_error_json(e, &json);
    if (e->status == 429)
        http_respond_header(r, "Retry-After", "1");
    http_respond(r, e->status, "application/json", buf_str(&json), json.len);
    buf_deinit(&json);
}
