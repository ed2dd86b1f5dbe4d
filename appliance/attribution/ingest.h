/* From a file to a contribution: what may enter, in its one form, and why the rest may not.
 *
 * Rows (JSONL) are read one by one and written anew: {"messages":[{"role":"…","content":"…"}…]} or {"instruction":"…",
 * "output":"…"} and nothing else, so that a contribution holds what was checked and no more. Texts and Markdown are one
 * row and stay as they are. Rows are refused for
 *   encoding       not UTF-8, or with a NUL
 *   format         no row of this format (the detail says why)
 *   same, near     says what an earlier row says (duplicates.h)
 *   overlap        half or more of what it teaches are runs of 50 or more words of earlier rows
 *   a scan's kind  secrets and personal data (scan.h), unless allowed
 *   form           only when proposals are checked again: the content is not in its one form
 * Earlier are the rows of contributions registered before, then this file's own. Smaller overlaps are noted only. */
#ifndef OPENLORA_ATTRIBUTION_INGEST_H
#define OPENLORA_ATTRIBUTION_INGEST_H

#include "attribution/datanet_state.h"
#include "attribution/scan.h"
#include "base/buf.h"

struct ingest_options {
    struct datanet *datanet;                     /* its contents are loaded */
    uint64_t registered_at;                      /* when the contribution will count as registered */
    uint8_t format;                              /* enum content_format; 0: by the file's name and first row */
    bool allowed[SCAN_KINDS];                    /* findings that refuse no row */
    void (*progress)(size_t done, size_t total); /* bytes of the file; may be NULL */
};

struct ingest_line {
    uint32_t line;      /* of the file or content, from 1; 0: all of it */
    const char *reason; /* a word from the list above; static */
    char detail[160];   /* never shows a secret */
    bool noted;         /* the row is in nevertheless */
    bool has_other;
    uint8_t other[32]; /* the contribution that it repeats; has_other is false: its own */
};

struct ingested {
    struct buf content;
    uint8_t format;            /* enum content_format */
    uint32_t rows, n_refused;  /* accepted, refused; a row may be refused for several reasons */
    struct ingest_line *lines; /* in order of the file */
    size_t n;
};

/* Reads and checks a file. Refused rows are no error; the content may come out empty. Free with ingested_free. */
int ingest_file(const char *path, const struct ingest_options *, struct ingested *out, struct err *)
    __attribute__((warn_unused_result));
void ingested_free(struct ingested *);

/* Checks again what is proposed, as whoever proposes it should have: who decides does not have to believe him. Calls
 * `each` in document order until it returns other than 0, which is returned. */
int ingest_proposals(struct datanet *, int (*each)(void *user, struct proposal *, const struct ingested *), void *user,
                     struct err *) __attribute__((warn_unused_result));

#endif
