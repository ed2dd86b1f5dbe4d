#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int err_set(struct err *e, int code, const char *module, const char *format, ...)
{
    if (e) {
        va_list ap;
        e->code = code;
        e->module = module;
        va_start(ap, format);
        vsnprintf(e->message, sizeof e->message, format, ap);
        va_end(ap);
    }
    return code;
}

int err_prefix(struct err *e, const char *format, ...)
{
    if (!e)
        return OL_EINVAL;
    char old[ERR_MESSAGE_BYTES];
    memcpy(old, e->message, sizeof old);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(e->message, sizeof e->message, format, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof e->message ? (size_t)n : sizeof e->message - 1;
    const char *parts[] = {": ", old}; /* what does not fit is cut off at the end */
    for (size_t i = 0; i < 2; i++) {
        size_t room = sizeof e->message - 1 - at, len = strlen(parts[i]);
        memcpy(e->message + at, parts[i], len < room ? len : room);
        at += len < room ? len : room;
    }
    e->message[at] = 0;
    return e->code;
}

const char *err_name(int code)
{
    switch (code) {
    case OL_OK: return "ok";
    case OL_EINVAL: return "invalid";
    case OL_ENOMEM: return "no_memory";
    case OL_EIO: return "io";
    case OL_EFORMAT: return "malformed";
    case OL_EUNSUPPORTED: return "unsupported";
    case OL_ENOTFOUND: return "not_found";
    case OL_EBUSY: return "busy";
    case OL_ELIMIT: return "limit";
    case OL_EDEVICE: return "device_lost";
    case OL_ECANCELLED: return "cancelled";
    case OL_EEXIST: return "exists";
    default: return "unknown";
    }
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "openlora: bug: %s:%d: CHECK(%s) failed\n", file, line, condition);
    abort();
}
