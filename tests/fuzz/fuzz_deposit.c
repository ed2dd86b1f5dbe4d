/* Deposit transactions. Input: the bytes. The source hash is made right, so that the attributes behind it are reached.
 */
#include "chainlite/core/deposit.h"
#include "chainlite/core/fees.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct deposit d;
    struct l1_attributes a;
    struct err e = {0};
    wei_t fee;
    if (size <= FEES_MAX_TX_BYTES)
        CHECK(fees_flz_bytes(data, size) <= size + size / 32 + 1);
    int rc = deposit_parse(data, size, &d, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc)
        return 0;
    CHECK(d.data + d.data_len <= data + size);
    if (d.data_len >= 132) {
        uint64_t sequence_number = 0;
        for (int i = 12; i < 20; i++)
            sequence_number = sequence_number << 8 | d.data[i];
        deposit_l1_info_source(d.data + 100, sequence_number, d.source_hash);
    }
    rc = deposit_l1_attributes(&d, &a, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc == 0 && fees_l1_wei(&a, 100, &fee))
        CHECK(fees_operator_wei(&a, 1) >= a.operator_fee_constant && fees_da_footprint_gas(&a, 100) > 0);
    return 0;
}
