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
    /* Not cut: two that differ at the end would have one name. */
    snprintf(full, sizeof(full), "%s/%s", dma->name.text, own.text);
    return vmemi_name_set(&attachment->name, full, "mapper/attachment", err);
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

/* What a later version may give a meaning to, and a file that is none. */
static int check_unused(const struct vmem_dma_attachment *attachment,
                        uint64_t flags, uint32_t reserved,
                        struct vmem_error *err)
{
    if (reserved != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\": reserved is %" PRIu32
                          ", must be 0",
                          attachment->name.text, reserved);
    }
    if ((flags & VMEM_DMA_HAS_FD) != 0 && attachment->fd < 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "attachment \"%s\": VMEM_DMA_HAS_FD, but fd is %d",
                          attachment->name.text, attachment->fd);
    }
    return 0;
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
    ret = check_unused(attachment, config->flags, config->reserved, err);
    if (ret == 0) {
        ret = check_window(config, attachment, err);
    }
    if (ret == 0) {
        ret = check_iova(attachment, err);
    }
    if (ret == 0 && !attachment->is_target) {
        ret = vmemi_dma_check_granularity(attachment, config->granularity, err);
    } else if (ret == 0) {
        attachment->chunk_shift = (unsigned int)__builtin_ctzll(dma->page_size);
    }
    if (ret == 0) {
        ret = check_memory(attachment, err);
    }
    if (ret == 0) {
        ret = vmemi_dma_set_requested(attachment, config->requested_size, err);
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
    if (ret == 0) {
        ret = check_unused(attachment, config->flags, config->reserved, err);
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
        ret = vmemi_dma_set_pieces(attachment, err);
    }
    if (ret == 0) {
        ret = vmemi_dma_set_requested(attachment, config->size, err);
    }
    return ret;
}
