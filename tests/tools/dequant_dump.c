/* For tests/golden/test_dequant.py: rows as a file stores them on standard input, float32 on standard output.
 *
 *   dequant_dump TYPE     the type as GGUF names it, e.g. Q4_K */
#include "kernels/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 256 }; /* blocks, of at most 256 weights in 210 bytes */

int main(int argc, char **argv)
{
    static unsigned char blocks[BATCH * 256];
    static float values[BATCH * 256];
    for (enum dtype t = 0; argc == 2 && t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info(t);
        if (strcmp(info->name, argv[1]) != 0)
            continue;
        for (size_t n; (n = fread(blocks, (size_t)info->bytes, BATCH, stdin)) > 0;) {
            dequantize_row(t, blocks, values, (int64_t)n * info->block);
            fwrite(values, sizeof *values, n * (size_t)info->block, stdout);
        }
        return fflush(stdout) || ferror(stdin) ? 1 : 0;
    }
    fprintf(stderr, "usage: dequant_dump TYPE < rows > float32\n");
    return 2;
}
