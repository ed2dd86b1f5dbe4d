/* Reading a model_config from what each format says about the model; ranges are checked by model_config_check. */
#ifndef OPENLORA_MODEL_CONFIG_READ_H
#define OPENLORA_MODEL_CONFIG_READ_H

#include "model/arch.h"

#include <jansson.h>

/* From the metadata (and, for vocabulary, biases and a tied head, the tensor names) of a GGUF file. */
int config_from_gguf(const struct gguf *g, struct model_config *c, const struct arch **arch, struct err *e)
    __attribute__((warn_unused_result));

/* From config.json as transformers 4 and 5 write it. has_head: the files hold lm_head.weight, which decides whether
 * the head is tied when config.json does not say. */
int config_from_hf(const json_t *config, bool has_head, struct model_config *c, const struct arch **arch, struct err *e)
    __attribute__((warn_unused_result));

#endif
