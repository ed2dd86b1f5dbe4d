/* A row's token ids, and which of them the row teaches: the document of docs/attribution.md §1.
 *
 * Chat and instruction rows go through the model's own chat template, each of the assistant's turns as serving would
 * have seen it: the prompt up to the turn (add_generation_prompt), then the turn. Taught are the turn's tokens up to
 * and with its end-of-turn token; the template's words, the system's and the user's are context. Text is taught whole;
 * where the tokenizer puts a beginning-of-text token in front, that one is context.
 *
 * A row whose content spells a special token is refused: it could end a turn and open another one's. */
#ifndef OPENLORA_TRAINING_ROW_TOKENS_H
#define OPENLORA_TRAINING_ROW_TOKENS_H

#include "attribution/contribution.h"
#include "model/model_file.h"
#include "model/tokenizer.h"

struct row_encoder;

struct row_tokens {
    uint32_t *tokens; /* owned, (n) */
    bool *taught;     /* owned, (n); the last one is true, unless n is 0 */
    size_t n, cap;
};

enum { ROW_MAX_TOKENS = 1 << 22 };

/* The file must stay open. A model without a chat template encodes text alone. */
int row_encoder_open(const struct model_file *file, struct row_encoder **out, struct err *e)
    __attribute__((warn_unused_result));
void row_encoder_close(struct row_encoder *encoder); /* NULL is fine */
const struct tokenizer *row_encoder_tokenizer(const struct row_encoder *encoder); /* borrowed */

/* Fills `out`, which starts zeroed and is used again from row to row. OL_EFORMAT: a row that cannot be a conversation
 * of this model, with the reason; OL_EUNSUPPORTED: no template, or one that shows earlier turns otherwise than it did
 * when they were the last; OL_ELIMIT: more than ROW_MAX_TOKENS. */
int row_encode(const struct row_encoder *encoder, const struct training_row *row, struct row_tokens *out, struct err *e)
    __attribute__((warn_unused_result));
void row_tokens_deinit(struct row_tokens *tokens);

#endif
