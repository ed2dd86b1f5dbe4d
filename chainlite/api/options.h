/* chainlited's settings: defaults, then the INI file (--config), then flags; the later wins. One table holds every setting
 * with its section, key, range and help text; the flag is the key with dashes. */
#ifndef OPENLORA_CHAINLITE_API_OPTIONS_H
#define OPENLORA_CHAINLITE_API_OPTIONS_H

#include "chainlite/core/wei.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { OPTIONS_MAX_URLS = 8 };

struct options { /* texts are owned */
    /* [node] */
    char *state_dir, *socket, *catalog, *passphrase_file, *log_level;
    int64_t allowed_uid; /* -1: only ours */
    int64_t threads, min_free_mb, reservation_s;
    /* [chain] */
    char *chain, *rpc[OPTIONS_MAX_URLS];
    int n_rpc;
    int64_t quorum, max_head_age_s, max_proof_age_s;
    bool no_chain;
    /* [batch] */
    int64_t batch_receipts, batch_age_s;
    wei_t batch_value_wei;
    bool open_epochs, finalise;
    /* [limits] */
    wei_t daily_gas_wei, max_gas_price_wei, max_tip_wei, tenant_daily_cap_wei, max_exposure_wei;
    /* flags only */
    bool help, version, check, crash_points;
    char *import_key, *import_file, *export_key, *password_file;
};

/* OL_EINVAL names the line or the flag. *out goes to options_deinit even on failure. */
int options_load(int argc, char **argv, struct options *out, struct err *) __attribute__((warn_unused_result));
void options_deinit(struct options *);
void options_help(FILE *);
void options_print(const struct options *, FILE *); /* as an INI file */

#endif
