#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 32, MAX_NAME = 32, HELP_COLUMN = 28 };

int fail(const struct command *command, enum exit_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "openlora %s: ", command->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

/* Levenshtein distance of two short names, one row at a time. */
static int edit_distance(const char *a, const char *b)
{
    int row[MAX_NAME + 1];
    size_t n = strlen(b);
    if (n > MAX_NAME)
        return MAX_NAME;
    for (size_t j = 0; j <= n; j++)
        row[j] = (int)j;
    for (size_t i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *closest_name(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int distance = 3; /* two slips at most */
    for (int i = 0; i < n; i++) {
        int d = edit_distance(word, names[i]);
        if (d < distance) {
            distance = d;
            best = names[i];
        }
    }
    return best;
}

static void print_default(const struct option *o)
{
    switch (o->kind) {
    case OPTION_TEXT:
        if (*(const char **)o->value)
            printf(" [%s]", *(const char **)o->value);
        break;
    case OPTION_INT:
        printf(" [%lld]", (long long)*(int64_t *)o->value);
        break;
    case OPTION_REAL:
        printf(" [%g]", *(double *)o->value);
        break;
    default:
        break;
    }
}

static void print_help(const struct command *command, const struct option *options)
{
    printf("usage: openlora %s [options]%s%s\n%s.\n\noptions:\n", command->name, *command->arguments ? " " : "",
           command->arguments, command->summary);
    for (const struct option *o = options; o->name; o++) {
        int width = printf("  --%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("%*s%s", width < HELP_COLUMN ? HELP_COLUMN - width : 1, "", o->help);
        if (o->required)
            printf(" (required)");
        else
            print_default(o);
        putchar('\n');
    }
    printf("  --help%*sthis text\n", HELP_COLUMN - 8, "");
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\nexit status: 0 success, 1 failure, 2 wrong usage\n");
}

static const struct option *find_option(const struct option *options, const char *name, size_t len)
{
    for (const struct option *o = options; o->name; o++)
        if (strlen(o->name) == len && !memcmp(o->name, name, len))
            return o;
    return NULL;
}

static int unknown_option(const struct command *command, const struct option *options, const char *word)
{
    const char *names[MAX_OPTIONS];
    char name[MAX_NAME + 1];
    int n = 0;
    for (const struct option *o = options; o->name && n < MAX_OPTIONS; o++)
        names[n++] = o->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *near = closest_name(name, names, n);
    if (near)
        fail(command, EXIT_USAGE, "unknown option %s; did you mean --%s?", word, near);
    else
        fail(command, EXIT_USAGE, "unknown option %s; see `openlora %s --help`", word, command->name);
    return OPTIONS_BAD;
}

/* A whole number or a real within the option's range. */
static int set_number(const struct command *command, const struct option *o, const char *text)
{
    char *end;
    errno = 0;
    bool whole = o->kind == OPTION_INT;
    long long integer = whole ? strtoll(text, &end, 10) : 0;
    double real = whole ? (double)integer : strtod(text, &end);
    if (end == text || *end || errno || isnan(real)) {
        fail(command, EXIT_USAGE, "--%s wants a %snumber, not \"%s\"", o->name, whole ? "whole " : "", text);
        return OPTIONS_BAD;
    }
    if (real < o->min || real > o->max) {
        fail(command, EXIT_USAGE, "--%s must be %.10g to %.10g, not %s", o->name, o->min, o->max, text);
        return OPTIONS_BAD;
    }
    if (whole)
        *(int64_t *)o->value = integer;
    else
        *(double *)o->value = real;
    return 0;
}

static int add_to_list(struct option_list *list, const char *word, int capacity)
{
    if (!list->items) {
        list->items = malloc((size_t)capacity * sizeof *list->items);
        if (!list->items)
            return -1;
    }
    list->items[list->n++] = word;
    return 0;
}

static int set_value(const struct command *command, const struct option *o, const char *text, int argc)
{
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)o->value = text;
        return 0;
    case OPTION_LIST: /* a command line never holds more items than words */
        if (!add_to_list(o->value, text, argc))
            return 0;
        fail(command, EXIT_FAILED, "out of memory");
        return OPTIONS_BAD;
    default:
        return set_number(command, o, text);
    }
}

/* The option at argv[*at]; *at moves to the last word it took. */
static int parse_option(const struct command *command, const struct option *options, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    const struct option *o = find_option(options, word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2));
    if (!o)
        return unknown_option(command, options, word);
    if (o->kind == OPTION_FLAG) {
        if (equals) {
            fail(command, EXIT_USAGE, "--%s takes no value", o->name);
            return OPTIONS_BAD;
        }
        *(bool *)o->value = true;
        return 0;
    }
    if (!equals && *at + 1 >= argc) {
        fail(command, EXIT_USAGE, "--%s wants a value (%s)", o->name, o->argument);
        return OPTIONS_BAD;
    }
    int rc = set_value(command, o, equals ? equals + 1 : argv[++*at], argc);
    while (!rc && o->kind == OPTION_LIST && !equals && *at + 1 < argc && argv[*at + 1][0] != '-')
        rc = set_value(command, o, argv[++*at], argc);
    return rc;
}

static int check_required(const struct command *command, const struct option *options)
{
    for (const struct option *o = options; o->name; o++) {
        if (o->required && o->kind == OPTION_TEXT && !*(const char **)o->value) {
            fail(command, EXIT_USAGE, "--%s %s is missing; see `openlora %s --help`", o->name, o->argument, command->name);
            return OPTIONS_BAD;
        }
    }
    return 0;
}

int options_parse(const struct command *command, const struct option *options, int argc, char **argv, int max_words)
{
    int words = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (!only_words && !strcmp(word, "--help")) {
            print_help(command, options);
            return OPTIONS_HELP;
        }
        if (!only_words && !strcmp(word, "--")) {
            only_words = true;
        } else if (!only_words && !strncmp(word, "--", 2)) {
            int rc = parse_option(command, options, argc, argv, &i);
            if (rc)
                return rc;
        } else if (!only_words && word[0] == '-' && word[1]) {
            fail(command, EXIT_USAGE, "unknown option %s; options start with two dashes", word);
            return OPTIONS_BAD;
        } else if (++words > max_words) {
            fail(command, EXIT_USAGE, "unexpected word \"%s\"; see `openlora %s --help`", word, command->name);
            return OPTIONS_BAD;
        } else {
            argv[words] = word; /* words <= i: never overwrites what is still to be read */
        }
    }
    int rc = check_required(command, options);
    return rc ? rc : words;
}
