/* openlora attribution show: what a policy's folder holds, after checking all of it. */
#include "attribution/policy.h"
#include "chainlite/core/hex.h"
#include "cli/attribution.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void print_hash(const char *label, const uint8_t hash[32])
{
    char text[SHA256_HEX_BYTES];
    hex_encode(hash, 32, text);
    printf("%-12s 0x%s\n", label, text);
}

static void print_gradients(const struct policy *p)
{
    const struct policy_gradients *g = &p->document.gradients;
    char address[2 * ADDRESS_BYTES + 1];
    printf("gradients    %u dimensions, kappa %.6f, S0 %" PRIu64 "\n", g->dimensions, g->kappa_ppb / (double)PPB,
           (uint64_t)g->s0);
    for (uint32_t c = 0; c < p->vectors.n; c++) {
        hex_encode(p->vectors.owners[c].address, ADDRESS_BYTES, address);
        printf("  0x%s  Datanet %u  norm %.4g\n", address, p->vectors.owners[c].datanet,
               ldexp(sqrt((double)p->vectors.squares[c]), -p->vectors.exponent));
    }
}

static void print(const struct policy *p)
{
    const struct policy_document *d = &p->document;
    print_hash("policy.json", p->hash);
    print_hash("model", d->model_version);
    if (d->has_adapter)
        print_hash("adapter", d->adapter_version.id);
    for (size_t i = 0; i < d->datanets.n; i++)
        print_hash("Datanet", ((const struct policy_datanet *)d->datanets.at)[i].version);
    printf("spans        %u documents, %" PRIu64 " symbols, tau %.3f bits\n", span_index_documents(p->index),
           span_index_symbols(p->index), d->spans.tau_millibits / 1000.0);
    if (d->has_gradients)
        print_gradients(p);
    printf("calibration  %u null prompts; fresh ones: %.3f %% of an answer paid, any pay in %.2f %% at most\n",
           d->calibration.null_prompts, d->calibration.false_tokens_ppm / 1e4, d->calibration.any_credit_ppm / 1e4);
    printf("sampling     %.2f %% of the answers at least\n", d->sampling_ppb / 1e7);
}

int command_attribution_show(const struct command *command, int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {FLAG("json", &json, "print the policy's document"), OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    struct err e = {0};
    struct policy *p;
    if (words < 0)
        return options_exit(words);
    if (words < 1)
        return fail(command, EXIT_USAGE, "name the policy's folder");
    if (policy_open(argv[1], &p, &e))
        return fail(command, EXIT_FAILED, "%s", e.message);
    if (json) {
        struct buf text;
        buf_init(&text, POLICY_MAX_BYTES);
        notation_write(&policy_document_schema, &p->document, &text);
        puts(buf_str(&text));
        buf_deinit(&text);
    } else {
        print(p);
    }
    policy_close(p);
    return EXIT_OK;
}
