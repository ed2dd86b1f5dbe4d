/* A version of a Datanet in its exported form: a folder with manifest.json and content/<sha256 in hex>.
 *
 * The manifest has the version's registered row, its parent, the head of the audit trail and the contributions. All of
 * it is checked against what it commits to: contents against their SHA-256, ids against what they are made of, the
 * contributions against the row's content hash (docs/attribution.md §8), the row against its id. Who opens a version
 * that he knows by id compares `id`; nothing else needs to be trusted. */
#ifndef OPENLORA_ATTRIBUTION_DATANET_H
#define OPENLORA_ATTRIBUTION_DATANET_H

#include "attribution/contribution.h"
#include "chainlite/json/catalog.h"

enum { DATANET_MAX_CONTRIBUTIONS = 1 << 16, DATANET_MAX_BYTES = 1 << 30, MANIFEST_MAX_BYTES = 64 << 20 };

struct datanet_version {
    uint8_t item[32], id[32], root[32]; /* the Datanet, the version row's id, its content hash */
    uint32_t number;                    /* from 1 */
    char name[ITEM_NAME_BYTES];
    uint8_t owner[ADDRESS_BYTES];
    struct contribution *contributions; /* owned; document order */
    size_t n;
    uint64_t bytes; /* of all contributions, those withdrawn since too */
};

/* OL_ENOTFOUND, OL_EFORMAT and so on; the message names the file and what differs. Texts that were withdrawn after the
 * version was published may be missing: their contributions say so. */
int datanet_version_open(const char *exported_folder, struct datanet_version **out, struct err *)
    __attribute__((warn_unused_result));
void datanet_version_close(struct datanet_version *);

/* The manifest as it stands in the file. */
struct datanet_manifest {
    uint8_t version; /* MANIFEST_VERSION */
    struct catalogued_version row;
    uint8_t parent[32];   /* id of the version before, 0: none; the row's metadata covers it and the head */
    uint8_t log_head[32]; /* hash of the audit trail's last line before the version was published */
    struct list contributions; /* struct contribution */
};
extern const struct schema datanet_manifest_schema;
enum { MANIFEST_VERSION = 1 };

/* Everything but the contents. Release with schema_free(&datanet_manifest_schema, …). */
int datanet_manifest_parse(const char *text, size_t n, struct datanet_manifest *out, struct err *)
    __attribute__((warn_unused_result));
int datanet_manifest_check(const struct datanet_manifest *, struct err *) __attribute__((warn_unused_result));
/* The metadata of a version row: its parent, no data roots, the head of the audit trail as its record. */
void datanet_metadata(const uint8_t parent[32], const uint8_t log_head[32], uint8_t out[32]);

/* folder/content/<hex>; false: too long. */
bool content_path(const char *folder, const uint8_t sha256[32], char *out, size_t room);
/* Loads one content of `folder` and checks it: length, SHA-256, UTF-8. Sets c->text. */
int content_load(const char *folder, struct contribution *c, struct err *) __attribute__((warn_unused_result));

#endif
