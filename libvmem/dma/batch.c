/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock of a mapper, and the calls of its backend between begin and commit. */
#include <errno.h>

#include "base/errno.h"
#include "base/range.h"
#include "core/vm.h"
#include "dma/mapper.h"

void vmemi_dma_lock(struct vmem_dma *dma, struct vmemi_log_queue *log)
{
    vmemi_mutex_lock(&dma->lock);
    vmemi_frame_enter(&dma->frame, dma->vm, dma, VMEMI_FRAME_DMA);
    dma->log = log != NULL ? log : vmemi_frame_log(dma->vm);
    vmemi_assert(dma->log != NULL);
    dma->has_mapped = false;
    dma->has_refused = false;
    dma->refusal.code = 0;
    dma->unmap_code = 0;
}

void vmemi_dma_unlock(struct vmem_dma *dma)
{
    vmemi_assert(!dma->has_begun);
    vmemi_frame_leave(&dma->frame);
    vmemi_mutex_unlock(&dma->lock);
}

/* What the batch did is done; or all that it touched is stuck. */
static void settle(struct vmem_dma *dma, int code)
{
    vmemi_dma_settle_chunks(dma, code);
    vmemi_dma_settle_guests(dma, code);
}

/* The end of a batch that has begun. */
static int end_batch(struct vmem_dma *dma)
{
    int ret = 0;

    if (!dma->has_begun) {
        return 0;
    }
    dma->has_begun = false;
    if (dma->backend.ops.commit != NULL) {
        ret = dma->backend.ops.commit(dma->backend.opaque);
        ret = ret > 0 ? -EINVAL : ret;
    }
    if (ret < 0) {
        vmemi_add_locked(&dma->nr_commit_errors, 1);
        dma->unmap_code = ret;
    }
    settle(dma, ret);
    return ret;
}

/* A batch whose end failed. What it wanted to map is unmapped in another one: what
 * is not there never took effect, for it is stuck and asked for again. */
static void end_failed(struct vmem_dma *dma, bool is_retried)
{
    vmemi_dma_settle_lost_chunks(dma, is_retried);
    if (dma->mapped_guest != NULL) {
        vmemi_dma_guest_unmap(dma->mapped_guest);
        dma->mapped_guest = NULL;
    }
}

int vmemi_dma_commit(struct vmem_dma *dma)
{
    const int ret = end_batch(dma);

    if (ret < 0) {
        /* What was unmapped only is stuck now, which has words of its own. */
        if (dma->has_mapped) {
            vmemi_dma_refuse(dma, ret, VMEM_REASON_MAP_FAILED, dma->name.text,
                             "the backend did not commit: %s (errno %d)",
                             vmemi_errno_text(ret), -ret);
        }
        end_failed(dma, dma->has_mapped);
        if (end_batch(dma) < 0) {
            end_failed(dma, false);
        }
    }
    vmemi_dma_forget_touched(dma);
    vmemi_dma_report(dma);
    dma->has_mapped = false;
    dma->mapped_guest = NULL;
    return ret;
}

static void begin(struct vmem_dma *dma)
{
    if (dma->has_begun) {
        return;
    }
    dma->has_begun = true;
    if (dma->backend.ops.begin != NULL) {
        dma->backend.ops.begin(dma->backend.opaque);
    }
}

static uint64_t start_clock(const struct vmem_dma *dma)
{
    return dma->is_timed ? vmemi_vm_now_ns(dma->vm) : 0;
}

static void stop_clock(const struct vmem_dma *dma, uint64_t start_ns,
                       _Atomic uint64_t *total_ns, _Atomic uint64_t *max_ns)
{
    uint64_t ns;

    if (dma->is_timed) {
        ns = vmemi_vm_now_ns(dma->vm) - start_ns;
        vmemi_add_locked(total_ns, ns);
        atomic_store(max_ns, vmemi_max(ns, atomic_load(max_ns)));
    }
}

int vmemi_dma_call_map(struct vmem_dma *dma,
                       const struct vmem_dma_mapping *mapping)
{
    uint64_t start_ns;
    int ret;

    begin(dma);
    vmemi_add_locked(&dma->nr_maps, 1);
    start_ns = start_clock(dma);
    ret = dma->backend.ops.map(mapping, dma->backend.opaque);
    stop_clock(dma, start_ns, &dma->map_ns, &dma->max_map_ns);
    if (ret == 0) {
        dma->has_mapped = true;
        return 0;
    }
    vmemi_add_locked(&dma->nr_map_errors, 1);
    /* A positive number breaks the contract; nothing is mapped then. */
    return ret < 0 ? ret : -EINVAL;
}

int vmemi_dma_call_unmap(struct vmem_dma *dma, uint64_t iova, uint64_t size,
                         uint64_t *unmapped)
{
    uint64_t start_ns;
    int ret;

    begin(dma);
    vmemi_add_locked(&dma->nr_unmaps, 1);
    *unmapped = size;
    start_ns = start_clock(dma);
    ret = dma->backend.ops.unmap(iova, size, unmapped, dma->backend.opaque);
    stop_clock(dma, start_ns, &dma->unmap_ns, &dma->max_unmap_ns);
    if (ret == -ENOENT) {
        *unmapped = 0;
        ret = 0;
    }
    if (ret != 0 || *unmapped < size) {
        dma->unmap_code = ret < 0 ? ret : ret > 0 ? -EINVAL : -EBUSY;
    }
    return ret <= 0 ? ret : -EINVAL;
}
