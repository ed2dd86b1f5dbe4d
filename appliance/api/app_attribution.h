/* Attribution in the app: opening its policies. */
#ifndef OPENLORA_API_APP_ATTRIBUTION_H
#define OPENLORA_API_APP_ATTRIBUTION_H

#include "api/app.h"

/* app->attributor, or NULL without a policy. After engine and billing are open. */
int app_attribution_open(struct app *, struct err *) __attribute__((warn_unused_result));

#endif
