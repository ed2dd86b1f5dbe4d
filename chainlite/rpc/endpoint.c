/* One endpoint over libcurl.
 *
 * Health: three failures running pause it for a minute; a lie (wrong chain, other hash than the quorum's, false header
 * or proof) does so at once; 429 keeps it unasked for as long as Retry-After says, else for 1, 2, 4 … 60 s.
 * Any text that reaches a message or a log passes conceal(): servers like to repeat the URL, key and all. */
#include "chainlite/rpc/endpoint.h"
#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_MIN = 8 }; /* shorter parts of a path are words like "v3" or "rpc" */
static const int64_t SECOND_NS = 1000000000;

/* Overwrites what the text repeats of the URL's secrets. */
static void conceal(const struct endpoint *ep, char *text)
{
    for (const char *secret = ep->secrets; secret && *secret; secret += strlen(secret) + 1) {
        size_t n = strlen(secret);
        for (char *at = strstr(text, secret); at; at = strstr(at + n, secret))
            memset(at, '*', n);
    }
}

/* Adds the parts of a URL component to the list of secrets, cut where URLs are cut. */
static void add_secrets(struct buf *list, const char *text, size_t shortest)
{
    while (text && *text) {
        size_t n = strcspn(text, "/?&=");
        if (n >= shortest) {
            buf_add(list, text, n);
            buf_add_char(list, '\0');
        }
        text += n + (text[n] != '\0');
    }
}

/* Fills name and secrets from the URL. */
static int read_url(struct endpoint *ep, struct err *e)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *query = NULL, *user = NULL, *password = NULL;
    struct buf list;
    buf_init(&list, 16384);
    CURLU *u = curl_url();
    int rc = u ? OL_OK : err_set(e, OL_ENOMEM, "rpc", "no memory for an endpoint");
    if (!rc && (curl_url_set(u, CURLUPART_URL, ep->url, 0) || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
                curl_url_get(u, CURLUPART_HOST, &host, 0) ||
                curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
                (strcmp(scheme, "http") && strcmp(scheme, "https"))))
        rc = err_set(e, OL_EINVAL, "rpc", "its URL is not an http or https URL; give https://host[:port]/path");
    if (!rc) {
        curl_url_get(u, CURLUPART_PATH, &path, 0);
        curl_url_get(u, CURLUPART_QUERY, &query, 0);
        curl_url_get(u, CURLUPART_USER, &user, 0);
        curl_url_get(u, CURLUPART_PASSWORD, &password, 0);
        snprintf(ep->name, sizeof ep->name, "%s://%.64s:%.5s", scheme, host, port);
        add_secrets(&list, path, SECRET_MIN);
        add_secrets(&list, query, SECRET_MIN);
        add_secrets(&list, user, SECRET_MIN);
        add_secrets(&list, password, 1);
        buf_add_char(&list, '\0');
        ep->secrets = buf_take(&list);
        if (!ep->secrets)
            rc = err_set(e, OL_ENOMEM, "rpc", "no memory for an endpoint");
    }
    curl_free(scheme), curl_free(host), curl_free(port), curl_free(path), curl_free(query), curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    buf_deinit(&list);
    return rc;
}

static size_t take_body(char *data, size_t size, size_t n, void *user)
{
    struct endpoint *ep = user;
    buf_add(&ep->body, data, size * n);
    return buf_failed(&ep->body) ? 0 : size * n; /* too large: curl ends the transfer */
}

static bool set_options(struct endpoint *ep, const struct rpc_config *config)
{
    CURL *c = ep->easy;
    ep->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = ep->headers ? curl_slist_append(ep->headers, "Expect:") : NULL;
    return more && !curl_easy_setopt(c, CURLOPT_URL, ep->url) && !curl_easy_setopt(c, CURLOPT_PRIVATE, ep) &&
           !curl_easy_setopt(c, CURLOPT_HTTPHEADER, ep->headers) && !curl_easy_setopt(c, CURLOPT_POST, 1L) &&
           !curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) && !curl_easy_setopt(c, CURLOPT_WRITEDATA, ep) &&
           !curl_easy_setopt(c, CURLOPT_ERRORBUFFER, ep->curl_error) &&
           !curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") && !curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) &&
           !curl_easy_setopt(c, CURLOPT_USERAGENT, "openlora/" OPENLORA_VERSION) &&
           !curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms) &&
           !curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms);
}

int endpoint_init(struct endpoint *ep, const char *url, const struct rpc_config *config, struct err *e)
{
    memset(ep, 0, sizeof *ep);
    buf_init(&ep->question, SIZE_MAX / 2);
    buf_init(&ep->body, config->max_answer_bytes);
    ep->url = strdup(url);
    ep->easy = curl_easy_init();
    if (!ep->url || !ep->easy)
        return err_set(e, OL_ENOMEM, "rpc", "no memory for an endpoint");
    int rc = read_url(ep, e);
    if (!rc && !set_options(ep, config))
        rc = err_set(e, OL_ENOMEM, "rpc", "cannot set up the connection to %s", ep->name);
    return rc;
}

void endpoint_deinit(struct endpoint *ep)
{
    curl_easy_cleanup(ep->easy);
    curl_slist_free_all(ep->headers);
    buf_deinit(&ep->question);
    buf_deinit(&ep->body);
    free(ep->url);
    free(ep->secrets);
    memset(ep, 0, sizeof *ep);
}

bool endpoint_prepare(struct endpoint *ep, const char *method, const char *params)
{
    buf_reset(&ep->question);
    buf_reset(&ep->body);
    ep->curl_error[0] = '\0';
    ep->id++;
    ep->asked++;
    buf_printf(&ep->question, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"%s\",\"params\":", ep->id, method);
    buf_add_str(&ep->question, params);
    buf_add_char(&ep->question, '}');
    return !buf_failed(&ep->question) &&
           !curl_easy_setopt(ep->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ep->question.len) &&
           !curl_easy_setopt(ep->easy, CURLOPT_POSTFIELDS, ep->question.data);
}

static void explain_curl(const struct endpoint *ep, CURLcode code, struct rpc_answer *out)
{
    enum rpc_fault fault = RPC_CONNECTION;
    if (code == CURLE_OPERATION_TIMEDOUT)
        fault = RPC_TIMEOUT;
    else if (code == CURLE_PARTIAL_FILE || (code == CURLE_RECV_ERROR && ep->body.len))
        fault = RPC_TRUNCATED;
    else if (code == CURLE_WRITE_ERROR)
        fault = RPC_TOO_LARGE;
    answer_fault(out, fault, "%s", *ep->curl_error ? ep->curl_error : curl_easy_strerror(code));
    if (fault == RPC_TOO_LARGE)
        answer_fault(out, fault, "more than %zu bytes", ep->body.max_bytes);
}

void endpoint_collect(struct endpoint *ep, CURLcode code, struct rpc_answer *out)
{
    long status = 0, connects = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(ep->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(ep->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(ep->easy, CURLINFO_RETRY_AFTER, &retry_after);
    ep->new_connection = connects > 0;
    if (code != CURLE_OK) {
        explain_curl(ep, code, out);
    } else if (status == 429 || (status == 503 && retry_after > 0)) {
        answer_fault(out, RPC_RATE_LIMITED, "status %ld", status);
    } else {
        answer_parse(buf_str(&ep->body), ep->body.len, ep->id, out);
        if (status != 200 && out->fault != RPC_REFUSED && out->fault != RPC_RATE_LIMITED) {
            answer_deinit(out);
            answer_fault(out, RPC_HTTP, "status %ld", status);
        }
    }
    if (out->fault == RPC_RATE_LIMITED) {
        int64_t wait_s = retry_after > 0 ? retry_after : 1LL << (ep->rate_limits < 6 ? ep->rate_limits : 6);
        int64_t most_s = retry_after > 0 ? ENDPOINT_MAX_WAIT_S : ENDPOINT_PAUSE_S;
        ep->limited_until_ns = clock_mono_ns() + (wait_s < most_s ? wait_s : most_s) * SECOND_NS;
        ep->rate_limits++;
    }
    conceal(ep, out->message);
    conceal(ep, out->data);
}

static void record(struct endpoint *ep, enum rpc_fault fault, const char *message)
{
    if (ep->last_fault == RPC_FINE || ep->last_fault != fault)
        log_line(LOG_WARN, "rpc", "%s: %s: %s", ep->name, rpc_fault_name(fault), message);
    ep->failed++;
    ep->last_fault = fault;
    snprintf(ep->last_message, sizeof ep->last_message, "%s", message);
}

static void pause_it(struct endpoint *ep) { ep->paused_until_ns = clock_mono_ns() + ENDPOINT_PAUSE_S * SECOND_NS; }

void endpoint_count(struct endpoint *ep, const struct rpc_answer *a)
{
    if (answer_stands(a)) {
        double ms = 0;
        curl_off_t total_us = 0;
        if (!curl_easy_getinfo(ep->easy, CURLINFO_TOTAL_TIME_T, &total_us))
            ms = (double)total_us / 1000;
        ep->latency_ms = ep->latency_ms > 0 ? 0.8 * ep->latency_ms + 0.2 * ms : ms;
        ep->failures = ep->rate_limits = 0;
        return;
    }
    record(ep, a->fault, a->message);
    ep->chain_checked = ep->chain_checked && a->fault == RPC_RATE_LIMITED;
    if (a->fault != RPC_RATE_LIMITED && ++ep->failures >= ENDPOINT_MAX_FAILURES)
        pause_it(ep);
}

void endpoint_blame(struct endpoint *ep, enum rpc_fault fault, const char *message)
{
    record(ep, fault, message);
    if (fault == RPC_WRONG_CHAIN)
        ep->chain_checked = false;
    if (fault == RPC_WRONG_CHAIN || fault == RPC_DISAGREES || fault == RPC_BAD_HEADER || fault == RPC_BAD_PROOF)
        pause_it(ep);
}

bool endpoint_paused(const struct endpoint *ep, int64_t now_ns) { return now_ns < ep->paused_until_ns; }
bool endpoint_limited(const struct endpoint *ep, int64_t now_ns) { return now_ns < ep->limited_until_ns; }
