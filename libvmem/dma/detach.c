/* SPDX-License-Identifier: BSD-3-Clause */
/* Detaching, and what could not be unmapped. */
#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

bool vmemi_dma_find_stuck(const struct vmem_dma_attachment *attachment,
                          struct vmem_range *range, uint64_t *iova)
{
    const uint64_t nr_chunks = attachment->nr_chunks;
    const struct vmemi_dma_guest *guest;
    uint64_t chunk;

    if (attachment->is_target) {
        guest = vmemi_dma_guest_into(&attachment->stuck_guests,
                                     &attachment->window);
        if (guest != NULL) {
            *range = guest->range;
            *iova = guest->iova;
        }
        return guest != NULL;
    }
    chunk = vmem_bitmap_next_set(attachment->stuck, 0, nr_chunks);
    if (chunk < nr_chunks) {
        *range = vmemi_dma_chunk_range(attachment, chunk, 1);
        *iova = attachment->iova + (range->offset - attachment->window.offset);
    }
    return chunk < nr_chunks;
}

static bool has_stuck(const struct vmem_dma_attachment *attachment)
{
    struct vmem_range range;
    uint64_t iova;

    return vmemi_dma_find_stuck(attachment, &range, &iova);
}

static void retry(struct vmem_dma_attachment *attachment)
{
    if (attachment->is_target) {
        vmemi_dma_guests_retry_all(attachment);
    } else {
        vmemi_dma_retry_chunks(attachment, 0, attachment->nr_chunks);
    }
}

int vmemi_dma_unmap_all(struct vmem_dma_attachment *attachment)
{
    struct vmem_dma *dma = attachment->dma;

    attachment->stage = VMEMI_DMA_LEAVING;
    retry(attachment);
    if (attachment->is_target) {
        vmemi_dma_guests_unmap(attachment, &attachment->window);
    } else {
        vmemi_dma_unmap_chunks(attachment, 0, attachment->nr_chunks);
    }
    vmemi_dma_commit(dma);
    /* What is stuck was tried just now. */
    return has_stuck(attachment) ? dma->unmap_code : 0;
}

/* Off the region and off the list; nothing of it is mapped. */
static void finish(struct vmem_dma_attachment *attachment)
{
    struct vmem_dma *dma = attachment->dma;
    struct vmemi_log_queue log;

    /* Tells discard of what the region has populated, to no effect. It cannot
     * fail: this is no callback. */
    vmem_listener_remove(attachment->listener, NULL);
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    vmemi_dma_unlink(attachment);
    vmemi_dma_unlock(dma);
    vmemi_dma_free_attachment(attachment);
}

int vmem_dma_detach(struct vmem_dma_attachment *attachment,
                    struct vmem_error *err)
{
    struct vmem_range stuck = { 0 };
    struct vmemi_frame frame;
    struct vmemi_log_queue log;
    struct vmem_dma *dma;
    uint64_t iova;
    int ret;

    if (attachment == NULL) {
        return 0;
    }
    dma = attachment->dma;
    ret =
        vmemi_vm_check_may_remove(dma->vm, attachment, "vmem_dma_detach", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_frame_enter(&frame, dma->vm, attachment, VMEMI_FRAME_REMOVE);
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    ret = vmemi_dma_unmap_all(attachment);
    if (ret < 0) {
        vmemi_dma_find_stuck(attachment, &stuck, &iova);
        vmemi_fail(err, ret, VMEM_REASON_UNMAP_FAILED, &stuck,
                   "attachment \"%s\": offset 0x%" PRIx64 " + 0x%" PRIx64
                   " cannot be unmapped: %s (errno %d)",
                   attachment->name.text, stuck.offset, stuck.size,
                   vmemi_errno_text(ret), -ret);
    }
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    if (ret == 0) {
        finish(attachment);
    }
    vmemi_frame_leave(&frame);
    return ret;
}

bool vmemi_dma_abandon(struct vmem_dma_attachment *attachment)
{
    struct vmem_dma *dma = attachment->dma;
    struct vmemi_log_queue log;
    bool is_stuck;

    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    is_stuck = vmemi_dma_unmap_all(attachment) < 0;
    if (is_stuck) {
        attachment->stage = VMEMI_DMA_ORPHAN;
    }
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    if (!is_stuck) {
        finish(attachment);
    }
    return is_stuck;
}

/* Under the lock: an orphan of which nothing is stuck. */
static struct vmem_dma_attachment *find_free_orphan(const struct vmem_dma *dma)
{
    for (GList *link = dma->attachments.head; link != NULL; link = link->next) {
        struct vmem_dma_attachment *attachment = link->data;

        if (attachment->stage == VMEMI_DMA_ORPHAN && !has_stuck(attachment)) {
            /* Nobody else finds it. */
            attachment->stage = VMEMI_DMA_LEAVING;
            return attachment;
        }
    }
    return NULL;
}

void vmemi_dma_reap(struct vmem_dma *dma)
{
    struct vmem_dma_attachment *orphan;
    struct vmemi_log_queue log;

    log.nr_records = 0;
    do {
        vmemi_dma_lock(dma, &log);
        orphan = find_free_orphan(dma);
        vmemi_dma_unlock(dma);
        if (orphan != NULL) {
            finish(orphan);
        }
    } while (orphan != NULL);
}

int vmem_dma_retry_unmaps(struct vmem_dma *dma, struct vmem_error *err)
{
    struct vmemi_log_queue log;
    int ret;

    if (dma == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_retry_unmaps: dma is NULL");
    }
    ret = vmemi_vm_check_unlocked(dma->vm, "vmem_dma_retry_unmaps", err);
    if (ret < 0) {
        return ret;
    }
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (GList *link = dma->attachments.head; link != NULL; link = link->next) {
        retry(link->data);
    }
    vmemi_dma_commit(dma);
    if (atomic_load(&dma->nr_stuck) > 0) {
        ret = vmemi_fail(err, dma->unmap_code, VMEM_REASON_UNMAP_FAILED, NULL,
                         "mapper \"%s\": %" PRIu64
                         " mappings still cannot be unmapped: %s (errno %d)",
                         dma->name.text, atomic_load(&dma->nr_stuck),
                         vmemi_errno_text(dma->unmap_code), -dma->unmap_code);
    }
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    vmemi_dma_reap(dma);
    return ret;
}
