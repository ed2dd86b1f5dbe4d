/* From files and proposals to checked rows; see ingest.h. */
#include "attribution/ingest_internal.h"

#include "base/file_map.h"
#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "ingest"

enum { MAX_FILE_BYTES = 4 * CONTENT_MAX_BYTES };

/* ---- the rows of a text */

static int write_row(struct ingestion *in, const struct training_row *row, struct err *e)
{
    json_t *anew = in->out->format == CONTENT_CHAT ? json_pack("{s:[]}", "messages")
                                                   : json_pack("{s:s,s:s}", "instruction", row->messages[0].content,
                                                               "output", row->messages[1].content);
    json_t *list = json_object_get(anew, "messages");
    for (size_t i = 0; list && i < row->n_messages; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:s}", "role", row->messages[i].role, "content", row->messages[i].content));
    bool whole = !list || json_array_size(list) == row->n_messages;
    char *text = anew && whole ? json_dumps(anew, JSON_COMPACT) : NULL;
    json_decref(anew);
    if (!text)
        return ingest_no_memory(e);
    buf_add_str(&in->out->content, text);
    buf_add_char(&in->out->content, '\n');
    free(text);
    in->out->rows++;
    return 0;
}

static bool is_text(const char *text, size_t n) { return utf8_valid_prefix(text, n) == n && !memchr(text, '\0', n); }

static int refuse_row(struct ingestion *in, const char *reason, const char *detail, struct err *e)
{
    in->out->n_refused++;
    return ingest_report(in, reason, detail, NULL, false, e);
}

/* By the first row that is an object. */
static uint8_t guess_format(const char *line, size_t n)
{
    json_t *row = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    uint8_t format = !json_is_object(row) ? 0 : json_object_get(row, "messages") ? CONTENT_CHAT : CONTENT_INSTRUCTION;
    json_decref(row);
    return format;
}

static int ingest_line(struct ingestion *in, const char *line, size_t n, struct err *e)
{
    struct training_row row;
    struct err why = {0};
    bool refused;
    if (!is_text(line, n))
        return refuse_row(in, "encoding", "not UTF-8, or with a NUL", e);
    if (in->out->format == 0)
        in->out->format = guess_format(line, n);
    int rc = training_row_read(in->out->format, line, n, &row, &why);
    if (rc == OL_ENOMEM)
        return err_set(e, rc, MODULE, "%s", why.message);
    if (rc != 0)
        return refuse_row(in, "format", why.message, e);
    rc = ingest_check_row(in, &row, &refused, e);
    if (rc == 0 && !refused)
        rc = write_row(in, &row, e);
    in->out->n_refused += rc == 0 && refused;
    training_row_free(&row);
    return rc;
}

static int ingest_lines(struct ingestion *in, const char *text, size_t n, void (*progress)(size_t, size_t),
                        struct err *e)
{
    int rc = 0;
    for (const char *at = text, *end = text + n, *next; at < end && rc == 0; at = next) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        next = newline ? newline + 1 : end;
        in->line++;
        while (at < stop && (*at == ' ' || *at == '\t' || *at == '\r'))
            at++;
        if (at < stop)
            rc = ingest_line(in, at, (size_t)(stop - at), e);
        if (progress)
            progress((size_t)(next - text), n);
    }
    return rc;
}

static int ingest_whole(struct ingestion *in, const char *text, size_t n, struct err *e)
{
    bool refused;
    in->line = 1;
    if (!is_text(text, n))
        return refuse_row(in, "encoding", "not UTF-8, or with a NUL", e);
    buf_add(&in->out->content, text, n);
    if (buf_failed(&in->out->content))
        return 0; /* finish() says so */
    struct training_row row = {.text = buf_str(&in->out->content)};
    int rc = ingest_check_row(in, &row, &refused, e);
    in->out->rows = rc == 0 && !refused;
    in->out->n_refused = rc == 0 && refused;
    if (rc == 0 && refused)
        buf_reset(&in->out->content);
    return rc;
}

/* Into in->out, whose format is set (0: guess) and whose content is empty. */
static int ingest_text(struct ingestion *in, const char *text, size_t n, void (*progress)(size_t, size_t),
                       struct err *e)
{
    struct ingested *out = in->out;
    bool whole = out->format == CONTENT_TEXT || out->format == CONTENT_MARKDOWN;
    in->line = 0;
    int rc = whole ? ingest_whole(in, text, n, e) : ingest_lines(in, text, n, progress, e);
    if (rc != 0 || !buf_failed(&out->content))
        return rc;
    return out->content.no_memory
               ? ingest_no_memory(e)
               : err_set(e, OL_ELIMIT, MODULE, "more than the %zu bytes that a contribution may have",
                         out->content.max_bytes);
}

/* ---- contributions */

static int by_order(const void *a, const void *b)
{
    const struct proposal *const *x = a, *const *y = b;
    return contribution_order(&(*x)->contribution, &(*y)->contribution);
}

/* Those with a text that were registered before, in document order: so the first holder of a text is the one that is
 * named. Returns owned. */
static int in_order(struct datanet *d, uint64_t registered_before, struct proposal ***out, size_t *n, struct err *e)
{
    *n = 0;
    *out = NULL;
    int rc = datanet_load_contents(d, e);
    if (rc != 0)
        return rc;
    *out = calloc(d->n_proposals + 1, sizeof **out);
    if (!*out)
        return ingest_no_memory(e);
    for (size_t i = 0; i < d->n_proposals; i++)
        if (d->proposals[i].contribution.text && d->proposals[i].contribution.registered_at < registered_before)
            (*out)[(*n)++] = &d->proposals[i];
    qsort(*out, *n, sizeof **out, by_order);
    return 0;
}

struct known {
    struct ingestion *in;
    struct err *e;
};

static int add_known(void *user, const struct training_row *row)
{
    struct known *k = user;
    k->in->line = row->row + 1;
    return ingest_known_row(k->in, row, k->e);
}

static int add_contribution(struct ingestion *in, const struct contribution *c, struct err *e)
{
    in->contribution = c->id;
    return contribution_rows(c, add_known, &(struct known){in, e}, e);
}

/* ---- a file */

static uint8_t format_of_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".jsonl") == 0)
        return 0;
    return dot && (strcmp(dot, ".md") == 0 || strcmp(dot, ".markdown") == 0) ? CONTENT_MARKDOWN : CONTENT_TEXT;
}

static int ingest_mapped(struct ingestion *in, const struct file_map *file, const struct ingest_options *o,
                         struct err *e)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'}; /* of UTF-8; says nothing */
    const char *text = (const char *)file->data;
    size_t n = file->len, n_earlier;
    struct proposal **earlier;
    int rc = in_order(o->datanet, o->registered_at, &earlier, &n_earlier, e);
    for (size_t i = 0; i < n_earlier && rc == 0; i++)
        rc = add_contribution(in, &earlier[i]->contribution, e);
    free(earlier);
    if (n >= sizeof mark && memcmp(text, mark, sizeof mark) == 0)
        text += sizeof mark, n -= sizeof mark;
    in->contribution = NULL;
    return rc == 0 ? ingest_text(in, text, n, o->progress, e) : rc;
}

int ingest_file(const char *path, const struct ingest_options *o, struct ingested *out, struct err *e)
{
    struct ingestion in;
    struct file_map file;
    memset(out, 0, sizeof *out);
    int rc = file_map_init(&file, path, e);
    if (rc != 0)
        return rc;
    buf_init(&out->content, o->datanet->settings.max_bytes);
    out->format = o->format ? o->format : format_of_name(path);
    rc = ingestion_open(&in, e);
    in.out = out;
    in.allowed = o->allowed;
    if (rc == 0 && file.len > MAX_FILE_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%zu bytes; %d at most", file.len, MAX_FILE_BYTES);
    if (rc == 0)
        rc = ingest_mapped(&in, &file, o, e);
    ingestion_close(&in);
    file_map_deinit(&file);
    if (rc != 0) {
        err_prefix(e, "%s", path);
        ingested_free(out);
    }
    return rc;
}

void ingested_free(struct ingested *i)
{
    buf_deinit(&i->content);
    free(i->lines);
    memset(i, 0, sizeof *i);
}

/* ---- proposals */

/* Checked rows, written anew, must be the content: nothing else may hide in it. */
static int recheck(struct ingestion *in, const struct proposal *p, struct ingested *out, struct err *e)
{
    const struct contribution *c = &p->contribution;
    buf_init(&out->content, c->bytes);
    out->format = c->format;
    in->out = out;
    in->allowed = p->allowed;
    in->contribution = c->id;
    int rc = ingest_text(in, c->text, c->bytes, NULL, e);
    if (rc != 0 || out->n_refused ||
        (out->content.len == c->bytes && memcmp(out->content.data, c->text, c->bytes) == 0))
        return rc;
    in->line = 0;
    return refuse_row(in, "form", "the content is not written as `datanet propose` writes it", e);
}

int ingest_proposals(struct datanet *d, int (*each)(void *user, struct proposal *, const struct ingested *), void *user,
                     struct err *e)
{
    struct ingestion in;
    struct proposal **order;
    size_t n;
    int rc = in_order(d, UINT64_MAX, &order, &n, e);
    if (rc != 0)
        return rc;
    rc = ingestion_open(&in, e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct ingested out = {0};
        if (order[i]->status != PROPOSAL_PROPOSED) {
            rc = add_contribution(&in, &order[i]->contribution, e);
            continue;
        }
        rc = recheck(&in, order[i], &out, e);
        if (rc == 0)
            rc = each(user, order[i], &out);
        ingested_free(&out);
    }
    ingestion_close(&in);
    free(order);
    return rc;
}
