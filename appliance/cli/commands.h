/* The subcommands of `openlora`, one file each. */
#ifndef OPENLORA_CLI_COMMANDS_H
#define OPENLORA_CLI_COMMANDS_H

#include "cli/options.h"

int command_adapter(const struct command *, int argc, char **argv);
int command_attribution(const struct command *, int argc, char **argv);
int command_attribution_index(const struct command *, int argc, char **argv); /* `attribution index`, and so on */
int command_audit(const struct command *, int argc, char **argv);
int command_bench(const struct command *, int argc, char **argv);
int command_chain(const struct command *, int argc, char **argv);
int command_chain_bond(const struct command *, int argc, char **argv); /* `chain bond`, and so on */
int command_chain_claim(const struct command *, int argc, char **argv);
int command_chain_deploy(const struct command *, int argc, char **argv);
int command_chain_mint(const struct command *, int argc, char **argv);
int command_chain_mirror(const struct command *, int argc, char **argv);
const char *chain_socket_path(const char *option); /* chainlited's socket: `option`, else by environment, else usual */
int command_chain_owner(const struct command *, int argc, char **argv);
int command_chain_payout(const struct command *, int argc, char **argv);
int command_chain_register(const struct command *, int argc, char **argv);
int command_chat(const struct command *, int argc, char **argv);
int command_contributor(const struct command *, int argc, char **argv);
int command_datanet(const struct command *, int argc, char **argv);
int command_devices(const struct command *, int argc, char **argv);
int command_key(const struct command *, int argc, char **argv);
int command_logits(const struct command *, int argc, char **argv);
int command_ps(const struct command *, int argc, char **argv);
int command_run(const struct command *, int argc, char **argv);
int command_tokenize(const struct command *, int argc, char **argv);
int command_train(const struct command *, int argc, char **argv);
int command_verify(const struct command *, int argc, char **argv);
int command_wallet(const struct command *, int argc, char **argv);

#endif
