/* Chat templates: a template, then (after a NUL) the JSON it is rendered with, or a conversation of ours. */
#include "model/chat_template.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char conversation[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
                                   "\"content\": [{\"type\": \"text\", \"text\": "
                                   "\"h\\u00e9 \\ud83d\\ude42\"}]}, {\"role\": \"assistant\", \"content\": null, "
                                   "\"tool_calls\": [{\"function\": {\"name\": \"f\", "
                                   "\"arguments\": {\"a\": 1, \"b\": [1.5, true, null]}}}]}], \"tools\": [{\"type\": "
                                   "\"function\", \"function\": {\"name\": \"f\"}}], "
                                   "\"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"x\": 5, \"s\": \" aB c "
                                   "\", \"l\": [3, 1, 2], \"d\": {\"k\": 1}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_template *t = NULL;
    struct err e;
    char *source = malloc(size + 1);
    if (!source)
        return 0;
    memcpy(source, data, size);
    source[size] = 0;
    size_t template_bytes = strlen(source);
    const char *json = template_bytes < size ? source + template_bytes + 1 : conversation;
    json_t *variables = chat_template_compile(source, &t, &e) ? NULL : json_loads(json, 0, NULL);
    if (variables) {
        struct buf out;
        buf_init(&out, 1 << 20);
        int rc = chat_template_render(t, variables, &out, &e);
        if (rc && e.code != rc)
            abort();
        buf_deinit(&out);
    }
    json_decref(variables);
    chat_template_free(t);
    free(source);
    return 0;
}
