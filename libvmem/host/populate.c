/* SPDX-License-Identifier: BSD-3-Clause */
/* Allocating memory before it is used, by several threads where the host wants
 * that. The threads call the kernel and nothing of the host's; they take no lock
 * and are gone before the call returns. */
#include <errno.h>
#include <stdatomic.h>

#include "base/range.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/sys.h"

/* What one thread populates. */
struct share {
    struct vmem_backing *backing;
    struct vmem_range range;
    atomic_bool *stop; /* some share failed: the rest would be undone */
    pthread_t thread;
    int ret;
};

/* Never by touching: where memory runs out a touch is a signal. */
static int populate_steps(struct vmem_backing *backing,
                          const struct vmem_range *range,
                          const atomic_bool *stop)
{
    const struct vmemi_memory *memory = backing->impl;
    const uint64_t end = vmemi_range_end(range);
    uint64_t offset = range->offset;
    int ret = 0;

    while (
        offset < end && ret == 0 &&
        !(stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))) {
        uint64_t step_end = vmemi_memory_step_end(memory, offset, end);

        ret = vmemi_memory_advise(backing, offset, step_end - offset,
                                  MADV_POPULATE_WRITE);
        offset = step_end;
    }
    return ret;
}

static void *populate_share(void *opaque)
{
    struct share *share = opaque;

    share->ret = populate_steps(share->backing, &share->range, share->stop);
    if (share->ret < 0) {
        atomic_store_explicit(share->stop, true, memory_order_relaxed);
    }
    return NULL;
}

/* Shares meet where a page table or a huge page ends, so that no two threads
 * want the same one. */
static uint64_t share_unit(const struct vmemi_memory *memory)
{
    return vmemi_max(VMEMI_MEMORY_TABLE_SIZE, memory->map_page_size);
}

static unsigned int nr_shares(const struct vmemi_memory *memory, uint64_t size)
{
    const uint64_t least =
        vmemi_max(VMEM_BACKING_POPULATE_SHARE, share_unit(memory));

    return (unsigned int)vmemi_min(memory->populate_threads, size / least);
}

/* Each is at least a unit long, because nr_shares() saw to that. */
static void cut(struct share *shares, unsigned int nr,
                struct vmem_backing *backing, const struct vmem_range *range,
                atomic_bool *stop)
{
    const struct vmemi_memory *memory = backing->impl;
    const uint64_t hva = (uint64_t)(uintptr_t)memory->hva;
    uint64_t offset = range->offset;

    for (unsigned int i = 0; i < nr; i++) {
        uint64_t end = vmemi_range_end(range);

        if (i + 1 < nr) {
            end = range->offset + range->size / nr * (i + 1);
            end = vmemi_align_down(hva + end, share_unit(memory)) - hva;
        }
        shares[i] = (struct share){ .backing = backing,
                                    .range = { offset, end - offset },
                                    .stop = stop };
        offset = end;
    }
}

/* The calling thread takes the first share, and those for which no thread could
 * be had. The error is that of the lowest share that failed. */
static int populate_shares(struct vmem_backing *backing,
                           const struct vmem_range *range, unsigned int nr)
{
    struct share shares[VMEM_BACKING_MAX_POPULATE_THREADS];
    const struct vmemi_sys *sys = vmemi_sys_get();
    atomic_bool stop = false;
    unsigned int nr_started = 1;
    int ret = 0;

    cut(shares, nr, backing, range, &stop);
    while (nr_started < nr && ret == 0) {
        struct share *share = &shares[nr_started];

        ret = sys->thread_start(&share->thread, populate_share, share);
        nr_started += ret == 0;
    }
    vmemi_backing_count_threads(backing, nr_started - 1, ret < 0);
    populate_share(&shares[0]);
    for (unsigned int i = nr_started; i < nr; i++) {
        populate_share(&shares[i]);
    }
    for (unsigned int i = 1; i < nr_started; i++) {
        sys->thread_join(shares[i].thread);
    }
    ret = 0;
    for (unsigned int i = 0; i < nr && ret == 0; i++) {
        ret = shares[i].ret;
    }
    return ret;
}

int vmemi_memory_populate(struct vmem_backing *backing,
                          const struct vmem_range *range)
{
    const struct vmemi_memory *memory = backing->impl;
    unsigned int nr;

    if (!memory->can_populate) {
        return -ENOTSUP;
    }
    nr = nr_shares(memory, range->size);
    return nr > 1 ? populate_shares(backing, range, nr)
                  : populate_steps(backing, range, NULL);
}
