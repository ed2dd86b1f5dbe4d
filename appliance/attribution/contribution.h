/* Contributions of a Datanet: what one is, its id and its leaf in a version's tree (docs/attribution.md §1, §8), and
 * the rows that a model is trained on. Pure but for memory. */
#ifndef OPENLORA_ATTRIBUTION_CONTRIBUTION_H
#define OPENLORA_ATTRIBUTION_CONTRIBUTION_H

#include "base/err.h"
#include "chainlite/core/sumtree.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LABEL_BYTES = 64, CONTENT_MAX_BYTES = 16 << 20 };

/* The numbers stand in leaves: never change one. */
enum content_format {
    CONTENT_TEXT = 1,
    CONTENT_MARKDOWN = 2,
    CONTENT_CHAT = 3,
    CONTENT_INSTRUCTION = 4,
    CONTENT_FORMATS
};
extern const char *const content_format_names[CONTENT_FORMATS]; /* NULL at 0 */

/* 1 to 63 printable ASCII characters other than " and \, so that their JSON has one form. */
struct contribution_labels {
    char licence[LABEL_BYTES];      /* an SPDX expression: CC-BY-4.0 */
    char consent[LABEL_BYTES];      /* on what ground it may be trained on: owner, granted, public */
    char jurisdiction[LABEL_BYTES]; /* whose law holds: EU, US-CA */
};
extern const struct schema labels_schema;

struct contribution {
    uint8_t id[32]; /* contribution_id() */
    uint8_t contributor[ADDRESS_BYTES];
    uint64_t registered_at; /* Unix seconds */
    uint8_t sha256[32];     /* of the content */
    uint64_t bytes;
    uint8_t format; /* enum content_format */
    struct contribution_labels labels;
    bool withdrawn;
    char *text; /* owned; NUL-terminated UTF-8 without other NULs; NULL when withdrawn or not loaded */
};
extern const struct schema contribution_schema; /* all but the text */

void content_hash(const char *text, size_t bytes, uint8_t out[32]);
/* keccak256(abi.encode(item, contributor, sha256)) */
void contribution_id(const uint8_t item[32], const uint8_t contributor[ADDRESS_BYTES], const uint8_t sha256[32],
                     uint8_t out[32]);
/* Document order: registration time, then id. <0, 0, >0. */
int contribution_order(const struct contribution *a, const struct contribution *b);
/* SHA-256 of {"licence":"…","consent":"…","jurisdiction":"…"}. */
void labels_hash(const struct contribution_labels *, uint8_t out[32]);
/* OL_EINVAL names the label. */
int labels_check(const struct contribution_labels *, struct err *);
void contribution_leaf(const struct contribution *, struct sumnode *out);
/* Root and bytes of a version: n contributions in document order. OL_ENOMEM. */
int contributions_root(const struct contribution *, size_t n, struct sumnode *root, struct err *);

struct chat_message {
    const char *role, *content; /* role: system, user or assistant */
};

/* One row. Text and Markdown: the whole content is row 0, `text`. Chat and instruction: `messages`, of which the last
 * is the assistant's; what any assistant's message says is what the row teaches, the rest is prompt. An instruction is
 * a user's message (its input behind it, after an empty line) and an assistant's. */
struct training_row {
    uint32_t row; /* counts from 0 */
    const char *text; /* NULL for chat and instruction */
    struct chat_message *messages;
    size_t n_messages;
    json_t *source; /* what the messages borrow from; owned, as is `joined` */
    char *joined;
};

/* One line of JSONL. OL_EFORMAT says what is wrong with the row. Free with training_row_free. */
int training_row_read(enum content_format, const char *line, size_t n, struct training_row *out, struct err *)
    __attribute__((warn_unused_result));
void training_row_free(struct training_row *);

/* Calls `each` with every row in order until one returns other than 0, which is then returned. Blank lines are no rows.
 * The row is valid during the call only. OL_ENOTFOUND: withdrawn, or its text is not loaded. */
int contribution_rows(const struct contribution *, int (*each)(void *user, const struct training_row *), void *user,
                      struct err *) __attribute__((warn_unused_result));

#endif
