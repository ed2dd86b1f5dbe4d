/* What the `openlora attribution` subcommands share. */
#ifndef OPENLORA_CLI_ATTRIBUTION_H
#define OPENLORA_CLI_ATTRIBUTION_H

#include "cli/options.h"
#include "training/lora_model.h"

/* `openlora attribution vectors`, and so on. */
int command_attribution_vectors(const struct command *, int argc, char **argv);
int command_attribution_calibrate(const struct command *, int argc, char **argv);
int command_attribution_policy(const struct command *, int argc, char **argv);
int command_attribution_show(const struct command *, int argc, char **argv);

/* The canonical pass of an adapter on its base. threads 0: every core. */
int attribution_model_open(const struct model_file *, const char *adapter, int threads, int32_t max_rows,
                           struct lora_model **out, struct err *) __attribute__((warn_unused_result));

#endif
