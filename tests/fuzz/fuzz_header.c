/* Block headers. Input: a byte that chooses the fork, then the RLP. What the rules of a fork accept, plain rules
 * accept. */
#include "chainlite/core/header.h"
#include "chainlite/core/output_root.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header_rules rules = {.op_stack = true}, plain = {0};
    struct header h, again;
    struct err e = {0};
    uint8_t root[HASH_BYTES];
    if (size < 2)
        return 0;
    for (int fork = 0; fork < FORK_COUNT; fork++)
        rules.fork_time[fork] = fork <= data[0] % FORK_COUNT ? 0 : UINT64_MAX;
    int rc = header_parse(data + 1, size - 1, &rules, &h, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc)
        return 0;
    CHECK(header_parse(data + 1, size - 1, &plain, &again, NULL) == 0 && memcmp(h.hash, again.hash, HASH_BYTES) == 0);
    CHECK(h.extra >= data && h.extra + h.extra_len <= data + size && h.extra_len <= 32);
    CHECK((output_root_of_header(&h, &rules, root, NULL) == 0) == (data[0] % FORK_COUNT >= FORK_ISTHMUS));
    return 0;
}
