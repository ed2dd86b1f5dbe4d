/* What ingest.c and ingest_row.c share: rows on their way through the checks. */
#ifndef OPENLORA_ATTRIBUTION_INGEST_INTERNAL_H
#define OPENLORA_ATTRIBUTION_INGEST_INTERNAL_H

#include "attribution/duplicates.h"
#include "attribution/ingest.h"

struct row_source { /* of each row that `duplicates` knows */
    const uint8_t *contribution; /* its id; NULL: the file that is read */
    uint32_t row;                /* of the contribution, or line of the file; from 1 */
};

struct ingestion {
    struct ingested *out;
    const bool *allowed;         /* SCAN_KINDS */
    const uint8_t *contribution; /* whose rows are read; NULL: a file's */
    uint32_t line;               /* of them */
    struct scanner *scanner;
    struct duplicates *duplicates;
    struct row_source *sources;
    size_t n_sources, sources_cap;
    struct buf said, taught; /* of the row at hand */
};

int ingestion_open(struct ingestion *, struct err *);
void ingestion_close(struct ingestion *);
int ingest_no_memory(struct err *);

/* Adds a line to the report about the row at hand. */
int ingest_report(struct ingestion *, const char *reason, const char *detail, const uint8_t *other, bool noted,
                  struct err *);
/* Remembers what a row says, unchecked. */
int ingest_known_row(struct ingestion *, const struct training_row *, struct err *);
/* Checks a row, reports on it, and remembers it unless it is refused. */
int ingest_check_row(struct ingestion *, const struct training_row *, bool *refused, struct err *);

#endif
