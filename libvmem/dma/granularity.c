/* SPDX-License-Identifier: BSD-3-Clause */
/* How an attachment is cut into chunks, and how many of them are wanted. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

static unsigned int log2_of(uint64_t power)
{
    return (unsigned int)__builtin_ctzll(power);
}

static uint64_t power_of_two_below(uint64_t value)
{
    return (uint64_t)1 << (63 - __builtin_clzll(value));
}

/* At least value, or the largest there is. */
static uint64_t power_of_two_above(uint64_t value)
{
    const uint64_t below = power_of_two_below(value);

    return below == value || below == (uint64_t)1 << 63 ? below : below << 1;
}

/* How many chunks of this size the window has. */
static int set_chunks(struct vmem_dma_attachment *attachment, uint64_t size,
                      struct vmem_error *err)
{
    attachment->chunk_shift = log2_of(size);
    attachment->first_chunk = attachment->window.offset / size;
    attachment->nr_chunks = vmemi_dma_count_chunks(&attachment->window, size);
    if (attachment->nr_chunks <= VMEM_BITMAP_MAX_BLOCKS) {
        return 0;
    }
    return vmemi_fail(
        err, -ERANGE, VMEM_REASON_RANGE, &attachment->window,
        "attachment \"%s\": %" PRIu64 " chunks, the limit is %" PRIu64,
        attachment->name.text, attachment->nr_chunks, VMEM_BITMAP_MAX_BLOCKS);
}

/* The region's smallest block size; without sources, one chunk for all. */
static uint64_t default_granularity(struct vmem_region *region)
{
    uint64_t granularity;

    vmemi_mutex_lock(&region->state);
    granularity = vmemi_region_min_granularity(region);
    vmemi_mutex_unlock(&region->state);
    return power_of_two_above(granularity);
}

static int fail_granularity(const struct vmem_dma_attachment *attachment,
                            int code, uint32_t reason, uint64_t granularity,
                            const char *relation, uint64_t limit,
                            struct vmem_error *err)
{
    return vmemi_fail(err, code, reason, NULL,
                      "attachment \"%s\": granularity 0x%" PRIx64
                      " is %s 0x%" PRIx64,
                      attachment->name.text, granularity, relation, limit);
}

int vmemi_dma_check_granularity(struct vmem_dma_attachment *attachment,
                                uint64_t wanted, struct vmem_error *err)
{
    const struct vmem_dma *dma = attachment->dma;
    const uint64_t largest = dma->backend.max_size;
    const uint64_t block_size = default_granularity(attachment->region);
    uint64_t size = wanted;

    if (wanted == 0) {
        size = vmemi_min(block_size, power_of_two_below(largest));
    }
    if (!vmemi_is_power_of_two(size)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "attachment \"%s\": granularity 0x%" PRIx64
                          " is not a power of two",
                          attachment->name.text, size);
    }
    if (size > block_size) {
        return fail_granularity(
            attachment, -EINVAL, VMEM_REASON_ALIGNMENT, size,
            "larger than the smallest block size (or the size) of its region,",
            block_size, err);
    }
    if (size < dma->page_size) {
        return fail_granularity(attachment, -EINVAL, VMEM_REASON_ALIGNMENT,
                                size, "below the smallest IOMMU page",
                                dma->page_size, err);
    }
    if (size > largest) {
        return fail_granularity(attachment, -ERANGE, VMEM_REASON_RANGE, size,
                                "above the largest mapping", largest, err);
    }
    return set_chunks(attachment, size, err);
}

int vmemi_dma_set_pieces(struct vmem_dma_attachment *attachment,
                         struct vmem_error *err)
{
    const uint64_t largest = attachment->dma->backend.max_size;

    return set_chunks(attachment,
                      vmemi_min(power_of_two_above(attachment->window.size),
                                power_of_two_below(largest)),
                      err);
}

int vmemi_dma_set_requested(struct vmem_dma_attachment *attachment,
                            uint64_t size, struct vmem_error *err)
{
    const struct vmem_range *window = &attachment->window;
    const uint64_t chunk_size = (uint64_t)1 << attachment->chunk_shift;
    uint64_t nr_chunks;

    if (size > window->size) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, window,
                          "attachment \"%s\": 0x%" PRIx64
                          " bytes are requested, the window has 0x%" PRIx64,
                          attachment->name.text, size, window->size);
    }
    nr_chunks = size / chunk_size + (size % chunk_size != 0);
    /* Chunks that the window cuts hold less. */
    if (size != 0) {
        nr_chunks += window->offset % chunk_size != 0;
        nr_chunks += vmemi_range_end(window) % chunk_size != 0;
    }
    attachment->nr_requested =
        attachment->is_target ? 0 : vmemi_min(nr_chunks, attachment->nr_chunks);
    attachment->requested_size = attachment->is_target ? 0 : size;
    return 0;
}
