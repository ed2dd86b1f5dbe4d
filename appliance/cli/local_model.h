/* A model in this process, without engine or tokenizer: for commands that measure or dump it.
 *
 * Sequence s owns the KV pages s·pages_per_seq …; adapters lie behind them. Nothing is shared, evicted or
 * scheduled: the caller says which rows make a step. */
#ifndef OPENLORA_CLI_LOCAL_MODEL_H
#define OPENLORA_CLI_LOCAL_MODEL_H

#include "base/err.h"
#include "engine/forward.h"

struct local_config {
    const char *model_path;
    const char *device;           /* see device_choose; NULL: auto */
    const char *isa;              /* NULL: the best there is */
    int threads;                  /* 0: one per core */
    bool fast;                    /* see device_config */
    const char *const *adapters;  /* (n_adapters) paths, all made resident */
    int n_adapters;
    int32_t max_rows, max_logits; /* per step */
    int32_t n_seqs;
    int32_t seq_tokens;           /* each sequence grows to at most so many */
};

struct local_adapter {
    int32_t page0, n_pages;
};

struct local_model {
    struct model_file *file;
    const struct device_ops *ops;
    struct device *device;
    struct model *model;
    struct forward *forward;
    dptr pool;
    size_t pool_bytes;
    int32_t pages_per_seq;
    struct local_adapter *adapters; /* (n_adapters) */
    int n_adapters;
    double load_s;
};

int local_model_open(const struct local_config *, struct local_model *out, struct err *e)
    __attribute__((warn_unused_result));
void local_model_close(struct local_model *);
const struct model_config *local_model_config(const struct local_model *);
const char *local_model_isa(const struct local_model *);

/* n rows of sequence `seq` from position pos0 on, wanting the logits of none, the last or every row. adapter: index,
 * or −1. Rows of one adapter must be added one after another. */
enum local_logits { LOGITS_NONE, LOGITS_LAST, LOGITS_EVERY };
void local_step_add(struct local_model *, struct step *, int32_t seq, int adapter, const int32_t *tokens, int32_t n,
                    int32_t pos0, enum local_logits);

#endif
