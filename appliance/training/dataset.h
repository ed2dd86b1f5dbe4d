/* What a training reads: examples of at most max_tokens, from Datanet versions and plain files, in their order.
 *
 * Rows come in the order of the sources and, within a Datanet, in document order. A chat or instruction row is one
 * example; a text is cut into windows that overlap by one token, so that every token but the first is predicted once.
 * Rows without anything to learn (a text of one token) make no example. */
#ifndef OPENLORA_TRAINING_DATASET_H
#define OPENLORA_TRAINING_DATASET_H

#include "attribution/contribution.h"
#include "training/lora_model.h"
#include "training/row_tokens.h"

enum { DATASET_MAX_SOURCES = 64, DATASET_MAX_TOKENS = 1 << 28 };

enum too_long { LONG_REFUSE, LONG_TRUNCATE, LONG_SKIP, LONG_RULES };

struct dataset_source {
    bool datanet;
    char name[129];         /* the Datanet's, or the file's without its folder */
    uint8_t sha256[32];     /* of the file */
    uint8_t version[32], root[32]; /* of the Datanet version: row id and content hash */
    uint32_t contributions, withdrawn; /* with text, and withdrawn since; of a file 1 and 0 */
    uint32_t rows, examples;
};

struct dataset {
    struct dataset_source sources[DATASET_MAX_SOURCES];
    int n_sources;
    uint32_t *tokens; /* owned, (n_tokens) all examples one after another */
    float *weights;   /* owned, (n_tokens) 1 where a token is learnt, else 0 */
    size_t n_tokens, cap_tokens;
    struct dataset_example {
        size_t first;     /* its first token */
        int32_t n, taught; /* tokens, and those that are learnt */
    } *examples;          /* owned */
    uint32_t n, cap;
    int64_t taught;       /* over all examples */
    uint32_t long_rows;   /* rows over max_tokens: truncated or skipped */
    int32_t longest;      /* tokens of the longest chat or instruction row */
};

struct dataset_options {
    int32_t max_tokens; /* 2 or more */
    enum too_long too_long;
};

/* Both append to the dataset, which starts zeroed, and say what they added in its last source. The format of a file
 * follows from its name: .jsonl rows of chat or instruction (the first row says which), .md, else text. An error names
 * file or contribution and row. LONG_REFUSE: dataset_check tells. */
int dataset_add_file(struct dataset *d, const char *path, const struct row_encoder *encoder,
                     const struct dataset_options *options, struct err *e) __attribute__((warn_unused_result));
int dataset_add_datanet(struct dataset *d, const char *exported_folder, const struct row_encoder *encoder,
                        const struct dataset_options *options, struct err *e) __attribute__((warn_unused_result));
/* After the last source: OL_EINVAL for nothing to learn, OL_ELIMIT for rows that are too long, with their number. */
int dataset_check(const struct dataset *d, const struct dataset_options *options, struct err *e)
    __attribute__((warn_unused_result));
void dataset_deinit(struct dataset *d);

/* Example i, borrowed. */
struct train_example dataset_example(const struct dataset *d, uint32_t i);

enum too_long too_long_find(const char *name); /* LONG_RULES: none has this name */
const char *too_long_name(enum too_long rule);

#endif
