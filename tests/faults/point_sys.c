/* SPDX-License-Identifier: BSD-3-Clause */
#include "faults/point_sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faults/point.h"
#include "host/kernel.h"
#include "host/sys.h"

#define PRETENDED_PAGE_SIZE ((uint64_t)2 << 20)
#define MAX_FDS 1024
#define MAX_MAPPINGS 64

static bool pretends_huge;
static bool refuses_discards;

/* ---- what the library holds ---- */

static bool is_open[MAX_FDS];
static size_t nr_bad_closes;
static int nr_unjoined;

static struct {
    uintptr_t start;
    uintptr_t end;
} mappings[MAX_MAPPINGS];
static size_t nr_mappings;

static void add_mapping(uintptr_t start, uintptr_t end)
{
    if (start >= end) {
        return;
    }
    if (nr_mappings == MAX_MAPPINGS) {
        abort();
    }
    mappings[nr_mappings].start = start;
    mappings[nr_mappings++].end = end;
}

static void remove_mapping(uintptr_t start, uintptr_t end)
{
    const size_t nr = nr_mappings;

    for (size_t i = nr; i-- > 0;) {
        const uintptr_t old_start = mappings[i].start;
        const uintptr_t old_end = mappings[i].end;

        if (old_end <= start || old_start >= end) {
            continue;
        }
        mappings[i] = mappings[--nr_mappings];
        add_mapping(old_start, start);
        add_mapping(end, old_end);
    }
}

size_t point_sys_nr_fds(void)
{
    size_t nr = 0;

    for (size_t i = 0; i < MAX_FDS; i++) {
        nr += is_open[i];
    }
    return nr;
}

size_t point_sys_nr_bad_closes(void)
{
    return nr_bad_closes;
}

uint64_t point_sys_mapped(bool excused)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < nr_mappings; i++) {
        sum += mappings[i].end - mappings[i].start;
        if (excused) {
            vmemi_sys_linux.munmap((void *)mappings[i].start,
                                   mappings[i].end - mappings[i].start);
        }
    }
    nr_mappings = excused ? 0 : nr_mappings;
    return excused ? 0 : sum;
}

static int opened(int fd)
{
    if (fd >= MAX_FDS) {
        abort();
    }
    if (fd >= 0) {
        is_open[fd] = true;
    }
    return fd;
}

/* ---- the table; each asks point() itself, whose caller's caller is the site */

static int sys_madvise(void *hva, uint64_t size, int advice)
{
    static const int variants[] = { -ENOMEM, -EFAULT, -EINTR,
                                    POINT_STICKY_EINTR, 0 };
    const int variant = point("madvise", variants);

    if (refuses_discards) {
        return -EIO;
    }
    return variant != 0 ? variant : vmemi_sys_linux.madvise(hva, size, advice);
}

static int sys_fallocate(int fd, int mode, uint64_t fd_offset, uint64_t size)
{
    static const int variants[] = {
        -EIO, -ENOSPC, -EOPNOTSUPP, -EINTR, POINT_STICKY_EINTR, 0
    };
    const int variant = point("fallocate", variants);

    if (refuses_discards) {
        return -EIO;
    }
    return variant != 0 ? variant
                        : vmemi_sys_linux.fallocate(fd, mode, fd_offset, size);
}

static int sys_mincore(void *hva, uint64_t size, unsigned char *pages)
{
    static const int variants[] = { -EAGAIN, -EINTR, POINT_STICKY_EINTR, 0 };
    const int variant = point("mincore", variants);

    return variant != 0 ? variant : vmemi_sys_linux.mincore(hva, size, pages);
}

/* As large, but never at a multiple of 2 MiB: so that who wants one always has to
 * give something back on both sides. */
static int reserve_crooked(uint64_t size, int flags, void **hva)
{
    const uint64_t page_size = vmemi_sys_linux.page_size();
    char *start;
    void *mapped;
    bool is_straight;
    int ret;

    ret = vmemi_sys_linux.mmap(NULL, size + page_size, PROT_NONE, flags, -1, 0,
                               &mapped);
    if (ret < 0) {
        return ret;
    }
    start = mapped;
    is_straight = ((uintptr_t)start & (PRETENDED_PAGE_SIZE - 1)) == 0;
    vmemi_sys_linux.munmap(is_straight ? start : start + size, page_size);
    *hva = is_straight ? start + page_size : start;
    return 0;
}

static int sys_mmap(void *wanted, uint64_t size, int protection, int flags,
                    int fd, uint64_t fd_offset, void **hva)
{
    static const int variants[] = { -ENOMEM, -ENODEV, 0 };
    const int variant = point("mmap", variants);
    int ret;

    if (variant != 0) {
        return variant;
    }
    if (pretends_huge) {
        flags = (int)((unsigned int)flags &
                      ~(MAP_HUGETLB | (0x3fu << MAP_HUGE_SHIFT)));
    }
    if (wanted == NULL && protection == PROT_NONE &&
        (flags & MAP_HUGETLB) == 0) {
        ret = reserve_crooked(size, flags, hva);
    } else {
        ret = vmemi_sys_linux.mmap(wanted, size, protection, flags, fd,
                                   fd_offset, hva);
    }
    if (ret == 0) {
        remove_mapping((uintptr_t)*hva, (uintptr_t)*hva + size);
        add_mapping((uintptr_t)*hva, (uintptr_t)*hva + size);
    }
    return ret;
}

static int sys_munmap(void *hva, uint64_t size)
{
    static const int variants[] = { -ENOMEM, 0 };
    const int variant = point("munmap", variants);

    if (variant != 0) {
        return variant;
    }
    remove_mapping((uintptr_t)hva, (uintptr_t)hva + size);
    return vmemi_sys_linux.munmap(hva, size);
}

static int sys_memfd_create(const char *name, unsigned int flags)
{
    static const int variants[] = { -EMFILE, -EACCES, -EINVAL, 0 };
    const int variant = point("memfd_create", variants);

    if (variant != 0) {
        return variant;
    }
    if (pretends_huge) {
        flags &= ~(MFD_HUGETLB | (0x3fu << MAP_HUGE_SHIFT));
    }
    return opened(vmemi_sys_linux.memfd_create(name, flags));
}

static int sys_ftruncate(int fd, uint64_t size)
{
    static const int variants[] = { -ENOSPC, -EINTR, POINT_STICKY_EINTR, 0 };
    const int variant = point("ftruncate", variants);

    return variant != 0 ? variant : vmemi_sys_linux.ftruncate(fd, size);
}

static int sys_open(const char *path, int flags, mode_t mode)
{
    static const int variants[] = { -EMFILE, -EACCES, -ENOENT,
                                    -EEXIST, -EINTR,  POINT_STICKY_EINTR,
                                    0 };
    const int variant = point("open", variants);

    if (variant != 0) {
        return variant;
    }
    /* It would tell what is only pretended. */
    if (pretends_huge && strcmp(path, "/proc/self/smaps") == 0) {
        return -ENOENT;
    }
    return opened(vmemi_sys_linux.open(path, flags, mode));
}

/* Closes, and then may fail, as Linux does. */
static int sys_close(int fd)
{
    static const int variants[] = { -EIO, -EINTR, 0 };
    const int variant = point("close", variants);
    int ret;

    if (fd < 0 || fd >= MAX_FDS || !is_open[fd]) {
        nr_bad_closes++;
        return -EBADF;
    }
    is_open[fd] = false;
    ret = vmemi_sys_linux.close(fd);
    return variant != 0 ? variant : ret;
}

static int sys_unlink(const char *path)
{
    static const int variants[] = { -EPERM, 0 };
    const int variant = point("unlink", variants);

    return variant != 0 ? variant : vmemi_sys_linux.unlink(path);
}

static int sys_fcntl(int fd, int command, int argument)
{
    static const int variants[] = { -EBADF, -EIO, 0 };
    const int variant = point("fcntl", variants);

    return variant != 0 ? variant
                        : vmemi_sys_linux.fcntl(fd, command, argument);
}

static int sys_fstat(int fd, struct stat *status)
{
    static const int variants[] = { -EIO, 0 };
    const int variant = point("fstat", variants);

    return variant != 0 ? variant : vmemi_sys_linux.fstat(fd, status);
}

static int sys_fstatfs(int fd, struct statfs *status)
{
    static const int variants[] = { -EIO, -EINTR, POINT_STICKY_EINTR, 0 };
    const int variant = point("fstatfs", variants);
    int ret;

    if (variant != 0) {
        return variant;
    }
    ret = vmemi_sys_linux.fstatfs(fd, status);
    if (ret == 0 && pretends_huge) {
        status->f_type = HUGETLBFS_MAGIC;
        status->f_bsize = (__typeof__(status->f_bsize))PRETENDED_PAGE_SIZE;
    }
    return ret;
}

static int64_t sys_lseek(int fd, int64_t fd_offset, int whence)
{
    static const int variants[] = { -EIO, -ENXIO, 0 };
    const int variant = point("lseek", variants);

    return variant != 0 ? variant
                        : vmemi_sys_linux.lseek(fd, fd_offset, whence);
}

static int64_t sys_read(int fd, void *bytes, uint64_t size)
{
    static const int variants[] = { -EIO,        -EINTR,    POINT_STICKY_EINTR,
                                    POINT_SHORT, POINT_END, 0 };
    const int variant = point("read", variants);

    if (variant < 0) {
        return variant;
    }
    if (variant == POINT_END) {
        return 0;
    }
    return vmemi_sys_linux.read(fd, bytes, variant == POINT_SHORT ? 1 : size);
}

static int64_t sys_pread(int fd, void *bytes, uint64_t size, uint64_t fd_offset)
{
    static const int variants[] = { -EIO,        -EINTR,    POINT_STICKY_EINTR,
                                    POINT_SHORT, POINT_END, 0 };
    const int variant = point("pread", variants);

    if (variant < 0) {
        return variant;
    }
    if (variant == POINT_END) {
        return 0;
    }
    /* The kernel gives whole entries of pagemap only. */
    return vmemi_sys_linux.pread(fd, bytes, variant == POINT_SHORT ? 8 : size,
                                 fd_offset);
}

static int sys_pagemap_scan(int fd, struct pm_scan_arg *scan)
{
    static const int variants[] = { -ENOTTY, -EINTR, POINT_STICKY_EINTR, 0 };
    const int variant = point("pagemap_scan", variants);

    /* Valgrind does not know that the kernel writes there. */
    memset((void *)(uintptr_t)scan->vec, 0,
           scan->vec_len * sizeof(struct page_region));
    return variant != 0 ? variant : vmemi_sys_linux.pagemap_scan(fd, scan);
}

static uint64_t sys_page_size(void)
{
    point_reached("page_size");
    return vmemi_sys_linux.page_size();
}

/* At once and on this thread: what is planned to fail is counted in the order of
 * the calls, which must be the same each time. */
static int sys_thread_start(pthread_t *thread, void *(*run)(void *opaque),
                            void *opaque)
{
    static const int variants[] = { -EAGAIN, -EINVAL, 0 };
    const int variant = point("thread_start", variants);

    if (variant == 0) {
        *thread = pthread_self();
        run(opaque);
        nr_unjoined++;
    }
    return variant;
}

static void sys_thread_join(pthread_t thread)
{
    (void)thread;
    point_reached("thread_join");
    nr_unjoined--;
}

int point_sys_nr_threads(void)
{
    return nr_unjoined;
}

void point_sys_install(void)
{
    static const struct vmemi_sys table = {
        .madvise = sys_madvise,
        .fallocate = sys_fallocate,
        .mincore = sys_mincore,
        .mmap = sys_mmap,
        .munmap = sys_munmap,
        .memfd_create = sys_memfd_create,
        .ftruncate = sys_ftruncate,
        .open = sys_open,
        .close = sys_close,
        .unlink = sys_unlink,
        .fcntl = sys_fcntl,
        .fstat = sys_fstat,
        .fstatfs = sys_fstatfs,
        .lseek = sys_lseek,
        .read = sys_read,
        .pread = sys_pread,
        .pagemap_scan = sys_pagemap_scan,
        .page_size = sys_page_size,
        .thread_start = sys_thread_start,
        .thread_join = sys_thread_join,
    };

    vmemi_sys_set(&table);
}

void point_sys_remove(void)
{
    vmemi_sys_set(NULL);
}

void point_pretend_huge(bool pretend)
{
    pretends_huge = pretend;
}

void point_refuse_discards(bool refuse)
{
    refuses_discards = refuse;
}
