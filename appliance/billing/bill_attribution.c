/* Attribution as JSON; see bill_attribution.h. */
#include "billing/bill_attribution.h"

#include "chainlite/json/values.h"

static json_t *span_json(const struct receipt_span *s)
{
    return json_pack("[IIoIIIo]", (json_int_t)s->start, (json_int_t)s->tokens, hex_to_json(s->contribution, 32),
                     (json_int_t)s->row, (json_int_t)s->offset, (json_int_t)s->millibits,
                     hex_to_json(s->beneficiary, ADDRESS_BYTES));
}

json_t *bill_attribution_json(const struct bill_attribution *a)
{
    if (!a)
        return json_null();
    json_t *spans = json_array();
    for (size_t i = 0; i < a->n_spans; i++)
        if (json_array_append_new(spans, span_json(&a->spans[i])) != 0) {
            json_decref(spans);
            return NULL;
        }
    return json_pack("{so sI sI so}", "policy", hex_to_json(a->policy, 32), "answer_tokens",
                     (json_int_t)a->answer_tokens, "open_tokens", (json_int_t)a->open_tokens, "spans", spans);
}

json_t *bill_gradients_json(const uint8_t receipt_id[32], const uint8_t query_hash[32],
                            const struct gradient_units *gradient, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_pack("[oI]", hex_to_json(gradient[i].beneficiary, ADDRESS_BYTES),
                                                  (json_int_t)gradient[i].units)) != 0) {
            json_decref(list);
            return NULL;
        }
    return json_pack("{so so so}", "receipt_id", hex_to_json(receipt_id, 32), "query_hash", hex_to_json(query_hash, 32),
                     "gradient", list);
}
