/* What `chat` and `run` share: reading prompts, commands that start with a slash, printing an answer as it comes.
 *
 * On a terminal lines are edited with libedit and Ctrl-C stops the answer, not the program. */
#ifndef OPENLORA_CLI_CONVERSATION_H
#define OPENLORA_CLI_CONVERSATION_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/options.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct answer {
    struct buf text;
    bool quiet;              /* collect only: --json */
    double start_s, first_s; /* clock_mono_s; first_s 0 until the first token */
    double end_s;
    int64_t prompt_tokens, tokens;
    char finish[24];         /* "stop", "length", … */
    char cost[44];           /* in coins, with their symbol; "" when nothing was billed */
    char receipt_id[67];
    char data[80];           /* how much of it stands in contributors' data; "" when that was not asked */
};

/* Text that came, and tokens that came with it; prints at once. */
void answer_add(struct answer *, const char *text, size_t len);

struct conversation {
    /* Who answers. Both return 0 or an error. */
    int (*reply)(void *user, const json_t *messages, struct answer *out, const volatile bool *stop, struct err *e);
    int (*use_adapter)(void *user, const char *name, struct err *e); /* NULL: the base model */
    void *user;
    const char *system; /* or NULL */
    bool json;
};

/* One prompt if there is one (or standard input is no terminal), else an interactive session. */
int conversation_run(const struct command *, const struct conversation *, const char *prompt);

#endif
