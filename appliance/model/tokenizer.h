/* Byte-level BPE tokenizers: from a GGUF file's metadata (tokenizer.ggml.*) or a Hugging Face tokenizer.json.
 *
 * Immutable after open and safe from any thread (PCRE2 match data is per call or per thread). A SentencePiece or
 * other unsupported model or pre-tokenizer is refused by name. */
#ifndef OPENLORA_MODEL_TOKENIZER_H
#define OPENLORA_MODEL_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stdint.h>

struct tokenizer;

int tokenizer_open_gguf(const struct gguf *, struct tokenizer **out, struct err *e) __attribute__((warn_unused_result));
int tokenizer_open_dir(const char *model_dir, struct tokenizer **out, struct err *e)
    __attribute__((warn_unused_result));
void tokenizer_close(struct tokenizer *);

int32_t tokenizer_vocab(const struct tokenizer *);
int32_t tokenizer_find(const struct tokenizer *, const char *piece,
                       size_t len); /* id of an exact (special) token, or −1 */
bool tokenizer_is_special(const struct tokenizer *, int32_t id);
/* Bytes of a token; special tokens give their text. Valid until close. len 0 for ids that do not exist. */
struct text tokenizer_bytes(const struct tokenizer *, int32_t id);
/* Is this an end-of-generation token (eos, eot, <|im_end|>, <|eot_id|>, … as the model's files list them)? */
bool tokenizer_is_eog(const struct tokenizer *, int32_t id);
int32_t tokenizer_bos(const struct tokenizer *); /* −1 if none */
int32_t tokenizer_eos(const struct tokenizer *);
bool tokenizer_adds_bos(const struct tokenizer *); /* for raw completions */
const char *tokenizer_chat_template(const struct tokenizer *); /* the model's Jinja text, or NULL */

/* Ids of `text` (any bytes: invalid UTF-8 is replaced by U+FFFD first). parse_special: special tokens written in the
 * text become their ids; otherwise they are plain text. Appends to *ids (realloc'd, owned by the caller, *n counts,
 * *cap its capacity); OL_ELIMIT past max_tokens. */
int tokenizer_encode(const struct tokenizer *, const char *text, size_t len, bool parse_special, size_t max_tokens,
                     int32_t **ids, size_t *n, size_t *cap, struct err *e) __attribute__((warn_unused_result));

/* Incremental detokenizer: bytes come out only as whole UTF-8 sequences; what can never become one comes out as
 * U+FFFD. Plain data: copy freely. */
struct detokenizer {
    unsigned char pending[4];
    int n_pending;
};
/* Appends the text that token `id` completes to `out` (special tokens give nothing unless `special`). */
void detokenizer_push(struct detokenizer *, const struct tokenizer *, int32_t id, bool special, struct buf *out);
void detokenizer_finish(struct detokenizer *, struct buf *out); /* what is still pending becomes U+FFFD */

#endif
