/* SPDX-License-Identifier: BSD-3-Clause */
/* How an attachment follows what its region tells. */
#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

/* Under the lock: the first batch is over, or there was none. */
static void end_joining(struct vmem_dma_attachment *attachment)
{
    if (attachment->stage == VMEMI_DMA_JOINING) {
        attachment->stage = attachment->refusal.code < 0 ? VMEMI_DMA_LEAVING
                                                         : VMEMI_DMA_ATTACHED;
    }
}

static void listener_begin(void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;

    vmemi_dma_lock(attachment->dma, NULL);
    attachment->veto.code = 0;
}

/* A veto, for who changes the region. Its change lock keeps the text as it is. */
static int object(struct vmem_dma_attachment *attachment, int ret)
{
    const struct vmem_dma *dma = attachment->dma;

    if (ret < 0 && attachment->veto.code == 0 && dma->refusal.code < 0) {
        attachment->veto = dma->refusal;
        vmemi_frame_explain(dma->vm, attachment->veto.text);
    }
    return ret;
}

/* While joining, remembered for who attaches, and no veto. */
static int answer(struct vmem_dma_attachment *attachment, int ret)
{
    if (attachment->stage != VMEMI_DMA_JOINING) {
        return object(attachment, ret);
    }
    if (ret < 0 && attachment->refusal.code == 0) {
        attachment->refusal = attachment->dma->refusal;
    }
    return 0;
}

static int listener_commit(void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    int ret = answer(attachment, vmemi_dma_commit(attachment->dma));

    end_joining(attachment);
    vmemi_dma_unlock(attachment->dma);
    return ret;
}

static int populate_target(struct vmem_dma_attachment *target,
                           const struct vmem_range *range)
{
    struct vmem_dma *dma = target->dma;
    int ret = vmemi_dma_guests_retry(target, range);

    if (ret == 0) {
        return 0;
    }
    vmemi_add_locked(&dma->nr_stuck_refusals, 1);
    return vmemi_dma_refuse(
        dma, -EBUSY, VMEM_REASON_UNMAP_FAILED, target->name.text,
        "offset 0x%" PRIx64 " is still mapped for the guest: %s (errno %d)",
        range->offset, vmemi_errno_text(ret), -ret);
}

static int listener_populate(const struct vmem_range *range, void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    int ret;

    if (attachment->refusal.code < 0 &&
        attachment->stage == VMEMI_DMA_JOINING) {
        return 0; /* what else would be mapped is unmapped soon */
    }
    if (attachment->is_target) {
        ret = populate_target(attachment, range);
    } else {
        ret = vmemi_dma_map_chunk(
            attachment, vmemi_dma_chunk_at(attachment, range->offset));
    }
    return answer(attachment, ret);
}

static void listener_discard(const struct vmem_range *range, void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    struct vmem_dma *dma = attachment->dma;
    uint64_t first;
    uint64_t nr_chunks;

    if (attachment->is_target) {
        vmemi_add_locked(&dma->nr_forced_unmaps,
                         vmemi_dma_guests_unmap(attachment, range));
        return;
    }
    first = vmemi_dma_chunk_at(attachment, range->offset);
    nr_chunks =
        vmemi_dma_chunk_at(attachment, vmemi_range_end(range) - 1) - first + 1;
    /* What is stuck here is of an attachment that is being detached. */
    vmemi_dma_retry_chunks(attachment, first, nr_chunks);
    vmemi_dma_unmap_chunks(attachment, first, nr_chunks);
}

static const struct vmem_listener_ops listener_ops = {
    .struct_size = sizeof(listener_ops),
    .populate = listener_populate,
    .discard = listener_discard,
    .begin = listener_begin,
    .commit = listener_commit,
};

/* Static memory is a region that is told once, by nobody. */
static void map_static(struct vmem_dma_attachment *attachment)
{
    struct vmem_dma *dma = attachment->dma;
    struct vmemi_log_queue log;

    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (uint64_t chunk = 0;
         chunk < attachment->nr_chunks && attachment->refusal.code == 0;
         chunk++) {
        answer(attachment, vmemi_dma_map_chunk(attachment, chunk));
    }
    answer(attachment, vmemi_dma_commit(dma));
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
}

/* 0, or why it has to leave again; whoever is refused listens on. */
static int end_join(struct vmem_dma_attachment *attachment)
{
    struct vmemi_log_queue log;
    bool is_refused;

    log.nr_records = 0;
    vmemi_dma_lock(attachment->dma, &log);
    end_joining(attachment);
    is_refused = vmemi_dma_is_leaving(attachment);
    vmemi_dma_unlock(attachment->dma);
    return is_refused ? attachment->refusal.code : 0;
}

int vmemi_dma_join(struct vmem_dma_attachment *attachment,
                   struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = attachment->name.text,
        .window = attachment->window,
        .granularity =
            attachment->is_target ? 0 : (uint64_t)1 << attachment->chunk_shift,
    };
    int ret = 0;

    if (attachment->region == NULL) {
        map_static(attachment);
    } else {
        ret = vmem_listener_add(attachment->region, &config, &listener_ops,
                                attachment, &attachment->listener, err);
    }
    /* If it fails nothing was told. */
    return ret < 0 ? ret : end_join(attachment);
}
