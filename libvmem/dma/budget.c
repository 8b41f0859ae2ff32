/* SPDX-License-Identifier: BSD-3-Clause */
/* What is counted, and what that allows. All numbers saturate: regions, limits
 * and sizes are the host's, and their sums may exceed 64 bits. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "dma/mapper.h"

static uint64_t subtract_saturating(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t vmemi_dma_count_chunks(const struct vmem_range *range, uint64_t size)
{
    return (vmemi_range_end(range) - 1) / size - range->offset / size + 1;
}

uint64_t vmemi_dma_fitting_size(const struct vmem_range *range, uint64_t size,
                                uint64_t nr_chunks)
{
    while (size != 0 && vmemi_dma_count_chunks(range, size) > nr_chunks) {
        size <<= 1;
    }
    return size;
}

static uint64_t left_of(uint64_t limit, uint64_t taken)
{
    return limit == VMEM_DMA_UNLIMITED ? limit
                                       : subtract_saturating(limit, taken);
}

/* Asking for nothing is never near anything. */
static uint32_t judge_limit(uint64_t limit, uint64_t left, uint64_t wanted)
{
    if (limit == VMEM_DMA_UNLIMITED || wanted == 0) {
        return VMEM_DMA_FIT_OK;
    }
    if (wanted > left) {
        return VMEM_DMA_FIT_IMPOSSIBLE;
    }
    /* Rounded up: of a limit of 7, none left is less than an eighth. */
    return left - wanted < limit / VMEM_DMA_NEAR + (limit % VMEM_DMA_NEAR != 0)
               ? VMEM_DMA_FIT_TIGHT
               : VMEM_DMA_FIT_OK;
}

void vmemi_dma_judge(struct vmem_dma_verdict *verdict,
                     const struct vmem_range *range)
{
    uint32_t mappings;
    uint32_t pinned;

    verdict->nr_available = left_of(verdict->max_mappings, verdict->nr_taken);
    mappings = judge_limit(verdict->max_mappings, verdict->nr_available,
                           verdict->nr_requested);
    pinned =
        judge_limit(verdict->max_pinned_size,
                    left_of(verdict->max_pinned_size, verdict->pinned_size),
                    verdict->requested_pinned_size);
    verdict->fit = mappings > pinned ? mappings : pinned;
    verdict->bound = verdict->fit == VMEM_DMA_FIT_OK ? VMEM_DMA_BOUND_NONE
                     : mappings >= pinned            ? VMEM_DMA_BOUND_MAPPINGS
                                                     : VMEM_DMA_BOUND_PINNED;
    verdict->recommended_block_size = vmemi_dma_fitting_size(
        range, verdict->granularity, verdict->nr_available);
    if (verdict->fit == VMEM_DMA_FIT_IMPOSSIBLE &&
        verdict->bound == VMEM_DMA_BOUND_PINNED) {
        /* Larger blocks pin as much. */
        verdict->recommended_block_size = 0;
    }
}

/* Mapped or stuck now. */
static uint64_t live_chunks(const struct vmem_dma_attachment *attachment)
{
    if (attachment->mapped == NULL) {
        return 0;
    }
    return vmem_bitmap_get_nr_set(attachment->mapped) +
           vmem_bitmap_get_nr_set(attachment->stuck);
}

static bool is_live(const struct vmem_dma_attachment *attachment,
                    uint64_t chunk)
{
    return vmem_bitmap_is_set(attachment->mapped, chunk) ||
           vmem_bitmap_is_set(attachment->stuck, chunk);
}

/* Their bytes: the window may cut the first and the last chunk. */
static uint64_t live_size(const struct vmem_dma_attachment *attachment,
                          uint64_t nr_live)
{
    const uint64_t nr_chunks = attachment->nr_chunks;
    uint64_t size;

    if (nr_live == 0 || nr_live == nr_chunks) {
        return nr_live == 0 ? 0 : attachment->window.size;
    }
    size = nr_live << attachment->chunk_shift;
    for (uint64_t chunk = 0; chunk < nr_chunks; chunk += nr_chunks - 1) {
        if (is_live(attachment, chunk)) {
            size -= ((uint64_t)1 << attachment->chunk_shift) -
                    vmemi_dma_chunk_range(attachment, chunk, 1).size;
        }
    }
    return size;
}

/* What is mapped now, and what others want and do not have yet. */
static void count_taken(const struct vmem_dma_attachment *self,
                        struct vmem_dma_verdict *verdict)
{
    const struct vmem_dma *dma = self->dma;

    verdict->nr_taken = vmemi_add_saturating(atomic_load(&dma->nr_mappings),
                                             dma->reserved_mappings);
    verdict->pinned_size = atomic_load(&dma->pinned_size);
    for (const GList *link = dma->attachments.head; link != NULL;
         link = link->next) {
        const struct vmem_dma_attachment *other = link->data;
        /* One that is leaving wants nothing more; what it has is counted. */
        const bool is_leaving = vmemi_dma_is_leaving(other);
        const uint64_t nr_wanted = is_leaving ? 0 : other->nr_requested;
        const uint64_t wanted_size = is_leaving ? 0 : other->requested_size;
        const uint64_t nr_live = live_chunks(other);

        verdict->nr_taken = vmemi_add_saturating(
            verdict->nr_taken, subtract_saturating(nr_wanted, nr_live));
        verdict->pinned_size = vmemi_add_saturating(
            verdict->pinned_size,
            subtract_saturating(wanted_size, live_size(other, nr_live)));
    }
}

void vmemi_dma_judge_attachment(const struct vmem_dma_attachment *attachment,
                                uint64_t nr_now, uint64_t now_size,
                                struct vmem_dma_verdict *verdict)
{
    const struct vmem_dma *dma = attachment->dma;

    verdict->granularity = (uint64_t)1 << attachment->chunk_shift;
    verdict->max_mappings = dma->max_mappings;
    verdict->max_pinned_size = dma->max_pinned_size;
    verdict->nr_now = nr_now;
    verdict->nr_requested = vmemi_max(attachment->nr_requested, nr_now);
    verdict->nr_worst_case =
        attachment->is_target ? dma->max_guest_mappings : attachment->nr_chunks;
    verdict->requested_pinned_size =
        vmemi_max(attachment->requested_size, now_size);
    /* A guest may point any number of IOVAs at the same memory; each pins. */
    verdict->worst_case_pinned_size =
        attachment->is_target
            ? vmemi_multiply_saturating(verdict->nr_worst_case,
                                        attachment->window.size)
            : attachment->window.size;
    count_taken(attachment, verdict);
    vmemi_dma_judge(verdict, &attachment->window);
}

static int refuse_mappings(const struct vmem_dma_attachment *attachment,
                           uint64_t iova)
{
    struct vmem_dma *dma = attachment->dma;
    const uint64_t used = atomic_load(&dma->nr_mappings);
    const uint64_t others = used - live_chunks(attachment);
    const uint64_t size = vmemi_dma_fitting_size(
        &attachment->window, (uint64_t)1 << attachment->chunk_shift,
        subtract_saturating(dma->max_mappings - dma->reserved_mappings,
                            others));

    vmemi_add_locked(&dma->nr_budget_refusals, 1);
    /* Of a target of a virtual IOMMU too, whose mappings are not its chunks. */
    if (size == 0) {
        return vmemi_dma_refuse(
            dma, -ENOSPC, VMEM_REASON_BUDGET, attachment->name.text,
            "iova 0x%" PRIx64 ": %" PRIu64 " mappings and %" PRIu64
            " reserved, the limit is %" PRIu64 "; raise it",
            iova, used, dma->reserved_mappings, dma->max_mappings);
    }
    return vmemi_dma_refuse(
        dma, -ENOSPC, VMEM_REASON_BUDGET, attachment->name.text,
        "iova 0x%" PRIx64 ": %" PRIu64 " mappings and %" PRIu64
        " reserved, the limit is %" PRIu64 "; use blocks of 0x%" PRIx64
        " bytes or raise the limit",
        iova, used, dma->reserved_mappings, dma->max_mappings, size);
}

int vmemi_dma_check_budget(const struct vmem_dma_attachment *attachment,
                           uint64_t iova, uint64_t size)
{
    struct vmem_dma *dma = attachment->dma;
    const uint64_t pinned = atomic_load(&dma->pinned_size);

    if (left_of(dma->max_mappings,
                vmemi_add_saturating(atomic_load(&dma->nr_mappings),
                                     dma->reserved_mappings)) == 0) {
        return refuse_mappings(attachment, iova);
    }
    if (size > left_of(dma->max_pinned_size, pinned)) {
        vmemi_add_locked(&dma->nr_budget_refusals, 1);
        return vmemi_dma_refuse(
            dma, -ENOSPC, VMEM_REASON_BUDGET, attachment->name.text,
            "iova 0x%" PRIx64 ": 0x%" PRIx64 " bytes are pinned, 0x%" PRIx64
            " more exceed the limit of 0x%" PRIx64 "; raise it",
            iova, pinned, size, dma->max_pinned_size);
    }
    return 0;
}

void vmemi_dma_count_mapped(struct vmem_dma *dma, uint64_t size)
{
    uint64_t now;

    vmemi_add_locked(&dma->nr_mappings, 1);
    now = atomic_load(&dma->nr_mappings);
    atomic_store(&dma->peak_mappings,
                 vmemi_max(now, atomic_load(&dma->peak_mappings)));
    vmemi_add_locked(&dma->pinned_size, size);
    now = atomic_load(&dma->pinned_size);
    atomic_store(&dma->peak_pinned_size,
                 vmemi_max(now, atomic_load(&dma->peak_pinned_size)));
}

void vmemi_dma_count_unmapped(struct vmem_dma *dma, uint64_t size)
{
    vmemi_add_locked(&dma->nr_mappings, (uint64_t)-1);
    vmemi_add_locked(&dma->pinned_size, -size);
}
