/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/type1_info.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "dma/ioctl.h"
#include "dma/kernel.h"

_Static_assert(sizeof(struct vmemi_iova_range) ==
                   sizeof(struct vfio_iova_range),
               "copied as they are");

/* The answer: struct vfio_iommu_type1_info and, behind it, capabilities. */
struct answer {
    uint8_t *bytes;
    uint32_t size; /* as allocated */
};

/* Room for VMEMI_IOVA_MAX_RANGES, and as much again for whatever else there will
 * be. */
#define MAX_ANSWER_SIZE                                                        \
    (2 * VMEMI_IOVA_MAX_RANGES * (uint32_t)sizeof(struct vmemi_iova_range))

/* The answer may have grown each time, if devices join meanwhile. */
#define MAX_GROWTHS 8

#define FAIL_PROTOCOL(err, ...)                                                \
    vmemi_fail(err, -EPROTO, VMEM_REASON_OS, NULL,                             \
               "VFIO_IOMMU_GET_INFO: " __VA_ARGS__)

static int fail_to_ask(int code, struct vmem_error *err)
{
    if (code == -EINVAL) {
        return vmemi_fail(
            err, code, VMEM_REASON_OS, NULL,
            "VFIO_IOMMU_GET_INFO: the container has no IOMMU yet: "
            "add a group, then VFIO_SET_IOMMU with "
            "VFIO_TYPE1v2_IOMMU");
    }
    return vmemi_fail(err, code, VMEM_REASON_OS, NULL,
                      "VFIO_IOMMU_GET_INFO failed: %s (errno %d)",
                      vmemi_errno_text(code), -code);
}

/* Asks with a buffer of this size. wanted: what the kernel would like. */
static int ask(int fd, struct answer *answer, uint32_t size, uint32_t *wanted,
               struct vmem_error *err)
{
    struct vfio_iommu_type1_info info = { .argsz = size };
    int ret;

    answer->bytes = vmemi_alloc0(size);
    answer->size = size;
    if (answer->bytes == NULL) {
        return vmemi_fail_no_memory(err, "what the IOMMU says of itself");
    }
    memcpy(answer->bytes, &info, sizeof(info));
    ret = vmemi_dma_ioctl(fd, VFIO_IOMMU_GET_INFO, answer->bytes);
    if (ret < 0) {
        return fail_to_ask(ret, err);
    }
    memcpy(&info, answer->bytes, sizeof(info));
    *wanted = info.argsz;
    return 0;
}

/* On failure too, answer->bytes is the caller's to free. */
static int ask_for_all(int fd, struct answer *answer, struct vmem_error *err)
{
    uint32_t size = sizeof(struct vfio_iommu_type1_info);
    uint32_t wanted = size;

    for (int i = 0; i < MAX_GROWTHS; i++) {
        int ret = ask(fd, answer, size, &wanted, err);

        if (ret < 0 || wanted <= size) {
            return ret;
        }
        if (wanted > MAX_ANSWER_SIZE) {
            return FAIL_PROTOCOL(err, "argsz %" PRIu32 ", at most %" PRIu32,
                                 wanted, MAX_ANSWER_SIZE);
        }
        vmemi_free(answer->bytes);
        answer->bytes = NULL;
        size = wanted;
    }
    return FAIL_PROTOCOL(err, "the answer grew %d times, to %" PRIu32 " bytes",
                         MAX_GROWTHS, wanted);
}

static int read_ranges(const struct answer *answer, uint32_t offset,
                       struct vmemi_type1_info *info, struct vmem_error *err)
{
    struct vfio_iommu_type1_info_cap_iova_range cap;
    struct vmemi_iova_ranges *ranges = &info->ranges;
    uint64_t size;

    if (answer->size - offset < sizeof(cap)) {
        return FAIL_PROTOCOL(err, "IOVA ranges at %" PRIu32 " of %" PRIu32,
                             offset, answer->size);
    }
    memcpy(&cap, answer->bytes + offset, sizeof(cap));
    size = (uint64_t)cap.nr_iovas * sizeof(struct vmemi_iova_range);
    if (size > answer->size - offset - sizeof(cap) || cap.nr_iovas == 0) {
        return FAIL_PROTOCOL(
            err, "%" PRIu32 " IOVA ranges at %" PRIu32 " of %" PRIu32,
            cap.nr_iovas, offset, answer->size);
    }
    if (ranges->ranges != NULL) {
        return FAIL_PROTOCOL(err, "two lists of IOVA ranges");
    }
    ranges->ranges = vmemi_alloc0((size_t)size);
    if (ranges->ranges == NULL) {
        return vmemi_fail_no_memory(err, "IOVA ranges");
    }
    memcpy(ranges->ranges, answer->bytes + offset + sizeof(cap), (size_t)size);
    ranges->nr_ranges = cap.nr_iovas;
    return 0;
}

static int read_available(const struct answer *answer, uint32_t offset,
                          struct vmemi_type1_info *info, struct vmem_error *err)
{
    struct vfio_iommu_type1_info_dma_avail cap;

    if (answer->size - offset < sizeof(cap)) {
        return FAIL_PROTOCOL(err, "DMA_AVAIL at %" PRIu32 " of %" PRIu32,
                             offset, answer->size);
    }
    memcpy(&cap, answer->bytes + offset, sizeof(cap));
    info->max_mappings =
        cap.avail == VMEMI_TYPE1_UNLIMITED_MAPPINGS ? UINT64_MAX : cap.avail;
    return 0;
}

/* A chain of offsets into the answer, ended by 0. The kernel wrote it, but what
 * it says is followed no further than the answer goes and no longer than so many
 * capabilities fit in. */
static int read_chain(const struct answer *answer, uint32_t offset,
                      struct vmemi_type1_info *info, struct vmem_error *err)
{
    uint32_t left = answer->size / sizeof(struct vfio_info_cap_header);
    int ret = 0;

    while (offset != 0 && ret == 0) {
        struct vfio_info_cap_header header;

        if (offset < VMEMI_VFIO_INFO_WITH_CAPS ||
            offset % sizeof(uint32_t) != 0 || offset > answer->size ||
            answer->size - offset < sizeof(header)) {
            return FAIL_PROTOCOL(err, "a capability at %" PRIu32 " of %" PRIu32,
                                 offset, answer->size);
        }
        if (left-- == 0) {
            return FAIL_PROTOCOL(err, "the capabilities form a loop");
        }
        memcpy(&header, answer->bytes + offset, sizeof(header));
        if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
            ret = read_ranges(answer, offset, info, err);
        } else if (header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
            ret = read_available(answer, offset, info, err);
        }
        offset = header.next;
    }
    return ret;
}

static int read_answer(const struct answer *answer,
                       struct vmemi_type1_info *info, struct vmem_error *err)
{
    struct vfio_iommu_type1_info head;

    memcpy(&head, answer->bytes, sizeof(head));
    if ((head.flags & VFIO_IOMMU_INFO_PGSIZES) == 0 || head.iova_pgsizes == 0) {
        return FAIL_PROTOCOL(err, "no page size");
    }
    info->page_sizes = head.iova_pgsizes;
    info->max_mappings = VMEMI_TYPE1_DEFAULT_MAPPINGS;
    if ((head.flags & VFIO_IOMMU_INFO_CAPS) == 0) {
        return 0;
    }
    return read_chain(answer, head.cap_offset, info, err);
}

int vmemi_type1_info_get(int container_fd, struct vmemi_type1_info *info,
                         struct vmem_error *err)
{
    struct answer answer = { NULL, 0 };
    int ret;

    memset(info, 0, sizeof(*info));
    ret = ask_for_all(container_fd, &answer, err);
    if (ret == 0) {
        ret = read_answer(&answer, info, err);
    }
    if (ret < 0) {
        vmemi_iova_ranges_destroy(&info->ranges);
    }
    vmemi_free(answer.bytes);
    return ret;
}
