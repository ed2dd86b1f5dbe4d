#include "cli/train_report.h"

#include "cli/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { WHAT_BYTES = 80 };

void train_report_json(const struct train_report *r, const char *event, json_t *fields)
{
    if (r->json && fields) {
        json_t *line = json_pack("{ss}", "event", event);
        json_object_update(line, fields);
        json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
        fflush(stdout); /* who follows the log sees a step when it is done */
        json_decref(line);
    }
    json_decref(fields);
}

void train_report_line(const struct train_report *r, const char *format, ...)
{
    if (r->json || r->quiet)
        return;
    va_list args;
    va_start(args, format);
    progress_done();
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
    va_end(args);
}

static void on_step(void *user, const struct trainer_step *s)
{
    struct train_report *r = user;
    char what[WHAT_BYTES];
    r->loss_sum += s->loss * (double)s->learnt;
    r->learnt_sum += (double)s->learnt;
    r->tokens += s->tokens;
    r->seconds += s->seconds;
    train_report_json(r, "step", json_pack("{sI sI sI sf sf sf sI sI sI sf}", "step", (json_int_t)s->step, "steps",
                                           (json_int_t)s->steps, "epoch", (json_int_t)s->epoch, "loss", s->loss, "lr",
                                           s->rate, "grad_norm", s->norm, "examples", (json_int_t)s->examples, "tokens",
                                           (json_int_t)s->tokens, "learnt", (json_int_t)s->learnt, "tokens_per_second",
                                           s->seconds > 0 ? (double)s->tokens / s->seconds : 0));
    snprintf(what, sizeof what, "epoch %lld of %lld, loss %.4f", (long long)s->epoch, (long long)s->epochs,
             r->loss_sum / r->learnt_sum);
    if (!r->quiet)
        progress_show(what, s->step, s->steps, "steps");
}

static json_t *loss_json(double loss) { return isnan(loss) ? json_null() : json_real(loss); }

static void on_epoch(void *user, int64_t epoch, const struct trainer_epoch *done)
{
    struct train_report *r = user;
    char evaluation[40] = "";
    double speed = r->seconds > 0 ? (double)r->tokens / r->seconds : 0;
    if (!isnan(done->evaluation))
        snprintf(evaluation, sizeof evaluation, ", evaluation %.4f", done->evaluation);
    train_report_json(r, "epoch", json_pack("{sI so so sf}", "epoch", (json_int_t)epoch, "loss", loss_json(done->loss),
                                            "evaluation", loss_json(done->evaluation), "tokens_per_second", speed));
    if (epoch == 0)
        train_report_line(r, "before training%s", evaluation);
    else
        train_report_line(r, "epoch %lld of %lld: loss %.4f%s, %.0f tokens/s", (long long)epoch, (long long)r->epochs,
                          done->loss, evaluation, speed);
    r->loss_sum = r->learnt_sum = r->seconds = 0;
    r->tokens = 0;
}

struct trainer_events train_report_events(struct train_report *r)
{
    return (struct trainer_events){.user = r, .step = on_step, .epoch = on_epoch};
}
