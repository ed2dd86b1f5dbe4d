/* Inside the tokenizer: the parts of a Hugging Face model directory. */
#ifndef OPENLORA_MODEL_TOKENIZER_HF_H
#define OPENLORA_MODEL_TOKENIZER_HF_H

#include "model/json_file.h"
#include "model/tokenizer_private.h"

/* The members "normalizer", "pre_tokenizer" and "post_processor" of tokenizer.json, into t. Steps that we do not have
 * are refused by name. */
int tokenizer_hf_pipeline(struct tokenizer *t, const json_t *root, struct err *e) __attribute__((warn_unused_result));

/* What the files beside tokenizer.json say: bos, eos, what else ends a generation, the chat template. */
int tokenizer_hf_settings(struct tokenizer *t, const char *dir, struct err *e) __attribute__((warn_unused_result));

#endif
