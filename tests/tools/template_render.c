/* For tests/golden/test_template.py: renders templates. Each line on standard input is a JSON object {"template": …,
 * "variables": {…}}; each answer is a JSON line {"text": …} or {"error": …, "code": …}. */
#include "model/chat_template.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_OUTPUT = 64 << 20 };

static json_t *render(const json_t *request)
{
    struct err e = {0};
    struct chat_template *t = NULL;
    struct buf out;
    buf_init(&out, MAX_OUTPUT);
    const char *source = json_string_value(json_object_get(request, "template"));
    int rc = source ? chat_template_compile(source, &t, &e) : err_set(&e, OL_EINVAL, "request", "no template");
    if (!rc)
        rc = chat_template_render(t, json_object_get(request, "variables"), &out, &e);
    json_t *answer = rc ? json_pack("{s:s,s:s}", "error", e.message, "code", err_name(rc))
                        : json_pack("{s:s%}", "text", buf_str(&out), out.len);
    chat_template_free(t);
    buf_deinit(&out);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        json_t *request = json_loads(line, JSON_ALLOW_NUL, NULL), *answer = render(request);
        if (answer)
            json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(answer);
        json_decref(request);
    }
    free(line);
    return 0;
}
