/* What rows' and answers' gradients share; see gradient.h. */
#ifndef OPENLORA_ATTRIBUTION_GRADIENT_INTERNAL_H
#define OPENLORA_ATTRIBUTION_GRADIENT_INTERNAL_H

#include "attribution/gradient.h"

/* Halves B of all places; *whole is what gradient_restore puts back and frees (NULL is fine). */
int gradient_halve(struct lora_model *, float **whole, struct err *) __attribute__((warn_unused_result));
void gradient_restore(struct lora_model *, float *whole);

#endif
