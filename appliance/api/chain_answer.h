/* Answers that come from chainlited: the connection sleeps until chainlited has said everything. */
#ifndef OPENLORA_API_CHAIN_ANSWER_H
#define OPENLORA_API_CHAIN_ANSWER_H

#include "api/app.h"
#include "billing/bill.h"

struct chain_answer;

/* On a chain thread, with the body of a 200. Either responds through `chain_answer_give`, asks again with
 * `chain_answer_ask`, or refuses (−1). */
typedef int (*chain_answer_step)(struct chain_answer *, const json_t *body, struct refusal *);

/* Answers r with what comes of GET path. user is released with free_user when all is over. */
void chain_answer_start(struct app *, struct http_request *, const char *path, chain_answer_step, void *user,
                        void (*free_user)(void *user));

/* The same of an answer that is handed on unread: the step's body is a JSON string of its bytes. */
void chain_answer_start_bytes(struct app *, struct http_request *, const char *path, chain_answer_step, void *user,
                              void (*free_user)(void *user));

/* For steps. */
void *chain_answer_user(struct chain_answer *);
struct app *chain_answer_app(struct chain_answer *);
int chain_answer_ask(struct chain_answer *, const char *path, struct refusal *);
/* The whole answer: takes the bytes. */
void chain_answer_give(struct chain_answer *, const char *content_type, struct buf *bytes);
int chain_answer_give_json(struct chain_answer *, json_t *tree, struct refusal *); /* takes the tree */

#endif
