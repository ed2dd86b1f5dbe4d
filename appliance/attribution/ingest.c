/* Checking and writing rows; see ingest.h. */
#include "attribution/ingest.h"

#include "attribution/duplicates.h"
#include "base/file_map.h"
#include "model/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "ingest"

enum { MAX_FILE_BYTES = 4 * CONTENT_MAX_BYTES, MAX_LINES = 1 << 20 };

struct ingestion {
    const struct ingest_options *o;
    struct ingested *out;
    struct scanner *scanner;
    struct duplicates *duplicates;
    const uint8_t **sources; /* of each row in `duplicates`: its contribution's id, NULL: this file */
    uint32_t *source_lines;  /* and its line or row */
    size_t n_sources, sources_cap;
    struct buf said, taught;
    uint32_t line;
};

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, MODULE, "no memory to read a contribution"); }

/* ---- the report */

static int report(struct ingestion *in, const char *reason, const char *detail, const uint8_t *other, bool noted,
                  struct err *e)
{
    struct ingested *out = in->out;
    if (out->n == MAX_LINES)
        return err_set(e, OL_ELIMIT, MODULE, "more than %d rows are refused", MAX_LINES);
    if ((out->n & (out->n - 1)) == 0) { /* a power of two: full */
        struct ingest_line *more = realloc(out->lines, (out->n ? 2 * out->n : 1) * sizeof *more);
        if (!more)
            return no_memory(e);
        out->lines = more;
    }
    struct ingest_line *l = &out->lines[out->n++];
    *l = (struct ingest_line){.line = in->line, .reason = reason, .noted = noted, .has_other = other != NULL};
    snprintf(l->detail, sizeof l->detail, "%s", detail);
    if (other)
        memcpy(l->other, other, sizeof l->other);
    out->n_refused += !noted;
    return 0;
}

/* ---- what a row says */

static void gather(struct ingestion *in, const struct training_row *row)
{
    buf_reset(&in->said);
    buf_reset(&in->taught);
    if (row->text) {
        buf_add_str(&in->said, row->text);
        buf_add_str(&in->taught, row->text);
    }
    for (size_t i = 0; i < row->n_messages; i++) {
        const struct chat_message *m = &row->messages[i];
        struct buf *const into[] = {strcmp(m->role, "system") ? &in->said : NULL,
                                    strcmp(m->role, "assistant") ? NULL : &in->taught};
        for (size_t k = 0; k < 2; k++)
            if (into[k]) {
                buf_add_str(into[k], m->content);
                buf_add_char(into[k], '\n');
            }
    }
}

static int remember(struct ingestion *in, struct duplicate_row *words, const uint8_t *source, uint32_t line, struct err *e)
{
    if (in->n_sources == in->sources_cap) {
        size_t cap = in->sources_cap ? 2 * in->sources_cap : 64;
        const uint8_t **sources = realloc(in->sources, cap * sizeof *sources);
        if (sources)
            in->sources = sources;
        uint32_t *lines = sources ? realloc(in->source_lines, cap * sizeof *lines) : NULL;
        if (!lines) {
            duplicate_row_free(words);
            return no_memory(e);
        }
        in->source_lines = lines;
        in->sources_cap = cap;
    }
    in->sources[in->n_sources] = source;
    in->source_lines[in->n_sources++] = line;
    return duplicates_add(in->duplicates, words, e);
}

/* ---- earlier contributions */

struct earlier {
    struct ingestion *in;
    const uint8_t *id;
    struct err *e;
};

static int add_earlier(void *user, const struct training_row *row)
{
    struct earlier *at = user;
    struct duplicate_row words;
    gather(at->in, row);
    if (buf_failed(&at->in->said) || buf_failed(&at->in->taught))
        return no_memory(at->e);
    int rc = duplicate_row_init(&words, buf_str(&at->in->said), at->in->said.len, buf_str(&at->in->taught),
                                at->in->taught.len, at->e);
    return rc == 0 ? remember(at->in, &words, at->id, row->row + 1, at->e) : rc;
}

static int by_order(const void *a, const void *b)
{
    const struct contribution *const *x = a, *const *y = b;
    return contribution_order(*x, *y);
}

/* In document order, so that the first holder of a text is the one that is named. */
static int add_contributions(struct ingestion *in, struct err *e)
{
    struct datanet *d = in->o->datanet;
    const struct contribution **order = calloc(d->n_proposals + 1, sizeof(void *));
    size_t n = 0;
    int rc = order ? datanet_load_contents(d, e) : no_memory(e);
    for (size_t i = 0; rc == 0 && i < d->n_proposals; i++)
        if (d->proposals[i].contribution.text && d->proposals[i].contribution.registered_at < in->o->registered_at)
            order[n++] = &d->proposals[i].contribution;
    if (rc == 0)
        qsort(order, n, sizeof *order, by_order);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct earlier at = {in, order[i]->id, e};
        rc = contribution_rows(order[i], add_earlier, &at, e);
    }
    free(order);
    return rc;
}

/* ---- one row */

static int check_scan(struct ingestion *in, const char *text, size_t n, bool *refused, struct err *e)
{
    struct scan_finding found[SCAN_KINDS];
    int rc = scan_text(in->scanner, text, n, found, e);
    for (int k = 0; k < SCAN_KINDS && rc == 0; k++) {
        char detail[80];
        if (!found[k].bytes)
            continue;
        snprintf(detail, sizeof detail, "%zu bytes at byte %zu of what the row says", found[k].bytes, found[k].at);
        rc = report(in, scan_kind_names[k], detail, NULL, in->o->allowed[k], e);
        *refused |= !in->o->allowed[k];
    }
    return rc;
}

static int check_duplicate(struct ingestion *in, const struct duplicate_row *words, bool *refused, struct err *e)
{
    static const char *const reasons[] = {[DUPLICATE_OVERLAP] = "overlap", [DUPLICATE_NEAR] = "near",
                                          [DUPLICATE_SAME] = "same"};
    struct duplicate found;
    char detail[120];
    int rc = duplicates_find(in->duplicates, words, &found, e);
    if (rc != 0 || found.kind == DUPLICATE_NONE)
        return rc;
    bool noted = found.kind == DUPLICATE_OVERLAP && 2 * found.words < words->n_taught;
    const uint8_t *other = in->sources[found.of];
    int n = snprintf(detail, sizeof detail, other ? "row %u of" : "line %u", in->source_lines[found.of]);
    if (found.kind == DUPLICATE_OVERLAP)
        snprintf(detail + n, sizeof detail - (size_t)n, "%s: %zu of %zu words", other ? " an earlier contribution" : "",
                 found.words, words->n_taught);
    else if (other)
        snprintf(detail + n, sizeof detail - (size_t)n, " an earlier contribution");
    *refused |= !noted;
    return report(in, reasons[found.kind], detail, other, noted, e);
}

/* A row that was read: checks it and, if it may enter, remembers what it says. Everything said is scanned, system
 * messages too. */
static int check_row(struct ingestion *in, const struct training_row *row, bool *refused, struct err *e)
{
    struct duplicate_row words;
    int rc = 0;
    *refused = false;
    gather(in, row);
    if (row->n_messages && strcmp(row->messages[0].role, "system") == 0)
        rc = check_scan(in, row->messages[0].content, strlen(row->messages[0].content), refused, e);
    if (rc == 0 && !*refused)
        rc = check_scan(in, buf_str(&in->said), in->said.len, refused, e);
    if (rc != 0 || *refused)
        return rc;
    if (buf_failed(&in->said) || buf_failed(&in->taught))
        return no_memory(e);
    rc = duplicate_row_init(&words, buf_str(&in->said), in->said.len, buf_str(&in->taught), in->taught.len, e);
    if (rc != 0)
        return rc;
    rc = check_duplicate(in, &words, refused, e);
    if (rc == 0 && !*refused)
        return remember(in, &words, NULL, in->line, e);
    duplicate_row_free(&words);
    return rc;
}

static int write_row(struct ingestion *in, const struct training_row *row, struct err *e)
{
    json_t *anew = in->out->format == CONTENT_CHAT
                       ? json_pack("{s:[]}", "messages")
                       : json_pack("{s:s,s:s}", "instruction", row->messages[0].content, "output", row->messages[1].content);
    json_t *list = json_object_get(anew, "messages");
    for (size_t i = 0; list && i < row->n_messages; i++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "role", row->messages[i].role, "content", row->messages[i].content));
    bool whole = !list || json_array_size(list) == row->n_messages;
    char *text = anew && whole ? json_dumps(anew, JSON_COMPACT) : NULL;
    json_decref(anew);
    if (!text)
        return no_memory(e);
    buf_add_str(&in->out->content, text);
    buf_add_char(&in->out->content, '\n');
    free(text);
    in->out->rows++;
    return 0;
}

static bool is_text(const char *text, size_t n) { return utf8_valid_prefix(text, n) == n && !memchr(text, '\0', n); }

/* By the first row that is an object. */
static uint8_t guess_format(const char *line, size_t n)
{
    json_t *row = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    uint8_t format = json_is_object(row) ? json_object_get(row, "messages") ? CONTENT_CHAT : CONTENT_INSTRUCTION : 0;
    json_decref(row);
    return format;
}

static int ingest_line(struct ingestion *in, const char *line, size_t n, struct err *e)
{
    struct training_row row;
    struct err why = {0};
    bool refused;
    if (!is_text(line, n))
        return report(in, "encoding", "not UTF-8, or with a NUL", NULL, false, e);
    if (in->out->format == 0)
        in->out->format = guess_format(line, n);
    int rc = training_row_read(in->out->format, line, n, &row, &why);
    if (rc == OL_ENOMEM)
        return err_set(e, rc, MODULE, "%s", why.message);
    if (rc != 0)
        return report(in, "format", why.message, NULL, false, e);
    rc = check_row(in, &row, &refused, e);
    if (rc == 0 && !refused)
        rc = write_row(in, &row, e);
    training_row_free(&row);
    return rc;
}

static int ingest_lines(struct ingestion *in, const char *text, size_t n, struct err *e)
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
        if (in->o->progress)
            in->o->progress((size_t)(next - text), n);
    }
    return rc;
}

static int ingest_whole(struct ingestion *in, const char *text, size_t n, struct err *e)
{
    bool refused;
    in->line = 1;
    if (!is_text(text, n))
        return report(in, "encoding", "not UTF-8, or with a NUL", NULL, false, e);
    buf_add(&in->out->content, text, n);
    if (buf_failed(&in->out->content))
        return 0; /* said by the caller */
    struct training_row row = {.text = buf_str(&in->out->content)};
    int rc = check_row(in, &row, &refused, e);
    in->out->rows = rc == 0 && !refused;
    if (refused)
        buf_reset(&in->out->content);
    return rc;
}

/* ---- a file */

static uint8_t format_of_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".jsonl") == 0)
        return 0;
    return dot && (strcmp(dot, ".md") == 0 || strcmp(dot, ".markdown") == 0) ? CONTENT_MARKDOWN : CONTENT_TEXT;
}

static int ingest(struct ingestion *in, const char *path, const struct file_map *file, struct err *e)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'}; /* of UTF-8; says nothing */
    const char *text = (const char *)file->data;
    size_t n = file->len;
    if (n >= sizeof mark && memcmp(text, mark, sizeof mark) == 0)
        text += sizeof mark, n -= sizeof mark;
    in->out->format = in->o->format ? in->o->format : format_of_name(path);
    bool whole = in->out->format == CONTENT_TEXT || in->out->format == CONTENT_MARKDOWN;
    int rc = add_contributions(in, e);
    if (rc == 0)
        rc = whole ? ingest_whole(in, text, n, e) : ingest_lines(in, text, n, e);
    if (rc == 0 && buf_failed(&in->out->content))
        rc = in->out->content.no_memory
                 ? no_memory(e)
                 : err_set(e, OL_ELIMIT, MODULE, "%s: more than the %llu bytes that this Datanet takes per contribution",
                           path, (unsigned long long)in->o->datanet->settings.max_bytes);
    return rc;
}

int ingest_file(const char *path, const struct ingest_options *o, struct ingested *out, struct err *e)
{
    struct ingestion in = {.o = o, .out = out};
    struct file_map file;
    memset(out, 0, sizeof *out);
    buf_init(&out->content, o->datanet->settings.max_bytes);
    buf_init(&in.said, 2 * MAX_FILE_BYTES);
    buf_init(&in.taught, 2 * MAX_FILE_BYTES);
    int rc = file_map_init(&file, path, e);
    if (rc != 0)
        return rc;
    if (file.len > MAX_FILE_BYTES)
        rc = err_set(e, OL_ELIMIT, MODULE, "%s has %zu bytes; %d at most", path, file.len, MAX_FILE_BYTES);
    if (rc == 0)
        rc = scanner_open(&in.scanner, e);
    if (rc == 0 && !(in.duplicates = duplicates_open()))
        rc = no_memory(e);
    if (rc == 0)
        rc = ingest(&in, path, &file, e);
    file_map_deinit(&file);
    scanner_close(in.scanner);
    duplicates_close(in.duplicates);
    free(in.sources);
    free(in.source_lines);
    buf_deinit(&in.said);
    buf_deinit(&in.taught);
    if (rc != 0)
        ingested_free(out);
    return rc;
}

void ingested_free(struct ingested *i)
{
    buf_deinit(&i->content);
    free(i->lines);
    memset(i, 0, sizeof *i);
}
