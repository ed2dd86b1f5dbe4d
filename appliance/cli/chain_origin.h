/* Where adapters come from, as their training.json says (training/record.h): the roots of Datanet versions and the hash
 * of the record that go into an adapter version's metadata. */
#ifndef OPENLORA_CLI_CHAIN_ORIGIN_H
#define OPENLORA_CLI_CHAIN_ORIGIN_H

#include "chainlite/json/catalog.h"
#include "cli/chain_publish.h"
#include "training/record.h"

struct origin {
    bool known; /* false: it lies without a record; metadata of nothing */
    struct training_record record;
};

/* Reads the record beside an adapter of this content on this base. None is fine. OL_EINVAL: a record of another adapter
 * or base. Release with training_record_deinit(&o->record). */
int origin_read(const char *adapter_path, const uint8_t content[32], const uint8_t base[32], struct origin *out,
                struct err *) __attribute__((warn_unused_result));
void origin_metadata(const struct origin *, uint8_t out[32]);
bool origin_matches(const struct origin *, const uint8_t metadata[32]);
struct version_sources origin_sources(const struct origin *);

/* The one of n whose metadata this is, or an empty one where the metadata is of nothing; NULL: neither. */
const struct origin *origin_find(const struct origin *origins, size_t n, const uint8_t metadata[32]);

#endif
