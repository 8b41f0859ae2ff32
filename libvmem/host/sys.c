/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/sys.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "host/kernel.h"

static int negative_errno(int ret)
{
    return ret < 0 ? -errno : ret;
}

static int linux_madvise(void *hva, uint64_t size, int advice)
{
    return negative_errno(madvise(hva, (size_t)size, advice));
}

static int linux_fallocate(int fd, int mode, uint64_t fd_offset, uint64_t size)
{
    return negative_errno(fallocate(fd, mode, (off_t)fd_offset, (off_t)size));
}

static int linux_mincore(void *hva, uint64_t size, unsigned char *pages)
{
    return negative_errno(mincore(hva, (size_t)size, pages));
}

static int linux_mmap(void *wanted, uint64_t size, int protection, int flags,
                      int fd, uint64_t fd_offset, void **hva)
{
    void *mapped =
        mmap(wanted, (size_t)size, protection, flags, fd, (off_t)fd_offset);

    if (mapped == MAP_FAILED) {
        return -errno;
    }
    *hva = mapped;
    return 0;
}

static int linux_munmap(void *hva, uint64_t size)
{
    return negative_errno(munmap(hva, (size_t)size));
}

static int linux_memfd_create(const char *name, unsigned int flags)
{
    return negative_errno(memfd_create(name, flags));
}

static int linux_ftruncate(int fd, uint64_t size)
{
    return negative_errno(ftruncate(fd, (off_t)size));
}

static int linux_open(const char *path, int flags, mode_t mode)
{
    return negative_errno(open(path, flags, mode));
}

static int linux_close(int fd)
{
    return negative_errno(close(fd));
}

static int linux_unlink(const char *path)
{
    return negative_errno(unlink(path));
}

static int linux_fcntl(int fd, int command, int argument)
{
    return negative_errno(fcntl(fd, command, argument));
}

static int linux_fstat(int fd, struct stat *status)
{
    return negative_errno(fstat(fd, status));
}

static int linux_fstatfs(int fd, struct statfs *status)
{
    return negative_errno(fstatfs(fd, status));
}

static int64_t linux_lseek(int fd, int64_t fd_offset, int whence)
{
    off_t ret = lseek(fd, (off_t)fd_offset, whence);

    return ret < 0 ? -errno : ret;
}

static int64_t linux_read(int fd, void *bytes, uint64_t size)
{
    ssize_t ret = read(fd, bytes, (size_t)size);

    return ret < 0 ? -errno : ret;
}

static int64_t linux_pread(int fd, void *bytes, uint64_t size,
                           uint64_t fd_offset)
{
    ssize_t ret = pread(fd, bytes, (size_t)size, (off_t)fd_offset);

    return ret < 0 ? -errno : ret;
}

static int linux_pagemap_scan(int fd, struct pm_scan_arg *scan)
{
    return negative_errno(ioctl(fd, PAGEMAP_SCAN, scan));
}

static uint64_t linux_page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The default of some MiB each would be locked into memory by a host that calls
 * mlockall(). */
#define THREAD_STACK_SIZE ((size_t)256 << 10)

/* A handler of the host's would run on that small stack. */
static int linux_thread_start(pthread_t *thread, void *(*run)(void *opaque),
                              void *opaque)
{
    pthread_attr_t attributes;
    sigset_t before;
    sigset_t all;
    int error = pthread_attr_init(&attributes);

    if (error != 0) {
        return -error;
    }
    error = pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
    if (error == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(thread, &attributes, run, opaque);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return -error;
}

static void linux_thread_join(pthread_t thread)
{
    pthread_join(thread, NULL);
}

const struct vmemi_sys vmemi_sys_linux = {
    .madvise = linux_madvise,
    .fallocate = linux_fallocate,
    .mincore = linux_mincore,
    .mmap = linux_mmap,
    .munmap = linux_munmap,
    .memfd_create = linux_memfd_create,
    .ftruncate = linux_ftruncate,
    .open = linux_open,
    .close = linux_close,
    .unlink = linux_unlink,
    .fcntl = linux_fcntl,
    .fstat = linux_fstat,
    .fstatfs = linux_fstatfs,
    .lseek = linux_lseek,
    .read = linux_read,
    .pread = linux_pread,
    .pagemap_scan = linux_pagemap_scan,
    .page_size = linux_page_size,
    .thread_start = linux_thread_start,
    .thread_join = linux_thread_join,
};

static _Atomic(const struct vmemi_sys *) current_sys = &vmemi_sys_linux;

const struct vmemi_sys *vmemi_sys_get(void)
{
    return atomic_load_explicit(&current_sys, memory_order_acquire);
}

void vmemi_sys_set(const struct vmemi_sys *sys)
{
    atomic_store(&current_sys, sys != NULL ? sys : &vmemi_sys_linux);
}
