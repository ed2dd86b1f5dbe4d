/* training.json: where an adapter comes from. Written beside it, in one canonical form (keys sorted, no blanks, reals
 * as decimal text, a newline at the end), so that the SHA-256 of the file stands for the training: it is the
 * trainingRecord of the adapter's version in the registry, and the roots of its Datanet versions are that version's
 * dataRoots.
 *
 *   {"adapter":"0x…","base":{"content":"0x…","name":"…"},"build":{…},"contributions":N,"data":[…],"ended":…,
 *    "epochs":[{"evaluation":"…"|null,"loss":"…"}…],"evaluation_before":"…"|null,"evaluation_data":[…],"examples":…,
 *    "held_out":…,"resumed":…,"seconds":…,"settings":{…},"start":"0x…"|null,"started":…,"steps":…,"version":1}
 *
 * Entries of data: {"contributions","examples","name","root","rows","version","withdrawn"} of a Datanet version, or
 * {"examples","name","rows","sha256"} of a file. */
#ifndef OPENLORA_TRAINING_RECORD_H
#define OPENLORA_TRAINING_RECORD_H

#include "training/trainer.h"

#define RECORD_NAME "training.json"

enum { RECORD_VERSION = 1, RECORD_MAX_BYTES = 16 << 20 };

struct record_base {
    const char *name;
    char content[65]; /* model_file_version, as are the contents of adapters */
};

/* What decides the parameters: base, start, data and settings, as it stands in the record; a checkpoint keeps it too.
 * start: content of the adapter it goes on from, or NULL. Owned by the caller; NULL: no memory. */
json_t *record_identity(const struct record_base *base, const char *start, const struct dataset *data,
                        const struct dataset *evaluation, const struct train_settings *settings);

struct record_run {
    const struct trainer_result *result;
    const char *adapter;    /* content of the adapter that was written */
    const char *arithmetic; /* what computed it: "float32, avx512" */
};

/* Replaces folder/training.json. */
int record_write(const char *folder, const json_t *identity, const struct record_run *run, struct err *e)
    __attribute__((warn_unused_result));

/* Is folder/training.json of a training of this identity? OL_EINVAL names what differs. */
int record_check(const char *folder, const json_t *identity, struct err *e) __attribute__((warn_unused_result));

/* OL_EINVAL, naming the first key of `now` that is otherwise in `old`; 0: none. */
int record_compare(const json_t *old, const json_t *now, struct err *e);

struct training_record {
    uint8_t hash[32];                 /* SHA-256 of the file */
    uint8_t adapter[32], base[32];    /* contents */
    uint8_t (*roots)[32];             /* owned; of the Datanet versions, in the order of the data */
    size_t n_roots;
};

/* What the registry wants to know of folder/training.json. OL_ENOTFOUND: there is none. */
int training_record_read(const char *folder, struct training_record *out, struct err *e)
    __attribute__((warn_unused_result));
/* The same from the file's text. */
int training_record_parse(const char *text, size_t n, struct training_record *out, struct err *e)
    __attribute__((warn_unused_result));
void training_record_deinit(struct training_record *r);

#endif
