/* A chat request's messages, from OpenAI's shapes to what chat templates read. */
#ifndef OPENLORA_API_MESSAGES_H
#define OPENLORA_API_MESSAGES_H

#include "api/errors.h"

#include <jansson.h>

/* A new array of {role, content, …} with plain text contents: content parts are put together, the role
 * "developer" is "system". Anything but text is refused by name. NULL with *e filled. */
json_t *messages_normalise(const json_t *messages, struct api_error *e);

#endif
