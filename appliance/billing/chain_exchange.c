#include "billing/chain_exchange.h"

#include "base/buf.h"

#include <curl/curl.h>
#include <stdlib.h>

enum {
    MAX_ANSWER_BYTES = 16 << 20,
    CONNECT_MS = 2000, /* the socket is on this machine: who does not take a call in this time is stuck */
};

struct chain_exchange {
    CURL *curl;
    const char *socket;
    int timeout_ms;
    char error[CURL_ERROR_SIZE];
};

struct chain_exchange *chain_exchange_open(const char *socket, int timeout_ms)
{
    struct chain_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->curl = curl_easy_init();
    x->socket = socket;
    x->timeout_ms = timeout_ms;
    if (x->curl)
        return x;
    free(x);
    return NULL;
}

void chain_exchange_close(struct chain_exchange *x)
{
    if (!x)
        return;
    curl_easy_cleanup(x->curl);
    free(x);
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *user)
{
    buf_add(user, bytes, size * n);
    return buf_failed(user) ? 0 : size * n;
}

static json_t *read_answer(const struct buf *text, bool bytes)
{
    return bytes ? json_stringn_nocheck(buf_str(text), text->len) : json_loadb(buf_str(text), text->len, 0, NULL);
}

int chain_exchange(struct chain_exchange *x, const char *method, const char *path, const char *body, bool bytes,
                   int *status, json_t **answer, struct err *e)
{
    struct buf url, text;
    long code = 0;
    buf_init(&url, 4096);
    buf_printf(&url, "http://chainlited%s", path);
    buf_init(&text, MAX_ANSWER_BYTES);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:"); /* a pause for leave to send is a pause for nothing here */
    curl_easy_reset(x->curl);
    curl_easy_setopt(x->curl, CURLOPT_UNIX_SOCKET_PATH, x->socket);
    curl_easy_setopt(x->curl, CURLOPT_URL, buf_str(&url));
    curl_easy_setopt(x->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(x->curl, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS, (long)x->timeout_ms);
    curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, &text);
    if (body)
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, body);
    x->error[0] = 0;
    CURLcode rc = buf_failed(&url) ? CURLE_OUT_OF_MEMORY : curl_easy_perform(x->curl);
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_slist_free_all(headers);
    *status = (int)code;
    *answer = rc == CURLE_OK ? read_answer(&text, bytes && code == 200) : NULL;
    buf_deinit(&url);
    buf_deinit(&text);
    if (rc != CURLE_OK)
        return err_set(e, OL_EIO, "billing", "chainlited does not answer on %.80s: %.80s", x->socket,
                       x->error[0] ? x->error : curl_easy_strerror(rc));
    return 0;
}
