/* SPDX-License-Identifier: BSD-3-Clause */
/* What the host wants attached, checked against region and backend before
 * anything is taken or mapped. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <vmem/backing.h>

#include "base/error.h"
#include "base/range.h"
#include "dma/mapper.h"

#define FLAGS                                                                  \
    (VMEM_DMA_READ_ONLY | VMEM_DMA_STRICT | VMEM_DMA_VIOMMU | VMEM_DMA_HAS_FD)
#define STATIC_FLAGS (FLAGS & ~VMEM_DMA_VIOMMU)

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

static int set_name(const struct vmem_dma *dma, const char *name,
                    struct vmem_dma_attachment *attachment,
                    struct vmem_error *err)
{
    struct vmemi_name own;
    char full[2 * sizeof(own.text)];
    int ret = vmemi_name_set(&own, name, "attachment name", err);

    if (ret < 0) {
        return ret;
    }
    snprintf(full, sizeof(full), "%s/%s", dma->name.text, own.text);
    full[VMEM_NAME_MAX] = '\0';
    return vmemi_name_set(&attachment->name, full, "attachment name", err);
}

static int check_flags(const struct vmem_dma_attachment *attachment,
                       uint64_t flags, uint64_t known, struct vmem_error *err)
{
    if ((flags & ~known) == 0) {
        return 0;
    }
    return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                      "attachment \"%s\": unknown flags 0x%" PRIx64,
                      attachment->name.text, flags & ~known);
}

/* One number that has to be a multiple of the IOMMU's smallest page. */
static int check_aligned(const struct vmem_dma_attachment *attachment,
                         const char *what, uint64_t value,
                         struct vmem_error *err)
{
    const uint64_t page_size = attachment->dma->page_size;

    if ((value & (page_size - 1)) == 0) {
        return 0;
    }
    return vmemi_fail(
        err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
        "attachment \"%s\": %s 0x%" PRIx64
        " is not a multiple of the smallest IOMMU page 0x%" PRIx64,
        attachment->name.text, what, value, page_size);
}

static int check_wrap(const struct vmem_dma_attachment *attachment,
                      const char *what, uint64_t start, uint64_t size,
                      struct vmem_error *err)
{
    uint64_t end;

    if (!__builtin_add_overflow(start, size, &end)) {
        return 0;
    }
    return vmemi_fail(err, -EOVERFLOW, VMEM_REASON_OVERFLOW, NULL,
                      "attachment \"%s\": %s 0x%" PRIx64 " + 0x%" PRIx64
                      " wraps",
                      attachment->name.text, what, start, size);
}

/* Addresses of the memory: known, aligned and not beyond the end. */
static int check_memory(const struct vmem_dma_attachment *attachment,
                        struct vmem_error *err)
{
    const bool needs_fd =
        (attachment->dma->backend.flags & VMEM_DMA_NEEDS_FD) != 0;
    const struct vmem_range *window = &attachment->window;
    const uint64_t end = vmemi_range_end(window);
    int ret = 0;

    if (needs_fd ? attachment->fd < 0 : attachment->hva == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\": %s of the memory is not known",
                          attachment->name.text,
                          needs_fd ? "the file" : "the address");
    }
    if (attachment->hva != 0) {
        ret = check_wrap(attachment, "address", attachment->hva, end, err);
        if (ret == 0) {
            ret = check_aligned(attachment, "address", attachment->hva, err);
        }
    }
    if (ret == 0 && attachment->fd >= 0) {
        ret = check_wrap(attachment, "file offset", attachment->fd_offset, end,
                         err);
        if (ret == 0) {
            ret = check_aligned(attachment, "file offset",
                                attachment->fd_offset, err);
        }
    }
    return ret;
}

static int check_iova(const struct vmem_dma_attachment *attachment,
                      struct vmem_error *err)
{
    const struct vmemi_dma_backend *backend = &attachment->dma->backend;
    const struct vmem_range *window = &attachment->window;
    int ret =
        check_wrap(attachment, "iova", attachment->iova, window->size, err);

    if (ret == 0) {
        ret = check_aligned(attachment, "iova", attachment->iova, err);
    }
    if (ret == 0) {
        ret = check_aligned(attachment, "window offset", window->offset, err);
    }
    if (ret == 0) {
        ret = check_aligned(attachment, "window size", window->size, err);
    }
    if (ret == 0 && !attachment->is_target && backend->check_window != NULL) {
        ret = backend->check_window(attachment->iova, window->size, err,
                                    backend->opaque);
    }
    return ret;
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

static int check_granularity(struct vmem_dma_attachment *attachment,
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

/* A file that shares the memory: the host's, or the backing's. A private mapping
 * of a file is not the file's contents. */
static void find_memory(const struct vmem_dma_attach_config *config,
                        struct vmem_dma_attachment *attachment)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };

    attachment->hva = (uint64_t)(uintptr_t)config->hva;
    attachment->fd = -1;
    if ((config->flags & VMEM_DMA_HAS_FD) != 0) {
        attachment->fd = config->fd;
        attachment->fd_offset = config->fd_offset;
    }
    if (config->region->backing == NULL) {
        return;
    }
    vmem_backing_get_info(config->region->backing, &info);
    if (attachment->hva == 0) {
        attachment->hva = (uint64_t)(uintptr_t)info.hva;
    }
    if ((config->flags & VMEM_DMA_HAS_FD) == 0 && info.fd >= 0 &&
        (info.flags & VMEM_BACKING_SHARED) != 0) {
        attachment->fd = info.fd;
        attachment->fd_offset = info.fd_offset;
    }
}

static int check_window(const struct vmem_dma_attach_config *config,
                        struct vmem_dma_attachment *attachment,
                        struct vmem_error *err)
{
    attachment->window = config->window;
    if (config->window.offset == 0 && config->window.size == 0) {
        attachment->window.size = config->region->size;
    }
    if (attachment->window.size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\": the window is empty",
                          attachment->name.text);
    }
    return vmemi_range_check(&attachment->window, config->region->size,
                             "attachment window", err);
}

/* What the budget is judged by. */
static int set_requested(struct vmem_dma_attachment *attachment, uint64_t size,
                         struct vmem_error *err)
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

static void set_protection(struct vmem_dma_attachment *attachment,
                           uint64_t flags)
{
    attachment->protection = (flags & VMEM_DMA_READ_ONLY) != 0
                                 ? VMEM_DMA_READ
                                 : VMEM_DMA_READ | VMEM_DMA_WRITE;
}

int vmemi_dma_check_attach(struct vmem_dma *dma,
                           const struct vmem_dma_attach_config *config,
                           struct vmem_dma_attachment *attachment,
                           struct vmem_error *err)
{
    int ret;

    attachment->link.data = attachment;
    attachment->dma = dma;
    attachment->region = config->region;
    attachment->iova = config->iova;
    attachment->is_target = (config->flags & VMEM_DMA_VIOMMU) != 0;
    ret = set_name(dma, config->name, attachment, err);
    if (ret == 0) {
        ret = check_flags(attachment, config->flags, FLAGS, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (config->region == NULL || config->region->vm != dma->vm) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\": the region is NULL or of another "
                          "vm",
                          attachment->name.text);
    }
    if (attachment->is_target && (config->iova | config->granularity) != 0) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
            "attachment \"%s\": iova 0x%" PRIx64 " and granularity 0x%" PRIx64
            " must be 0 with a virtual IOMMU",
            attachment->name.text, config->iova, config->granularity);
    }
    set_protection(attachment, config->flags);
    find_memory(config, attachment);
    ret = check_window(config, attachment, err);
    if (ret == 0) {
        ret = check_iova(attachment, err);
    }
    if (ret == 0 && !attachment->is_target) {
        ret = check_granularity(attachment, config->granularity, err);
    } else if (ret == 0) {
        attachment->chunk_shift = log2_of(dma->page_size);
    }
    if (ret == 0) {
        ret = check_memory(attachment, err);
    }
    if (ret == 0) {
        ret = set_requested(attachment, config->requested_size, err);
    }
    return ret;
}

int vmemi_dma_check_static(struct vmem_dma *dma,
                           const struct vmem_dma_static_config *config,
                           struct vmem_dma_attachment *attachment,
                           struct vmem_error *err)
{
    int ret;

    attachment->link.data = attachment;
    attachment->dma = dma;
    attachment->iova = config->iova;
    attachment->window.size = config->size;
    attachment->hva = (uint64_t)(uintptr_t)config->hva;
    attachment->fd = (config->flags & VMEM_DMA_HAS_FD) != 0 ? config->fd : -1;
    attachment->fd_offset = config->fd_offset;
    set_protection(attachment, config->flags);
    ret = set_name(dma, config->name, attachment, err);
    if (ret == 0) {
        ret = check_flags(attachment, config->flags, STATIC_FLAGS, err);
    }
    if (ret == 0 && config->size == 0) {
        ret = vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                         "attachment \"%s\": the memory is empty",
                         attachment->name.text);
    }
    if (ret == 0) {
        ret = check_iova(attachment, err);
    }
    if (ret == 0) {
        ret = check_memory(attachment, err);
    }
    if (ret == 0) {
        ret = set_chunks(attachment,
                         vmemi_min(power_of_two_above(config->size),
                                   power_of_two_below(dma->backend.max_size)),
                         err);
    }
    if (ret == 0) {
        ret = set_requested(attachment, config->size, err);
    }
    return ret;
}
