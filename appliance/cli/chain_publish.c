#include "cli/chain_publish.h"

#include "chainlite/calls/calls.h"

#include <string.h>

#define MODULE "chain"

int chain_publish_call(struct chain_link *chain, const struct wallet *account, const char *contract,
                       const struct abi_writer *data, struct err *e)
{
    const struct signing_key key = account_key(account);
    struct sending s = {.data = data->data, .data_len = data->len};
    struct tx_receipt receipt;
    if (data->failed)
        return err_set(e, OL_ELIMIT, MODULE, "the call is too long");
    int rc = chain_link_contract(chain, contract, s.to, e);
    return rc == 0 ? chain_link_send(chain, &key, &s, &receipt, e) : rc;
}

int chain_is_registered(struct chain_link *chain, const uint8_t id[32], bool *out, struct err *e)
{
    static const uint8_t zero[32];
    uint8_t slot[32], word[32];
    struct light_head head;
    slot_registered(id, slot);
    int rc = chain_link_word(chain, "Registry", slot, word, &head, e);
    *out = rc == 0 && memcmp(word, zero, 32) != 0;
    return rc;
}

int chain_publish_version(struct chain_link *chain, const struct wallet *account, const struct catalogued_version *v,
                          const struct version_sources *from, struct err *e)
{
    uint8_t room[CHAIN_CALL_BYTES];
    struct abi_writer w;
    bool there;
    int rc = chain_is_registered(chain, v->row.item, &there, e);
    if (rc == 0 && !there) {
        abi_writer_init(&w, room, sizeof room);
        call_registry_create_item(&w, v->kind, v->name);
        rc = chain_publish_call(chain, account, "Registry", &w, e);
    }
    if (rc == 0)
        rc = chain_is_registered(chain, v->id, &there, e);
    if (rc != 0 || there)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_registry_publish_version(&w, &v->row, from->parents, from->n_parents, from->data_roots, from->n_roots,
                                  from->training_record, "");
    return chain_publish_call(chain, account, "Registry", &w, e);
}
