/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "base/range.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"

static int punch(struct vmem_backing *backing, uint64_t offset, uint64_t size)
{
    const struct vmemi_memory *memory = backing->impl;
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    unsigned int tries_left = VMEMI_SYS_MAX_TRIES;
    int ret;

    do {
        vmemi_backing_count_syscall(backing);
        ret = vmemi_sys_get()->fallocate(memory->fd, mode,
                                         memory->fd_offset + offset, size);
    } while (ret == -EINTR && --tries_left > 0);
    return ret;
}

/* The memory is gone already; what this gives back is the page tables, and
 * without empty ones no huge mapping forms again. Less than a whole table would
 * only cost time. It cannot lose memory, so its failure is none. */
static void drop_tables(struct vmem_backing *backing, uint64_t offset,
                        uint64_t end, int advice)
{
    const struct vmemi_memory *memory = backing->impl;
    uint64_t hva = (uint64_t)(uintptr_t)memory->hva;
    uint64_t first =
        vmemi_align_up_saturating(hva + offset, VMEMI_MEMORY_TABLE_SIZE);
    uint64_t last = vmemi_align_down(hva + end, VMEMI_MEMORY_TABLE_SIZE);

    if (first < last) {
        (void)vmemi_memory_advise(backing, first - hva, last - first, advice);
    }
}

/* Every part of the sequence must succeed before the step counts as done. */
static int discard_step(struct vmem_backing *backing, uint64_t offset,
                        uint64_t end)
{
    const struct vmemi_memory *memory = backing->impl;
    const uint64_t uses = memory->uses;
    const int dontneed = (uses & VMEM_BACKING_USES_LOCKED) != 0
                             ? MADV_DONTNEED_LOCKED
                             : MADV_DONTNEED;
    int ret = 0;

    if ((uses & VMEM_BACKING_USES_PUNCH_HOLE) != 0) {
        ret = punch(backing, offset, end - offset);
    } else if ((uses & VMEM_BACKING_USES_REMOVE) != 0) {
        ret = vmemi_memory_advise(backing, offset, end - offset, MADV_REMOVE);
    }
    if (ret == 0 && (uses & VMEM_BACKING_USES_DONTNEED) != 0) {
        ret = vmemi_memory_advise(backing, offset, end - offset, dontneed);
    }
    if (ret == 0 && (uses & VMEM_BACKING_USES_DONTNEED_TABLES) != 0) {
        drop_tables(backing, offset, end, dontneed);
    }
    return ret;
}

int vmemi_memory_discard(struct vmem_backing *backing,
                         const struct vmem_range *range, uint64_t *done)
{
    const struct vmemi_memory *memory = backing->impl;
    const uint64_t end = vmemi_range_end(range);
    uint64_t offset = range->offset;
    int ret = 0;

    while (offset < end && ret == 0) {
        uint64_t step_end = vmemi_memory_step_end(memory, offset, end);

        ret = discard_step(backing, offset, step_end);
        if (ret == 0) {
            offset = step_end;
        }
    }
    *done = offset - range->offset;
    return ret;
}
