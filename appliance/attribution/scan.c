/* Patterns of secrets and personal data; see scan.h. */
#include "attribution/scan.h"

#include "attribution/scan_checks.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "scan"

enum { MATCH_LIMIT = 1000000 };

const char *const scan_kind_names[SCAN_KINDS] = {
    [SCAN_PRIVATE_KEY] = "private_key", [SCAN_CREDENTIAL] = "credential", [SCAN_HIGH_ENTROPY] = "high_entropy",
    [SCAN_EMAIL] = "email",             [SCAN_PHONE] = "phone",           [SCAN_CARD] = "card",
    [SCAN_IBAN] = "iban",               [SCAN_IP_ADDRESS] = "ip_address"};

/* Quantifiers are bounded or possessive, so that a pattern costs a bounded number of steps per byte. A check looks at
 * group 1 if the pattern has one, else at the whole match. */
static const struct {
    enum scan_kind kind;
    const char *pattern;
    bool (*check)(const char *text, size_t n);
} patterns[] = {
    {SCAN_PRIVATE_KEY, "-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----", NULL},
    {SCAN_CREDENTIAL,
     "\\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}\\b|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\\w{22}|glpat-[\\w-]{20}"
     "|xox[abeoprs]-[A-Za-z0-9-]{10}|AIza[\\w-]{35}|[sr]k_(?:live|test)_[0-9A-Za-z]{16}|sk-[\\w-]{20}"
     "|hf_[A-Za-z]{30}|npm_[A-Za-z0-9]{36}|eyJ[\\w-]{8,2000}+\\.eyJ[\\w-]{8})",
     NULL},
    {SCAN_CREDENTIAL,
     "(?i)\\b(?:password|passwd|pwd|passphrase|secret|api[_-]?key|access[_-]?key|token)[\"']?\\s{0,4}[:=]\\s{0,4}[\"']?"
     "([^\\s\"',;]{8,200})",
     has_letter_and_digit},
    {SCAN_CREDENTIAL, "\\b[a-z][a-z0-9+.-]{1,20}://[^\\s/:@]{1,100}:[^\\s/:@]{1,100}@", NULL},
    {SCAN_HIGH_ENTROPY, "(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,4000}+", looks_random},
    {SCAN_EMAIL, "(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9.-]{1,200}\\.[A-Za-z]{2,24}\\b",
     is_real_mail_domain},
    {SCAN_PHONE,
     "(?<![\\w.+-])(?:\\+\\d{1,3}[ .-]?(?:\\(0?\\d{1,4}\\)[ .-]?)?|00\\d{1,3}[ .-]|"
     "\\(?0\\d{1,4}\\)?[ /.-]|\\(\\d{3}\\) ?"
     "|\\d{3}[.-](?=\\d{3}[.-]\\d{4}))\\d{1,4}(?:[ .\\-/]?\\d{2,4}){1,4}(?!\\w)",
     is_phone_number},
    {SCAN_CARD, "(?<![\\w.,-])\\d(?:[ -]?\\d){12,18}(?![\\w-])", is_card_number},
    {SCAN_IBAN, "\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\\b", is_iban},
    {SCAN_IP_ADDRESS, "(?<![\\w.])(?:\\d{1,3}\\.){3}\\d{1,3}(?![\\w.])", is_public_ipv4},
    {SCAN_IP_ADDRESS, "(?<![\\w:])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{3,34}(?![\\w:])", is_public_ipv6},
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

struct scanner {
    pcre2_code *code[PATTERNS];
    pcre2_match_data *match;
    pcre2_match_context *context;
};

void scanner_close(struct scanner *s)
{
    if (!s)
        return;
    for (int i = 0; i < PATTERNS; i++)
        pcre2_code_free(s->code[i]);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    free(s);
}

int scanner_open(struct scanner **out, struct err *e)
{
    struct scanner *s = *out = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a scanner");
    s->match = pcre2_match_data_create(2, NULL);
    s->context = pcre2_match_context_create(NULL);
    bool ok = s->match && s->context;
    for (int i = 0; ok && i < PATTERNS; i++) {
        int why;
        PCRE2_SIZE at;
        s->code[i] = pcre2_compile((PCRE2_SPTR)patterns[i].pattern, PCRE2_ZERO_TERMINATED, 0, &why, &at, NULL);
        ok = s->code[i] != NULL;
        CHECK(ok || why == PCRE2_ERROR_HEAP_FAILED); /* the patterns are ours */
        if (ok)
            pcre2_jit_compile(s->code[i], PCRE2_JIT_COMPLETE); /* without it matching is only slower */
    }
    if (ok) {
        pcre2_set_match_limit(s->context, MATCH_LIMIT);
        return 0;
    }
    scanner_close(s);
    *out = NULL;
    return err_set(e, OL_ENOMEM, MODULE, "no memory for a scanner");
}

/* The first match of a pattern that its check confirms. */
static int find(struct scanner *s, int i, const char *text, size_t n, struct scan_finding *out, struct err *e)
{
    const PCRE2_SIZE *group = pcre2_get_ovector_pointer(s->match);
    for (size_t from = 0; from < n;) {
        int groups = pcre2_match(s->code[i], (PCRE2_SPTR)text, n, from, 0, s->match, s->context);
        if (groups == PCRE2_ERROR_JIT_STACKLIMIT)
            groups = pcre2_match(s->code[i], (PCRE2_SPTR)text, n, from, PCRE2_NO_JIT, s->match, s->context);
        if (groups == PCRE2_ERROR_NOMATCH)
            return 0;
        if (groups < 0)
            return err_set(e, OL_ELIMIT, MODULE, "the scan for %s gave up (%d)", scan_kind_names[patterns[i].kind],
                           groups);
        size_t g = groups > 1 ? 2 : 0;
        if (!patterns[i].check || patterns[i].check(text + group[g], group[g + 1] - group[g])) {
            *out = (struct scan_finding){group[0], group[1] - group[0]};
            return 0;
        }
        from = group[1] > from ? group[1] : from + 1;
    }
    return 0;
}

int scan_text(struct scanner *s, const char *text, size_t n, struct scan_finding out[SCAN_KINDS], struct err *e)
{
    memset(out, 0, SCAN_KINDS * sizeof *out);
    for (int i = 0; i < PATTERNS; i++) {
        struct scan_finding found = {0}, *first = &out[patterns[i].kind];
        int rc = find(s, i, text, n, &found, e);
        if (rc != 0)
            return rc;
        if (found.bytes && (!first->bytes || found.at < first->at))
            *first = found;
    }
    return 0;
}
