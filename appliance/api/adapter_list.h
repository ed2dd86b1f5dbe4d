/* Walking over all adapters of the store, a few at a time. */
#ifndef OPENLORA_API_ADAPTER_LIST_H
#define OPENLORA_API_ADAPTER_LIST_H

#include "api/app.h"

#include <jansson.h>

/* Appends one object per adapter, sorted by name. −1 without memory. */
int adapter_list_add(const struct app *, json_t *array,
                     json_t *(*to_json)(const struct app *, const struct adapter_info *));

/* Calls each(user, info) for every adapter, sorted by name, until it returns false. −1 without memory. */
int adapter_list_walk(const struct app *, bool (*each)(void *user, const struct adapter_info *), void *user);

#endif
