/* The settlement lane of a running node: its configuration from the settings, and its side of the API. */
#ifndef OPENLORA_CHAINLITE_API_LANE_HOOKS_H
#define OPENLORA_CHAINLITE_API_LANE_HOOKS_H

#include "chainlite/api/api.h"
#include "chainlite/api/options.h"
#include "chainlite/settle/lane.h"

/* rpc, contracts and keys as the caller has them; rows come from the recorder's catalog. All borrowed. */
void lane_configure(const struct options *, const struct rpc_config *, const struct chain_file *, const struct keystore *,
                    struct recorder *, struct lane_config *out);
void lane_hook(struct lane *, struct api *);
/* chain_view's epoch; user: the lane. */
int lane_epoch(void *user, uint64_t *out, struct err *);

#endif
