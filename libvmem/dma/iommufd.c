/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/iommufd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "dma/explain.h"
#include "dma/ioctl.h"
#include "dma/iova.h"
#include "dma/kernel.h"

_Static_assert(sizeof(struct vmemi_iova_range) ==
                   sizeof(struct iommu_iova_range),
               "filled by the kernel");

struct ioas {
    int fd; /* the host's */
    uint32_t id;
    bool maps_files; /* until the kernel says that it does not */
    int other_fd; /* the last file that is mapped by its memory only, or -1 */
    struct vmemi_dma_words words;
};

static uint32_t flags_of(const struct vmem_dma_mapping *mapping)
{
    uint32_t flags = IOMMU_IOAS_MAP_FIXED_IOVA;

    if ((mapping->protection & VMEM_DMA_READ) != 0) {
        flags |= IOMMU_IOAS_MAP_READABLE;
    }
    if ((mapping->protection & VMEM_DMA_WRITE) != 0) {
        flags |= IOMMU_IOAS_MAP_WRITEABLE;
    }
    return flags;
}

static int map_file(const struct ioas *ioas,
                    const struct vmem_dma_mapping *mapping)
{
    struct iommu_ioas_map_file map = {
        .size = sizeof(map),
        .flags = flags_of(mapping),
        .ioas_id = ioas->id,
        .fd = mapping->fd,
        .start = mapping->fd_offset,
        .length = mapping->size,
        .iova = mapping->iova,
    };

    return vmemi_dma_ioctl(ioas->fd, IOMMU_IOAS_MAP_FILE, &map);
}

static int map_memory(const struct ioas *ioas,
                      const struct vmem_dma_mapping *mapping)
{
    struct iommu_ioas_map map = {
        .size = sizeof(map),
        .flags = flags_of(mapping),
        .ioas_id = ioas->id,
        .user_va = (uint64_t)(uintptr_t)mapping->hva,
        .length = mapping->size,
        .iova = mapping->iova,
    };

    return vmemi_dma_ioctl(ioas->fd, IOMMU_IOAS_MAP, &map);
}

/* By its file where that can be done, because then neither mprotect nor a mapping
 * over it is in the way. Kernels before Linux 6.13 cannot, and say so each time
 * in the same way; a file that is no memfd is refused by all. Not asked again for
 * a file whose memory was taken instead: should the host close it and open a memfd
 * that gets its number, its memory is mapped, which is right too. */
static int ioas_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct ioas *ioas = opaque;
    bool is_refused = false;
    int ret;

    if (ioas->maps_files && mapping->fd >= 0 && mapping->fd != ioas->other_fd) {
        ret = map_file(ioas, mapping);
        if (ret == -ENOTTY || ret == -EOPNOTSUPP) {
            ioas->maps_files = false;
        } else if (ret == -EINVAL || ret == -EBADF) {
            is_refused = true;
        } else {
            return ret;
        }
    }
    ret = map_memory(ioas, mapping);
    if (is_refused && ret == 0) {
        ioas->other_fd = mapping->fd;
    }
    return ret;
}

/* Not atomic for more than one mapping, so it is asked for one at a time
 * (VMEM_DMA_EXACT_UNMAP). Where nothing is mapped the kernel says -ENOENT. */
static int ioas_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                      void *opaque)
{
    const struct ioas *ioas = opaque;
    struct iommu_ioas_unmap unmap = {
        .size = sizeof(unmap),
        .ioas_id = ioas->id,
        .iova = iova,
        .length = size,
    };
    int ret = vmemi_dma_ioctl(ioas->fd, IOMMU_IOAS_UNMAP, &unmap);

    *unmapped = ret < 0 ? 0 : unmap.length;
    return ret == -ENOENT ? 0 : ret;
}

static int fail_to_ask(const struct ioas *ioas, int code,
                       struct vmem_error *err)
{
    if (code == -ENOENT) {
        return vmemi_fail(err, code, VMEM_REASON_NOT_FOUND, NULL,
                          "iommufd %d has no address space %" PRIu32
                          ": IOMMU_IOAS_ALLOC makes one",
                          ioas->fd, ioas->id);
    }
    return vmemi_fail(err, code, VMEM_REASON_OS, NULL,
                      "IOMMU_IOAS_IOVA_RANGES of descriptor %d, address space "
                      "%" PRIu32 ": %s (errno %d)%s",
                      ioas->fd, ioas->id, vmemi_errno_text(code), -code,
                      code == -ENOTTY ? ": not /dev/iommu opened" : "");
}

/* Ranges and alignment, as of now: devices that join or leave change them. Asks
 * with room for as many as the kernel said last, which may have become more.
 * Destroy ranges after success. */
static int get_ranges(const struct ioas *ioas, struct vmemi_iova_ranges *ranges,
                      uint64_t *alignment, struct vmem_error *err)
{
    struct iommu_ioas_iova_ranges question = { .num_iovas = 8 };
    int ret = -EMSGSIZE;

    for (int tries_left = 8; ret == -EMSGSIZE && tries_left > 0; tries_left--) {
        ranges->nr_ranges = question.num_iovas;
        if (ranges->nr_ranges == 0 ||
            ranges->nr_ranges > VMEMI_IOVA_MAX_RANGES) {
            break;
        }
        ranges->ranges =
            vmemi_alloc0(ranges->nr_ranges * sizeof(*ranges->ranges));
        if (ranges->ranges == NULL) {
            return vmemi_fail_no_memory(err, "IOVA ranges");
        }
        question.size = sizeof(question);
        question.ioas_id = ioas->id;
        question.allowed_iovas = (uint64_t)(uintptr_t)ranges->ranges;
        ret = vmemi_dma_ioctl(ioas->fd, IOMMU_IOAS_IOVA_RANGES, &question);
        if (ret == 0 && question.num_iovas <= ranges->nr_ranges &&
            vmemi_is_power_of_two(question.out_iova_alignment)) {
            ranges->nr_ranges = question.num_iovas;
            *alignment = question.out_iova_alignment;
            return 0;
        }
        vmemi_iova_ranges_destroy(ranges);
    }
    if (ret < 0 && ret != -EMSGSIZE) {
        return fail_to_ask(ioas, ret, err);
    }
    return vmemi_fail(
        err, -EPROTO, VMEM_REASON_OS, NULL,
        "IOMMU_IOAS_IOVA_RANGES: %" PRIu32 " ranges, alignment 0x%" PRIx64,
        question.num_iovas, (uint64_t)question.out_iova_alignment);
}

static int ioas_check_window(uint64_t iova, uint64_t size,
                             struct vmem_error *err, void *opaque)
{
    struct vmemi_iova_ranges ranges;
    uint64_t alignment;
    int ret = get_ranges(opaque, &ranges, &alignment, err);

    if (ret == 0) {
        ret = vmemi_iova_ranges_check(&ranges, iova, size, err);
        vmemi_iova_ranges_destroy(&ranges);
    }
    return ret;
}

static void ioas_explain(const struct vmem_dma_mapping *mapping, int code,
                         char *text, size_t size, void *opaque)
{
    const struct ioas *ioas = opaque;

    vmemi_dma_explain(&ioas->words, mapping, code, text, size);
}

static void ioas_destroy(void *opaque)
{
    vmemi_free(opaque);
}

int vmemi_iommufd_open(int iommufd, uint32_t ioas_id,
                       struct vmemi_dma_backend *out, struct vmem_error *err)
{
    struct vmemi_dma_backend backend = {
        .kind = VMEM_DMA_IOMMUFD,
        .flags = VMEM_DMA_EXACT_UNMAP,
        .max_size = VMEM_DMA_UNLIMITED,
        .max_mappings = VMEM_DMA_UNLIMITED,
        .check_window = ioas_check_window,
        .explain = ioas_explain,
        .ops = {
            .struct_size = sizeof(struct vmem_dma_ops),
            .map = ioas_map,
            .unmap = ioas_unmap,
            .destroy = ioas_destroy,
        },
    };
    const struct ioas asked = { .fd = iommufd, .id = ioas_id };
    struct vmemi_iova_ranges ranges;
    struct ioas *ioas;
    int ret = get_ranges(&asked, &ranges, &backend.page_sizes, err);

    if (ret < 0) {
        return ret;
    }
    vmemi_iova_ranges_destroy(&ranges);
    ioas = vmemi_alloc0(sizeof(*ioas));
    if (ioas == NULL) {
        return vmemi_fail_no_memory(err, "a backend");
    }
    *ioas = asked;
    ioas->maps_files = true;
    ioas->other_fd = -1;
    ioas->words.mappings_limit = "iommufd has no limit";
    ioas->words.memlock_of = "this user or process";
    ioas->words.page_size = backend.page_sizes;
    backend.opaque = ioas;
    *out = backend;
    return 0;
}
