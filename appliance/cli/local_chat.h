/* A model in this process with engine, tokenizer and chat template, and at most one adapter beside it: for commands
 * that talk to a model without a node. */
#ifndef OPENLORA_CLI_LOCAL_CHAT_H
#define OPENLORA_CLI_LOCAL_CHAT_H

#include "engine/engine.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"

#include <jansson.h>

#define LOCAL_ADAPTER "adapter" /* its name in the engine's store */

struct local_chat_config {
    const char *model, *adapter, *device, *isa; /* all but the model may be NULL */
    int threads;                       /* 0: one per core */
    int32_t max_seqs;
    bool fast;                         /* see device_config */
};

struct local_chat {
    struct engine *engine;
    struct tokenizer *tokenizer;
    struct chat_template *template; /* NULL: prompts go in as they are */
};

int local_chat_open(const struct local_chat_config *, struct local_chat *out, struct err *)
    __attribute__((warn_unused_result));
void local_chat_close(struct local_chat *); /* also after a failed open */

/* The prompt's ids: messages through the template, or their contents one after another. *ids: free(). */
int local_chat_encode(const struct local_chat *, const json_t *messages, int32_t **ids, size_t *n, struct err *)
    __attribute__((warn_unused_result));

/* Prompt and greedy answer of one user's message each. */
struct local_answer {
    int32_t *prompt, *tokens; /* owned */
    size_t n_prompt, n;       /* the token that ends the answer is not counted */
};

/* Called while answers come, from the caller's thread. */
typedef void (*local_chat_progress)(void *user, size_t done, size_t total);

/* Answers n prompts, several at a time, the same whatever their number: with the adapter or the base model alone. out:
 * (n), to be released with local_answers_free, also after an error. progress may be NULL. */
int local_chat_answers(struct local_chat *, bool adapter, const char *const *prompts, size_t n, int32_t max_tokens,
                       struct local_answer *out, local_chat_progress progress, void *user, struct err *)
    __attribute__((warn_unused_result));
void local_answers_free(struct local_answer *, size_t n);

#endif
