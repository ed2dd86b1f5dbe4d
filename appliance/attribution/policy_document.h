/* policy.json: what pins all inputs of an attribution (docs/attribution.md §7). */
#ifndef OPENLORA_ATTRIBUTION_POLICY_DOCUMENT_H
#define OPENLORA_ATTRIBUTION_POLICY_DOCUMENT_H

#include "base/sha256.h"
#include "chainlite/core/wei.h"
#include "chainlite/json/notation_file.h"

enum {
    POLICY_VERSION = 1,
    POLICY_MAX_BYTES = 1 << 20,
    POLICY_MAX_DATANETS = 4096,
    POLICY_TEXT_BYTES = 32,
};

/* The only numerics there are: training/lora_model.h in float32, then fisher.h in float64. */
#define POLICY_NUMERICS "lora-f32-1"

struct policy_datanet {
    uint8_t version[32], root[32]; /* row id, content hash */
};

struct policy_spans {
    uint8_t index[SHA256_BYTES], surprisal[SHA256_BYTES], sources[SHA256_BYTES];
    uint32_t tau_millibits;
};

struct policy_gradients {
    uint8_t vectors[SHA256_BYTES];
    uint32_t dimensions;
    uint64_t seed;                     /* below 2^63, as all integers of the notation */
    char clip_norm[POLICY_TEXT_BYTES]; /* decimal digits that name the float64 exactly */
    uint32_t kappa_ppb;
    wei_t s0; /* 1 … 2^63 − 1 */
};

struct policy_calibration {
    uint32_t null_prompts, false_tokens_ppm, any_credit_ppm;
};

struct policy_version_id { /* a row id, alone or null */
    uint8_t id[32];
};

struct policy_document {
    uint8_t version;
    uint8_t model_version[32];
    struct policy_version_id adapter_version;
    bool has_adapter; /* false: of the base model itself */
    char numerics[POLICY_TEXT_BYTES];
    struct list datanets; /* struct policy_datanet, at least one */
    struct policy_spans spans;
    struct policy_gradients gradients;
    bool has_gradients;
    struct policy_calibration calibration;
    uint32_t sampling_ppb; /* of the answers, how many get gradients of their own at least */
};
extern const struct schema policy_document_schema;

/* Strict. hash: SHA-256 of the text, the content hash of the policy's version row. OL_EFORMAT: also values that no
 * policy has. Release with policy_document_deinit, which after an error is not needed. */
int policy_document_parse(const char *text, size_t n, struct policy_document *out, uint8_t hash[SHA256_BYTES],
                          struct err *) __attribute__((warn_unused_result));
int policy_document_load(const char *path, struct policy_document *out, uint8_t hash[SHA256_BYTES], struct err *)
    __attribute__((warn_unused_result));
/* The one text of a document; OL_EINVAL: values that no policy has. */
int policy_document_save(const struct policy_document *, const char *path, uint8_t hash[SHA256_BYTES], struct err *)
    __attribute__((warn_unused_result));
void policy_document_deinit(struct policy_document *);

#endif
