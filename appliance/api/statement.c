/* GET /v1/statement?from=&to=: the caller's receipts of a time (Unix seconds, to not included) summed by day of UTC,
 * adapter and currency, with the parts that each role gets. JSON, or CSV where that is asked for (Accept: text/csv).
 *
 * Reads chainlited's list page by page, newest first, until it is past `from`; what is not settled counts as billed. */
#include "api/auth.h"
#include "api/chain_answer.h"
#include "api/receipts.h"
#include "billing/bill_internal.h"
#include "chainlite/json/values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 500, MAX_RECEIPTS = 200000, MAX_LINES = 20000, DAY_S = 86400, CLOCK_SLACK_S = 3600 };

struct line {
    int64_t day;
    uint8_t model[32], adapter[32];
    uint64_t receipts, prompt_tokens, cached_tokens, output_tokens;
    wei_t fee_wei;
    wei_t parts_wei[ROLE_END]; /* by role */
};

struct statement {
    struct caller caller;
    int64_t from_s, to_s;
    bool csv;
    int n_receipts, n_lines, cap;
    struct line *lines; /* owned */
    struct catalog *catalog;
};

static const char *const role_names[ROLE_END] = {"", "model", "base", "data", "validators", "node", "compute"};

static void statement_free(void *user)
{
    struct statement *s = user;
    catalog_release(s->catalog);
    free(s->lines);
    free(s);
}

/* ---- summing */

/* NULL: too many lines, or no memory. */
static struct line *find_line(struct statement *s, const struct proof *p)
{
    int64_t day = (int64_t)(p->start_time_ms / 1000) / DAY_S;
    for (int i = s->n_lines - 1; i >= 0; i--) { /* the newest day was added last */
        struct line *l = &s->lines[i];
        if (l->day == day && memcmp(l->model, p->model_version, 32) == 0 &&
            memcmp(l->adapter, p->adapter_version, 32) == 0)
            return l;
    }
    if (s->n_lines == s->cap) {
        int cap = s->cap ? 2 * s->cap : 64;
        struct line *more = cap > MAX_LINES ? NULL : realloc(s->lines, (size_t)cap * sizeof *more);
        if (!more)
            return NULL;
        s->lines = more;
        s->cap = cap;
    }
    struct line *l = &s->lines[s->n_lines++];
    *l = (struct line){.day = day};
    memcpy(l->model, p->model_version, 32);
    memcpy(l->adapter, p->adapter_version, 32);
    return l;
}

static void add_parts(const struct statement *s, const struct proof *p, struct line *l)
{
    static const uint8_t none[32];
    const struct catalogued_price *price = chain_catalog_price(&s->catalog->served.rows, p->price_id);
    const struct catalogued_split *split = chain_catalog_split(&s->catalog->served.rows, p->split_id);
    const struct catalogued_version *model = chain_catalog_version(&s->catalog->served.rows, p->model_version);
    bool with_adapter = memcmp(p->adapter_version, none, 32) != 0;
    const struct catalogued_version *adapter = with_adapter ? chain_catalog_version(&s->catalog->served.rows, p->adapter_version) : NULL;
    struct part parts[MAX_PARTS_PER_RECEIPT];
    struct fee fee;
    int n = 0;
    if (!price || !split || !model || (with_adapter && !adapter) ||
        fee_of(&price->row, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status, &fee,
               NULL) != 0 ||
        parts_of(&fee, &split->row, with_adapter ? &adapter->row : &model->row, with_adapter ? &model->row : NULL,
                 s->catalog->served.node, parts, &n, NULL) != 0)
        return; /* rows that are not in the catalog any more: the fee stands, its parts are in the receipt's bundle */
    for (int i = 0; i < n; i++)
        l->parts_wei[parts[i].role] += parts[i].amount_wei;
}

static int add(struct statement *s, const json_t *receipt, bool *past, struct refusal *r)
{
    struct proof p;
    struct err e;
    if (notation_read(&proof_schema, json_object_get(receipt, "proof"), &p, &e) != 0)
        return refuse(r, 503, "billing_unavailable", NULL, "%s", e.message);
    int64_t at = (int64_t)(p.start_time_ms / 1000);
    *past = at < s->from_s - CLOCK_SLACK_S; /* the list is by sequence: nearly, not quite, by time */
    if (at < s->from_s || at >= s->to_s)
        return 0;
    struct line *l = find_line(s, &p);
    if (!l || ++s->n_receipts > MAX_RECEIPTS)
        return refuse(r, 400, "unsupported_value", "from", "too many receipts for one statement; ask for a shorter "
                      "time");
    l->receipts++;
    l->prompt_tokens += p.prompt_tokens;
    l->cached_tokens += p.cached_tokens;
    l->output_tokens += p.output_tokens;
    l->fee_wei += p.fee_wei;
    add_parts(s, &p, l);
    return 0;
}

/* ---- saying it */

static void day_text(int64_t day, char out[16])
{
    time_t at = (time_t)(day * DAY_S);
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(out, 16, "%Y-%m-%d", &tm);
}

static const char *line_name(const struct statement *s, const struct line *l)
{
    static const uint8_t none[32];
    const struct catalogued_version *v =
        chain_catalog_version(&s->catalog->served.rows, memcmp(l->adapter, none, 32) == 0 ? l->model : l->adapter);
    return v ? v->name : "";
}

static json_t *line_json(const struct statement *s, const struct line *l)
{
    char day[16];
    json_t *parts = json_object();
    for (int i = 1; i < ROLE_END; i++)
        json_object_set_new(parts, role_names[i], wei_to_json(l->parts_wei[i]));
    day_text(l->day, day);
    return json_pack("{ss ss so so sI sI sI sI so so}", "day", day, "name", line_name(s, l), "model_version",
                     hex_to_json(l->model, 32), "adapter_version", hex_to_json(l->adapter, 32), "receipts",
                     (json_int_t)l->receipts, "prompt_tokens", (json_int_t)l->prompt_tokens, "cached_tokens",
                     (json_int_t)l->cached_tokens, "output_tokens", (json_int_t)l->output_tokens, "fee_wei",
                     wei_to_json(l->fee_wei), "parts_wei", parts);
}

static int give_json(struct chain_answer *a, const struct statement *s, struct refusal *r)
{
    json_t *lines = json_array();
    wei_t total = 0;
    for (int i = 0; i < s->n_lines; i++) {
        total += s->lines[i].fee_wei;
        json_array_append_new(lines, line_json(s, &s->lines[i]));
    }
    return chain_answer_give_json(
        a, json_pack("{ss ss sI sI ss si so so}", "object", "statement", "payer", s->caller.tenant, "from",
                     (json_int_t)s->from_s, "to", (json_int_t)s->to_s, "currency",
                     chain_answer_app(a)->config->currency, "receipts", s->n_receipts, "fee_wei", wei_to_json(total),
                     "lines", lines), r);
}

/* Names are quoted: a spreadsheet must not take one for a formula's separator, nor for a formula. */
static void add_quoted(struct buf *out, const char *text)
{
    buf_add_str(out, text[0] && strchr("=+-@", text[0]) ? "\"'" : "\"");
    for (; *text; text++) {
        if (*text == '"')
            buf_add_char(out, '"');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

static void add_wei(struct buf *out, wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    buf_printf(out, ",%s", text);
}

static int give_csv(struct chain_answer *a, const struct statement *s, struct refusal *r)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    buf_add_str(&out, "day,name,receipts,prompt_tokens,cached_tokens,output_tokens,fee_wei");
    for (int i = 1; i < ROLE_END; i++)
        buf_printf(&out, ",%s_wei", role_names[i]);
    buf_add_str(&out, "\r\n");
    for (int i = 0; i < s->n_lines; i++) {
        const struct line *l = &s->lines[i];
        char day[16];
        day_text(l->day, day);
        buf_printf(&out, "%s,", day);
        add_quoted(&out, line_name(s, l));
        buf_printf(&out, ",%llu,%llu,%llu,%llu", (unsigned long long)l->receipts, (unsigned long long)l->prompt_tokens,
                   (unsigned long long)l->cached_tokens, (unsigned long long)l->output_tokens);
        add_wei(&out, l->fee_wei);
        for (int k = 1; k < ROLE_END; k++)
            add_wei(&out, l->parts_wei[k]);
        buf_add_str(&out, "\r\n");
    }
    if (buf_failed(&out)) {
        buf_deinit(&out);
        return refuse(r, 503, "no_memory", NULL, "no memory for the statement");
    }
    chain_answer_give(a, "text/csv; charset=utf-8", &out);
    return 0;
}

/* ---- page by page */

static int ask_page(struct chain_answer *a, const struct statement *s, const char *after, struct refusal *r)
{
    struct buf path;
    buf_init(&path, 1024);
    receipts_path(&s->caller, &path);
    buf_printf(&path, "&limit=%d&after=%s", PAGE, after);
    int rc = buf_failed(&path) ? refuse(r, 503, "billing_unavailable", NULL, "chainlited's page has too long a name")
                               : chain_answer_ask(a, buf_str(&path), r);
    buf_deinit(&path);
    return rc;
}

static int take_page(struct chain_answer *a, const json_t *body, struct refusal *r)
{
    struct statement *s = chain_answer_user(a);
    const json_t *list = json_object_get(body, "receipts"), *receipt;
    const char *next = json_string_value(json_object_get(body, "next"));
    bool past = false;
    size_t i;
    json_array_foreach(list, i, receipt)
        if (!past && add(s, receipt, &past, r) != 0)
            return -1;
    if (next && !past && json_array_size(list) > 0)
        return ask_page(a, s, next, r);
    return s->csv ? give_csv(a, s, r) : give_json(a, s, r);
}

static bool read_time(const char *text, int64_t fallback, int64_t *out)
{
    char *end;
    *out = fallback;
    if (!text)
        return true;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return !errno && !*end && text[0] >= '0' && text[0] <= '9';
}

void statement(void *user, struct http_request *r)
{
    struct app *app = user;
    struct refusal refused = {0};
    struct buf path;
    struct statement *s = calloc(1, sizeof *s);
    const char *accept = http_request_header(r, "Accept");
    int rc = s ? auth_reader(app, r, &s->caller, &refused) : refuse(&refused, 503, "no_memory", NULL, "no memory");
    if (rc == 0 && (!read_time(http_request_query(r, "from"), 0, &s->from_s) ||
                    !read_time(http_request_query(r, "to"), INT64_MAX, &s->to_s)))
        rc = refuse(&refused, 400, NULL, "from", "from and to are Unix seconds");
    if (rc == 0 && !(s->catalog = billing_catalog(app->billing)))
        rc = refuse(&refused, 503, "billing_unavailable", NULL, "chainlited has not been there yet");
    if (rc != 0) {
        if (s)
            statement_free(s);
        refusal_respond(app, &refused, r);
        return;
    }
    s->csv = accept && strstr(accept, "text/csv");
    buf_init(&path, 1024);
    receipts_path(&s->caller, &path);
    buf_printf(&path, "&limit=%d", PAGE);
    chain_answer_start(app, r, buf_str(&path), take_page, s, statement_free);
    buf_deinit(&path);
}
