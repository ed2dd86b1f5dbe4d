/* A Datanet while it is being made: a folder with log.jsonl and content/<sha256 in hex>.
 *
 * The log is the only truth: the state is what follows from its lines, and a line that the rules below do not allow is
 * refused no matter whether it is being appended or read.
 *
 * - No line is older than the one before. commit and propose are later by a second at least: registration times are a
 *   strict order, so that nobody becomes first by trying ids within a second.
 * - create: the first line; whoever signs it is the owner.
 * - members: the owner. commit, propose: contributors; anybody, when none are named. A proposal that reveals a
 *   commitment of the same contributor is registered at the commitment's time, else at its own.
 * - approve, reject: the owner and reviewers, never the contributor; only what is proposed.
 * - withdraw: contributor or owner, at any time. The content is deleted, its hash stays.
 * - publish: the owner. A version holds what is approved and not withdrawn at that line; its row must be the one that
 *   follows (docs/attribution.md §8). */
#ifndef OPENLORA_ATTRIBUTION_DATANET_STATE_H
#define OPENLORA_ATTRIBUTION_DATANET_STATE_H

#include "attribution/datanet_log.h"
#include "attribution/scan.h"

#include <limits.h>

enum proposal_status { PROPOSAL_PROPOSED, PROPOSAL_APPROVED, PROPOSAL_REJECTED, PROPOSAL_WITHDRAWN };
const char *proposal_status_name(enum proposal_status);

struct proposal {
    struct contribution contribution; /* text: NULL until datanet_load_contents */
    uint8_t status;                   /* enum proposal_status */
    uint64_t approved_at, withdrawn_at; /* sequence of the line; 0: never */
    uint32_t rows;
    bool allowed[SCAN_KINDS]; /* what its contributor let pass */
};

struct commitment {
    uint8_t hash[32], by[ADDRESS_BYTES];
    uint64_t time;
    bool revealed;
};

struct published_version {
    uint64_t sequence; /* of its line */
    uint8_t log_head[32];
    struct log_publish is;
};

struct datanet {
    char folder[PATH_MAX];
    uint8_t item[32], owner[ADDRESS_BYTES];
    struct log_create settings; /* members are those of now */
    struct proposal *proposals; /* in the order of the log */
    size_t n_proposals;
    struct commitment *commitments;
    size_t n_commitments;
    struct published_version *versions; /* number i + 1 */
    size_t n_versions;
    uint8_t head[32];  /* keccak-256 of the last line */
    uint64_t sequence; /* of the last line; 0: none */
    uint64_t time;
    int file;         /* log.jsonl, locked when open for writing; −1 */
    size_t log_bytes; /* that were read as whole lines */
};

struct datanet_signer {
    const struct secp *secp;
    const uint8_t *secret; /* SECRET_BYTES */
    uint8_t address[ADDRESS_BYTES];
};

/* Reads and checks the whole log. for_writing: waits for other writers and keeps them out until datanet_close. An
 * unfinished last line (power failed while it was written) is left out, and cut off by the next act.
 * each (may be NULL): called with every line's entry. */
int datanet_open(const char *folder, bool for_writing, struct datanet **out, struct err *)
    __attribute__((warn_unused_result));
int datanet_log_each(const char *folder, int (*each)(void *user, const struct log_entry *), void *user, struct err *)
    __attribute__((warn_unused_result));
void datanet_close(struct datanet *);

/* Makes the folder and its first line. OL_EEXIST: there is a log. */
int datanet_create(const char *folder, const struct log_create *, const struct datanet_signer *, uint64_t now,
                   struct datanet **out, struct err *) __attribute__((warn_unused_result));
/* Signs a line, applies it and appends it, on disk before this returns. body: the action's struct. */
int datanet_act(struct datanet *, enum datanet_action, const void *body, const struct datanet_signer *, uint64_t now,
                struct err *) __attribute__((warn_unused_result));

/* The time of the next line at `now`: later than the last line's, even when the clock is not. */
uint64_t datanet_next_time(const struct datanet *, uint64_t now);

/* Whether the line is allowed, and what follows from it: the rules above. On failure nothing has changed. */
int datanet_apply(struct datanet *, const struct log_entry *, struct err *) __attribute__((warn_unused_result));

struct proposal *datanet_proposal(struct datanet *, const uint8_t id[32]); /* NULL: none */
bool datanet_may_propose(const struct datanet *, const uint8_t who[ADDRESS_BYTES]);

/* The contributions of a version published by line `sequence` (one more than the last: the next version), in document
 * order. Returns owned (free), texts borrowed. OL_ENOMEM. */
int datanet_members(const struct datanet *, uint64_t sequence, struct contribution **out, size_t *n, struct err *)
    __attribute__((warn_unused_result));
/* The row of the next version. OL_EINVAL: nothing is approved. */
int datanet_next_row(const struct datanet *, struct log_publish *out, struct err *) __attribute__((warn_unused_result));

/* Loads the texts of all contributions that are neither rejected nor withdrawn. */
int datanet_load_contents(struct datanet *, struct err *) __attribute__((warn_unused_result));
int content_store(const char *folder, const char *text, size_t bytes, const uint8_t sha256[32], struct err *)
    __attribute__((warn_unused_result));
/* Deletes the content unless another contribution that was not withdrawn holds it. */
int datanet_drop_content(const struct datanet *, const uint8_t sha256[32], struct err *);
/* Writes version `number` (0: the newest) in its exported form (datanet.h); the folder must not exist or be empty. */
int datanet_export(const struct datanet *, uint32_t number, const char *to, struct err *)
    __attribute__((warn_unused_result));

#endif
