#include "cli/train_folder.h"

#include "model/hf_dir.h"
#include "training/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "train"

enum { FOLDER_MODE = 0755 };

static bool has(const struct train_folder *f, const char *name) { return faccessat(f->fd, name, F_OK, 0) == 0; }

int train_folder_open(const char *path, struct train_folder *f, struct err *e)
{
    *f = (struct train_folder){.path = path, .fd = -1};
    if (mkdir(path, FOLDER_MODE) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "cannot make the folder %s: %s", path, strerror(errno));
    f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return err_set(e, OL_EIO, MODULE, "cannot open the folder %s: %s", path, strerror(errno));
    f->checkpoint = hf_dir_join(path, TRAIN_CHECKPOINT);
    int rc = 0;
    if (!f->checkpoint)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory");
    else if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
        rc = err_set(e, OL_EBUSY, MODULE, "another training writes into %s", path);
    if (rc) {
        train_folder_close(f);
        return rc;
    }
    f->has_checkpoint = has(f, TRAIN_CHECKPOINT);
    f->has_adapter = has(f, "adapter_model.safetensors");
    f->has_record = has(f, RECORD_NAME);
    return 0;
}

void train_folder_close(struct train_folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->checkpoint);
    *f = (struct train_folder){.fd = -1};
}

int train_folder_remove(struct train_folder *f, const char *name, struct err *e)
{
    if (unlinkat(f->fd, name, 0) == 0 ? fsync(f->fd) == 0 : errno == ENOENT)
        return 0;
    return err_set(e, OL_EIO, MODULE, "cannot remove %s/%s: %s", f->path, name, strerror(errno));
}
