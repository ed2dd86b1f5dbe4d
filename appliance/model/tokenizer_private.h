/* Inside the tokenizer: what the two file readers (tokenizer_gguf.c, tokenizer_hf.c) fill in. */
#ifndef OPENLORA_MODEL_TOKENIZER_PRIVATE_H
#define OPENLORA_MODEL_TOKENIZER_PRIVATE_H

#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/pretokenize.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

#include <jansson.h>

enum { TOKENIZER_MAX_TEMPLATE_BYTES = 256 * 1024 };

struct tokenizer {
    struct vocab vocab;
    struct bpe bpe;
    struct pretokenizer pre;
    struct added_tokens raw;        /* found in the text as it is */
    struct added_tokens normalized; /* found in the text after NFC */
    bool byte_level;                /* tokenizer.json: its ByteLevel step was seen */
    bool nfc;                       /* text between raw added tokens is normalized */
    int32_t bos, eos;               /* −1: none */
    bool adds_bos;
    char *chat_template;            /* owned; NULL: none */
};

/* Empty; freed by tokenizer_close whatever was filled in since. */
int tokenizer_alloc(struct tokenizer **out, struct err *e) __attribute__((warn_unused_result));

/* Makes an id end generations, if it exists. */
void tokenizer_set_end(struct tokenizer *t, int64_t id);
/* The same for the tokens that chat models are known to end their turns with, whatever else the files say. */
void tokenizer_set_known_ends(struct tokenizer *t);
/* Copies the chat template; refused if it is too long. */
int tokenizer_set_template(struct tokenizer *t, struct text source, struct err *e) __attribute__((warn_unused_result));

/* The tokenizer of a parsed tokenizer.json alone, without the files beside it. */
int tokenizer_open_json(const json_t *root, struct tokenizer **out, struct err *e) __attribute__((warn_unused_result));

#endif
