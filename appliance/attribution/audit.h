/* What a node said of its answers' attributions, computed again from what it published (docs/audit.md).
 *
 * The auditor brings bodies of batches, bundles, evidence, the policies' folders, Datanet versions, the model and the
 * adapter, as many of them as there are. Everything that can be computed from those is: by the same code that the node
 * ran, in integers where the rule is one of integers. What is missing makes a check unavailable, never wrong.
 *
 * A report has subjects (a body, a policy's folder, a receipt) and for each of them the outcomes of named checks. */
#ifndef OPENLORA_ATTRIBUTION_AUDIT_H
#define OPENLORA_ATTRIBUTION_AUDIT_H

#include "attribution/datanet.h"
#include "attribution/evidence.h"
#include "attribution/policy.h"
#include "chainlite/json/bundle.h"
#include "chainlite/json/chain_file.h"
#include "model/model_file.h"
#include "training/lora_model.h"

enum audit_check {
    /* of a file */
    AUDIT_FILE, /* it can be read, and is what its hashes say */
    /* of a body */
    AUDIT_BATCH,      /* it is the body of the batch whose header stands beside it */
    AUDIT_TREES,      /* receipts, postings and credits are those of its header */
    AUDIT_STATEMENTS, /* statements are of the batch before, by sequence, each once */
    /* of a policy's folder */
    AUDIT_DATANETS,  /* the Datanet versions are the policy's */
    AUDIT_INDEX,     /* the index made of them is the policy's, bit for bit */
    AUDIT_SURPRISAL, /* so is the table of surprisal */
    AUDIT_SOURCES,   /* and whose documents they are */
    AUDIT_VECTORS,   /* contributor vectors: the same contributors, cosine ≥ AUDIT_LEAST_COSINE */
    /* of a receipt, from what everybody has */
    AUDIT_BUNDLE,    /* `openlora verify` has nothing against its bundle */
    AUDIT_SIGNATURE, /* the node signed the proof */
    AUDIT_POLICY,    /* the folder is that of the proof's policy, which covers the version that answered */
    AUDIT_STATEMENT, /* the statement is of this receipt and its figures agree */
    AUDIT_STATEMENT_SIGNATURE,
    AUDIT_SHARES,   /* root, count, total; gradient units within the open tokens */
    AUDIT_MEAN,     /* kinds 1 and 3: there was no mean, or it is this one */
    AUDIT_POSTINGS, /* the parts are posted in its batch, the data part's shares in the next */
    /* of a receipt, with its evidence */
    AUDIT_EVIDENCE, /* it is this receipt's */
    AUDIT_ANSWER,   /* its tokens are the text that the proof's hash is of */
    AUDIT_SPANS,    /* spans, bit for bit */
    AUDIT_SPAN_ROOT,
    AUDIT_OPEN_TOKENS,
    AUDIT_SPAN_UNITS,
    AUDIT_QUERY_HASH,     /* kind 2: the published v̂ is the statement's */
    AUDIT_GRADIENT_UNITS, /* what follows from it, to the integer */
    AUDIT_QUERY,          /* and it is the answer's: cosine to v̂ computed again ≥ AUDIT_LEAST_COSINE */
    AUDIT_CHECKS
};
const char *audit_check_name(enum audit_check); /* short and stable: "span_root", … */

enum audit_outcome { AUDIT_NONE, AUDIT_AGREED, AUDIT_UNSAMPLED, AUDIT_UNAVAILABLE, AUDIT_DIFFERS, AUDIT_OUTCOMES };
const char *audit_outcome_name(enum audit_outcome); /* "agreed", "unsampled", "unavailable", "differs" */

#define AUDIT_LEAST_COSINE 0.9999

enum audit_kind { AUDIT_OF_FILE, AUDIT_OF_BODY, AUDIT_OF_POLICY, AUDIT_OF_RECEIPT };

struct audit_result {
    enum audit_outcome outcome;
    char reason[ERR_MESSAGE_BYTES]; /* what was said and what was computed; "" when agreed */
};

struct audit_subject {
    enum audit_kind kind;
    const char *name;          /* the file's; NULL for receipts */
    const struct proof *proof; /* of receipts */
    struct audit_result check[AUDIT_CHECKS];
};
/* The worst outcome of its checks. */
enum audit_outcome audit_verdict(const struct audit_subject *);

/* ---- what is audited; everything is borrowed while an audit runs */

struct audit_body {
    char *path; /* owned */
    struct body body;
    uint8_t hash[SHA256_BYTES];
    bool has_header;
    struct batch header;
    bool has_slot, slot_is_hash; /* the chain was asked, and its storage holds the header's hash */
    struct posting *postings;    /* owned: the body's, by sequence, beneficiary, role; made by audit_prepare */
};

struct audit_bundle {
    char *path; /* owned */
    struct bundle bundle;
    char fault[ERR_MESSAGE_BYTES]; /* the first check of `openlora verify` that fails; "" */
};

struct audit_policy {
    const char *folder;
    struct policy *policy; /* owned */
};

struct audit_datanet {
    const char *folder;
    struct datanet_version *version; /* owned */
};

struct audit_model {
    struct model_file *file;     /* NULL: not given */
    struct tokenizer *tokenizer; /* of it */
    const char *adapter;         /* path, NULL: not given */
    const char *isa;             /* of the canonical pass; NULL: the best */
    int threads;
    int32_t window; /* tokens of a row computed together, for contributor vectors; 0: LORA_DEFAULT_ROWS */
    uint8_t version[32], adapter_hash[32]; /* content hashes */
    struct lora_model *lora;               /* opened at first need, */
    int32_t rows;                          /* for sequences of so many tokens */
};

struct audit_sample {
    uint32_t ppb; /* PPB: all */
    uint8_t beacon[32];
};
/* keccak256(beacon ‖ receipt id), read as a fraction of 2^256, is below ppb / 10⁹. */
bool audit_draws(const struct audit_sample *, const uint8_t receipt_id[32]);

struct audit {
    const struct secp *secp;
    const struct chain_file *chain;
    struct domains domains;
    struct audit_sample sample;
    struct audit_body *bodies; /* each: owned arrays of n_… */
    struct audit_bundle *bundles;
    struct evidence *evidence;
    struct audit_policy *policies;
    struct audit_datanet *datanets;
    size_t n_bodies, n_bundles, n_evidence, n_policies, n_datanets;
    struct audit_model model;
    void (*report)(void *user, const struct audit_subject *);
    void (*progress)(void *user, const char *what, uint64_t done, uint64_t total);
    void *user;
};

/* Sorts what the lists hold and sets the domains. OL_EINVAL: a body, bundle or evidence twice; OL_ENOMEM. */
int audit_prepare(struct audit *, struct err *) __attribute__((warn_unused_result));
/* Reports on everything that was given. scratch: a folder for files that are compared and removed; NULL: no indexes are
 * made again. Fails only where the audit itself cannot go on (OL_ENOMEM, OL_EIO). */
int audit_run(struct audit *, const char *scratch, struct err *) __attribute__((warn_unused_result));
void audit_deinit(struct audit *);

#endif
