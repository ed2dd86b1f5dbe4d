/* Rows of contributions; see contribution.h. */
#include "attribution/contribution.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "row"

enum { MAX_MESSAGES = 256 };

static int wrong(struct err *e, const char *why) { return err_set(e, OL_EFORMAT, MODULE, "%s", why); }

/* The text under one of several names; two of them in one row would leave open which is meant. */
static int text_of(const json_t *row, const char *const *names, const char *what, const char **out, struct err *e)
{
    *out = NULL;
    for (; *names; names++) {
        const json_t *value = json_object_get(row, *names);
        if (!value)
            continue;
        if (!json_is_string(value))
            return err_set(e, OL_EFORMAT, MODULE, "\"%s\" is not a text", *names);
        if (*out)
            return err_set(e, OL_EFORMAT, MODULE, "has its %s twice, the second time as \"%s\"", what, *names);
        *out = json_string_value(value);
    }
    return 0;
}

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == '\0'; }

static int room_for(struct training_row *row, size_t n, struct err *e)
{
    row->messages = calloc(n, sizeof *row->messages);
    row->n_messages = n;
    return row->messages ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu messages", n);
}

static int read_instruction(struct training_row *row, struct err *e)
{
    static const char *const asked[] = {"instruction", "question", "prompt", NULL}, *const given[] = {"input", NULL},
                             *const said[] = {"output", "answer", "response", NULL};
    const char *question, *input, *answer;
    int rc = text_of(row->source, asked, "instruction", &question, e);
    if (rc == 0)
        rc = text_of(row->source, given, "input", &input, e);
    if (rc == 0)
        rc = text_of(row->source, said, "answer", &answer, e);
    if (rc == 0 && (!question || is_blank(question)))
        rc = wrong(e, "has no instruction (\"instruction\", \"question\" or \"prompt\")");
    if (rc == 0 && (!answer || is_blank(answer)))
        rc = wrong(e, "has no answer (\"output\", \"answer\" or \"response\")");
    if (rc == 0)
        rc = room_for(row, 2, e);
    if (rc == 0 && input && *input) {
        if (asprintf(&row->joined, "%s\n\n%s", question, input) < 0) {
            row->joined = NULL;
            return err_set(e, OL_ENOMEM, MODULE, "no memory for an instruction");
        }
        question = row->joined;
    }
    if (rc == 0) {
        row->messages[0] = (struct chat_message){"user", question};
        row->messages[1] = (struct chat_message){"assistant", answer};
    }
    return rc;
}

static int read_message(const json_t *value, bool first, struct chat_message *out, struct err *e)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = json_string_value(json_object_get(value, "role"));
    out->content = json_string_value(json_object_get(value, "content"));
    if (!role || !out->content)
        return wrong(e, "a message must have the texts \"role\" and \"content\"");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i]) == 0)
            out->role = roles[i];
    if (!out->role)
        return err_set(e, OL_EFORMAT, MODULE, "role \"%.20s\" is none of system, user and assistant", role);
    return strcmp(role, "system") == 0 && !first ? wrong(e, "a system message must be the first") : 0;
}

static int read_chat(struct training_row *row, struct err *e)
{
    const json_t *messages = json_object_get(row->source, "messages");
    size_t n = json_array_size(messages);
    if (n == 0 || n > MAX_MESSAGES)
        return err_set(e, OL_EFORMAT, MODULE, "\"messages\" must be a list of 1 to %d messages", MAX_MESSAGES);
    int rc = room_for(row, n, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = read_message(json_array_get(messages, i), i == 0, &row->messages[i], e);
    if (rc != 0)
        return rc;
    const struct chat_message *last = &row->messages[n - 1];
    if (strcmp(last->role, "assistant") != 0 || is_blank(last->content))
        return wrong(e, "the last message must be the assistant's, and not empty");
    return 0;
}

int training_row_read(enum content_format format, const char *line, size_t n, struct training_row *out, struct err *e)
{
    json_error_t why;
    memset(out, 0, sizeof *out);
    out->source = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    int rc;
    if (!out->source)
        rc = err_set(e, OL_EFORMAT, MODULE, "is not JSON: %s", why.text);
    else if (!json_is_object(out->source))
        rc = wrong(e, "is not a JSON object");
    else
        rc = format == CONTENT_CHAT ? read_chat(out, e) : read_instruction(out, e);
    if (rc != 0)
        training_row_free(out);
    return rc;
}

void training_row_free(struct training_row *row)
{
    json_decref(row->source);
    free(row->messages);
    free(row->joined);
    memset(row, 0, sizeof *row);
}

static int each_line(const struct contribution *c, int (*each)(void *user, const struct training_row *), void *user,
                     struct err *e)
{
    uint32_t number = 0;
    const char *end = c->text + c->bytes;
    for (const char *line = c->text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        struct training_row row;
        next = newline ? newline + 1 : end;
        if (line + strspn(line, " \t\r") >= stop)
            continue;
        int rc = training_row_read(c->format, line, (size_t)(stop - line), &row, e);
        if (rc != 0)
            return err_prefix(e, "row %u", number);
        row.row = number++;
        rc = each(user, &row);
        training_row_free(&row);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int contribution_rows(const struct contribution *c, int (*each)(void *user, const struct training_row *), void *user,
                      struct err *e)
{
    if (!c->text)
        return err_set(e, OL_ENOTFOUND, MODULE,
                       c->withdrawn ? "the contribution was withdrawn" : "its text is not loaded");
    if (c->format == CONTENT_CHAT || c->format == CONTENT_INSTRUCTION)
        return each_line(c, each, user, e);
    struct training_row row = {.text = c->text};
    return each(user, &row);
}
