/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/type1.h"

#include <errno.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "dma/explain.h"
#include "dma/ioctl.h"
#include "dma/kernel.h"
#include "dma/type1_info.h"

struct type1 {
    int fd; /* the host's */
    struct vmemi_dma_words words;
};

static int type1_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    const struct type1 *type1 = opaque;
    struct vfio_iommu_type1_dma_map map = {
        .argsz = sizeof(map),
        .vaddr = (uint64_t)(uintptr_t)mapping->hva,
        .iova = mapping->iova,
        .size = mapping->size,
    };

    if ((mapping->protection & VMEM_DMA_READ) != 0) {
        map.flags |= VFIO_DMA_MAP_FLAG_READ;
    }
    if ((mapping->protection & VMEM_DMA_WRITE) != 0) {
        map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
    }
    return vmemi_dma_ioctl(type1->fd, VFIO_IOMMU_MAP_DMA, &map);
}

/* A range that would cut a mapping is -EINVAL, and nothing is touched; iommufd's
 * imitation says -ENOENT and may have unmapped what lies before the cut. Only the
 * host can have made such a mapping, behind the mapper's back. Nothing in the
 * range is success with both. */
static int type1_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                       void *opaque)
{
    const struct type1 *type1 = opaque;
    struct vfio_iommu_type1_dma_unmap unmap = {
        .argsz = sizeof(unmap),
        .iova = iova,
        .size = size,
    };
    int ret = vmemi_dma_ioctl(type1->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

    /* On failure the kernel leaves the size as it was asked for. */
    *unmapped = ret < 0 ? 0 : unmap.size;
    return ret == -ENOENT ? -EINVAL : ret;
}

static int type1_check_window(uint64_t iova, uint64_t size,
                              struct vmem_error *err, void *opaque)
{
    const struct type1 *type1 = opaque;
    struct vmemi_type1_info info;
    int ret = vmemi_type1_info_get(type1->fd, &info, err);

    if (ret == 0) {
        ret = vmemi_iova_ranges_check(&info.ranges, iova, size, err);
        vmemi_iova_ranges_destroy(&info.ranges);
    }
    return ret;
}

static void type1_explain(const struct vmem_dma_mapping *mapping, int code,
                          char *text, size_t size, void *opaque)
{
    const struct type1 *type1 = opaque;

    vmemi_dma_explain(&type1->words, mapping, code, text, size);
}

static void type1_destroy(void *opaque)
{
    vmemi_free(opaque);
}

/* Version 1 unmaps more than it was asked to, or nothing, and says success. A
 * container says that it can do both and not which one it does; but it refuses to
 * track dirty pages in version 1, whatever is asked of it. So a question that is
 * wrong in itself and changes nothing tells: -EACCES is version 1, -EINVAL is
 * version 2, and -ENOTTY a kernel before Linux 5.8 or iommufd, where it cannot
 * be told. */
static int check_version(int fd, struct vmem_error *err)
{
    struct vfio_iommu_type1_dirty_bitmap question = { .argsz = 0 };

    if (vmemi_dma_ioctl(fd, VFIO_IOMMU_DIRTY_PAGES, &question) == -EACCES) {
        return vmemi_fail(
            err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
            "container %d: its IOMMU was set to VFIO_TYPE1_IOMMU, "
            "which cannot unmap exactly what it is asked to; set "
            "it to VFIO_TYPE1v2_IOMMU",
            fd);
    }
    return 0;
}

static int check_container(int fd, struct vmem_error *err)
{
    const int version = vmemi_dma_ioctl(fd, VFIO_GET_API_VERSION, NULL);
    int has_type1;

    if (version < 0) {
        return vmemi_fail(
            err, version, VMEM_REASON_OS, NULL,
            "VFIO_GET_API_VERSION of descriptor %d: %s (errno %d): not "
            "a VFIO container, /dev/vfio/vfio opened",
            fd, vmemi_errno_text(version), -version);
    }
    if (version != VFIO_API_VERSION) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "container %d has version %d of the VFIO interface, "
                          "%d is wanted",
                          fd, version, VFIO_API_VERSION);
    }
    has_type1 =
        vmemi_dma_ioctl(fd, VFIO_CHECK_EXTENSION,
                        (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU); /* a number */
    if (has_type1 <= 0) {
        return vmemi_fail(err, -ENOTSUP, VMEM_REASON_UNSUPPORTED, NULL,
                          "container %d: VFIO_CHECK_EXTENSION says %d for "
                          "VFIO_TYPE1v2_IOMMU: another kind of IOMMU, or "
                          "vfio_iommu_type1 is not loaded",
                          fd, has_type1);
    }
    return check_version(fd, err);
}

static int ask(int fd, struct vmemi_dma_backend *backend,
               struct vmem_error *err)
{
    struct vmemi_type1_info info;
    int ret = check_container(fd, err);

    if (ret == 0) {
        ret = vmemi_type1_info_get(fd, &info, err);
    }
    if (ret == 0) {
        backend->page_sizes = info.page_sizes;
        backend->max_mappings = info.max_mappings;
        vmemi_iova_ranges_destroy(&info.ranges);
    }
    return ret;
}

int vmemi_type1_open(int container_fd, struct vmemi_dma_backend *out,
                     struct vmem_error *err)
{
    struct vmemi_dma_backend backend = {
        .kind = VMEM_DMA_TYPE1,
        .max_size = VMEM_DMA_UNLIMITED,
        .check_window = type1_check_window,
        .explain = type1_explain,
        .ops = {
            .struct_size = sizeof(struct vmem_dma_ops),
            .map = type1_map,
            .unmap = type1_unmap,
            .destroy = type1_destroy,
        },
    };
    struct type1 *type1;
    int ret = ask(container_fd, &backend, err);

    if (ret < 0) {
        return ret;
    }
    type1 = vmemi_alloc0(sizeof(*type1));
    if (type1 == NULL) {
        return vmemi_fail_no_memory(err, "a backend");
    }
    type1->fd = container_fd;
    type1->words.mappings_limit =
        "dma_entry_limit of vfio_iommu_type1, 65535 by default";
    type1->words.memlock_of = "this process";
    type1->words.page_size = backend.page_sizes & -backend.page_sizes;
    backend.opaque = type1;
    *out = backend;
    return 0;
}
