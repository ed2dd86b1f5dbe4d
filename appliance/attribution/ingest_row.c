/* The checks of a row; see ingest.h. */
#include "attribution/ingest_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "ingest"

enum { MAX_LINES = 1 << 16, MAX_SAID_BYTES = 8 * CONTENT_MAX_BYTES };

int ingest_no_memory(struct err *e) { return err_set(e, OL_ENOMEM, MODULE, "no memory to read a contribution"); }

int ingestion_open(struct ingestion *in, struct err *e)
{
    memset(in, 0, sizeof *in);
    buf_init(&in->said, MAX_SAID_BYTES);
    buf_init(&in->taught, MAX_SAID_BYTES);
    in->duplicates = duplicates_open();
    return in->duplicates ? scanner_open(&in->scanner, e) : ingest_no_memory(e);
}

void ingestion_close(struct ingestion *in)
{
    scanner_close(in->scanner);
    duplicates_close(in->duplicates);
    free(in->sources);
    buf_deinit(&in->said);
    buf_deinit(&in->taught);
}

int ingest_report(struct ingestion *in, const char *reason, const char *detail, const uint8_t *other, bool noted,
                  struct err *e)
{
    struct ingested *out = in->out;
    if (out->n == MAX_LINES)
        return err_set(e, OL_ELIMIT, MODULE, "there is something to say about more than %d rows", MAX_LINES);
    if ((out->n & (out->n - 1)) == 0) { /* a power of two: full */
        struct ingest_line *more = realloc(out->lines, (out->n ? 2 * out->n : 1) * sizeof *more);
        if (!more)
            return ingest_no_memory(e);
        out->lines = more;
    }
    struct ingest_line *l = &out->lines[out->n++];
    *l = (struct ingest_line){.line = in->line, .reason = reason, .noted = noted, .has_other = other != NULL};
    snprintf(l->detail, sizeof l->detail, "%s", detail);
    if (other)
        memcpy(l->other, other, sizeof l->other);
    return 0;
}

/* ---- what a row says */

static void add_text(struct buf *into, const char *text)
{
    buf_add_str(into, text);
    buf_add_char(into, '\n');
}

static int gather(struct ingestion *in, const struct training_row *row, struct err *e)
{
    buf_reset(&in->said);
    buf_reset(&in->taught);
    if (row->text) {
        add_text(&in->said, row->text);
        add_text(&in->taught, row->text);
    }
    for (size_t i = 0; i < row->n_messages; i++) {
        const struct chat_message *m = &row->messages[i];
        if (strcmp(m->role, "system") != 0)
            add_text(&in->said, m->content);
        if (strcmp(m->role, "assistant") == 0)
            add_text(&in->taught, m->content);
    }
    return buf_failed(&in->said) || buf_failed(&in->taught) ? ingest_no_memory(e) : 0;
}

static int hash_words(struct ingestion *in, struct duplicate_row *out, struct err *e)
{
    return duplicate_row_init(out, buf_str(&in->said), in->said.len, buf_str(&in->taught), in->taught.len, e);
}

static int remember(struct ingestion *in, struct duplicate_row *words, struct err *e)
{
    if (in->n_sources == in->sources_cap) {
        size_t cap = in->sources_cap ? 2 * in->sources_cap : 64;
        struct row_source *more = realloc(in->sources, cap * sizeof *more);
        if (!more) {
            duplicate_row_free(words);
            return ingest_no_memory(e);
        }
        in->sources = more;
        in->sources_cap = cap;
    }
    in->sources[in->n_sources++] = (struct row_source){in->contribution, in->line};
    return duplicates_add(in->duplicates, words, e);
}

int ingest_known_row(struct ingestion *in, const struct training_row *row, struct err *e)
{
    struct duplicate_row words;
    int rc = gather(in, row, e);
    if (rc == 0)
        rc = hash_words(in, &words, e);
    return rc == 0 ? remember(in, &words, e) : rc;
}

/* ---- the checks */

static int check_scan(struct ingestion *in, const char *text, size_t n, bool *refused, struct err *e)
{
    struct scan_finding found[SCAN_KINDS];
    int rc = scan_text(in->scanner, text, n, found, e);
    for (int k = 0; k < SCAN_KINDS && rc == 0; k++) {
        char detail[80];
        if (!found[k].bytes)
            continue;
        snprintf(detail, sizeof detail, "%zu bytes at byte %zu of what the row says", found[k].bytes, found[k].at);
        rc = ingest_report(in, scan_kind_names[k], detail, NULL, in->allowed[k], e);
        *refused |= !in->allowed[k];
    }
    return rc;
}

static int check_duplicate(struct ingestion *in, const struct duplicate_row *words, bool *refused, struct err *e)
{
    static const char *const reasons[] = {
        [DUPLICATE_OVERLAP] = "overlap", [DUPLICATE_NEAR] = "near", [DUPLICATE_SAME] = "same"};
    struct duplicate found;
    char detail[120], how_much[60] = "";
    int rc = duplicates_find(in->duplicates, words, &found, e);
    if (rc != 0 || found.kind == DUPLICATE_NONE)
        return rc;
    bool noted = found.kind == DUPLICATE_OVERLAP && 2 * found.words < words->n_taught;
    const struct row_source *of = &in->sources[found.of];
    const uint8_t *other = of->contribution == in->contribution ? NULL : of->contribution;
    if (found.kind == DUPLICATE_OVERLAP)
        snprintf(how_much, sizeof how_much, "%zu of %zu words, first of ", found.words, words->n_taught);
    snprintf(detail, sizeof detail, "%s%s %u%s", how_much, other ? "row" : "line", of->row,
             other ? " of an earlier contribution" : "");
    *refused |= !noted;
    return ingest_report(in, reasons[found.kind], detail, other, noted, e);
}

/* Everything is scanned, system messages too; they do not count when rows are compared. */
static int scan_row(struct ingestion *in, const struct training_row *row, bool *refused, struct err *e)
{
    int rc = 0;
    if (row->n_messages && strcmp(row->messages[0].role, "system") == 0)
        rc = check_scan(in, row->messages[0].content, strlen(row->messages[0].content), refused, e);
    return rc == 0 && !*refused ? check_scan(in, buf_str(&in->said), in->said.len, refused, e) : rc;
}

int ingest_check_row(struct ingestion *in, const struct training_row *row, bool *refused, struct err *e)
{
    struct duplicate_row words;
    *refused = false;
    int rc = gather(in, row, e);
    if (rc == 0)
        rc = scan_row(in, row, refused, e);
    if (rc != 0 || *refused)
        return rc;
    rc = hash_words(in, &words, e);
    if (rc != 0)
        return rc;
    rc = check_duplicate(in, &words, refused, e);
    if (rc == 0 && !*refused)
        return remember(in, &words, e);
    duplicate_row_free(&words);
    return rc;
}
