/* Errors: one convention for every library of the project.
 *
 * A function that can fail returns 0 or a negative `enum ol_code` and fills the caller's `struct err`, which may
 * be NULL. The message says what was being done, what is wrong and, where there is one, the next step. Libraries
 * never print and never exit. CHECK is for our own bugs only: it stays on in release builds and aborts. */
#ifndef OPENLORA_BASE_ERR_H
#define OPENLORA_BASE_ERR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ol_code {
    OL_OK = 0,
    OL_EINVAL = -1,       /* a bad argument or request: the caller's fault */
    OL_ENOMEM = -2,
    OL_EIO = -3,          /* the operating system refused: file, disk, socket */
    OL_EFORMAT = -4,      /* a file or message is malformed */
    OL_EUNSUPPORTED = -5, /* well-formed, but not something we serve */
    OL_ENOTFOUND = -6,
    OL_EBUSY = -7,        /* a bounded queue or pool is full: try later */
    OL_ELIMIT = -8,       /* larger than a stated limit */
    OL_EDEVICE = -9,      /* the compute device is lost */
    OL_ECANCELLED = -10,
    OL_EEXIST = -11,
};

enum { ERR_MESSAGE_BYTES = 240 };

struct err {
    int code;            /* an enum ol_code */
    const char *module;  /* static string, for example "gguf" */
    char message[ERR_MESSAGE_BYTES];
};

/* Fills *e (when not NULL) and returns `code`, so that `return err_set(...)` reads as one step. */
int err_set(struct err *e, int code, const char *module, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of an existing message; returns e->code (or OL_EINVAL without e). */
int err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Short stable name of a code, for logs and JSON: "invalid", "no_memory", ... */
const char *err_name(int code);

void check_failed(const char *file, int line, const char *condition) __attribute__((noreturn));
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

#ifdef __cplusplus
}
#endif
#endif
