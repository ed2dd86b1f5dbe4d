#include "cli/http_client.h"

#include "base/buf.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MODULE "http"

enum { MAX_REPLY_BYTES = 64 << 20, MAX_HEADER_BYTES = 16 << 10, CONNECT_TIMEOUT_MS = 5000 };

struct http_client {
    CURL *curl;
    char *base_url; /* without a slash at its end */
    char *socket;   /* or NULL */
    struct curl_slist *headers; /* of every request */
    char error[CURL_ERROR_SIZE];
};

struct stream { /* one request being answered */
    CURL *curl;
    struct buf text; /* the whole reply, or the line of an event stream being read */
    bool (*on_event)(void *user, const char *data);
    void *user;
    const volatile bool *stop;
    bool done, cancelled;
};

const char *http_node_url(const char *option)
{
    const char *env = getenv("OPENLORA_URL");
    return option ? option : env && *env ? env : "http://127.0.0.1:8080";
}

int http_open(const char *base_url, struct http_client **out, struct err *e)
{
    struct http_client *c = calloc(1, sizeof *c);
    if (c) {
        c->curl = curl_easy_init();
        c->base_url = strdup(base_url);
        c->headers = curl_slist_append(NULL, "Content-Type: application/json");
    }
    if (!c || !c->curl || !c->base_url || !c->headers) {
        http_close(c);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for an HTTP client");
    }
    size_t len = strlen(c->base_url);
    while (len && c->base_url[len - 1] == '/')
        c->base_url[--len] = 0;
    *out = c;
    return OL_OK;
}

int http_open_socket(const char *path, struct http_client **out, struct err *e)
{
    struct http_client *c;
    int rc = http_open("http://localhost", &c, e);
    if (rc)
        return rc;
    if (!(c->socket = strdup(path))) {
        http_close(c);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for an HTTP client");
    }
    *out = c;
    return OL_OK;
}

void http_close(struct http_client *c)
{
    if (!c)
        return;
    if (c->curl)
        curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    free(c->base_url);
    free(c->socket);
    free(c);
}

int http_set_header(struct http_client *c, const char *name, const char *value, struct err *e)
{
    size_t len = strlen(name);
    struct curl_slist *kept = NULL;
    bool ok = true;
    for (const struct curl_slist *h = c->headers; h && ok; h = h->next) {
        if (!strncasecmp(h->data, name, len) && h->data[len] == ':')
            continue;
        struct curl_slist *longer = curl_slist_append(kept, h->data);
        ok = longer != NULL;
        kept = ok ? longer : kept;
    }
    if (ok && value) {
        struct buf line;
        buf_init(&line, MAX_HEADER_BYTES);
        buf_printf(&line, "%s: %s", name, value);
        struct curl_slist *longer = buf_failed(&line) ? NULL : curl_slist_append(kept, buf_str(&line));
        ok = longer != NULL;
        kept = ok ? longer : kept;
        buf_deinit(&line);
    }
    if (!ok) {
        curl_slist_free_all(kept);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the header %s", name);
    }
    curl_slist_free_all(c->headers);
    c->headers = kept;
    return OL_OK;
}

int http_use_key(struct http_client *c, const char *key, struct err *e)
{
    struct buf bearer;
    if (!key)
        key = getenv("OPENLORA_API_KEY");
    if (!key || !*key)
        return 0;
    buf_init(&bearer, MAX_HEADER_BYTES);
    buf_printf(&bearer, "Bearer %s", key);
    int rc = http_set_header(c, "Authorization", buf_str(&bearer), e);
    buf_deinit(&bearer);
    return rc;
}

const char *http_answer_header(struct http_client *c, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(c->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

long http_answer_status(struct http_client *c)
{
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

char *http_path(struct http_client *c, const char *prefix, const char *name)
{
    char *escaped = curl_easy_escape(c->curl, name, 0);
    struct buf path;
    buf_init(&path, 4096);
    buf_printf(&path, "%s%s", prefix, escaped ? escaped : "");
    curl_free(escaped);
    return buf_take(&path);
}

/* Hands out every complete "data:" line of an event stream. */
static void take_events(struct stream *s)
{
    const char *newline;
    while (!s->done && !s->cancelled && (newline = memchr(buf_str(&s->text), '\n', s->text.len))) {
        size_t len = (size_t)(newline - s->text.data);
        char *line = s->text.data;
        line[len] = 0;
        if (len && line[len - 1] == '\r')
            line[len - 1] = 0;
        if (!strncmp(line, "data:", 5)) {
            const char *data = line + 5 + (line[5] == ' ');
            if (!strcmp(data, "[DONE]"))
                s->done = true;
            else if (!s->on_event(s->user, data))
                s->cancelled = true;
        }
        buf_drop_front(&s->text, len + 1);
    }
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *user)
{
    struct stream *s = user;
    long status = 0;
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    buf_add(&s->text, bytes, size * n);
    if (s->on_event && status < 400)
        take_events(s);
    return buf_failed(&s->text) || s->cancelled ? 0 : size * n; /* fewer than given ends the transfer */
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    struct stream *s = user;
    if (s->stop && *s->stop)
        s->cancelled = true;
    return s->cancelled; /* not 0 ends the transfer */
}

/* The message inside an OpenAI-style error, else the text itself. */
static int server_error(const struct stream *s, long status, struct err *e)
{
    json_t *o = json_loads(buf_str(&s->text), 0, NULL);
    const char *message = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    int code = status == 404 ? OL_ENOTFOUND : status == 429 || status == 503 ? OL_EBUSY : OL_EINVAL;
    err_set(e, code, MODULE, "the node answered %ld: %s", status, message ? message : buf_str(&s->text));
    json_decref(o);
    return code;
}

static int transfer(struct http_client *c, const char *method, const char *path, const char *body, struct stream *s,
                    struct err *e)
{
    struct buf url;
    buf_init(&url, 8192);
    buf_printf(&url, "%s%s", c->base_url, path);
    s->curl = c->curl;
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, buf_str(&url));
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    if (c->socket)
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, s);
    if (body)
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    c->error[0] = 0;
    CURLcode rc = curl_easy_perform(c->curl);
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    buf_deinit(&url);
    if (s->cancelled)
        return err_set(e, OL_ECANCELLED, MODULE, "cancelled");
    if (buf_failed(&s->text))
        return err_set(e, OL_ELIMIT, MODULE, "the answer is larger than %d MiB", MAX_REPLY_BYTES >> 20);
    if (rc == CURLE_COULDNT_CONNECT && c->socket)
        return err_set(e, OL_EIO, MODULE, "no chainlited answers at %s; start it or give --socket", c->socket);
    if (rc == CURLE_COULDNT_CONNECT)
        return err_set(e, OL_EIO, MODULE, "no node answers at %s; start one (./appliance/up) or give --url", c->base_url);
    if (rc != CURLE_OK)
        return err_set(e, OL_EIO, MODULE, "%s: %s", c->base_url, c->error[0] ? c->error : curl_easy_strerror(rc));
    return status >= 400 ? server_error(s, status, e) : OL_OK;
}

/* transfer() with a JSON body. */
static int send_json(struct http_client *c, const char *method, const char *path, const json_t *body, struct stream *s,
                     struct err *e)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body && !text)
        return err_set(e, OL_EINVAL, MODULE, "the request is not valid UTF-8");
    int rc = transfer(c, method, path, text, s, e);
    free(text);
    return rc;
}

int http_request(struct http_client *c, const char *method, const char *path, const json_t *body, char **reply,
                 struct err *e)
{
    struct stream s = {0};
    buf_init(&s.text, MAX_REPLY_BYTES);
    buf_add(&s.text, "", 0);
    int rc = send_json(c, method, path, body, &s, e);
    *reply = rc ? NULL : buf_take(&s.text);
    if (!rc && !*reply)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for the answer");
    buf_deinit(&s.text);
    return rc;
}

int http_json(struct http_client *c, const char *method, const char *path, const json_t *body, json_t **reply,
              struct err *e)
{
    char *text;
    int rc = http_request(c, method, path, body, &text, e);
    if (rc)
        return rc;
    *reply = json_loads(text, 0, NULL);
    free(text);
    return *reply ? OL_OK : err_set(e, OL_EFORMAT, MODULE, "%s%s did not answer with JSON", c->base_url, path);
}

int http_stream(struct http_client *c, const char *path, const json_t *body, bool (*on_event)(void *user, const char *data),
                void *user, const volatile bool *stop, struct err *e)
{
    struct stream s = {.on_event = on_event, .user = user, .stop = stop};
    buf_init(&s.text, MAX_REPLY_BYTES);
    int rc = send_json(c, "POST", path, body, &s, e);
    if (!rc && !s.done)
        rc = err_set(e, OL_EIO, MODULE, "the answer ended early");
    buf_deinit(&s.text);
    return rc;
}
