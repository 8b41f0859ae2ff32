/* SPDX-License-Identifier: BSD-3-Clause */
/* What is mapped, for those who ask about it. */
#include <errno.h>

#include "base/range.h"
#include "dma/mapper.h"

static int visit_chunks(const struct vmem_dma_attachment *attachment,
                        vmem_dma_run_fn fn, void *opaque)
{
    const uint64_t end = attachment->nr_chunks;
    uint64_t run_end;
    int ret = 0;

    for (uint64_t chunk = vmem_bitmap_next_set(attachment->mapped, 0, end);
         chunk < end && ret == 0;
         chunk = vmem_bitmap_next_set(attachment->mapped, run_end, end)) {
        struct vmem_dma_run run = {
            .struct_size = sizeof(run),
            .attachment = attachment,
            .region = attachment->region,
        };

        run_end = vmem_bitmap_next_clear(attachment->mapped, chunk, end);
        run.range = vmemi_dma_chunk_range(attachment, chunk, run_end - chunk);
        run.iova =
            attachment->iova + (run.range.offset - attachment->window.offset);
        run.nr_mappings = run_end - chunk;
        ret = fn(&run, opaque);
    }
    return ret;
}

static int visit_guests(const struct vmem_dma *dma,
                        const struct vmem_dma_attachment *target,
                        vmem_dma_run_fn fn, void *opaque)
{
    const struct vmemi_dma_guest *guest =
        vmemi_dma_guest_at(dma, 0, UINT64_MAX);
    int ret = 0;

    for (; guest != NULL && ret == 0; guest = vmemi_dma_guest_next(guest)) {
        const struct vmem_dma_run run = {
            .struct_size = sizeof(run),
            .attachment = guest->target,
            .region = guest->target->region,
            .range = guest->range,
            .iova = guest->iova,
            .nr_mappings = 1,
        };

        if (!guest->is_stuck && (target == NULL || guest->target == target)) {
            ret = fn(&run, opaque);
        }
    }
    return ret;
}

int vmem_dma_for_each_mapped(struct vmem_dma *dma,
                             const struct vmem_dma_attachment *attachment,
                             vmem_dma_run_fn fn, void *opaque)
{
    struct vmemi_log_queue log;
    int ret = 0;

    if (dma == NULL || fn == NULL ||
        (attachment != NULL && attachment->dma != dma)) {
        return -EINVAL;
    }
    /* Below a mapper's lock are those of lists and claims, which a backend may
     * walk; waiting for it under one of them could be a deadlock, and for a
     * second mapper too. */
    if (vmemi_frame_is_inside(NULL, VMEMI_FRAME_DMA | VMEMI_FRAME_INVENTORY |
                                        VMEMI_FRAME_POLICY)) {
        return -EDEADLK;
    }
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (GList *link = dma->attachments.head; link != NULL && ret == 0;
         link = link->next) {
        const struct vmem_dma_attachment *listed = link->data;

        if (!listed->is_target &&
            (attachment == NULL || attachment == listed)) {
            ret = visit_chunks(listed, fn, opaque);
        }
    }
    if (ret == 0 && (attachment == NULL || attachment->is_target)) {
        ret = visit_guests(dma, attachment, fn, opaque);
    }
    vmemi_dma_unlock(dma);
    return ret;
}
