/* Writing a safetensors file: the counterpart of safetensors.h, under the same limits, so that what is written can be
 * read back. Header keys keep the caller's order and the text is fixed: equal tensors give equal bytes. */
#ifndef OPENLORA_MODEL_SAFETENSORS_WRITE_H
#define OPENLORA_MODEL_SAFETENSORS_WRITE_H

#include "model/safetensors.h"

struct safetensors_note { /* one string of "__metadata__" */
    const char *key, *value;
};

/* Replaces the file at once (base/file_replace.h). Of a tensor name, dtype, dims, n_dims and data are read; `bytes`
 * must be what they say. Types of different sizes must be ordered so that each tensor is aligned (largest first).
 * OL_EINVAL: a tensor that a reader would refuse, or no tensor. */
int safetensors_write(const char *path, const struct safetensor *tensors, size_t n,
                      const struct safetensors_note *notes,
                      size_t n_notes, struct err *e) __attribute__((warn_unused_result));

#endif
