/* A progress line on standard error, drawn only on a terminal and only for what takes longer than a second. */
#ifndef OPENLORA_CLI_PROGRESS_H
#define OPENLORA_CLI_PROGRESS_H

#include <stdint.h>

void progress_show(const char *what, int64_t done, int64_t total, const char *unit);
void progress_done(void); /* erases the line */

#endif
