/* What the chain says of an audit's batches, and the beacon that draws receipts; see audit_inputs.h. */
#include "cli/audit_inputs.h"

#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "audit"

int audit_inputs_ask(const struct audit_inputs *in, struct audit *a, struct err *e)
{
    struct light_head head;
    int rc = OL_OK;
    for (size_t i = 0; i < a->n_bodies && in->chain && !rc; i++) {
        struct audit_body *b = &a->bodies[i];
        uint8_t slot[32], word[32], hash[HASH_BYTES];
        if (!b->has_header)
            continue;
        slot_batch(b->header.node, b->header.number, slot);
        rc = chain_link_word(in->chain, "Settlement", slot, word, &head, e);
        batch_hash(&b->header, hash);
        b->has_slot = !rc;
        b->slot_is_hash = !rc && memcmp(word, hash, sizeof hash) == 0;
    }
    return rc;
}

/* Each batch was in the state that the beacon's block was built on: nobody knew the beacon when it was submitted. */
static int check_later(const struct audit_inputs *in, const struct audit *a, const struct light_head *beacon,
                       struct err *e)
{
    struct light_head before;
    const uint8_t *settlement = chain_file_contract(&in->chain->chain, "Settlement");
    int rc = beacon->number == 0 ? err_set(e, OL_EINVAL, MODULE, "the first block is later than nothing")
                                 : light_head_at(in->chain->light, beacon->number - 1, &before, e);
    for (size_t i = 0; i < a->n_bodies && !rc; i++) {
        const struct audit_body *b = &a->bodies[i];
        uint8_t slot[1][32], word[1][32], hash[HASH_BYTES];
        if (!b->has_header)
            return err_set(e, OL_EINVAL, MODULE,
                           "%s has no header beside it: nothing says when its batch was submitted", b->path);
        slot_batch(b->header.node, b->header.number, slot[0]);
        batch_hash(&b->header, hash);
        rc = light_storage(in->chain->light, &before, settlement, (const uint8_t(*)[32])slot, 1, word, NULL, e);
        if (!rc && memcmp(word[0], hash, sizeof hash) != 0)
            rc = err_set(e, OL_EINVAL, MODULE,
                         "batch %llu was not on the chain before block %llu: take a later block for the "
                         "beacon",
                         (unsigned long long)b->header.number, (unsigned long long)beacon->number);
    }
    return rc;
}

int audit_inputs_beacon(const struct audit_inputs *in, struct audit *a, const char *text, struct err *e)
{
    struct light_head head, there;
    const bool is_hash = text && strncmp(text, "0x", 2) == 0;
    char *end = NULL;
    int rc;
    if (is_hash && !hex_decode(text + 2, a->sample.beacon, sizeof a->sample.beacon))
        return err_set(e, OL_EINVAL, MODULE, "--beacon %s: a block's hash has 64 hexadecimal digits", text);
    if (!in->chain)
        return is_hash ? OL_OK
                       : err_set(e, OL_EINVAL, MODULE,
                                 "--sample needs --beacon 0xBLOCKHASH, of a block later than the batches, or "
                                 "--rpc URL to take one");
    if (is_hash) {
        rc = light_head_of(in->chain->light, a->sample.beacon, &head, e);
        if (!rc)
            rc = light_head_at(in->chain->light, head.number, &there, e);
        if (!rc && memcmp(there.hash, head.hash, HASH_BYTES) != 0)
            rc = err_set(e, OL_EINVAL, MODULE, "the beacon is not a block of the chain");
    } else if (text) {
        unsigned long long number = strtoull(text, &end, 10);
        rc = *text && !*end
                 ? light_head_at(in->chain->light, number, &head, e)
                 : err_set(e, OL_EINVAL, MODULE, "--beacon %s is neither a block's number nor its hash", text);
    } else {
        rc = light_head(in->chain->light, LIGHT_LATEST, &head, e);
    }
    if (rc)
        return err_prefix(e, "the beacon");
    rc = check_later(in, a, &head, e);
    if (!rc)
        memcpy(a->sample.beacon, head.hash, sizeof a->sample.beacon);
    return rc;
}
