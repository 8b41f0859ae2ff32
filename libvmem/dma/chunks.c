/* SPDX-License-Identifier: BSD-3-Clause */
/* Which chunks of an attachment are mapped, and which could not be unmapped. */
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

struct vmem_range
vmemi_dma_chunk_range(const struct vmem_dma_attachment *attachment,
                      uint64_t first, uint64_t nr_chunks)
{
    const uint64_t number = attachment->first_chunk + first;
    struct vmem_range range;
    uint64_t end;

    range.offset =
        vmemi_max(number << attachment->chunk_shift, attachment->window.offset);
    /* Where the last chunk would end may not fit 64 bits. */
    end = first + nr_chunks == attachment->nr_chunks
              ? vmemi_range_end(&attachment->window)
              : (number + nr_chunks) << attachment->chunk_shift;
    range.size = end - range.offset;
    return range;
}

uint64_t vmemi_dma_chunk_at(const struct vmem_dma_attachment *attachment,
                            uint64_t offset)
{
    return (offset >> attachment->chunk_shift) - attachment->first_chunk;
}

static uint64_t iova_of(const struct vmem_dma_attachment *attachment,
                        const struct vmem_range *range)
{
    return attachment->iova + (range->offset - attachment->window.offset);
}

int vmemi_dma_make_chunks(struct vmem_dma_attachment *attachment,
                          struct vmem_error *err)
{
    const uint64_t nr_chunks = attachment->nr_chunks;
    int ret = 0;

    vmemi_dma_init_targets(attachment);
    if (attachment->is_target) {
        return 0;
    }
    ret = vmem_bitmap_new(nr_chunks, &attachment->mapped);
    if (ret == 0) {
        ret = vmem_bitmap_new(nr_chunks, &attachment->stuck);
    }
    if (ret == 0 && attachment->dma->backend.ops.commit != NULL) {
        ret = vmem_bitmap_new(nr_chunks, &attachment->touched);
    }
    return ret == 0 ? 0 : vmemi_fail_no_memory(err, "bitmaps of chunks");
}

static void count_static(const struct vmem_dma_attachment *attachment,
                         uint64_t by)
{
    if (attachment->region == NULL) {
        vmemi_add_locked(&attachment->dma->nr_static_mappings, by);
    }
}

static void note_mapped(struct vmem_dma_attachment *attachment, uint64_t chunk)
{
    const struct vmem_range range = vmemi_dma_chunk_range(attachment, chunk, 1);

    vmemi_dma_count_mapped(attachment->dma, range.size);
    count_static(attachment, 1);
}

/* A chunk that is on no bitmap any more. */
static void note_unmapped(struct vmem_dma_attachment *attachment,
                          uint64_t chunk)
{
    const struct vmem_range range = vmemi_dma_chunk_range(attachment, chunk, 1);

    vmemi_dma_count_unmapped(attachment->dma, range.size);
    count_static(attachment, (uint64_t)-1);
    vmemi_dma_touch(attachment, chunk);
}

static void set_stuck(struct vmem_dma_attachment *attachment, uint64_t chunk,
                      int code)
{
    const struct vmem_range range = vmemi_dma_chunk_range(attachment, chunk, 1);
    struct vmem_dma *dma = attachment->dma;

    vmem_bitmap_set(attachment->stuck, chunk, 1, NULL);
    vmemi_add_locked(&dma->nr_stuck, 1);
    vmemi_add_locked(&dma->stuck_size, range.size);
    dma->stuck_code = code;
}

static void clear_stuck(struct vmem_dma_attachment *attachment, uint64_t chunk)
{
    const struct vmem_range range = vmemi_dma_chunk_range(attachment, chunk, 1);
    struct vmem_dma *dma = attachment->dma;

    vmem_bitmap_clear(attachment->stuck, chunk, 1, NULL);
    vmemi_add_locked(&dma->nr_stuck, (uint64_t)-1);
    vmemi_add_locked(&dma->stuck_size, -range.size);
    note_unmapped(attachment, chunk);
}

int vmemi_dma_map_chunk(struct vmem_dma_attachment *attachment, uint64_t chunk)
{
    const struct vmem_range range = vmemi_dma_chunk_range(attachment, chunk, 1);
    struct vmem_dma *dma = attachment->dma;
    const struct vmem_dma_mapping mapping = {
        .struct_size = sizeof(mapping),
        .iova = iova_of(attachment, &range),
        .size = range.size,
        .hva = attachment->hva != 0
                   ? (void *)(uintptr_t)(attachment->hva + range.offset)
                   : NULL,
        .fd_offset =
            attachment->fd >= 0 ? attachment->fd_offset + range.offset : 0,
        .fd = attachment->fd,
        .protection = attachment->protection,
    };
    int ret = vmemi_dma_retry_chunks(attachment, chunk, 1);

    if (ret < 0) {
        vmemi_add_locked(&dma->nr_stuck_refusals, 1);
        return vmemi_dma_refuse(
            dma, -EBUSY, VMEM_REASON_UNMAP_FAILED, attachment->name.text,
            "iova 0x%" PRIx64 " is still mapped from before: %s (errno %d)",
            mapping.iova, vmemi_errno_text(ret), -ret);
    }
    if (vmemi_dma_is_leaving(attachment)) {
        return 0;
    }
    ret = vmemi_dma_check_budget(attachment, mapping.iova, mapping.size);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_dma_call_map(dma, &mapping);
    if (ret < 0) {
        return vmemi_dma_refuse_map(attachment, &mapping, ret);
    }
    vmem_bitmap_set(attachment->mapped, chunk, 1, NULL);
    vmemi_dma_touch(attachment, chunk);
    note_mapped(attachment, chunk);
    return 0;
}

/* A run of mapped chunks is not mapped any more. */
static void clear_mapped(struct vmem_dma_attachment *attachment, uint64_t first,
                         uint64_t nr_chunks)
{
    vmem_bitmap_clear(attachment->mapped, first, nr_chunks, NULL);
    for (uint64_t chunk = first; chunk < first + nr_chunks; chunk++) {
        note_unmapped(attachment, chunk);
    }
}

/* A mapped chunk that could not be unmapped. */
static void keep_stuck(struct vmem_dma_attachment *attachment, uint64_t chunk,
                       int code)
{
    vmem_bitmap_clear(attachment->mapped, chunk, 1, NULL);
    set_stuck(attachment, chunk, code);
}

/* What it means that there was nothing to unmap. */
enum nothing {
    NOTHING_IS_STUCK,
    NOTHING_IS_GONE, /* a call for the run failed, and may have unmapped it */
    NOTHING_IS_OPEN  /* the same, if all calls together unmapped all of it */
};

/* Asks for each chunk alone. Returns the bytes that were unmapped, and adds to
 * nr_open what is stuck and left open. */
static uint64_t unmap_each(struct vmem_dma_attachment *attachment,
                           uint64_t first, uint64_t nr_chunks,
                           enum nothing nothing, uint64_t *nr_open)
{
    struct vmem_dma *dma = attachment->dma;
    uint64_t total = 0;

    for (uint64_t chunk = first; chunk < first + nr_chunks; chunk++) {
        const struct vmem_range range =
            vmemi_dma_chunk_range(attachment, chunk, 1);
        uint64_t unmapped;
        int ret = vmemi_dma_call_unmap(dma, iova_of(attachment, &range),
                                       range.size, &unmapped);

        if (ret == 0 && (unmapped >= range.size ||
                         (unmapped == 0 && nothing == NOTHING_IS_GONE))) {
            clear_mapped(attachment, chunk, 1);
        } else if (ret == 0 && unmapped == 0 && nothing == NOTHING_IS_OPEN) {
            *nr_open += 1;
            keep_stuck(attachment, chunk, dma->unmap_code);
        } else {
            vmemi_add_locked(&dma->nr_unmap_errors, 1);
            keep_stuck(attachment, chunk, dma->unmap_code);
        }
        total += ret == 0 ? vmemi_min(unmapped, range.size) : 0;
    }
    return total;
}

/* A run of mapped chunks: one call, and where that does not say that all is
 * gone, one for each. */
static void unmap_run(struct vmem_dma_attachment *attachment, uint64_t first,
                      uint64_t nr_chunks)
{
    const struct vmem_range range =
        vmemi_dma_chunk_range(attachment, first, nr_chunks);
    struct vmem_dma *dma = attachment->dma;
    uint64_t nr_open = 0;
    uint64_t unmapped;
    uint64_t total;
    int ret;

    if (nr_chunks == 1 || (dma->backend.flags & VMEM_DMA_EXACT_UNMAP) != 0) {
        unmap_each(attachment, first, nr_chunks, NOTHING_IS_STUCK, &nr_open);
        return;
    }
    ret = vmemi_dma_call_unmap(dma, iova_of(attachment, &range), range.size,
                               &unmapped);
    if (ret == 0 && unmapped >= range.size) {
        clear_mapped(attachment, first, nr_chunks);
        return;
    }
    vmemi_add_locked(&dma->nr_unmap_errors, 1);
    total = unmap_each(attachment, first, nr_chunks,
                       ret < 0 ? NOTHING_IS_GONE : NOTHING_IS_OPEN, &nr_open);
    /* Chunks that had nothing to unmap are those that the first call did, if the
     * two together make all of them. */
    if (ret == 0 && total + unmapped >= range.size) {
        vmemi_dma_retry_chunks(attachment, first, nr_chunks);
    } else {
        vmemi_add_locked(&dma->nr_unmap_errors, nr_open);
    }
}

void vmemi_dma_unmap_chunks(struct vmem_dma_attachment *attachment,
                            uint64_t first, uint64_t nr_chunks)
{
    const uint64_t end = first + nr_chunks;
    uint64_t chunk = vmem_bitmap_next_set(attachment->mapped, first, end);

    while (chunk < end) {
        const uint64_t run_end =
            vmem_bitmap_next_clear(attachment->mapped, chunk, end);

        unmap_run(attachment, chunk, run_end - chunk);
        chunk = vmem_bitmap_next_set(attachment->mapped, run_end, end);
    }
}

int vmemi_dma_retry_chunks(struct vmem_dma_attachment *attachment,
                           uint64_t first, uint64_t nr_chunks)
{
    const uint64_t end = first + nr_chunks;
    struct vmem_dma *dma = attachment->dma;
    int last_error = 0;

    for (uint64_t chunk = vmem_bitmap_next_set(attachment->stuck, first, end);
         chunk < end;
         chunk = vmem_bitmap_next_set(attachment->stuck, chunk + 1, end)) {
        const struct vmem_range range =
            vmemi_dma_chunk_range(attachment, chunk, 1);
        uint64_t unmapped;
        int ret = vmemi_dma_call_unmap(dma, iova_of(attachment, &range),
                                       range.size, &unmapped);

        if (ret == 0 && (unmapped == 0 || unmapped >= range.size)) {
            clear_stuck(attachment, chunk);
        } else {
            vmemi_add_locked(&dma->nr_unmap_errors, 1);
            last_error = dma->unmap_code;
        }
    }
    return last_error;
}

void vmemi_dma_lose_chunk(struct vmem_dma_attachment *attachment,
                          uint64_t chunk, int code)
{
    if (vmem_bitmap_is_set(attachment->stuck, chunk)) {
        return;
    }
    if (!vmem_bitmap_is_set(attachment->mapped, chunk)) {
        note_mapped(attachment, chunk);
    }
    keep_stuck(attachment, chunk, code);
}
