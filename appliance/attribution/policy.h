/* A policy's folder (docs/attribution.md §7), opened whole: policy.json and the files that it names by their hashes.
 * Everything is checked on opening; afterwards it is read-only, so any number of threads may use it. */
#ifndef OPENLORA_ATTRIBUTION_POLICY_H
#define OPENLORA_ATTRIBUTION_POLICY_H

#include "attribution/influence.h"
#include "attribution/policy_document.h"
#include "attribution/span_index.h"
#include "attribution/span_sources.h"
#include "attribution/surprisal.h"
#include "chainlite/core/secp.h"
#include "chainlite/core/shares.h"

#define POLICY_FILE "policy.json"
#define POLICY_INDEX_FILE "spans.index"
#define POLICY_SURPRISAL_FILE "surprisal.bin"
#define POLICY_VECTORS_FILE "vectors.bin"
#define POLICY_SOURCES_FILE "sources.json"

struct policy {
    struct policy_document document;
    uint8_t hash[SHA256_BYTES]; /* of policy.json: the content hash of its version row, by which a catalog finds it */
    struct span_index *index;
    struct surprisal surprisal;
    struct span_sources sources;
    struct vectors vectors; /* n = 0 without gradients */
};

/* OL_EFORMAT: a file that is not the one named by the policy, or files that do not fit together: documents of index and
 * sources, Datanets of policy and sources, contributors of vectors and sources. */
int policy_open(const char *folder, struct policy **out, struct err *) __attribute__((warn_unused_result));
void policy_close(struct policy *); /* NULL is fine */

/* Which version of which base it is about. */
bool policy_covers(const struct policy *, const uint8_t model_version[32], const uint8_t adapter_version[32]);

/* Does the policy's sample draw the receipt whose proof has this signature (docs/attribution.md §4)? Its gradients are
 * computed however much else there is to do. */
bool policy_draws(const struct policy_document *, const uint8_t signature[SIGNATURE_BYTES]);

/* influence_units under the policy's rule, by beneficiary: strictly ascending, none 0. What sources that may not earn
 * would get is nobody's. out: room for p->vectors.n; *n of them. The policy has gradients. */
int policy_gradient_units(const struct policy *, const struct influence_answer *, const uint8_t payer[ADDRESS_BYTES],
                          struct gradient_units *out, size_t *n, struct err *) __attribute__((warn_unused_result));

/* folder/name into out (PATH_MAX). OL_EINVAL: too long. */
int policy_path(const char *folder, const char *name, char *out, struct err *) __attribute__((warn_unused_result));

#endif
