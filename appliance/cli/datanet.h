/* What the `openlora datanet` subcommands share. */
#ifndef OPENLORA_CLI_DATANET_H
#define OPENLORA_CLI_DATANET_H

#include "attribution/ingest.h"
#include "cli/account.h"

/* `openlora datanet create`, and so on. */
int command_datanet_create(const struct command *, int argc, char **argv);
int command_datanet_members(const struct command *, int argc, char **argv);
int command_datanet_commit(const struct command *, int argc, char **argv);
int command_datanet_propose(const struct command *, int argc, char **argv);
int command_datanet_check(const struct command *, int argc, char **argv);
int command_datanet_review(const struct command *, int argc, char **argv);
int command_datanet_publish(const struct command *, int argc, char **argv);
int command_datanet_withdraw(const struct command *, int argc, char **argv);
int command_datanet_show(const struct command *, int argc, char **argv);
int command_datanet_log(const struct command *, int argc, char **argv);
int command_datanet_export(const struct command *, int argc, char **argv);
int command_datanet_verify(const struct command *, int argc, char **argv);

#define DATANET_FOLDER(folder) REQUIRED("folder", folder, "DIR", "the Datanet's folder")

/* An open Datanet and who acts on it. */
struct datanet_session {
    struct datanet *datanet;
    struct wallet account;
    struct datanet_signer signer;
};

/* Opens the account for this chain and fills the signer. */
int datanet_sign_in(const struct account_options *, uint64_t chain_id, struct datanet_session *, struct err *)
    __attribute__((warn_unused_result));
/* Opens the folder for writing, then the account for its chain. */
int datanet_session_open(const char *folder, const struct account_options *, struct datanet_session *, struct err *)
    __attribute__((warn_unused_result));
void datanet_session_close(struct datanet_session *);

/* Addresses of an option. Returns owned elements in *out (struct log_address). */
int datanet_addresses(const char *option, const struct option_list *, struct list *out, struct err *)
    __attribute__((warn_unused_result));
/* The contribution that an id, or the unambiguous beginning of one, means. */
int datanet_find(struct datanet *, const char *text, struct proposal **out, struct err *)
    __attribute__((warn_unused_result));
/* The first version that holds the proposal; 0: none yet. */
uint32_t datanet_first_version(const struct datanet *, const struct proposal *);

json_t *datanet_hex_json(const uint8_t *bytes, size_t n); /* "0x…"; owned */
/* Refused and noted rows, for people or as a list. */
void datanet_print_lines(const struct ingested *);
json_t *datanet_lines_json(const struct ingested *);

#endif
