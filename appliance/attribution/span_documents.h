/* From Datanet versions to the three files on which spans rest: spans.index, surprisal.bin and sources.json of a
 * policy's folder (docs/attribution.md §7). Everybody who does this with the same versions and model gets the same
 * bytes.
 *
 * Documents are the rows of all versions' contributions in document order. A document's tokens are those that training
 * has a loss on (training/row_tokens.h); where the row has context between them, they are separated. Contributions that
 * were withdrawn have no documents. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_DOCUMENTS_H
#define OPENLORA_ATTRIBUTION_SPAN_DOCUMENTS_H

#include "attribution/datanet.h"
#include "attribution/span_index.h"
#include "model/model_file.h"

enum { SPAN_MAX_DATANETS = 64 };

struct span_documents {
    uint32_t datanets, contributions, withdrawn, documents, vocab;
    uint64_t tokens, index_bytes;
    char index_hash[SHA256_HEX_BYTES], surprisal_hash[SHA256_HEX_BYTES];
};

/* Writes the files into an existing folder and says what is in them. `versions` are in the policy's order. OL_EINVAL:
 * no versions or nothing that could be indexed, one of them twice. OL_EFORMAT names contribution and row.
 * progress: of the index (span_builder_write), may be NULL. */
int span_documents_build(const struct model_file *, const struct datanet_version *const *versions, size_t n,
                         const char *folder, span_progress progress, void *context, struct span_documents *out,
                         struct err *) __attribute__((warn_unused_result));

#endif
