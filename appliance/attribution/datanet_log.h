/* The audit trail of a Datanet: log.jsonl, one line per act, only ever appended to.
 *
 *   {"sequence":1,"previous":"0x…","time":…,"actor":"0x…","action":"create","body":{…},"signature":"0x…"}
 *
 * `previous` is the keccak-256 of the line before (without its newline, 0 before the first): nobody can change, drop or
 * reorder lines without all that follow. `signature` is the actor's, over EIP-712 typed data of the domain
 * {"OpenLoRA Datanet", "1", chainId, 0x0}, so that any Ethereum wallet can make and check one:
 *   Entry(bytes32 datanet,uint64 sequence,bytes32 previous,uint64 time,address actor,string action,string body)
 * with `body` as it stands in the line. Who may do what is datanet_state.h's. */
#ifndef OPENLORA_ATTRIBUTION_DATANET_LOG_H
#define OPENLORA_ATTRIBUTION_DATANET_LOG_H

#include "attribution/datanet.h"
#include "chainlite/core/secp.h"

enum datanet_action {
    ACT_CREATE = 1,
    ACT_MEMBERS, /* other reviewers and contributors */
    ACT_COMMIT,  /* a contribution's hash before its content */
    ACT_PROPOSE,
    ACT_APPROVE,
    ACT_REJECT,
    ACT_WITHDRAW,
    ACT_PUBLISH,
};
const char *datanet_action_name(enum datanet_action);

enum { LOG_LINE_MAX_BYTES = 8 << 20, LOG_MAX_BYTES = 1 << 30 };

struct log_entry {
    uint64_t sequence; /* from 1 */
    uint8_t previous[32];
    uint64_t time; /* Unix seconds */
    uint8_t actor[ADDRESS_BYTES];
    uint8_t action;  /* enum datanet_action */
    json_t *body;    /* owned; the action's struct as an object */
    uint8_t signature[SIGNATURE_BYTES];
};

/* Makes the body of an entry from one of the structs below. */
int log_entry_init(struct log_entry *, enum datanet_action, const void *body, struct err *)
    __attribute__((warn_unused_result));
/* Reads the body as the action's struct into *out (of sizeof union log_body); release with log_body_free. */
int log_body_read(const struct log_entry *, void *out, struct err *) __attribute__((warn_unused_result));
void log_body_free(enum datanet_action, void *body);
int log_entry_parse(const char *line, size_t n, struct log_entry *out, struct err *)
    __attribute__((warn_unused_result));
void log_entry_deinit(struct log_entry *);
void log_entry_write(const struct log_entry *, struct buf *out); /* without a newline */
/* The EIP-712 digest. OL_ENOMEM. */
int log_entry_digest(const struct log_entry *, const uint8_t item[32], uint64_t chain_id, uint8_t out[32], struct err *)
    __attribute__((warn_unused_result));

/* ---- bodies */

struct log_address {
    uint8_t at[ADDRESS_BYTES];
};

struct log_members {
    struct list reviewers;    /* struct log_address; the owner reviews in any case */
    struct list contributors; /* who may propose; none: anybody */
};

struct log_create {
    char name[ITEM_NAME_BYTES];
    uint64_t chain_id;
    struct log_members members;
    uint64_t max_bytes;         /* of one contribution */
    uint32_t max_contributions; /* proposed at all */
};

struct log_commit {
    uint8_t commitment[32]; /* keccak256(contribution id ‖ salt) */
};

/* Why rows were left out; the names are in ingest.h. */
struct log_refusal {
    uint32_t line; /* of the file that was offered, from 1 */
    char reason[24];
};

struct log_propose {
    uint8_t sha256[32];
    uint64_t bytes;
    uint8_t format; /* enum content_format */
    struct contribution_labels labels;
    uint8_t commitment[32], salt[32]; /* 0: none was made */
    uint32_t rows;
    struct list refused; /* struct log_refusal */
    struct list allowed; /* struct log_refusal with line 0: kinds of findings that the contributor let pass */
};

enum { REASON_BYTES = 256 };
struct log_verdict { /* approve, reject, withdraw */
    uint8_t contribution[32];
    char reason[REASON_BYTES];
};

struct log_publish {
    struct catalogued_version row;
    uint8_t parent[32];
};

union log_body {
    struct log_create create;
    struct log_members members;
    struct log_commit commit;
    struct log_propose propose;
    struct log_verdict verdict;
    struct log_publish publish;
};

#endif
