/* What a node keeps of an answer so that its attribution can be explained and audited: the tokens that went in and came
 * out, the spans, and later the gradients' vector and units (docs/attribution.md §6). It tells about the answer, so only
 * its payer and drawn auditors get it. In JSON by its schema, strictly (chainlite/json/notation.h). */
#ifndef OPENLORA_ATTRIBUTION_EVIDENCE_H
#define OPENLORA_ATTRIBUTION_EVIDENCE_H

#include "base/buf.h"
#include "chainlite/core/shares.h"

enum { EVIDENCE_VERSION = 1, EVIDENCE_MAX_BYTES = 16 << 20, EVIDENCE_MAX_TOKENS = 1 << 20, EVIDENCE_MAX_CHOICES = 128 };

struct evidence_tokens {
    struct list ids; /* uint32_t */
};

struct evidence_choice {
    uint32_t prompt; /* index among the prompts */
    struct list ids; /* uint32_t, as generated and delivered */
};

struct evidence {
    uint8_t version;
    uint8_t receipt_id[32], policy[32];
    uint8_t payer[ADDRESS_BYTES]; /* earns nothing by its own answer */
    struct list prompts;          /* struct evidence_tokens */
    struct list choices;          /* struct evidence_choice */
    uint32_t open_tokens;
    struct list spans;            /* struct receipt_span */
    bool has_gradients;
    struct evidence_gradients {
        struct byte_string query; /* v̂ as little-endian int16 */
        struct list units;        /* struct gradient_units */
    } gradients;
};
extern const struct schema evidence_schema;

/* *out is filled, release it with evidence_deinit; also checks that choices name prompts that are there and that spans
 * are of the answer. OL_EFORMAT, OL_ELIMIT. */
int evidence_parse(const char *text, size_t n, struct evidence *out, struct err *) __attribute__((warn_unused_result));
void evidence_write(const struct evidence *, struct buf *out); /* test buf_failed */
void evidence_deinit(struct evidence *);

uint32_t evidence_answer_tokens(const struct evidence *); /* of all choices */

#endif
