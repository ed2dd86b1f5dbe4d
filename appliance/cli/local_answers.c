/* Greedy answers to many prompts; see local_chat.h. The engine's thread writes, the caller waits for each to end. */
#include "cli/local_chat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "chat"

enum { MOST_WAITING = 64 };

struct answers { /* all that are under way */
    struct local_chat *chat;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t ended;
    struct err why; /* of the first that failed; code 0: none has */
};

struct answering { /* one of them */
    struct answers *all;
    struct local_answer *out; /* room for max_tokens */
};

static bool on_token(void *user, const struct step_result *result)
{
    struct answering *a = user;
    if (tokenizer_is_eog(a->all->chat->tokenizer, result->token))
        return false;
    a->out->tokens[a->out->n++] = result->token;
    return true;
}

static void on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct answers *all = ((struct answering *)user)->all;
    (void)usage;
    pthread_mutex_lock(&all->lock);
    if (end == END_ERROR && !all->why.code)
        all->why = *why;
    all->ended++;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

static int encode(struct answers *all, const char *prompt, struct local_answer *out, struct err *e)
{
    json_t *messages = json_pack("[{ss ss}]", "role", "user", "content", prompt);
    if (!messages)
        return err_set(e, OL_EINVAL, MODULE, "a prompt is not UTF-8: %.60s", prompt);
    int rc = local_chat_encode(all->chat, messages, &out->prompt, &out->n_prompt, e);
    json_decref(messages);
    return rc;
}

static int submit(struct answers *all, bool adapter, int32_t max_tokens, struct answering *a, struct err *e)
{
    struct engine_request request = {.prompt = a->out->prompt, .n_prompt = (int32_t)a->out->n_prompt,
                                     .max_tokens = max_tokens, .sampling = {.top_p = 1, .repetition = 1},
                                     .on_token = on_token, .on_end = on_end, .user = a};
    uint64_t id;
    struct engine *engine = all->chat->engine;
    int rc = adapter ? adapter_acquire(engine_adapters(engine), LOCAL_ADAPTER, &request.adapter, e) : OL_OK;
    if (rc)
        return rc;
    rc = engine_submit(engine, &request, &id, e);
    if (rc && request.adapter)
        adapter_release(request.adapter);
    return rc;
}

static int start(struct answers *all, bool adapter, const char *prompt, int32_t max_tokens, struct answering *a,
                 struct err *e)
{
    a->out->tokens = calloc((size_t)max_tokens, sizeof *a->out->tokens);
    int rc = a->out->tokens ? encode(all, prompt, a->out, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for an answer");
    return rc ? rc : submit(all, adapter, max_tokens, a, e);
}

static size_t wait_for(struct answers *all, size_t least)
{
    pthread_mutex_lock(&all->lock);
    while (all->ended < least)
        pthread_cond_wait(&all->changed, &all->lock);
    size_t ended = all->ended;
    pthread_mutex_unlock(&all->lock);
    return ended;
}

int local_chat_answers(struct local_chat *c, bool adapter, const char *const *prompts, size_t n, int32_t max_tokens,
                       struct local_answer *out, local_chat_progress progress, void *user, struct err *e)
{
    struct answers all = {.chat = c, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct answering *each = calloc(n + 1, sizeof *each);
    int rc = each ? OL_OK : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", n);
    size_t started = 0, ended = 0;
    memset(out, 0, n * sizeof *out);
    while (started < n && !rc) {
        each[started] = (struct answering){&all, &out[started]};
        rc = start(&all, adapter, prompts[started], max_tokens, &each[started], e);
        if (rc)
            break;
        started++;
        if (started >= MOST_WAITING)
            ended = wait_for(&all, started - MOST_WAITING + 1);
        if (progress)
            progress(user, ended, n);
    }
    for (ended = wait_for(&all, ended); ended < started; ended = wait_for(&all, ended + 1))
        if (progress)
            progress(user, ended, n);
    if (!rc && all.why.code)
        rc = err_set(e, all.why.code, all.why.module, "%s", all.why.message);
    free(each);
    return rc;
}

void local_answers_free(struct local_answer *a, size_t n)
{
    for (size_t i = 0; a && i < n; i++) {
        free(a[i].prompt);
        free(a[i].tokens);
    }
    free(a);
}
