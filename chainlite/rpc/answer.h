/* The body of a JSON-RPC answer: text to struct rpc_answer. Pure. */
#ifndef OPENLORA_RPC_ANSWER_H
#define OPENLORA_RPC_ANSWER_H

#include "chainlite/rpc/rpc.h"

/* Fills *out (all of it): what the body says to question `id`, or the fault that keeps it from being an answer. */
void answer_parse(const char *body, size_t len, uint64_t id, struct rpc_answer *out);
void answer_fault(struct rpc_answer *out, enum rpc_fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_deinit(struct rpc_answer *);

/* Whether the endpoint itself did its work: a JSON-RPC error is an answer too. */
static inline bool answer_stands(const struct rpc_answer *a)
{
    return a->fault == RPC_FINE || a->fault == RPC_REFUSED;
}

/* One line of printable ASCII out of foreign text. */
void clean_text(const char *text, char *out, size_t cap);

#endif
