/* One line per event on standard error: "2026-01-02T03:04:05.678Z info module: message". Only programs choose the
 * level; libraries log state changes, never per token. Safe from any thread. */
#ifndef OPENLORA_BASE_LOG_H
#define OPENLORA_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_QUIET };

void log_set_level(enum log_level level);
int log_set_level_named(const char *name, struct err *) __attribute__((warn_unused_result)); /* OL_EINVAL: no level's */
void log_line(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
