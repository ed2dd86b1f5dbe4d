#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The descriptor may be closed afterwards: the mapping keeps the file open. */
static int map_descriptor(struct file_map *m, int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(e, OL_EIO, "file", "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, OL_EINVAL, "file", "%s is not a regular file", path);
    if (st.st_size <= 0)
        return err_set(e, OL_EFORMAT, "file", "%s is empty", path);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_set(e, errno == ENOMEM ? OL_ENOMEM : OL_EIO, "file", "cannot map %s: %s", path, strerror(errno));
    *m = (struct file_map){.data = p, .len = (size_t)st.st_size};
    return 0;
}

int file_map_init(struct file_map *m, const char *path, struct err *e)
{
    *m = (struct file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: opening a FIFO must not hang */
    if (fd < 0)
        return err_set(e, errno == ENOENT ? OL_ENOTFOUND : OL_EIO, "file", "cannot open %s: %s", path, strerror(errno));
    int rc = map_descriptor(m, fd, path, e);
    close(fd);
    return rc;
}

void file_map_deinit(struct file_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->len);
    *m = (struct file_map){0};
}

void file_map_drop(const struct file_map *m, const void *from, size_t len)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)from + page - 1) / page * page; /* whole pages inside the range only */
    uintptr_t last = ((uintptr_t)from + len) / page * page;
    if (m->data && first < last)
        madvise((void *)first, last - first, MADV_DONTNEED);
}
