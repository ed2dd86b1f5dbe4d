/* Command-line options bound to variables by a table; --help is printed from the same table.
 *
 *   struct option options[] = {
 *       INT("threads", &threads, "N", "compute threads, 0: every core", 0, 256),
 *       OPTIONS_END};
 *
 * Accepted: `--name value`, `--name=value`, `--flag`, `--` before words that start with a dash. The value of a
 * variable before parsing is its default and is shown by --help. */
#ifndef OPENLORA_CLI_OPTIONS_H
#define OPENLORA_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INCOMPLETE = 3 /* right as far as it goes */ };

enum option_kind {
    OPTION_FLAG, /* bool */
    OPTION_TEXT, /* const char *, borrowed from argv */
    OPTION_INT,  /* int64_t within min .. max */
    OPTION_REAL, /* double within min .. max */
    OPTION_LIST, /* struct option_list: repeatable, and takes every following word that is not an option */
};

struct option_list {
    const char **items; /* owned by the caller: free() */
    int n;
};

struct option {
    const char *name; /* NULL ends a table */
    enum option_kind kind;
    bool required;
    void *value;
    const char *argument; /* name of the value in --help; NULL for flags */
    const char *help;
    double min, max; /* OPTION_INT, OPTION_REAL */
};

#define FLAG(name, value, help) {name, OPTION_FLAG, false, value, NULL, help, 0, 0}
#define TEXT(name, value, argument, help) {name, OPTION_TEXT, false, value, argument, help, 0, 0}
#define REQUIRED(name, value, argument, help) {name, OPTION_TEXT, true, value, argument, help, 0, 0}
#define LIST(name, value, argument, help) {name, OPTION_LIST, false, value, argument, help, 0, 0}
#define INT(name, value, argument, help, min, max) {name, OPTION_INT, false, value, argument, help, min, max}
#define REAL(name, value, argument, help, min, max) {name, OPTION_REAL, false, value, argument, help, min, max}
#define DEVICE_HELP "what computes: auto (a GPU if one can be used), cpu, cuda or cuda:N"
#define FAST_HELP "GPU: prompts on tensor cores; faster, and not the CPU's bits any more"
#define OPTIONS_END {NULL, OPTION_FLAG, false, NULL, NULL, NULL, 0, 0}

struct command {
    const char *name;
    const char *arguments; /* positional words for the usage line, or "" */
    const char *summary;   /* one line */
    const char *details;   /* paragraph below the options, or NULL */
    int (*run)(const struct command *, int argc, char **argv); /* argv[0] is the command's name */
};

enum { OPTIONS_HELP = -1, OPTIONS_BAD = -2 };

/* Fills the variables and moves the positional words to argv[1 ..]; returns how many there are (at most
 * max_words). OPTIONS_HELP: help was printed. OPTIONS_BAD: an error with a hint was printed. */
int options_parse(const struct command *, const struct option *, int argc, char **argv, int max_words)
    __attribute__((warn_unused_result));

/* What a command returns when options_parse returned less than 0. */
static inline int options_exit(int parsed) { return parsed == OPTIONS_HELP ? EXIT_OK : EXIT_USAGE; }

/* "openlora NAME: message" on standard error; returns `code`. */
int fail(const struct command *, enum exit_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Of `n` names the one closest to `word` when it is close enough to be a slip; else NULL. */
const char *closest_name(const char *word, const char *const *names, int n);

#endif
