/* sources.json of a policy's folder (docs/attribution.md §7): which contribution, contributor and row each document of
 * the index comes from. Documents are the rows of the contributions, in order, without gaps: contribution c has the
 * documents first_document(c) … + rows(c) - 1, and a row that teaches nothing is an empty document. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_SOURCES_H
#define OPENLORA_ATTRIBUTION_SPAN_SOURCES_H

#include "base/err.h"
#include "chainlite/core/schema.h"

enum { SPAN_SOURCES_VERSION = 1, SPAN_SOURCES_MAX = 1 << 20, SPAN_SOURCES_MAX_BYTES = 1 << 29 };

struct span_datanet {
    uint8_t version[32];          /* row id of the Datanet version */
    uint8_t root[32];             /* its Merkle root, the row's content hash */
    uint8_t owner[ADDRESS_BYTES]; /* of the Datanet's item */
};

struct span_contribution {
    uint8_t id[32];
    uint8_t contributor[ADDRESS_BYTES];
    uint32_t datanet; /* index among the datanets */
    uint32_t rows;    /* ≥ 1: its documents */
};

struct span_sources {
    uint8_t version;
    struct list datanets;      /* struct span_datanet, in the policy's order */
    struct list contributions; /* struct span_contribution, in document order */
    uint32_t *first_document;  /* owned, (contributions + 1); made by load and by span_sources_finish */
};
extern const struct schema span_sources_schema;

struct span_source { /* where one document comes from */
    const struct span_datanet *datanet;
    const struct span_contribution *contribution;
    uint32_t contribution_index, row;
};

/* OL_EFORMAT: also a datanet that does not exist, a contribution twice, none at all, or not `documents` documents. */
int span_sources_load(const char *path, uint32_t documents, struct span_sources *out, struct err *)
    __attribute__((warn_unused_result));
int span_sources_parse(const char *text, size_t n, uint32_t documents, struct span_sources *out, struct err *)
    __attribute__((warn_unused_result));
int span_sources_save(const struct span_sources *, const char *path, struct err *) __attribute__((warn_unused_result));
void span_sources_deinit(struct span_sources *);

/* After filling the lists: checks them as load does and numbers the documents. */
int span_sources_finish(struct span_sources *, uint32_t documents, struct err *) __attribute__((warn_unused_result));

/* document < documents. Borrowed. */
struct span_source span_sources_at(const struct span_sources *, uint32_t document);

/* Who is paid for it: the contributor, or the zero address where the payer would pay itself. */
void span_source_beneficiary(const struct span_source *, const uint8_t payer[ADDRESS_BYTES],
                             uint8_t out[ADDRESS_BYTES]);

#endif
