#include "kernels/cpu/attention_jobs.h"

#include "kernels/cpu/workspace.h"

/* Along heads and rows, the same for all sequences. */
struct cut {
    int heads_per_kv;  /* query heads of one kv head */
    int heads, rows;   /* of one job at most */
    int head_jobs;     /* jobs side by side: kv heads, times parts of their query heads */
};

static struct cut cut_of(const struct kv_shape *kv)
{
    struct cut c = {.heads_per_kv = kv->n_heads / kv->n_kv_heads};
    c.heads = c.heads_per_kv < ATTENTION_JOB_VECTORS ? c.heads_per_kv : ATTENTION_JOB_VECTORS;
    c.rows = ATTENTION_JOB_VECTORS / c.heads;
    c.head_jobs = kv->n_kv_heads * ((c.heads_per_kv + c.heads - 1) / c.heads);
    return c;
}

/* Jobs of one sequence along rows, or along its context. */
static int jobs_along(const struct step_seq *seq, const struct cut *c)
{
    return attention_is_split(seq) ? attention_splits(seq->pos0 + 1) : (seq->n_rows + c->rows - 1) / c->rows;
}

int attention_job_count(const struct op_attention *o)
{
    const struct step *s = host(o->step);
    struct cut c = cut_of(&o->kv);
    int n = 0;
    for (int i = 0; i < s->n_seqs; i++)
        n += jobs_along(&step_seqs(s)[i], &c);
    return n * c.head_jobs;
}

static struct attention_job job_of(const struct op_attention *o, const struct step_seq *seq, const struct cut *c,
                                   int along, int across, size_t split_index)
{
    int parts = c->head_jobs / o->kv.n_kv_heads, part = across % parts;
    struct attention_job job = {.pages = step_pages(host(o->step)) + seq->page0, .kv_head = across / parts};
    int end = (job.kv_head + 1) * c->heads_per_kv;
    job.head0 = job.kv_head * c->heads_per_kv + part * c->heads;
    job.n_heads = end - job.head0 < c->heads ? end - job.head0 : c->heads;
    if (attention_is_split(seq)) {
        job.row0 = seq->row0;
        job.n_rows = 1;
        job.split0 = along;
        job.n_splits = 1;
        job.partial = attention_partials(o, split_index + (size_t)along) +
                      (size_t)job.head0 * attention_partial_floats(&o->kv);
    } else { /* the last rows see the longest context: begin with them, so that threads end together */
        int first = (jobs_along(seq, c) - 1 - along) * c->rows;
        job.row0 = seq->row0 + first;
        job.n_rows = seq->n_rows - first < c->rows ? seq->n_rows - first : c->rows;
        job.n_splits = attention_splits(seq->pos0 + first + job.n_rows);
    }
    job.pos0 = seq->pos0 + job.row0 - seq->row0;
    return job;
}

struct attention_job attention_job_at(const struct op_attention *o, int index)
{
    const struct step *s = host(o->step);
    const struct step_seq *seqs = step_seqs(s);
    struct cut c = cut_of(&o->kv);
    int along = index / c.head_jobs;
    size_t split_index = 0;
    int i = 0;
    for (; i < s->n_seqs - 1 && along >= jobs_along(&seqs[i], &c); i++) {
        along -= jobs_along(&seqs[i], &c);
        if (attention_is_split(&seqs[i]))
            split_index += (size_t)attention_splits(seqs[i].pos0 + 1);
    }
    return job_of(o, &seqs[i], &c, along, index % c.head_jobs, split_index);
}

/* A sequence of n pages has at most n / 16 + 1 splits. */
size_t cpu_attention_workspace(const struct kv_shape *kv, const struct step_limits *limits, int threads)
{
    (void)threads;
    size_t splits = (size_t)limits->max_pages / (ATTENTION_SPLIT / STEP_PAGE_TOKENS) + (size_t)limits->max_seqs;
    return splits * (size_t)kv->n_heads * attention_partial_floats(kv) * sizeof(float);
}
