/* What a Datanet consists of when others send it: manifests, logs, rows, texts. The first byte says which. A manifest
 * or log line that is accepted is written and accepted again; rows that are read have an assistant's last word; scans
 * and duplicates end. Signatures are left out: no input would ever have one. */
#include "attribution/datanet_state.h"
#include "attribution/duplicates.h"
#include "attribution/scan.h"
#include "model/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void manifest(const char *text, size_t n)
{
    struct datanet_manifest m, again;
    struct err e = {0};
    struct buf written;
    if (datanet_manifest_parse(text, n, &m, &e) != 0) {
        CHECK(e.message[0]);
        return;
    }
    buf_init(&written, MANIFEST_MAX_BYTES);
    notation_write(&datanet_manifest_schema, &m, &written);
    CHECK(!buf_failed(&written) && datanet_manifest_parse(buf_str(&written), written.len, &again, NULL) == 0);
    CHECK(datanet_manifest_check(&m, NULL) == datanet_manifest_check(&again, NULL));
    schema_free(&datanet_manifest_schema, &m);
    schema_free(&datanet_manifest_schema, &again);
    buf_deinit(&written);
}

/* Lines are numbered and chained here, so that more of them get to the rules. */
static void log_lines(const char *text, size_t n)
{
    struct datanet *d = calloc(1, sizeof *d);
    CHECK(d);
    d->file = -1;
    for (const char *at = text, *end = text + n, *stop; at < end; at = stop + 1) {
        struct log_entry entry;
        uint8_t digest[32];
        stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if (log_entry_parse(at, (size_t)(stop - at), &entry, NULL) != 0)
            continue;
        entry.sequence = d->sequence + 1;
        memcpy(entry.previous, d->head, 32);
        if (datanet_apply(d, &entry, NULL) == 0)
            CHECK(log_entry_digest(&entry, d->item, d->settings.chain_id, digest, NULL) == 0 &&
                  d->sequence == entry.sequence);
        log_entry_deinit(&entry);
    }
    datanet_close(d);
}

static int check_row(void *user, const struct training_row *row)
{
    CHECK(row->text || (row->n_messages && strcmp(row->messages[row->n_messages - 1].role, "assistant") == 0));
    CHECK(row->row == (*(uint32_t *)user)++);
    return 0;
}

static void rows(const char *text, size_t n, enum content_format format)
{
    uint32_t count = 0;
    struct contribution c = {.bytes = n, .format = (uint8_t)format, .text = strndup(text, n)};
    CHECK(c.text);
    if (strlen(c.text) == n)
        (void)!contribution_rows(&c, check_row, &count, NULL);
    free(c.text);
}

static void words(const char *text, size_t n)
{
    struct duplicates *d = duplicates_open();
    const char *half = memchr(text, '|', n);
    size_t first = half ? (size_t)(half - text) : n;
    const struct {
        const char *at;
        size_t n;
    } part[] = {{text, first}, {text + first, n - first}, {text, first}};
    CHECK(d);
    for (int i = 0; i < 3; i++) {
        struct duplicate_row row;
        struct duplicate found;
        CHECK(duplicate_row_init(&row, part[i].at, part[i].n, part[i].at, part[i].n, NULL) == 0);
        CHECK(duplicates_find(d, &row, &found, NULL) == 0 && found.words <= row.n_taught);
        CHECK(i < 2 || !row.n_said || found.kind == DUPLICATE_SAME);
        CHECK(duplicates_add(d, &row, NULL) == 0);
    }
    duplicates_close(d);
}

static void scan(const char *text, size_t n)
{
    static struct scanner *scanner;
    struct scan_finding found[SCAN_KINDS];
    if (!scanner)
        CHECK(scanner_open(&scanner, NULL) == 0);
    if (utf8_valid_prefix(text, n) != n || scan_text(scanner, text, n, found, NULL) != 0)
        return;
    for (int k = 0; k < SCAN_KINDS; k++)
        CHECK(found[k].at + found[k].bytes <= n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    if (size < 2)
        return 0;
    switch (data[0]) {
    case 'm':
        manifest(text, size - 1);
        break;
    case 'l':
        log_lines(text, size - 1);
        break;
    case 'c':
        rows(text, size - 1, CONTENT_CHAT);
        break;
    case 'i':
        rows(text, size - 1, CONTENT_INSTRUCTION);
        break;
    case 'w':
        words(text, size - 1);
        break;
    default:
        scan(text, size - 1);
    }
    return 0;
}
