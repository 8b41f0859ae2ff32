/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/range.h"
#include "host/kernel.h"
#include "host/sys.h"

#define MIN_BLOCK_SIZE ((uint64_t)1 << 20)
#define THP_SIZE_PATH "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

/* A step that is not the last ends where a table ends, so that cutting a long
 * range keeps no table that a single call would have given back. */
uint64_t vmemi_memory_step_end(const struct vmemi_memory *memory,
                               uint64_t offset, uint64_t end)
{
    const uint64_t hva = (uint64_t)(uintptr_t)memory->hva;
    const uint64_t step = vmemi_max(VMEM_BACKING_STEP, memory->page_size);
    const uint64_t unit =
        vmemi_max(VMEMI_MEMORY_TABLE_SIZE, memory->map_page_size);

    if (end - offset <= step) {
        return end;
    }
    if (memory->page_size > memory->map_page_size) {
        /* Blocks of the file system are counted from the file's start. */
        return offset + step;
    }
    return vmemi_align_down(hva + offset + step, unit) - hva;
}

int vmemi_memory_advise(struct vmem_backing *backing, uint64_t offset,
                        uint64_t size, int advice)
{
    const struct vmemi_memory *memory = backing->impl;
    unsigned int tries_left = VMEMI_SYS_MAX_TRIES;
    int ret;

    do {
        vmemi_backing_count_syscall(backing);
        ret = vmemi_sys_get()->madvise(memory->hva + offset, size, advice);
    } while (ret == -EINTR && --tries_left > 0);
    return ret;
}

/* Populated first, because memory that cannot be had, or cannot be written,
 * must be an error here and not a signal in memset. Range by range, so that
 * little time passes between the two. */
static int memory_zero(struct vmem_backing *backing,
                       const struct vmem_range *range)
{
    const struct vmemi_memory *memory = backing->impl;
    const uint64_t end = vmemi_range_end(range);
    uint64_t offset = range->offset;

    while (offset < end) {
        uint64_t step_end = vmemi_memory_step_end(memory, offset, end);
        const struct vmem_range step = { offset, step_end - offset };
        int ret = vmemi_memory_populate(backing, &step);

        if (ret < 0) {
            return ret;
        }
        memset(memory->hva + offset, 0, (size_t)step.size);
        offset = step_end;
    }
    return 0;
}

static void memory_describe(const struct vmem_backing *backing,
                            struct vmem_backing_info *info)
{
    const struct vmemi_memory *memory = backing->impl;

    info->hva = memory->hva;
    info->fd = memory->fd;
    info->fd_offset = memory->fd_offset;
    info->uses = memory->uses;
    info->flags = memory->flags;
    info->kind = memory->kind;
    info->populate_threads = memory->populate_threads;
}

void vmemi_memory_release(struct vmemi_memory *memory)
{
    if (!memory->is_made) {
        return;
    }
    if (memory->hva != NULL) {
        (void)vmemi_sys_get()->munmap(memory->hva, memory->size);
        memory->hva = NULL;
    }
    if (memory->fd >= 0) {
        (void)vmemi_sys_get()->close(memory->fd);
        memory->fd = -1;
    }
}

static void memory_destroy(void *impl)
{
    vmemi_memory_release(impl);
    vmemi_free(impl);
}

/* 0 where the kernel has no transparent huge pages. */
static uint64_t thp_size(void)
{
    const struct vmemi_sys *sys = vmemi_sys_get();
    char text[24] = { 0 };
    uint64_t size;
    int64_t length;
    int fd;

    VMEMI_SYS_RETRY(fd, sys->open(THP_SIZE_PATH, O_RDONLY | O_CLOEXEC, 0));
    if (fd < 0) {
        return 0;
    }
    VMEMI_SYS_RETRY(length, sys->read(fd, text, sizeof(text) - 1));
    (void)sys->close(fd);
    size = length > 0 ? strtoull(text, NULL, 10) : 0;
    return vmemi_is_power_of_two(size) ? size : 0;
}

/* Smaller blocks than a huge page give no memory back where the guest's memory
 * is one; smaller ones than 1 MiB cost the guest more than they gain. */
uint64_t vmemi_memory_default_block_size(const struct vmemi_memory *memory)
{
    uint64_t size = vmemi_max(memory->page_size, MIN_BLOCK_SIZE);

    return vmemi_memory_is_huge(memory) ? size : vmemi_max(size, thp_size());
}

const struct vmemi_backing_ops vmemi_memory_ops = {
    .discard = vmemi_memory_discard,
    .populate = vmemi_memory_populate,
    .zero = memory_zero,
    .usage = vmemi_memory_usage,
    .describe = memory_describe,
    .destroy = memory_destroy,
};
