/* An attribution for people: the answer's text with its spans, every contributor with both kinds of evidence, and why a
 * zero is zero. */
#ifndef OPENLORA_ATTRIBUTOR_EXPLAIN_H
#define OPENLORA_ATTRIBUTOR_EXPLAIN_H

#include "attributor/attributor.h"
#include "model/tokenizer.h"

#include <jansson.h>

struct explanation {
    const struct policy *policy;       /* borrowed, as is all here */
    const struct tokenizer *tokenizer;
    const struct evidence *evidence;
    const struct share *shares;        /* (n_shares): of the statement; NULL: it is not signed yet */
    size_t n_shares;
    wei_t data_wei;                    /* the receipt's data part, or what it will be */
};

/* "spans", "choices", "contributors", "unattributed"; owned, NULL without memory. */
json_t *explain(const struct explanation *);

#endif
