/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_HOST_MEMORY_H
#define VMEMI_HOST_MEMORY_H

#include <stdbool.h>

#include "base/name.h"
#include "core/backing.h"

struct statfs;

/* Page tables and huge mappings come and go in units of this, by hva. */
#define VMEMI_MEMORY_TABLE_SIZE ((uint64_t)2 << 20)

/* The impl of a backing of mapped memory. Nothing changes after creation. */
struct vmemi_memory {
    struct vmemi_name name;
    char *hva;
    uint64_t size;
    uint64_t fd_offset;
    uint64_t map_page_size;    /* of the mapping */
    uint64_t page_size;        /* unit of a discard: the above, or the larger
                               block of the file system */
    uint64_t flags;            /* of the mapping or request, LOCKED as found */
    uint64_t uses;             /* set of VMEM_BACKING_USES_* */
    uint64_t fs_type;          /* statfs::f_type; 0 without descriptor */
    uint64_t populate_threads; /* at most MAX_POPULATE_THREADS */
    uint32_t kind;
    int fd;            /* -1: none */
    bool is_made;      /* unmapped and closed by the library */
    bool may_write;    /* false: mapped from a read-only descriptor */
    bool can_populate; /* the kernel has MADV_POPULATE_WRITE */
};

static inline bool vmemi_memory_is_shared(const struct vmemi_memory *memory)
{
    return (memory->flags & VMEM_BACKING_SHARED) != 0;
}

static inline bool vmemi_memory_is_huge(const struct vmemi_memory *memory)
{
    return memory->kind == VMEM_BACKING_HUGETLB_ANON ||
           memory->kind == VMEM_BACKING_HUGETLB_MEMFD;
}

/* describe.c: arguments that both ways of making a backing have. 0 or a negative
 * errno. */
int vmemi_memory_check_flags(const struct vmemi_name *name, uint64_t flags,
                             uint64_t known, uint32_t reserved,
                             struct vmem_error *err);
int vmemi_memory_check_threads(const struct vmemi_memory *memory,
                               struct vmem_error *err);
int vmemi_memory_check_extent(const struct vmemi_memory *memory,
                              struct vmem_error *err);

/* judge.c: what may be done with memory->fd? Sets kind, page sizes and fs_type;
 * page_size must be what the host asked for, or 0. 0 or a negative errno. */
int vmemi_memory_judge_file(struct vmemi_memory *memory,
                            struct vmem_error *err);

/* judge.c: address, size and fd_offset against the page sizes. */
int vmemi_memory_check_aligned(const struct vmemi_memory *memory,
                               struct vmem_error *err);

/* judge.c: the decision table. Everything but uses and can_populate is
 * known. 0 or a negative errno. */
int vmemi_memory_choose_discard(struct vmemi_memory *memory,
                                struct vmem_error *err);

/* verify.c: compares with /proc/self/smaps, takes over the lock. 0 or a
 * negative errno; *unverified is the errno, positive, that reading failed with,
 * or 0. */
int vmemi_memory_verify(struct vmemi_memory *memory, int *unverified,
                        struct vmem_error *err);

/* describe.c: verifies, chooses, and makes the backing, which gets a copy of
 * memory. 0 or a negative errno, then memory is as before. */
int vmemi_memory_accept(struct vmem_vm *vm, const struct vmemi_memory *memory,
                        struct vmem_backing **out, struct vmem_error *err);

/* The table of core/backing.h. */
extern const struct vmemi_backing_ops vmemi_memory_ops;
int vmemi_memory_discard(struct vmem_backing *backing,
                         const struct vmem_range *range, uint64_t *done);
int vmemi_memory_populate(struct vmem_backing *backing,
                          const struct vmem_range *range);
int vmemi_memory_usage(struct vmem_backing *backing,
                       const struct vmem_range *range,
                       struct vmem_backing_usage *usage);

/* memory.c: unmaps and closes what the library made. */
void vmemi_memory_release(struct vmemi_memory *memory);

/* memory.c: where a step that starts at offset ends, at most at end. */
uint64_t vmemi_memory_step_end(const struct vmemi_memory *memory,
                               uint64_t offset, uint64_t end);

/* memory.c: one counted madvise; offset and size in the memory. */
int vmemi_memory_advise(struct vmem_backing *backing, uint64_t offset,
                        uint64_t size, int advice);

/* memory.c: of a virtio-mem device on this memory. */
uint64_t vmemi_memory_default_block_size(const struct vmemi_memory *memory);

#endif /* VMEMI_HOST_MEMORY_H */
