/* A trained adapter as PEFT writes it: adapter_config.json and adapter_model.safetensors in a folder. */
#ifndef OPENLORA_TRAINING_ADAPTER_WRITE_H
#define OPENLORA_TRAINING_ADAPTER_WRITE_H

#include "kernels/dtype.h"
#include "training/lora_model.h"

struct adapter_description {
    const char *base_name; /* base_model_name_or_path */
    uint32_t targets;      /* bits 1 << LORA_Q … */
    int32_t rank;
    double alpha, dropout;
    bool rslora;
    enum dtype dtype; /* DTYPE_F32, or DTYPE_F16: rounded to nearest */
};

/* params: (layout->n_params). Each file is replaced at once, the weights first. OL_EINVAL: a value is not finite, or
 * too large for DTYPE_F16. */
int adapter_write(const char *folder, const struct lora_layout *layout, const float *params,
                  const struct adapter_description *description, struct err *e) __attribute__((warn_unused_result));

/* PEFT's start: A uniform in ±1/√in (Kaiming with a = √5), drawn place by place from `seed` (random.h); B zero. */
void adapter_initialise(const struct lora_layout *layout, uint64_t seed, float *params);

#endif
