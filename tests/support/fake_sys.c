/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "host/kernel.h"
#include "host/sys.h"

static struct fake_sys *fake;

/* Threads of the library call at the same time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int enter_locked(enum fake_call call)
{
    unsigned int number = ++fake->nr_calls[call];
    unsigned int any_number = ++fake->nr_calls[FAKE_ANY];

    if (fake->call == FAKE_ANY) {
        number = any_number;
    } else if (fake->call != call) {
        return 0;
    }
    if (fake->count == 0 || number < fake->first ||
        number - fake->first >= fake->count) {
        return 0;
    }
    fake->nr_failed++;
    fake->failed = call;
    return -fake->error;
}

/* Counts a call; 0, or the error that it must return. */
static int enter(enum fake_call call)
{
    int ret;

    pthread_mutex_lock(&lock);
    ret = enter_locked(call);
    pthread_mutex_unlock(&lock);
    return ret;
}

static int record(enum fake_call call, int detail, uint64_t start,
                  uint64_t size, int ret)
{
    const size_t room = sizeof(fake->records) / sizeof(fake->records[0]);

    pthread_mutex_lock(&lock);
    if (fake->nr_records < room) {
        fake->records[fake->nr_records++] =
            (struct fake_record){ call, detail, start, size, ret };
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

static int fake_madvise(void *hva, uint64_t size, int advice)
{
    const uint64_t distance =
        (uint64_t)(uintptr_t)fake->hva - (uint64_t)(uintptr_t)hva;
    int ret = enter(FAKE_MADVISE);

    if (advice == MADV_POPULATE_WRITE && fake->hva != NULL && distance < size) {
        ret = -fake->hva_error;
    } else if (ret == 0) {
        ret = vmemi_sys_linux.madvise(hva, size, advice);
    }
    return record(FAKE_MADVISE, advice, (uint64_t)(uintptr_t)hva, size, ret);
}

static int fake_fallocate(int fd, int mode, uint64_t fd_offset, uint64_t size)
{
    int ret = enter(FAKE_FALLOCATE);

    if (ret == 0) {
        ret = vmemi_sys_linux.fallocate(fd, mode, fd_offset, size);
    }
    return record(FAKE_FALLOCATE, mode, fd_offset, size, ret);
}

static int fake_mincore(void *hva, uint64_t size, unsigned char *pages)
{
    int ret = enter(FAKE_MINCORE);

    return ret < 0 ? ret : vmemi_sys_linux.mincore(hva, size, pages);
}

static int fake_mmap(void *wanted, uint64_t size, int protection, int flags,
                     int fd, uint64_t fd_offset, void **hva)
{
    void *mapped = NULL;
    int ret = enter(FAKE_MMAP);

    if (ret == 0) {
        ret = vmemi_sys_linux.mmap(wanted, size, protection, flags, fd,
                                   fd_offset, &mapped);
        if (ret == 0) {
            *hva = mapped;
        }
    }
    return record(FAKE_MMAP, flags, (uint64_t)(uintptr_t)mapped, size, ret);
}

static int fake_munmap(void *hva, uint64_t size)
{
    int ret = enter(FAKE_MUNMAP);

    if (ret == 0) {
        ret = vmemi_sys_linux.munmap(hva, size);
    }
    return record(FAKE_MUNMAP, 0, (uint64_t)(uintptr_t)hva, size, ret);
}

static int fake_memfd_create(const char *name, unsigned int flags)
{
    int ret = enter(FAKE_MEMFD_CREATE);

    return ret < 0 ? ret : vmemi_sys_linux.memfd_create(name, flags);
}

static int fake_ftruncate(int fd, uint64_t size)
{
    int ret = enter(FAKE_FTRUNCATE);

    return ret < 0 ? ret : vmemi_sys_linux.ftruncate(fd, size);
}

static int fake_open(const char *path, int flags, mode_t mode)
{
    int ret = enter(FAKE_OPEN);

    if (ret == 0 && fake->path != NULL &&
        strncmp(path, fake->path, strlen(fake->path)) == 0) {
        ret = -fake->path_error;
    }
    return ret < 0 ? ret : vmemi_sys_linux.open(path, flags, mode);
}

static int fake_close(int fd)
{
    int ret = enter(FAKE_CLOSE);
    int real = vmemi_sys_linux.close(fd);

    return ret < 0 ? ret : real;
}

static int fake_unlink(const char *path)
{
    int ret = enter(FAKE_UNLINK);

    return ret < 0 ? ret : vmemi_sys_linux.unlink(path);
}

static int fake_fcntl(int fd, int command, int argument)
{
    int ret = enter(FAKE_FCNTL);

    return ret < 0 ? ret : vmemi_sys_linux.fcntl(fd, command, argument);
}

static int fake_fstat(int fd, struct stat *status)
{
    int ret = enter(FAKE_FSTAT);

    if (ret == 0) {
        ret = vmemi_sys_linux.fstat(fd, status);
    }
    if (ret == 0 && fake->file_size != 0 &&
        fake->nr_calls[FAKE_FSTAT] >= fake->size_from) {
        status->st_size = (off_t)fake->file_size;
    }
    return ret;
}

static int fake_fstatfs(int fd, struct statfs *status)
{
    int ret = enter(FAKE_FSTATFS);

    if (ret == 0) {
        ret = vmemi_sys_linux.fstatfs(fd, status);
    }
    if (ret == 0 && fake->fs_block_size != 0) {
        status->f_bsize = (__typeof__(status->f_bsize))fake->fs_block_size;
    }
    if (ret == 0 && fake->fs_type != 0) {
        status->f_type = (__typeof__(status->f_type))fake->fs_type;
    }
    return ret;
}

static int64_t fake_lseek(int fd, int64_t fd_offset, int whence)
{
    int ret = enter(FAKE_LSEEK);

    if (ret == 0 && fake->is_stuck && whence == SEEK_HOLE) {
        return fd_offset;
    }
    return ret < 0 ? ret : vmemi_sys_linux.lseek(fd, fd_offset, whence);
}

static uint64_t limited(uint64_t size)
{
    return fake->max_read != 0 && fake->max_read < size ? fake->max_read : size;
}

static int64_t fake_read(int fd, void *bytes, uint64_t size)
{
    int ret = enter(FAKE_READ);
    size_t left;

    if (ret < 0) {
        return ret;
    }
    size = limited(size);
    if (fake->text == NULL) {
        return vmemi_sys_linux.read(fd, bytes, size);
    }
    left = strlen(fake->text) - fake->text_position;
    if (left < size) {
        size = left;
    }
    memcpy(bytes, fake->text + fake->text_position, size);
    fake->text_position += size;
    return (int64_t)size;
}

static int64_t fake_pread(int fd, void *bytes, uint64_t size,
                          uint64_t fd_offset)
{
    int ret = enter(FAKE_PREAD);

    return ret < 0 ? ret
                   : vmemi_sys_linux.pread(fd, bytes, limited(size), fd_offset);
}

static int fake_pagemap_scan(int fd, struct pm_scan_arg *scan)
{
    int ret = enter(FAKE_PAGEMAP_SCAN);

    if (ret == 0 && fake->is_stuck) {
        scan->walk_end = scan->start;
        return 0;
    }
    return ret < 0 ? ret : vmemi_sys_linux.pagemap_scan(fd, scan);
}

static uint64_t fake_page_size(void)
{
    return fake->page_size != 0 ? fake->page_size : vmemi_sys_linux.page_size();
}

static int fake_thread_start(pthread_t *thread, void *(*run)(void *opaque),
                             void *opaque)
{
    int ret = enter(FAKE_THREAD_START);

    return ret < 0 ? ret : vmemi_sys_linux.thread_start(thread, run, opaque);
}

static void fake_thread_join(pthread_t thread)
{
    vmemi_sys_linux.thread_join(thread);
}

void fake_sys_install(struct fake_sys *to_install)
{
    static const struct vmemi_sys table = {
        .madvise = fake_madvise,
        .fallocate = fake_fallocate,
        .mincore = fake_mincore,
        .mmap = fake_mmap,
        .munmap = fake_munmap,
        .memfd_create = fake_memfd_create,
        .ftruncate = fake_ftruncate,
        .open = fake_open,
        .close = fake_close,
        .unlink = fake_unlink,
        .fcntl = fake_fcntl,
        .fstat = fake_fstat,
        .fstatfs = fake_fstatfs,
        .lseek = fake_lseek,
        .read = fake_read,
        .pread = fake_pread,
        .pagemap_scan = fake_pagemap_scan,
        .page_size = fake_page_size,
        .thread_start = fake_thread_start,
        .thread_join = fake_thread_join,
    };

    memset(to_install->nr_calls, 0, sizeof(to_install->nr_calls));
    to_install->nr_failed = 0;
    to_install->nr_records = 0;
    to_install->text_position = 0;
    fake = to_install;
    vmemi_sys_set(&table);
}

void fake_sys_remove(void)
{
    vmemi_sys_set(NULL);
    fake = NULL;
}

const char *fake_call_name(enum fake_call call)
{
    static const char *const names[] = {
        "madvise",      "fallocate",    "mincore",      "mmap",  "munmap",
        "memfd_create", "ftruncate",    "open",         "close", "unlink",
        "fcntl",        "fstat",        "fstatfs",      "lseek", "read",
        "pread",        "pagemap_scan", "thread_start", "any",
    };

    return names[call];
}
