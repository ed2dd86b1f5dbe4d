#include "cli/conversation.h"

#include "base/clock.h"

#include <editline/readline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PROMPT_BYTES = 16 << 20, MAX_ANSWER_BYTES = 64 << 20 };

struct session {
    const struct command *command;
    const struct conversation *c;
    json_t *messages; /* owned */
    char *system;     /* owned, or NULL */
};

static volatile bool interrupted; /* set by Ctrl-C while an answer streams */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = true;
}

void answer_add(struct answer *a, const char *text, size_t len)
{
    if (!a->first_s)
        a->first_s = clock_mono_s();
    buf_add(&a->text, text, len);
    if (a->quiet)
        return;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
}

/* False for text that is not UTF-8. */
static bool add_message(json_t *messages, const char *role, const char *text)
{
    return !json_array_append_new(messages, json_pack("{ss ss}", "role", role, "content", text));
}

static void reset(struct session *s)
{
    json_array_clear(s->messages);
    if (s->system && !add_message(s->messages, "system", s->system))
        fail(s->command, EXIT_FAILED, "the system message is not UTF-8: ignored");
}

/* Speed counts the tokens after the first, whose time is the prompt's. */
static double tokens_per_second(const struct answer *a)
{
    double seconds = a->end_s - a->first_s;
    return a->tokens > 1 && seconds > 0 ? (double)(a->tokens - 1) / seconds : 0;
}

static void print_statistics(const struct answer *a)
{
    if (a->text.len && a->text.data[a->text.len - 1] != '\n')
        putchar('\n');
    fflush(stdout);
    fprintf(stderr, "[%lld tokens, %.1f tokens/s, first after %.0f ms%s%s]\n", (long long)a->tokens,
            tokens_per_second(a), a->first_s ? (a->first_s - a->start_s) * 1e3 : 0, *a->finish ? ", " : "", a->finish);
    if (*a->receipt_id)
        fprintf(stderr, "[%s, receipt %s]\n", a->cost, a->receipt_id);
    if (*a->data)
        fprintf(stderr, "[%s]\n", a->data);
}

static void print_json(const struct answer *a)
{
    json_t *o = json_pack("{ss# ss sI sI sf sf sf}", "text", buf_str(&a->text), (int)a->text.len, "finish_reason",
                          a->finish, "prompt_tokens", (json_int_t)a->prompt_tokens, "tokens", (json_int_t)a->tokens,
                          "tokens_per_second", tokens_per_second(a), "first_token_s",
                          a->first_s ? a->first_s - a->start_s : 0, "total_s", a->end_s - a->start_s);
    if (*a->receipt_id) {
        json_object_set_new(o, "cost", json_string(a->cost));
        json_object_set_new(o, "receipt_id", json_string(a->receipt_id));
        json_object_set_new(o, "data", json_string(a->data));
    }
    json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

/* One turn; a failed turn leaves the conversation as it was. */
static int take_turn(struct session *s, const char *prompt)
{
    if (!add_message(s->messages, "user", prompt))
        return fail(s->command, EXIT_FAILED, "the prompt is not UTF-8");
    struct answer a = {.quiet = s->c->json, .start_s = clock_mono_s()};
    struct err e = {0};
    buf_init(&a.text, MAX_ANSWER_BYTES);
    interrupted = false;
    struct sigaction catch = {.sa_handler = on_interrupt}, before;
    sigaction(SIGINT, &catch, &before);
    int rc = s->c->reply(s->c->user, s->messages, &a, &interrupted, &e);
    sigaction(SIGINT, &before, NULL);
    a.end_s = clock_mono_s();
    if (rc == OL_ECANCELLED) {
        snprintf(a.finish, sizeof a.finish, "cancelled");
        rc = OL_OK;
    }
    if (rc) {
        fail(s->command, EXIT_FAILED, "%s", e.message);
        json_array_remove(s->messages, json_array_size(s->messages) - 1);
    } else {
        add_message(s->messages, "assistant", buf_str(&a.text));
        if (s->c->json)
            print_json(&a);
        else
            print_statistics(&a);
    }
    buf_deinit(&a.text);
    return rc;
}

static void use_adapter(struct session *s, const char *name)
{
    struct err e = {0};
    if (s->c->use_adapter(s->c->user, *name ? name : NULL, &e)) {
        fail(s->command, EXIT_FAILED, "%s", e.message);
        return;
    }
    reset(s);
    printf("%s%s; the conversation starts anew\n", *name ? "adapter " : "base model", name);
}

static void set_system(struct session *s, const char *text)
{
    free(s->system);
    s->system = *text ? strdup(text) : NULL;
    reset(s);
}

/* Lines that start with a slash. False: leave. */
static bool run_slash_command(struct session *s, const char *line)
{
    size_t len = strcspn(line, " ");
    const char *argument = line + len + strspn(line + len, " ");
    if (len == 5 && !strncmp(line, "/quit", len))
        return false;
    if (len == 8 && !strncmp(line, "/adapter", len))
        use_adapter(s, argument);
    else if (len == 7 && !strncmp(line, "/system", len))
        set_system(s, argument);
    else if (len == 6 && !strncmp(line, "/reset", len))
        reset(s);
    else
        printf("/adapter [NAME]  speak to an adapter, or to the base model\n"
               "/system [TEXT]   set or drop the system message and start anew\n"
               "/reset           forget the conversation\n"
               "/quit            leave (also Ctrl-D)\n");
    return true;
}

static void interact(struct session *s)
{
    printf("Ctrl-C stops an answer, /help lists commands, /quit leaves.\n");
    char *line;
    bool go_on = true;
    while (go_on && (line = readline("> "))) {
        if (*line)
            add_history(line);
        if (*line == '/')
            go_on = run_slash_command(s, line);
        else if (*line)
            take_turn(s, line);
        free(line);
    }
}

static char *read_prompt(FILE *in)
{
    struct buf text;
    char part[4096];
    size_t n;
    buf_init(&text, MAX_PROMPT_BYTES);
    while ((n = fread(part, 1, sizeof part, in)) > 0)
        buf_add(&text, part, n);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    return buf_take(&text);
}

int conversation_run(const struct command *command, const struct conversation *c, const char *prompt)
{
    struct session s = {command, c, json_array(), c->system ? strdup(c->system) : NULL};
    int code = EXIT_OK;
    reset(&s);
    if (!prompt && isatty(STDIN_FILENO)) {
        interact(&s);
    } else {
        char *text = prompt ? strdup(prompt) : read_prompt(stdin);
        if (!text || !*text)
            code = fail(command, EXIT_USAGE, "the prompt is empty or too long");
        else
            code = take_turn(&s, text) ? EXIT_FAILED : EXIT_OK;
        free(text);
    }
    json_decref(s.messages);
    free(s.system);
    return code;
}
