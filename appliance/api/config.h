/* openlorad's configuration: defaults, then the INI file, then the environment, then flags; the later wins.
 *
 * One table (config.c) holds every setting with its section and key, flag, range and help text; environment
 * variables are OPENLORA_ and the flag's name in capitals. What is not in the table is an error that names the
 * file and line, the variable's flag or the word. */
#ifndef OPENLORA_API_CONFIG_H
#define OPENLORA_API_CONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config_list {
    int n;
    char **items; /* owned, as is each string */
};

struct config_pairs {
    int n;
    struct config_pair {
        char *name, *value; /* owned */
    } *items;
};

struct config {
    /* [server] */
    int64_t port;
    char *port_file;             /* written with the port once we listen; NULL = none */
    int64_t http_threads, max_connections, timeout_s, request_s, max_body_mb, drain_s;
    struct config_list hosts;
    /* [model] */
    char *model, *model_name;    /* model_name NULL: from the file's name */
    int64_t threads;
    char *device, *engine_worker, *isa;
    bool fast;
    int64_t step_timeout_ms;
    int64_t pool_mb, max_context, max_seqs, max_rows, max_queue;
    bool prefix_cache;
    /* [lora] */
    bool lora;
    int64_t adapter_host_mb;
    struct config_list adapter_roots, adapter_dirs;
    /* [adapters] name = path */
    struct config_pairs adapters;
    /* [auth] */
    char *auth_keys;             /* file of API keys; NULL: the billing state folder's, or none without billing */
    bool anonymous;              /* serve requests without a key */
    /* [billing] */
    char *billing_socket;        /* chainlited's; NULL: nothing is billed */
    char *billing_state;
    char *currency;
    int64_t idempotency_h, kept_mb, receipts_days, record_s, max_waiting;
    /* [attribution] */
    struct config_list policies; /* folders */
    bool gradients;
    int64_t evidence_days;
    /* [log] */
    char *log_level;
    /* flags only */
    bool check, help, version;
};

/* argv as main gets it. *out must be given to config_deinit even on failure. */
int config_load(int argc, char **argv, char *const *environment, struct config *out, struct err *e)
    __attribute__((warn_unused_result));
void config_deinit(struct config *);

void config_help(FILE *);                         /* every setting */
void config_print(const struct config *, FILE *); /* as an INI file: what --check-config shows */

#endif
