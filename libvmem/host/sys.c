/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/sys.h"

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
