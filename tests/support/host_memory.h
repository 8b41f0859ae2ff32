/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_HOST_MEMORY_H
#define TESTS_HOST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of every kind, made and measured with raw system calls: nothing here
 * uses the library, whose word the tests do not take. */

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define HUGE_PAGE MIB(2)

enum host_kind {
    HOST_ANON,
    HOST_ANON_SHARED,
    HOST_MEMFD,
    HOST_MEMFD_PRIVATE,
    HOST_TMPFS,
    HOST_DISK,
    HOST_DISK_PRIVATE,
    HOST_HUGE_ANON,
    HOST_HUGE_ANON_SHARED,
    HOST_HUGE_MEMFD,
    HOST_HUGE_MEMFD_PRIVATE,
    HOST_KINDS
};

struct host_memory {
    enum host_kind kind;
    char *hva; /* 2 MiB-aligned */
    size_t size;
    size_t fd_offset;
    int fd; /* -1: none */
};

const char *host_kind_name(enum host_kind kind);
bool host_kind_is_shared(enum host_kind kind);
bool host_kind_is_huge(enum host_kind kind);
bool host_kind_has_fd(enum host_kind kind);

/* Maps memory; files are larger than the memory on both sides of it. 0 or a
 * negative errno. */
int host_memory_make(struct host_memory *memory, enum host_kind kind,
                     size_t size, size_t fd_offset);
void host_memory_free(struct host_memory *memory);

/* A file on a disk file system, already unlinked; a negative errno if there is
 * none to be found. */
int host_disk_file(void);

/* A name that does not exist yet, on a disk or on tmpfs; 0 or -ENOENT. */
int host_path(bool on_disk, char *path, size_t size);

/* What the kernel says. Each -1 if it cannot say. */
int64_t host_file_blocks(int fd);                         /* bytes */
int64_t host_file_data(int fd, size_t start, size_t end); /* bytes */
int64_t host_mincore(const void *hva, size_t size);       /* bytes */
int64_t host_pagemap(const void *hva, size_t size); /* bytes, no zero page */
int64_t host_meminfo(const char *key);              /* bytes, or pages */
bool host_has_vm_flag(const void *hva, const char *flag);
bool host_is_mapped(const void *hva, size_t size); /* any page of it */
bool host_is_zero(const void *hva, size_t size);
unsigned int host_nr_fds(void);

/* Huge pages of 2 MiB in the pool, at least nr and as few as possible more; the
 * pool is this process's alone until it is given back. False: a SKIP line says
 * why. */
bool host_pool_take(unsigned int nr);
const char *host_pool_try(unsigned int nr); /* ... returns why not, or NULL */
void host_pool_give_back(void);

#endif /* TESTS_HOST_MEMORY_H */
