/* What an auditor brings, read from files and folders into an audit. What cannot be read or is not what its hashes say
 * is reported as a subject of its own, and the audit goes on without it. */
#ifndef OPENLORA_CLI_AUDIT_INPUTS_H
#define OPENLORA_CLI_AUDIT_INPUTS_H

#include "attribution/audit.h"
#include "cli/chain_link.h"

struct audit_inputs {
    const char *const *paths; /* (n_paths) bodies, bundles, and folders of `openlora chain mirror` */
    int n_paths;
    struct option_list policies, evidence, datanets;
    const char *model, *adapter;
    struct chain_link *chain; /* NULL: no endpoint */
};

/* Fills the lists and the model. OL_EINVAL: model or adapter that cannot be opened, a list that is too long; OL_EIO. */
int audit_inputs_read(const struct audit_inputs *, struct audit *, struct err *) __attribute__((warn_unused_result));
/* Asks the chain whether each body's batch is in its storage at the newest block. */
int audit_inputs_ask(const struct audit_inputs *, struct audit *, struct err *) __attribute__((warn_unused_result));
/* text: a block's number or hash, NULL: the newest. Proven to come after all batches if there is an endpoint; without
 * one a hash is taken as it is. */
int audit_inputs_beacon(const struct audit_inputs *, struct audit *, const char *text, struct err *)
    __attribute__((warn_unused_result));

#endif
