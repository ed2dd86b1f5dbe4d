/* Attribution while serving: the spans of an answer at once, its gradients when the processor is idle.
 *
 *   an answer ends ──► attributor_answer ──► receipt (spans, evidence on disk) ──► attributor_recorded
 *                       spans, < 20 ms                                                  │ queue
 *   statement ◄── POST /v1/statements ◄── v̂, units, evidence on disk ◄── idle thread ◄──┘
 *
 * Policies are folders (attribution/policy.h), opened once and checked whole. Which one an answer falls under goes by the
 * version that answered; without one its data part is nobody's (policy 0). What an answer owes is decided by the rule of
 * docs/attribution.md alone, never by what its caller asks to see.
 *
 * The idle thread runs under SCHED_IDLE: it takes only processor time that nobody else wants, but for what the policy's
 * sample draws, on 2 % of the processors' time at most. What waits too long is settled by the policy's mean
 * (docs/attribution.md §4); what is too late is refused by chainlited and forgotten. */
#ifndef OPENLORA_ATTRIBUTOR_ATTRIBUTOR_H
#define OPENLORA_ATTRIBUTOR_ATTRIBUTOR_H

#include "attribution/evidence.h"
#include "billing/billing.h"
#include "model/model_file.h"

#include <stdbool.h>

struct attributor;

struct attributor_config { /* borrowed until close */
    const char *const *folders; /* policy folders, (n_folders) */
    int n_folders;
    struct billing *billing;
    const struct model_file *model;
    bool gradients; /* needs the base in float32, beside the engine's */
    bool (*busy)(void *user); /* the engine has work */
    /* Where the files of an adapter version are, and their content hash in hex. false: not here. */
    bool (*adapter_path)(void *user, const uint8_t version[32], char hash[65], char *path, size_t room);
    void *user;
};

int attributor_open(const struct attributor_config *, struct attributor **out, struct err *)
    __attribute__((warn_unused_result));
void attributor_stop(struct attributor *);  /* no gradients any more; NULL is fine */
void attributor_close(struct attributor *);

struct attributor_choice {
    uint32_t prompt;     /* index among the prompts */
    const uint32_t *ids; /* delivered, (n) */
    size_t n;
};

struct attributor_prompt {
    const int32_t *ids;
    size_t n;
};

struct attributor_answer {
    const uint8_t *receipt_id, *payer;
    const uint8_t *model_version, *adapter_version; /* row ids; adapter 0: the base alone */
    const struct attributor_prompt *prompts;
    size_t n_prompts;
    const struct attributor_choice *choices;
    size_t n_choices;
};

/* Fills *out, released with evidence_deinit: what the receipt says of its attribution. *covered false: no policy covers
 * this answer, *out owns nothing. Any thread. */
int attributor_answer(struct attributor *, const struct attributor_answer *, struct evidence *out, bool *covered,
                      struct err *) __attribute__((warn_unused_result));
/* Will its gradients be computed? Only then it is written down as open. */
bool attributor_awaits(const struct attributor *, const struct evidence *);
/* Its receipt is signed and its evidence on disk: gradients may follow. Whether the policy's sample draws it goes by the
 * proof's signature, so everybody can tell. first: before what waits for idle time. */
void attributor_recorded(struct attributor *, const struct evidence *, const uint8_t signature[SIGNATURE_BYTES],
                         bool first);

struct attributor_stats {
    uint64_t answers, span_tokens, answer_tokens; /* under a policy */
    uint64_t gradients, too_late, failed;         /* computed; of those refused; not computed */
    uint32_t waiting;
    double span_ms_max, gradient_ms;              /* the longest; the last */
};
void attributor_stats(struct attributor *, struct attributor_stats *out);

/* The policy's folder by its row id; NULL: not served here. Borrowed until close. */
const struct policy *attributor_policy(const struct attributor *, const uint8_t id[32]);

#endif
