#include "chainlite/rpc/proof_json.h"
#include "chainlite/rpc/fields.h"

#include <stdlib.h>
#include <string.h>

enum { PROOF_MAX_NODES = 64 }; /* levels of a trie with 32-byte keys */

struct sizes {
    size_t nodes, bytes;
};

static bool measure(const json_t *list, struct sizes *sum)
{
    size_t n = json_array_size(list), length;
    if (!json_is_array(list) || n > PROOF_MAX_NODES)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!field_length(json_array_get(list, i), &length))
            return false;
        sum->bytes += length;
    }
    sum->nodes += n;
    return true;
}

/* Decodes a measured list at the two cursors. */
static bool decode(const json_t *list, struct mpt_node **node, uint8_t **bytes, struct light_nodes *out)
{
    out->node = *node;
    out->n = json_array_size(list);
    for (size_t i = 0; i < out->n; i++) {
        size_t length;
        const json_t *text = json_array_get(list, i);
        if (!field_length(text, &length) || !field_bytes(text, *bytes, length))
            return false;
        *(*node)++ = (struct mpt_node){*bytes, length};
        *bytes += length;
    }
    return true;
}

int proof_from_json(const json_t *result, size_t n_slots, struct light_proof *out, struct err *e)
{
    struct sizes sum = {0, 0};
    const json_t *account = json_object_get(result, "accountProof"), *storage = json_object_get(result, "storageProof");
    bool right = measure(account, &sum) && json_is_array(storage) && json_array_size(storage) == n_slots;
    for (size_t i = 0; right && i < n_slots; i++)
        right = measure(json_object_get(json_array_get(storage, i), "proof"), &sum);
    if (!right)
        return err_set(e, OL_EFORMAT, "light", "not the proofs of an account and %zu slots", n_slots);
    memset(out, 0, sizeof *out);
    out->memory = malloc(n_slots * sizeof *out->storage + sum.nodes * sizeof(struct mpt_node) + sum.bytes + 1);
    if (!out->memory)
        return err_set(e, OL_ENOMEM, "light", "no memory for a proof of %zu bytes", sum.bytes);
    out->storage = out->memory;
    out->n_storage = n_slots;
    struct mpt_node *node = (struct mpt_node *)(out->storage + n_slots);
    uint8_t *bytes = (uint8_t *)(node + sum.nodes);
    right = decode(account, &node, &bytes, &out->account);
    for (size_t i = 0; right && i < n_slots; i++)
        right = decode(json_object_get(json_array_get(storage, i), "proof"), &node, &bytes, &out->storage[i]);
    if (right)
        return OL_OK;
    light_proof_deinit(out);
    return err_set(e, OL_EFORMAT, "light", "a node of the proof is not hexadecimal");
}

void light_proof_deinit(struct light_proof *proof)
{
    free(proof->memory);
    memset(proof, 0, sizeof *proof);
}
