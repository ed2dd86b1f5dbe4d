/* Output roots and super roots; see output_root.h. */
#include "chainlite/core/output_root.h"

const uint8_t output_message_passer[ADDRESS_BYTES] = {[0] = 0x42, [ADDRESS_BYTES - 1] = 0x16};

void output_root_v0(const uint8_t state_root[HASH_BYTES], const uint8_t message_passer_root[HASH_BYTES],
                    const uint8_t block_hash[HASH_BYTES], uint8_t out[HASH_BYTES])
{
    const uint8_t version[HASH_BYTES] = {0};
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, version, HASH_BYTES);
    keccak_add(&k, state_root, HASH_BYTES);
    keccak_add(&k, message_passer_root, HASH_BYTES);
    keccak_add(&k, block_hash, HASH_BYTES);
    keccak_end(&k, out);
}

int output_root_of_header(const struct header *header, const struct header_rules *rules, uint8_t out[HASH_BYTES],
                          struct err *e)
{
    if (!rules->op_stack || header_fork_at(rules, header->timestamp) < FORK_ISTHMUS || !header->has_withdrawals_root)
        return err_set(e, OL_EUNSUPPORTED, "output_root",
                       "a header from before Isthmus does not hold the message passer's storage root; prove it");
    output_root_v0(header->state_root, header->withdrawals_root, header->hash, out);
    return 0;
}

int super_root_v1(uint64_t timestamp, const struct super_chain *chains, size_t n, uint8_t out[HASH_BYTES],
                  struct err *e)
{
    const uint8_t version = 1;
    uint8_t word[32];
    struct keccak k;
    if (n == 0)
        return err_set(e, OL_EINVAL, "output_root", "a super root of no chain");
    keccak_init(&k);
    keccak_add(&k, &version, 1);
    wei_to_be32(timestamp, word);
    keccak_add(&k, word + sizeof word - sizeof timestamp, sizeof timestamp);
    for (size_t i = 0; i < n; i++) {
        if (i && chains[i].chain_id <= chains[i - 1].chain_id)
            return err_set(e, OL_EINVAL, "output_root", "chain %llu is not above the one before it",
                           (unsigned long long)chains[i].chain_id);
        wei_to_be32(chains[i].chain_id, word);
        keccak_add(&k, word, sizeof word);
        keccak_add(&k, chains[i].output_root, HASH_BYTES);
    }
    keccak_end(&k, out);
    return 0;
}
