/* Adapters named in the configuration. */
#ifndef OPENLORA_API_APP_ADAPTERS_H
#define OPENLORA_API_APP_ADAPTERS_H

#include "api/app.h"

/* Folders from which adapters may be loaded: the configured roots and directories, and the path of each configured
 * adapter, since whoever configured it trusts it. Items are owned by *out. */
int app_adapter_roots(const struct config *, struct config_list *out, struct err *e);
void app_adapter_roots_free(struct config_list *);

/* Registers every configured adapter and every entry of the configured directories; files are read at first use. */
int app_adapters_register(struct app *, struct err *e);

#endif
