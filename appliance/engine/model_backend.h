/* A model on a device, as what computes the engine's steps: device, packed weights, forward pass, page pool. */
#ifndef OPENLORA_ENGINE_MODEL_BACKEND_H
#define OPENLORA_ENGINE_MODEL_BACKEND_H

#include "engine/engine_internal.h"
#include "kernels/device.h"

struct model_backend;

/* file: borrowed during the call; its pages are dropped once packed. n_pages > 0: the pool has exactly so many pages
 * (as before a restart), else config.pool_bytes or the default says how many. *plan: where the memory went. */
int model_backend_open(const struct engine_config *resolved, const struct device_choice *, struct model_file *file,
                       int32_t n_pages, struct model_backend **out, struct memory_plan *plan, struct err *e)
    __attribute__((warn_unused_result));
void model_backend_close(struct model_backend *);
struct engine_backend model_backend_table(struct model_backend *); /* its close is model_backend_close */
const struct step_limits *model_backend_limits(const struct model_backend *);


#endif
