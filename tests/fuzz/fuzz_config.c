/* config.json of a model directory. */
#include "model/config_read.h"
#include "model/json_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *j;
    struct model_config c;
    const struct arch *arch;
    struct err e = {0};
    if (json_text_read((const char *)data, size, "config.json", &j, &e))
        return 0;
    for (int has_head = 0; has_head < 2; has_head++)
        if (!config_from_hf(j, has_head, &c, &arch, &e) && model_config_check(&c, &e))
            abort(); /* whatever is accepted is within the bounds everybody relies on */
    json_decref(j);
    return 0;
}
