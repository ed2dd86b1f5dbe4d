/* The architecture table: everything that differs between the model families we serve, and the tensors of a layer.
 *
 * A new architecture is one row in arch.c, as long as its layers are built from the roles of model_file.h: the row
 * says how files of either format name it and which optional parts it has. Tensor names and shapes are shared by
 * all rows, since both formats name the parts of a decoder layer alike for all of them. */
#ifndef OPENLORA_MODEL_ARCH_H
#define OPENLORA_MODEL_ARCH_H

#include "model/gguf.h"
#include "model/model_file.h"

enum file_format { FORMAT_GGUF, FORMAT_HF, FORMATS };

enum part { PART_NO, PART_YES, PART_OPTIONAL }; /* optional: the file decides */

struct arch {
    const char *name;         /* model_config.arch, and config.json's model_type */
    const char *gguf;         /* general.architecture and prefix of its keys; NULL: converters write "llama" */
    const char *hf_class;     /* config.json's architectures[0] */
    bool gguf_permuted_qk;    /* GGUF files hold the rows of q and k as interleaved pairs */
    enum part qkv_bias, o_bias, qk_norm;
    int32_t default_head_dim; /* where config.json names none; 0: hidden / heads */
};

const struct arch *arch_find_gguf(struct text name);
const struct arch *arch_find_hf(const char *model_type, const char *hf_class);
const char *arch_gguf_name(const char *name); /* general.architecture of GGUF files of this model_config.arch */
void arch_list(enum file_format format, char *out, size_t bytes); /* supported names, for messages */

/* Which role and layer a tensor name stands for. False: not a tensor of these architectures. */
bool arch_match_tensor(enum file_format format, struct text name, enum tensor_role *role, int32_t *layer);
void arch_tensor_name(enum file_format format, enum tensor_role role, int32_t layer, char *out, size_t bytes);

/* Tensors that files carry and that we compute ourselves or read as configuration. */
bool arch_ignores_tensor(enum file_format format, struct text name);

bool arch_role_per_layer(enum tensor_role role);
bool arch_role_wanted(const struct model_config *c, enum tensor_role role);
bool arch_role_is_vector(enum tensor_role role);
void arch_role_shape(const struct model_config *c, enum tensor_role role, int64_t *rows, int64_t *cols);

/* Ranges and relations that hold for every model: to be called by whoever filled a configuration from a file. */
int model_config_check(const struct model_config *c, struct err *e) __attribute__((warn_unused_result));

#endif
