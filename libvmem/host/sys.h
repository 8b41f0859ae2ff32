/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_HOST_SYS_H
#define VMEMI_HOST_SYS_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

struct pm_scan_arg;

/* Every system call of host/, so that tests count them and make each fail.
 * Results are 0 or positive, or a negative errno. */
struct vmemi_sys {
    int (*madvise)(void *hva, uint64_t size, int advice);
    int (*fallocate)(int fd, int mode, uint64_t fd_offset, uint64_t size);
    int (*mincore)(void *hva, uint64_t size, unsigned char *pages);
    int (*mmap)(void *wanted, uint64_t size, int protection, int flags, int fd,
                uint64_t fd_offset, void **hva);
    int (*munmap)(void *hva, uint64_t size);
    int (*memfd_create)(const char *name, unsigned int flags);
    int (*ftruncate)(int fd, uint64_t size);
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    int (*unlink)(const char *path);
    int (*fcntl)(int fd, int command, int argument);
    int (*fstat)(int fd, struct stat *status);
    int (*fstatfs)(int fd, struct statfs *status);
    int64_t (*lseek)(int fd, int64_t fd_offset, int whence);
    int64_t (*read)(int fd, void *bytes, uint64_t size);
    int64_t (*pread)(int fd, void *bytes, uint64_t size, uint64_t fd_offset);
    int (*pagemap_scan)(int fd, struct pm_scan_arg *scan);
    uint64_t (*page_size)(void);
    /* A thread that no signal interrupts, and that must be joined. */
    int (*thread_start)(pthread_t *thread, void *(*run)(void *opaque),
                        void *opaque);
    void (*thread_join)(pthread_t thread);
};

/* The table in use; asked anew for every operation. */
const struct vmemi_sys *vmemi_sys_get(void);

/* The kernel's, which tests wrap. */
extern const struct vmemi_sys vmemi_sys_linux;

/* For tests, while no other thread is in the library; NULL: the kernel's. */
void vmemi_sys_set(const struct vmemi_sys *sys);

/* A busy interval timer may interrupt a call again and again, and the region is
 * locked meanwhile: an end there must be. */
#define VMEMI_SYS_MAX_TRIES 64

/* Sets result to that of call, which is repeated while a signal interrupts. */
#define VMEMI_SYS_RETRY(result, call)                                          \
    do {                                                                       \
        unsigned int tries_left = VMEMI_SYS_MAX_TRIES;                         \
                                                                               \
        do {                                                                   \
            (result) = (call);                                                 \
        } while ((result) == -EINTR && --tries_left > 0);                      \
    } while (0)

#endif /* VMEMI_HOST_SYS_H */
